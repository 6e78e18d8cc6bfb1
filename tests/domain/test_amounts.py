"""Amounts and bounds: which strings are numbers of minor units."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger_server.domain.amounts import AMOUNT_MAX, amount_fault, bound_fault

# Drawn so that numbers and near misses are common.
TEXTS = st.text(alphabet="0123456789-+. e,_١²\u00a0\n", max_size=41) | st.text(max_size=5)


@pytest.mark.parametrize("text", ["1", "9", "10", "1250", "9" * 38, "1" + "0" * 37])
def test_a_positive_number_of_at_most_38_digits_is_an_amount(text: str) -> None:
    assert amount_fault(text) is None


@pytest.mark.criterion("S003-9")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be given"),
        ("0", "zero"),
        ("000", "zero"),
        ("-1", "negative"),
        ("-0", "negative"),
        ("01", "leading zero"),
        ("+1", "digits"),
        ("1e3", "digits"),
        ("1.0", "digits"),
        ("1,000", "digits"),
        ("1_000", "digits"),
        (" 1", "digits"),
        ("1\n", "digits"),
        ("١", "digits"),
        ("²", "digits"),
        ("0x1", "digits"),
        ("1" + "0" * 38, "39 digits"),
    ],
)
def test_anything_else_is_no_amount_and_the_fault_says_why(text: str, said: str) -> None:
    assert said in (amount_fault(text) or "")


@given(TEXTS)
@example("1" * 38)
@example("1" * 39)
@example("1\n")
def test_an_amount_is_exactly_what_the_contract_s_pattern_says(text: str) -> None:
    assert (amount_fault(text) is None) == (re.fullmatch("[1-9][0-9]{0,37}", text) is not None)


@given(st.integers(min_value=1, max_value=AMOUNT_MAX))
@example(1)
@example(2**63 - 1)
@example(2**63)
@example(AMOUNT_MAX)
def test_every_number_up_to_38_nines_is_an_amount(number: int) -> None:
    assert amount_fault(str(number)) is None


@given(TEXTS)
@example("0")
@example("-0")
@example("-" + "9" * 38)
@example("-" + "9" * 39)
@example("--1")
def test_a_bound_is_zero_or_an_amount_with_or_without_a_minus(text: str) -> None:
    assert (bound_fault(text) is None) == (re.fullmatch("0|-?[1-9][0-9]{0,37}", text) is not None)
