"""Patterns of account names: which match, which may meet, and what PostgreSQL is given."""

from __future__ import annotations

import re

import pytest

from ledger_server.domain.accounts import AccountType
from ledger_server.domain.chart_form import parts_faults
from ledger_server.domain.charts import ChartAsset, Family, Kind, Numbering, ParameterType
from ledger_server.domain.families import Families, expressions_by_type, meeting, pattern_fault

UUID, INT, SLUG = ParameterType
ANN = "123e4567-e89b-12d3-a456-426614174000"


def family(pattern: str, kind: AccountType = AccountType.ASSET, **parameters: ParameterType) -> Family:
    """A family of any assets."""
    return Family(pattern, parameters, kind)


FAMILIES = [
    family("1000"),
    family("2000:{user}", AccountType.LIABILITY, user=UUID),
    family("customers:{id}:credit", AccountType.LIABILITY, id=INT),
    family("customers:{name}:debts (old)", name=SLUG),
    family("a.c", AccountType.EXPENSE),
    family("{shop}:tills", shop=SLUG),
]
NAMES = {
    "1000": "1000",
    "10000": None,
    "1000:1": None,
    "2000": None,
    f"2000:{ANN}": "2000:{user}",
    f"2000:{ANN.upper()}": None,
    f"2000:{ANN}:x": None,
    f"2000:{ANN[:-1]}": None,
    "2000:{user}": None,
    "customers:0:credit": "customers:{id}:credit",
    "customers:9999999999999999999:credit": "customers:{id}:credit",
    "customers:99999999999999999999:credit": None,
    "customers:01:credit": None,
    "customers:-1:credit": None,
    "customers:٣:credit": None,
    "customers:ann:credit": None,
    "customers:ann:debts (old)": "customers:{name}:debts (old)",
    "customers:7:debts (old)": "customers:{name}:debts (old)",
    "customers:ann_-b:debts (old)": "customers:{name}:debts (old)",
    "customers:ann-:debts (old)": None,
    "customers:Ann:debts (old)": None,
    f"customers:{'a' * 64}:debts (old)": "customers:{name}:debts (old)",
    f"customers:{'a' * 65}:debts (old)": None,
    "a.c": "a.c",
    "abc": None,
    "north:tills": "{shop}:tills",
    "north:tills\n": None,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.criterion("S003-46")
def test_a_name_has_the_family_whose_pattern_it_matches(name: str) -> None:
    found = Families(FAMILIES).of(name)

    assert (found.pattern if found is not None else None) == NAMES[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_regular_expressions_say_the_same(name: str) -> None:
    expressions = expressions_by_type(FAMILIES)

    matched = [
        kind
        for kind, expression in zip(AccountType, expressions, strict=True)
        if expression is not None and re.fullmatch(expression[1:-1], name)
    ]

    found = Families(FAMILIES).of(name)
    assert matched == ([found.type] if found is not None else [])


MEETING = [
    (family("a"), family("a"), True),
    (family("a"), family("b"), False),
    (family("a:b"), family("a"), False),
    (family("a:{x}", x=INT), family("a:7"), True),
    (family("a:{x}", x=INT), family("a:b"), False),
    (family("a:{x}", x=UUID), family("a:{y}", y=INT), False),
    (family("a:{x}", x=UUID), family("a:{y}", y=SLUG), True),
    (family("a:{x}", x=SLUG), family("a:{y}", y=INT), True),
    (family("a:{x}", x=SLUG), family("{y}:b", y=SLUG), True),
    (family("a:{x}:b", x=SLUG), family("a:{y}:c", y=SLUG), False),
]


@pytest.mark.parametrize(("one", "other", "expected"), MEETING)
def test_two_patterns_meet_where_a_name_may_match_both(one: Family, other: Family, expected: bool) -> None:
    assert meeting(one, other) is expected
    assert meeting(other, one) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a::b",
        "a:{",
        "a:{x}y",
        "{x}:{x}",
        "{X}",
        "{1}",
        "{}",
        "a:}b",
        f"{{{'x' * 65}}}",
        "a" * 256,
        "a:\x00",
    ],
)
def test_a_malformed_pattern_is_a_fault(pattern: str) -> None:
    assert pattern_fault(pattern) is not None


def faults(*families: Family, assets: tuple[str, ...] = ("USD",), kinds: tuple[Kind, ...] = ()) -> list[str]:
    """The fields at fault."""
    return [field for field, _ in parts_faults([ChartAsset(code, 2) for code in assets], families, kinds)]


def test_families_that_may_match_the_same_name_are_a_fault_of_the_later() -> None:
    both = (family("a"), family("u:{x}", x=SLUG), family("u:{y}", y=UUID))

    assert faults(*both) == ["families[2].pattern"]


def test_parameters_must_be_those_of_the_pattern() -> None:
    assert faults(family("u:{x}")) == ["families[0].parameters"]
    assert faults(family("u", x=UUID)) == ["families[0].parameters"]
    assert faults(family("u:{x}", x=UUID)) == []


def test_assets_and_series_are_named_consistently() -> None:
    assert faults(Family("u", {}, AccountType.ASSET, ("EUR",))) == ["families[0].assets"]
    assert faults(Family("u", {}, AccountType.ASSET, ("USD", "USD"))) == ["families[0].assets"]
    assert faults(assets=("USD", "USD")) == ["assets[1].code"]
    kinds = (
        Kind("a", numbering=Numbering("receipts", "shops:{shop}")),
        Kind("b", numbering=Numbering("receipts", "shops:{other}")),
        Kind("b"),
        Kind("", required_metadata=("x", "x", "")),
        Kind("c", numbering=Numbering("a:b")),
    )
    assert faults(kinds=kinds) == [
        "kinds[1].numbering.per",
        "kinds[2].name",
        "kinds[3].name",
        "kinds[3].required_metadata[2]",
        "kinds[3].required_metadata",
        "kinds[4].numbering.name",
    ]
