"""Names have one spelling only, and every text has its bound."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_server.domain.names import (
    asset_code_fault,
    is_at_or_below,
    metadata_faults,
    path_fault,
    text_fault,
)

# An e with an acute accent, in one character (NFC) and in two.
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "customers:42:credit",
        "Assets:Bank of Ireland:Chequing",
        COMPOSED,
        "資産:現金",
        "$",
        "€:'\"\\%",
        "a\u00a0b",
        "\U0001f4b0",
        "x" * 255,
        "é" * 255,
    ],
)
def test_a_path_of_printable_segments_is_a_name(name: str) -> None:
    assert path_fault(name) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "must be given"),
        ("x" * 256, "256 characters"),
        (":", "empty segment"),
        (":a", "empty segment"),
        ("a:", "empty segment"),
        ("a::b", "empty segment"),
        (" a", "starts or ends with a space"),
        ("a ", "starts or ends with a space"),
        ("a: b", "starts or ends with a space"),
        ("a\u00a0:b", "starts or ends with a space"),
        ("a\x00b", "U+0000"),
        ("a\tb", "U+0009"),
        ("a\nb", "U+000A"),
        ("a\x7fb", "U+007F"),
        ("a\u0085b", "U+0085"),
        ("a\u200bb", "U+200B"),
        ("a\u200db", "U+200D"),
        ("\ufeffa", "U+FEFF"),
        ("a\u202eb", "U+202E"),
        ("a\u2028b", "U+2028"),
        ("a\u2029b", "U+2029"),
        ("a\ue000b", "U+E000"),
        ("a\U0010ffff", "U+10FFFF"),
        (DECOMPOSED, "normalization form C"),
        ("\u212b", "normalization form C"),
    ],
)
def test_a_name_with_another_spelling_or_an_invisible_part_is_none(name: str, said: str) -> None:
    assert said in (path_fault(name) or "")


@given(st.text(max_size=12))
def test_every_accepted_name_is_visible_normal_and_splits_into_segments(name: str) -> None:
    if path_fault(name) is None:
        assert unicodedata.normalize("NFC", name) == name
        assert all(segment and segment == segment.strip() for segment in name.split(":"))
        assert not any(unicodedata.category(character).startswith("C") for character in name)


@pytest.mark.parametrize("code", ["A", "USD", "x" * 32, "€", "US:D", "🎟"])
def test_an_asset_code_is_printable_without_spaces(code: str) -> None:
    assert asset_code_fault(code) is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "must be given"),
        ("x" * 33, "33 characters"),
        ("US D", "space"),
        ("USD\u00a0", "space"),
        ("US\tD", "space"),
        ("US\x01D", "U+0001"),
        ("US\u200bD", "U+200B"),
        (DECOMPOSED, "normalization form C"),
    ],
)
def test_anything_else_is_no_asset_code(code: str, said: str) -> None:
    assert said in (asset_code_fault(code) or "")


def test_free_text_may_hold_anything_but_the_null_character_within_its_length() -> None:
    assert text_fault("a\nb\t\u200b🎉" + "x" * 249) is None
    assert "256 characters" in (text_fault("x" * 256) or "")
    assert "U+0000" in (text_fault("a\x00") or "")


@pytest.mark.parametrize(
    ("metadata", "faults"),
    [
        ({}, 0),
        ({f"k{number}": "" for number in range(64)}, 0),
        ({f"k{number}": "" for number in range(65)}, 1),
        ({"k" * 64: "v" * 1024}, 0),
        ({"k" * 65: ""}, 1),
        ({"k": "v" * 1025}, 1),
        ({"": "v"}, 1),
        ({"k": "\x00"}, 1),
        ({"\x00": "v"}, 1),
        # Eight pairs of 1,024 bytes each, keys included: exactly 8 KiB, and one byte more.
        ({f"{number}": "v" * 1023 for number in range(8)}, 0),
        ({f"{number}": "v" * (1024 if number == 0 else 1023) for number in range(8)}, 1),
        # Lengths are counted in characters, the whole in bytes.
        ({"k": "é" * 1024}, 0),
        ({f"{number}": "é" * 1024 for number in range(4)}, 1),
    ],
)
def test_metadata_has_its_bounds_on_both_sides(metadata: dict[str, str], faults: int) -> None:
    assert len(metadata_faults(metadata)) == faults


def test_a_prefix_is_a_path_not_a_beginning() -> None:
    assert is_at_or_below("customers", "customers")
    assert is_at_or_below("customers:42", "customers")
    assert not is_at_or_below("customers2", "customers")
    assert not is_at_or_below("customer", "customers")
