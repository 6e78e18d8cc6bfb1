"""What one batch leaves in the books for the next, which may be decided before any of it can be read."""

from __future__ import annotations

import pytest
from builders import PaperBooks, post_draft, reverse_draft

from ledger_server.domain.decisions import Recorded
from ledger_server.domain.refusals import ReversalAlreadyExists


@pytest.fixture
def paper() -> PaperBooks:
    """Books whose last batch recorded a post under "k"."""
    paper = PaperBooks()
    paper.books.start_batch({"k"}, ())
    paper.post(key="k")
    return paper


def test_a_key_of_the_batch_before_is_known(paper: PaperBooks) -> None:
    paper.books.start_batch({"k", "new"}, ())

    (again,) = paper.decide(post_draft(key="k"))

    assert isinstance(again, Recorded)
    assert again.replayed
    assert paper.books.keys["new"] is None


def test_a_transaction_of_the_batch_before_can_be_reversed_by_its_sequence(paper: PaperBooks) -> None:
    origin = paper.books.head.sequence
    paper.books.start_batch((), {origin})

    (reversal,) = paper.recorded(reverse_draft(origin))

    assert reversal.reverses == origin


def test_a_transaction_that_the_batch_before_reversed_is_not_reversed_again(paper: PaperBooks) -> None:
    origin = paper.books.head.sequence
    paper.books.start_batch((), {origin})
    (reversal,) = paper.recorded(reverse_draft(origin))
    # As the database has it, where the reversal is not to be seen yet.
    recorded = paper.books.transactions[origin]
    paper.books.start_batch((), {origin})
    paper.books.transactions[origin] = recorded

    (refusal,) = paper.decide(reverse_draft(origin))

    assert isinstance(refusal, ReversalAlreadyExists)
    assert refusal.facts["reversed_by"] == str(reversal.sequence)


def test_what_nobody_asks_for_any_more_is_forgotten(paper: PaperBooks) -> None:
    """By then it can be read: it was recorded before the batch that has been decided since."""
    origin = paper.books.head.sequence
    paper.books.start_batch((), {origin})
    paper.recorded(reverse_draft(origin))
    paper.books.start_batch(("other",), ())
    paper.books.start_batch((), ())

    assert (paper.books.keys, paper.books.transactions, paper.books.reversals) == ({}, {}, {})
