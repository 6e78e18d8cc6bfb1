"""`decide`: in order, whole or not at all, and the same in a batch as one by one."""

from __future__ import annotations

import pytest
from builders import NOON, PaperBooks, account_draft, credit, debit, post_draft, reverse_draft
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_server.domain.accounts import AccountType, AssetDraft, Limit
from ledger_server.domain.amounts import AMOUNT_MAX
from ledger_server.domain.decisions import Decision, Draft, Recorded
from ledger_server.domain.refusals import (
    AccountNotFound,
    AmountOverflow,
    AssetNotFound,
    AtomicGroupRefused,
    BalanceLimitExceeded,
    InsufficientFunds,
    Refusal,
    ReversalAlreadyExists,
    ReversalForbiddenType,
    TransactionNotFound,
)
from ledger_server.domain.transactions import Transaction

ACCOUNTS = ["cash", "sales", "wallet", "nowhere"]
KEYS = ["", "", "k1", "k2", "k3"]

_posts = st.builds(
    lambda one, other, amount, key: post_draft(debit(one, amount), credit(other, amount), key=key),
    st.sampled_from(ACCOUNTS),
    st.sampled_from(ACCOUNTS),
    st.sampled_from([1, 2, 50, AMOUNT_MAX]),
    st.sampled_from(KEYS),
)
_reversals = st.builds(
    reverse_draft,
    st.integers(min_value=1, max_value=20) | st.sampled_from(["k1", "k2"]),
    st.sampled_from(KEYS),
)
_openings = st.builds(
    account_draft,
    st.sampled_from(["nowhere", "cash"]),
    st.sampled_from([AccountType.ASSET, AccountType.EQUITY]),
)
_assets = st.builds(AssetDraft, st.sampled_from(["USD", "GBP"]), st.sampled_from([0, 2]), st.just("test"))
DRAFTS = st.lists(st.one_of(_posts, _posts, _posts, _reversals, _openings, _assets), max_size=12)


def _told(decision: Decision) -> object:
    """What a caller sees of a decision."""
    if isinstance(decision, Refusal):
        return decision.reason, decision.message, decision.facts
    return decision


@given(DRAFTS)
@settings(deadline=None)
def test_a_batch_gives_what_its_drafts_give_one_by_one(drafts: list[Draft]) -> None:
    together, singly = PaperBooks(), PaperBooks()

    batch = together.decide(*drafts)
    singles = [singly.decide(draft)[0] for draft in drafts]

    assert list(map(_told, batch)) == list(map(_told, singles))
    assert together.books.head == singly.books.head
    for place, balance in singly.books.balances.items():
        assert together.books.balances[place] == balance


@given(DRAFTS, DRAFTS)
@settings(deadline=None)
def test_an_atomic_group_is_all_or_nothing(before: list[Draft], group: list[Draft]) -> None:
    books = PaperBooks()
    books.decide(*before)
    books._look_up(group)
    untouched = books.snapshot()

    decisions = books.decide(*group, atomic=True)

    refused = [decision for decision in decisions if isinstance(decision, Refusal)]
    if not refused:
        return
    assert len(refused) == len(group)
    assert books.snapshot() == untouched
    culprits = [index for index, one in enumerate(decisions) if not isinstance(one, AtomicGroupRefused)]
    assert len(culprits) == 1
    for decision in refused:
        if isinstance(decision, AtomicGroupRefused):
            assert decision.facts["culprit_index"] == str(culprits[0])


@given(DRAFTS)
@settings(deadline=None)
def test_a_refused_draft_leaves_the_books_as_they_were(drafts: list[Draft]) -> None:
    books = PaperBooks()
    for draft in drafts:
        books._look_up([draft])
        before = books.snapshot()

        (decision,) = books.decide(draft)

        if isinstance(decision, Refusal) or decision.replayed:
            assert books.snapshot() == before


