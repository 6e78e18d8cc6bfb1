"""Same content: each field that a caller sent is compared, and only those."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOON, PaperBooks, account_draft, credit, debit, post_draft, reverse_draft

from ledger_server.domain import chain
from ledger_server.domain.accounts import AccountType, Limit
from ledger_server.domain.content import account_differences, post_differences
from ledger_server.domain.decisions import Recorded
from ledger_server.domain.refusals import AccountAlreadyExists, IdempotencyKeyReused

CONTENT: dict[str, Any] = {
    "kind": "sale",
    "effective_time": NOON - 5,
    "description": "tea",
    "metadata": {"till": "3"},
    "external_ref": "order-9",
}


@pytest.mark.criterion("S000-28")
def test_the_same_content_again_is_a_replay_of_the_same_record() -> None:
    books = PaperBooks()
    first = books.post(key="k", **CONTENT)

    (again,) = books.decide(post_draft(key="k", **CONTENT))

    assert again == Recorded(first, True)
    assert books.books.head.sequence == first.sequence


@pytest.mark.criterion("S000-28")
@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"kind": "gift"}, "kind"),
        ({"effective_time": NOON - 6}, "effective_time"),
        ({"effective_time": None}, "effective_time"),
        ({"description": "Tea"}, "description"),
        ({"metadata": {"till": "4"}}, "metadata"),
        ({"metadata": {}}, "metadata"),
        ({"metadata": {"till": "3", "x": ""}}, "metadata"),
        ({"external_ref": ""}, "external_ref"),
        ({"kind": "gift", "external_ref": "x", "metadata": {}}, "kind,metadata,external_ref"),
    ],
)
def test_each_field_that_differs_is_named(changes: dict[str, Any], differing: str) -> None:
    books = PaperBooks()
    first = books.post(key="k", **CONTENT)

    (refusal,) = books.decide(post_draft(key="k", **(CONTENT | changes)))

    assert isinstance(refusal, IdempotencyKeyReused)
    assert refusal.facts["differing_fields"] == differing
    assert refusal.facts["sequence"] == str(first.sequence)


@pytest.mark.parametrize(
    "entries",
    [
        (debit("cash", 101), credit("sales", 101)),
        (debit("cash", 100, "EUR"), credit("sales", 100, "EUR")),
        (debit("sales", 100), credit("cash", 100)),
        (credit("sales", 100), debit("cash", 100)),
        (debit("cash", 50), debit("cash", 50), credit("sales", 100)),
    ],
    ids=["amount", "asset", "sides", "order", "count"],
)
def test_entries_are_compared_line_by_line_in_their_order(entries: Any) -> None:
    books = PaperBooks()
    books.post(key="k")

    (refusal,) = books.decide(post_draft(*entries, key="k"))

    assert isinstance(refusal, IdempotencyKeyReused)
    assert refusal.facts["differing_fields"] == "entries"


def test_the_same_lines_on_the_other_sides_are_other_content() -> None:
    """A refund under its payment's key: only the sides tell them apart."""
    books = PaperBooks()
    books.post(debit("cash", 100), credit("sales", 100), key="k")

    (refusal,) = books.decide(post_draft(credit("cash", 100), debit("sales", 100), key="k"))

    assert isinstance(refusal, IdempotencyKeyReused)
    assert refusal.facts["differing_fields"] == "entries"


def test_a_time_given_differs_from_the_same_time_by_default() -> None:
    books = PaperBooks()
    books.post(key="k")

    (refusal,) = books.decide(post_draft(key="k", effective_time=NOON))

    assert isinstance(refusal, IdempotencyKeyReused)
    assert refusal.facts["differing_fields"] == "effective_time"


def test_who_asks_and_validate_only_are_not_content() -> None:
    books = PaperBooks()
    first = books.post(key="k")

    decisions = books.decide(post_draft(key="k", created_by="other"), post_draft(key="k", validate_only=True))

    assert decisions == [Recorded(first, True)] * 2


def test_verbs_share_one_key_space() -> None:
    books = PaperBooks()
    posted = books.post(key="k")
    books.recorded(reverse_draft(posted.sequence, "r"))

    as_reversal, as_post, other_origin = books.decide(
        reverse_draft("k", "k"), post_draft(key="r"), reverse_draft(999, "r")
    )

    for refusal, differing in ((as_reversal, "verb"), (as_post, "verb"), (other_origin, "transaction")):
        assert isinstance(refusal, IdempotencyKeyReused)
        assert refusal.facts["differing_fields"] == differing


def test_a_reversal_named_by_key_and_by_sequence_is_the_same_content() -> None:
    books = PaperBooks()
    posted = books.post(key="k")
    (reversal,) = books.recorded(reverse_draft(posted.sequence, "r"))

    assert books.decide(reverse_draft("k", "r")) == [Recorded(reversal, True)]


def test_a_redacted_field_is_compared_by_its_digest() -> None:
    books = PaperBooks()
    posted = books.post(key="k", **CONTENT)
    digest = chain.details_digest(posted.salt, "tea", {"till": "3"}, "order-9")
    redacted = posted._replace(description=None, metadata=None, external_ref=None, details_digest=digest)

    assert post_differences(post_draft(key="k", **CONTENT), redacted) == []
    assert len(post_differences(post_draft(key="k", **(CONTENT | {"description": "coffee"})), redacted)) == 1


@pytest.mark.parametrize(
    ("draft", "differing"),
    [
        (account_draft("wallet", AccountType.LIABILITY, {"USD": Limit(0, None)}), []),
        (account_draft("wallet", AccountType.ASSET, {"USD": Limit(0, None)}), ["type"]),
        (account_draft("wallet", AccountType.LIABILITY, {"USD": Limit(-1, None)}), ["limits"]),
        (account_draft("wallet", AccountType.LIABILITY), ["limits"]),
        (account_draft("wallet", AccountType.LIABILITY, {"USD": Limit(0, None)}, {"a": "b"}), ["metadata"]),
        (account_draft("wallet"), ["type", "limits"]),
    ],
)
def test_an_account_s_name_is_its_key(draft: Any, differing: list[str]) -> None:
    books = PaperBooks()
    standing = books.books.accounts["wallet"]
    assert standing is not None

    (decision,) = books.decide(draft)

    assert account_differences(draft, standing) == differing
    if differing:
        assert isinstance(decision, AccountAlreadyExists)
        assert decision.facts["differing_fields"] == ",".join(differing)
    else:
        assert decision == Recorded(standing, True)
