"""Decimals become minor units and back without losing a digit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.decimals import from_minor_units, plain, to_minor_units


@pytest.mark.parametrize(
    ("amount", "scale", "units"),
    [("12.50", 2, 1250), ("-12.5", 2, -1250), ("18500", 0, 18500), ("5.000", 2, 500), ("0.001", 18, 10**15)],
)
def test_an_amount_becomes_whole_minor_units(amount: str, scale: int, units: int) -> None:
    assert to_minor_units(Decimal(amount), scale) == units


def test_an_amount_finer_than_the_scale_is_refused_not_rounded() -> None:
    with pytest.raises(ValueError, match=r"1\.005 has more than 2 decimals"):
        to_minor_units(Decimal("1.005"), 2)


@given(st.integers(min_value=-(10**60), max_value=10**60), st.integers(min_value=0, max_value=36))
def test_minor_units_survive_the_way_to_decimals_and_back(units: int, scale: int) -> None:
    amount = from_minor_units(str(units), scale)
    assert to_minor_units(amount, scale) == units
    assert to_minor_units(Decimal(plain(amount)), scale) == units
    assert to_minor_units(Decimal(f"{amount:,f}".replace(",", "")), scale) == units


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("12.50", "12.5"),
        ("100", "100"),
        ("-0.00", "0"),
        ("1E+3", "1000"),
        ("0.10", "0.1"),
        ("260.216", "260.216"),
    ],
)
def test_plain_text_has_no_exponent_and_no_trailing_zeros(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text
