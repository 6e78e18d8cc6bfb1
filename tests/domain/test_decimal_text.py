"""A refusal's sentence says amounts as people write them."""

from __future__ import annotations

import pytest

from ledger_server.domain.amounts import decimal_text


@pytest.mark.parametrize(
    ("units", "scale", "text"),
    [
        (0, 0, "0"),
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (-3000, 2, "-30.00"),
        (1250, 0, "1250"),
        (10**38 - 1, 36, "99.999999999999999999999999999999999999"),
        (1, 36, "0.000000000000000000000000000000000001"),
    ],
)
def test_minor_units_are_said_with_the_asset_s_decimals(units: int, scale: int, text: str) -> None:
    assert decimal_text(units, scale) == text
