"""Trial-balance runs, on both faces: plain values, whole lists, and the caller's own writes in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from callers import Teller
from client.faces import Face

from ledger_client import asks, credit, debit


def test_a_run_is_made_and_listed(face: Face, books: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "PAGE_SIZE", 2)
    large = 10**30
    posted = face.post(books.ledger, [debit("cash", large, "USD"), credit("sales", large, "USD")])

    runs = [face.run_trial_balance(books.ledger) for _ in range(5)]

    first = runs[0]
    assert (first.number, first.is_ok, first.is_daily, first.created_by) == (1, True, False, "anonymous")
    assert (first.sequence, first.hash) == (posted.sequence, posted.hash)
    assert (first.offending_count, first.offending_sequences) == (0, ())
    (total,) = first.totals
    assert (total.asset, total.scale, total.debits, total.credits, total.difference) == (
        "USD",
        2,
        large,
        large,
        0,
    )
    assert abs(first.record_time - datetime.now(UTC)) < timedelta(minutes=5)
    assert first.day == first.record_time.date()
    assert face.list_trial_balance_runs(books.ledger) == runs[::-1]
    of_the_day = face.list_trial_balance_runs(books.ledger, day=first.day)
    assert of_the_day == [run for run in runs[::-1] if run.day == first.day]
    assert face.list_trial_balance_runs(books.ledger, day=first.day - timedelta(days=1)) == []


def test_a_run_is_of_what_the_client_has_seen(face: Face, books: Teller) -> None:
    face._client._posting.saw(books.ledger, books.head())

    run = face.run_trial_balance(books.ledger)

    assert run.sequence == face._client._posting.seen(books.ledger) == books.head()
