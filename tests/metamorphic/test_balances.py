"""A balance is one number, whichever way and whenever it is asked for."""

from __future__ import annotations

from collections import Counter

from callers import DEADLINE_S
from google.protobuf.message import Message
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.chart_service_pb2 import AccountSet, Chart
from metamorphic.seeds import seeds
from metamorphic.staging import Book, Stage, Stamps
from metamorphic.stories import FIRST_SEQUENCE, TYPES, Story


def asked_all_ways(book: Book, at_sequence: int) -> tuple[list[Message], list[Message]]:
    """Every account's running balances, and the same added up from its entries."""
    running, recomputed = (
        [book.balances(name, "", at_sequence=at_sequence, recompute=recompute) for name in TYPES]
        for recompute in (False, True)
    )
    return running, recomputed


def sums(book: Book, at_sequence: int, **of: str) -> Counter[str]:
    """A sum of balances in each asset."""
    request = pb.GetAggregateBalanceRequest(ledger=book.ledger, at_sequence=at_sequence, **of)
    answer = book.server.ledgers.GetAggregateBalance(request, timeout=DEADLINE_S)
    return Counter({one.asset: int(one.posted) for one in answer.balances})


@seeds(quick=1, slow=20)
def test_a_past_balance_is_what_was_answered_then_and_what_its_entries_add_up_to(
    stages: list[Stage], stamps: Stamps, seed: int
) -> None:
    book = stages[0].open_book(f"past:{seed}")
    then: dict[int, list[Message]] = {}
    for draft in Story(seed).drafts(60):
        book.tell(draft)
        stamps.pass_time(1)
        then[book.head()] = book.all_balances()

    assert len(then) > 20
    assert {sequence: book.all_balances(sequence) for sequence in then} == then
    for sequence in (0, *then):
        running, recomputed = asked_all_ways(book, sequence)
        assert recomputed == running


@seeds(quick=1, slow=10)
def test_sums_of_balances_are_those_of_the_trial_balance_and_of_everybody_zero(
    stages: list[Stage], seed: int
) -> None:
    """At every sequence: by path, added up by hand, and by a set that has everybody."""
    book = stages[0].open_book(f"aggregates:{seed}")
    heads = sorted({name.split(":")[0] for name in TYPES})
    inner = AccountSet(name="some", prefixes=heads[::2], accounts=list(TYPES)[:3])
    book.apply_chart(Chart(sets=[inner, AccountSet(name="all", prefixes=heads[1::2], sets=["some"])]))
    charted = book.head()
    book.tell_all(Story(seed).drafts(60))

    for at in range(charted, book.head() + 1):
        trial = book.trial_balance(rows=pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, at_sequence=at, page_size=1_000)
        for prefix in heads:
            nets: Counter[str] = Counter()
            for row in trial.rows:
                if row.account.split(":")[0] == prefix:
                    nets[row.asset] += int(row.net)
            assert sums(book, at, account_prefix=prefix) == nets, (prefix, at)
        assert not any(sums(book, at, account_set="all").values()), at
    assert any(sums(book, 0, account_prefix="customers").values())


@seeds(quick=2, slow=20)
def test_the_entries_of_an_account_add_up_to_each_of_its_running_balances(
    stages: list[Stage], seed: int
) -> None:
    """Read from the list of transactions alone."""
    book = stages[0].open_book(f"sums:{seed}")
    book.tell_all(Story(seed).drafts(90))
    sums: dict[tuple[str, str], int] = {}
    normal_side = {one.account.name: one.account.normal_side for one in book.open_accounts()}

    for transaction in reversed(book.walk()):
        assert transaction.sequence >= FIRST_SEQUENCE
        for entry in transaction.entries:
            sign = 1 if entry.side == normal_side[entry.account] else -1
            place = entry.account, entry.asset
            sums[place] = sums.get(place, 0) + sign * int(entry.amount)
            assert sums[place] == int(entry.balance_after)

    assert {place: book.balance(*place) for place in sums} == sums
