"""Amounts: whole minor units, as integers inside and strings of digits on the wire."""

from __future__ import annotations

DIGITS_MAX = 38
# What NUMERIC(38,0) holds; also below 2**127, so that the chain can frame any
# amount or bound in 16 bytes.
AMOUNT_MAX = 10**DIGITS_MAX - 1
AMOUNT_MIN = -AMOUNT_MAX


def amount_fault(text: str) -> str | None:
    """What is wrong with an amount ([1-9][0-9]{0,37}), or None."""
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= DIGITS_MAX:
        return None
    if not text:
        return "must be given"
    if text[0] == "-":
        return "is negative; give a positive amount and choose the side"
    if not (text.isascii() and text.isdigit()):
        return f"{text[:50]!r} is not a whole number of minor units written in digits"
    if not text.strip("0"):
        return "is zero; amounts are positive"
    if text[0] == "0":
        return "has a leading zero"
    return f"has {len(text)} digits; at most {DIGITS_MAX} are allowed"


def bound_fault(text: str) -> str | None:
    """What is wrong with a bound on a balance ('-' allowed, no leading zero), or None."""
    digits = text.removeprefix("-")
    if text != "0" and amount_fault(digits) is not None:
        return f"{text[:50]!r} is not a whole number of minor units of at most {DIGITS_MAX} digits"
    return None


def decimal_text(units: int, scale: int) -> str:
    """Minor units as people write them: -3000 at scale 2 is "-30.00"."""
    digits = f"{abs(units):0{scale + 1}d}"
    whole, fraction = (digits[:-scale], f".{digits[-scale:]}") if scale else (digits, "")
    return f"{'-' if units < 0 else ''}{whole}{fraction}"