@given(DRAFTS)
@settings(deadline=None)
def test_sequences_go_up_by_one_and_the_balances_always_sum_to_zero(drafts: list[Draft]) -> None:
    books = PaperBooks()
    start = books.books.head.sequence

    records = [one.record for one in books.decide(*drafts) if isinstance(one, Recorded) and not one.replayed]

    assert [record.sequence for record in records] == list(range(start + 1, start + 1 + len(records)))
    assert sum(books.books.balances.values()) == 0
    assert books.balance("wallet") <= 0  # Credit-normal and never below zero.


@given(DRAFTS)
@settings(deadline=None)
def test_each_entry_carries_the_balance_that_follows_from_the_entries_before_it(drafts: list[Draft]) -> None:
    books = PaperBooks()
    running: dict[tuple[int, int], int] = {}

    for decision in books.decide(*drafts):
        if (
            isinstance(decision, Recorded)
            and not decision.replayed
            and isinstance(decision.record, Transaction)
        ):
            for entry in decision.record.entries:
                place = (entry.account.account_id, entry.asset.asset_id)
                running[place] = running.get(place, 0) + (entry.amount if entry.is_debit else -entry.amount)
                assert entry.balance_after == running[place]


@given(DRAFTS, DRAFTS)
@settings(deadline=None)
def test_asking_everything_again_changes_nothing_that_had_a_key(
    drafts: list[Draft], more: list[Draft]
) -> None:
    books = PaperBooks()
    first = books.decide(*drafts)
    books.decide(*more)

    for draft, decision in zip(drafts, first, strict=True):
        if getattr(draft, "idempotency_key", "") and isinstance(decision, Recorded):
            head = books.books.head
            assert books.decide(draft) == [Recorded(decision.record, True)]
            assert books.books.head == head


def test_an_operation_may_name_an_earlier_one_of_the_same_batch_by_its_key() -> None:
    books = PaperBooks()

    posted, reversal = books.recorded(post_draft(key="k"), reverse_draft("k"))

    assert reversal.reverses == posted.sequence
    assert books.balance("cash") == 0


def test_a_reversal_is_the_exact_mirror() -> None:
    books = PaperBooks()
    posted = books.post(debit("cash", 3), debit("cash", 4), credit("sales", 7), kind="sale")

    (reversal,) = books.recorded(reverse_draft(posted.sequence))

    assert reversal.kind == "sale"
    assert [(entry.account.name, entry.is_debit, entry.amount) for entry in reversal.entries] == [
        ("cash", False, 3),
        ("cash", False, 4),
        ("sales", True, 7),
    ]


@pytest.mark.criterion("S003-12")
def test_reversals_are_made_once_and_never_reversed() -> None:
    books = PaperBooks()
    posted = books.post()
    (reversal,) = books.recorded(reverse_draft(posted.sequence))

    again, of_reversal, unknown = books.decide(
        reverse_draft(posted.sequence), reverse_draft(reversal.sequence), reverse_draft(999)
    )

    assert isinstance(again, ReversalAlreadyExists)
    assert again.facts["reversed_by"] == str(reversal.sequence)
    assert isinstance(of_reversal, ReversalForbiddenType)
    assert isinstance(unknown, TransactionNotFound)


def test_a_replay_counts_as_success_in_an_atomic_group() -> None:
    books = PaperBooks()
    first = books.post(key="k")

    replay, fresh = books.decide(post_draft(key="k"), post_draft(), atomic=True)

    assert replay == Recorded(first, True)
    assert isinstance(fresh, Recorded)


def test_validate_only_answers_like_a_call_and_burns_nothing() -> None:
    books = PaperBooks()
    books._look_up([post_draft(key="k")])
    before = books.snapshot()

    dry, poor = books.decide(
        post_draft(key="k", validate_only=True),
        post_draft(debit("wallet", 1), credit("cash", 1), validate_only=True),
    )

    assert isinstance(dry, Recorded)
    assert isinstance(dry.record, Transaction)
    assert (dry.record.sequence, dry.record.hash, dry.replayed) == (0, b"", False)
    assert dry.record.entries[0].balance_after == 100
    assert isinstance(poor, InsufficientFunds)
    assert books.snapshot() == before


