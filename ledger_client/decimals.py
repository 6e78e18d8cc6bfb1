"""Amounts between people's decimals and the wire's minor units, exactly: no float and no rounding."""

from decimal import Context, Decimal, Inexact, InvalidOperation

# Longer than any sum of amounts of 38 digits and 36 decimals can get. Inexact is an
# error here: a result that had to be rounded would be a wrong amount of money.
EXACT = Context(prec=200, Emin=-1_000, Emax=1_000, traps=[Inexact, InvalidOperation])


def to_minor_units(amount: Decimal, scale: int) -> int:
    """12.50 at scale 2 is 1250; raises ValueError where the amount has more decimals than the scale."""
    if not isinstance(amount, Decimal):
        raise TypeError(f"an amount with decimals is a Decimal, such as Decimal('12.50'), not {amount!r}")
    scaled = amount.scaleb(scale, EXACT)
    units = int(scaled)
    if scaled != units:
        raise ValueError(f"{plain(amount)} has more than {scale} decimals")
    return units


def from_minor_units(units: str | int, scale: int) -> Decimal:
    """ "1250" at scale 2 is 12.50, with all its decimals."""
    return Decimal(units).scaleb(-scale, EXACT)


def plain(amount: Decimal) -> str:
    """The amount in digits without exponent and without trailing zeros: 12.50 is "12.5", 100 is "100"."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
