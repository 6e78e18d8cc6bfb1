"""An unbalanced draft cannot exist."""

from __future__ import annotations

import pytest
from builders import credit, debit, post_draft
from hypothesis import given
from hypothesis import strategies as st

from ledger_server.domain.refusals import AssetMismatch, Refusal, UnbalancedTransaction
from ledger_server.domain.transactions import EntryDraft

LINES = st.lists(
    st.builds(
        EntryDraft,
        st.sampled_from(["a", "b", "c"]),
        st.booleans(),
        st.integers(min_value=1, max_value=4),
        st.sampled_from(["USD", "EUR"]),
    ),
    min_size=2,
    max_size=6,
)


@pytest.mark.criterion("S003-7")
@given(LINES)
def test_a_draft_exists_exactly_if_debits_equal_credits_in_every_asset(lines: list[EntryDraft]) -> None:
    differences: dict[str, int] = {}
    for line in lines:
        differences[line.asset] = differences.get(line.asset, 0) + (
            line.amount if line.is_debit else -line.amount
        )

    try:
        post_draft(*lines)
        exists = True
    except (UnbalancedTransaction, AssetMismatch):
        exists = False

    assert exists == (not any(differences.values()))


def test_an_exchange_has_two_sides_in_each_asset() -> None:
    draft = post_draft(
        debit("euros", 90, "EUR"), credit("trading", 90, "EUR"), debit("trading", 100), credit("dollars", 100)
    )

    assert len(draft.entries) == 4


def test_an_account_may_stand_on_both_sides() -> None:
    assert post_draft(debit("cash", 1), credit("cash", 1)).entries


@pytest.mark.criterion("S003-7")
def test_the_refusal_names_the_asset_and_both_sums() -> None:
    with pytest.raises(UnbalancedTransaction) as refused:
        post_draft(debit("cash", 100), debit("cash", 5), credit("sales", 100))

    assert refused.value.facts == {"asset": "USD", "debits": "105", "credits": "100", "difference": "5"}


def test_two_assets_one_on_each_side_is_a_mismatch_of_assets() -> None:
    with pytest.raises(AssetMismatch) as refused:
        post_draft(debit("cash", 100, "USD"), credit("sales", 100, "EUR"))

    assert refused.value.facts == {"debited": "USD", "credited": "EUR"}


@pytest.mark.parametrize(
    "lines",
    [
        [debit("cash", 1), debit("cash", 1)],
        [credit("cash", 1), credit("cash", 1)],
        # One asset is unequal but has both sides: the sums are wrong, not the assets.
        [debit("cash", 2), credit("cash", 1), credit("sales", 1, "EUR")],
    ],
)
def test_one_sided_and_unequal_drafts_are_unbalanced(lines: list[EntryDraft]) -> None:
    with pytest.raises(UnbalancedTransaction):
        post_draft(*lines)


def test_a_refusal_speaks_in_a_sentence_with_the_numbers() -> None:
    with pytest.raises(Refusal, match="debits and credits of USD differ: 7 debited, 8 credited"):
        post_draft(debit("cash", 7), credit("sales", 8))