@pytest.mark.parametrize(
    ("first", "second"),
    [(debit("cash", 100), credit("sales", 100)), (credit("sales", 100), debit("cash", 100))],
)
def test_bounds_are_judged_on_the_net_effect_whatever_the_order(first: object, second: object) -> None:
    books = PaperBooks()

    # The wallet goes down and up again within one transaction.
    books.post(debit("wallet", 5), first, second, credit("wallet", 5))  # type: ignore[arg-type]

    assert books.balance("wallet") == 0


def test_what_improves_an_account_is_never_refused() -> None:
    books = PaperBooks()
    books.recorded(account_draft("vault", AccountType.ASSET, {"USD": Limit(None, 0)}))
    books.post(debit("cash", 30), credit("vault", 30))

    up_to_zero, above = books.decide(
        post_draft(debit("vault", 30), credit("cash", 30)), post_draft(debit("vault", 1), credit("cash", 1))
    )

    assert isinstance(up_to_zero, Recorded)
    assert isinstance(above, BalanceLimitExceeded)
    assert above.facts["shortfall"] == "1"


def test_a_bound_is_about_its_own_asset_only() -> None:
    books = PaperBooks()

    books.post(debit("wallet", 5, "EUR"), credit("cash", 5, "EUR"))

    assert books.balance("wallet", "EUR") == 5


@pytest.mark.criterion("S003-9")
@pytest.mark.parametrize("sign", [1, -1])
def test_a_balance_fills_38_digits_and_not_one_more(sign: int) -> None:
    books = PaperBooks()
    up, down = (debit, credit) if sign == 1 else (credit, debit)
    books.post(up("cash", AMOUNT_MAX - 1), down("sales", AMOUNT_MAX - 1))

    full, over = books.decide(
        post_draft(up("cash", 1), down("sales", 1)), post_draft(up("cash", 1), down("sales", 1))
    )

    assert isinstance(full, Recorded)
    assert books.balance("cash") == sign * AMOUNT_MAX
    assert isinstance(over, AmountOverflow)


@pytest.mark.parametrize(
    ("entries", "refusal"),
    [
        # Whatever the lines' order: accounts before assets, assets before sums, sums before bounds.
        ([debit("cash", 1, "XXX"), credit("nowhere", 1, "XXX")], AccountNotFound),
        (
            [debit("cash", 1, "XXX"), credit("cash", 1, "XXX"), debit("cash", 1), credit("nowhere", 1)],
            AccountNotFound,
        ),
        ([debit("cash", 2), credit("nowhere", 2)], AccountNotFound),
        (
            [debit("cash", 2), credit("sales", 2), debit("cash", 1, "XXX"), credit("cash", 1, "XXX")],
            AssetNotFound,
        ),
        ([debit("wallet", 2), credit("cash", 2), debit("cash", 4), credit("sales", 4)], AmountOverflow),
        ([debit("wallet", 2), credit("cash", 2)], InsufficientFunds),
    ],
)
def test_state_is_judged_in_its_order(entries: list[object], refusal: type[Refusal]) -> None:
    books = PaperBooks()
    # Full to the brim: two more overflow it.
    books.post(debit("cash", AMOUNT_MAX - 1), credit("sales", AMOUNT_MAX - 1))

    (decision,) = books.decide(post_draft(*entries))  # type: ignore[arg-type]

    assert type(decision) is refusal


def test_record_time_is_the_batch_s_and_effective_time_the_caller_s() -> None:
    books = PaperBooks()

    given_time = books.post(effective_time=5)
    default = books.post()

    assert (given_time.record_time, given_time.effective_time, given_time.effective_time_given) == (
        NOON,
        5,
        True,
    )
    assert (default.record_time, default.effective_time, default.effective_time_given) == (NOON, NOON, False)
