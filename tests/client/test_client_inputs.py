"""What cannot be meant is told at once, in a sentence, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ledger_client import AccountDraft, Client, Draft, Refused, connect, credit, debit
from ledger_client.deadlines import DEADLINE_MAX_S, bounded
from ledger_client.decimals import to_minor_units
from ledger_client.refusals import BatchTooLarge

SALE = [debit("cash", 5, "USD"), credit("sales", 5, "USD")]


@pytest.fixture
def client() -> Iterator[Client]:
    with connect("127.0.0.1:1", deadline_s=0.2) as client:
        yield client


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda client: client.post("books", Draft(SALE)), "a Draft goes to post_whole or post_batch"),
        (lambda client: client.post("books", iter(SALE)), r"lines are a list of debit\(...\) and credit"),
        (lambda client: client.post_whole("books", SALE), "is a Draft, not a list"),
        (lambda client: client.post_batch("books", [SALE]), "is a Draft or a ReversalDraft, not a list"),
        (lambda client: client.post_atomically("books", [SALE]), "is a Draft or a ReversalDraft, not a list"),
        (lambda client: client.create_account("books", AccountDraft("cash", "ASSET")), "one of AccountType"),  # type: ignore[arg-type]
        (lambda client: client.list_accounts("books", account_type="ASSET"), "one of AccountType"),
        (lambda client: to_minor_units("12.50", 2), r"a Decimal, such as Decimal\('12.50'\)"),  # type: ignore[arg-type]
        (lambda client: client.post("books", SALE, deadline_s="1"), "a number of seconds"),
        (lambda client: connect("127.0.0.1:1", deadline_s=None), "a number of seconds"),  # type: ignore[arg-type]
    ],
)
def test_another_kind_of_argument_is_a_type_error_that_names_the_right_one(
    client: Client, call: Callable[[Any], object], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        call(client)


def test_a_balance_needs_an_asset(client: Client) -> None:
    with pytest.raises(ValueError, match="get_balance needs an asset"):
        client.get_balance("books", "cash", "")


def test_a_batch_too_large_for_a_message_is_refused_before_it_is_sent(client: Client) -> None:
    large = [Draft(SALE, description="x" * (5 << 20))] * 2

    with pytest.raises(BatchTooLarge):
        client.post_batch("books", large)
    with pytest.raises(BatchTooLarge):
        client.post_whole("books", Draft(SALE, description="x" * (9 << 20)))


def test_a_deadline_is_a_number_of_seconds_and_at_most_a_day(client: Client) -> None:
    assert [bounded(each) for each in (0, 1.5, 1e10, math.inf)] == [0, 1.5, DEADLINE_MAX_S, DEADLINE_MAX_S]
    for verb, argument in (("post", SALE), ("post_batch", [Draft(SALE)]), ("get_transaction", 1)):
        with pytest.raises(ValueError, match="not a number"):
            getattr(client, verb)("books", argument, deadline_s=math.nan)
    # The lane is as it was.
    with pytest.raises(Refused):
        client.post("books", SALE)
