"""What a template may look like, and whether what it makes is always balanced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from sample_templates import AMOUNT, BONUS, DIVISION, PURCHASE, SAMPLES, SPLIT, TOP_UP

from ledger_server.domain import parameters
from ledger_server.domain.expanders import Expanders
from ledger_server.domain.expanding import Expander
from ledger_server.domain.parameters import Item, Parameter, Parameters, ParameterType
from ledger_server.domain.refusals import (
    AmountOverflow,
    InvalidRequest,
)
from ledger_server.domain.template_faults import is_always_balanced, template_faults
from ledger_server.domain.templates import (
    GROUPS_MAX,
    PARAMETERS_MAX,
    PATTERNS_MAX,
    VERSION_MAX,
    EntryPattern,
    Group,
    Template,
    canonical,
)
from ledger_server.domain.transactions import ENTRIES_MAX

NUMBER = Parameter("number", ParameterType.INT)
TOTALLED = replace(PURCHASE, parameters=(*PURCHASE.parameters, AMOUNT))
LETTER = Parameter("letter", ParameterType.SLUG)


def fields(template: Template) -> list[str]:
    return [violation.field for violation in template_faults(template)]


def with_entry(template: Template, index: int, **changes: Any) -> Template:
    entries = list(template.entries)
    entries[index] = entries[index]._replace(**changes)
    return replace(template, entries=tuple(entries))


def declaring(parameter: Parameter) -> Template:
    """A top-up with one more parameter."""
    return replace(TOP_UP, parameters=(*TOP_UP.parameters, parameter))


def grouping(group: Group) -> Template:
    """A purchase with one more group."""
    return replace(PURCHASE, groups=(*PURCHASE.groups, group))


def many(count: int) -> tuple[Parameter, ...]:
    return tuple(Parameter(f"p{number}", ParameterType.INT) for number in range(count))


def groups(count: int, min_items: int = 1) -> tuple[Group, ...]:
    return tuple(
        Group(f"g{place}", (Parameter(f"q{place}", ParameterType.INT),), min_items) for place in range(count)
    )


@pytest.mark.parametrize("template", SAMPLES, ids=lambda template: template.name)
def test_samples_are_sound_and_always_balanced(template: Template) -> None:
    assert template_faults(template) == []
    assert is_always_balanced(template)


@pytest.mark.parametrize(
    ("template", "field"),
    [
        (replace(TOP_UP, name=""), "name"),
        (replace(TOP_UP, name="top up"), "name"),
        (replace(TOP_UP, name="1st"), "name"),
        (replace(TOP_UP, name="x" * 65), "name"),
        (replace(TOP_UP, version=0), "version"),
        (replace(TOP_UP, version=VERSION_MAX + 1), "version"),
        (replace(TOP_UP, kind="x" * 65), "kind"),
        (replace(TOP_UP, entries=TOP_UP.entries[:1]), "entries"),
        (replace(TOP_UP, entries=TOP_UP.entries * (PATTERNS_MAX // 2 + 1)), "entries"),
        (replace(TOP_UP, parameters=TOP_UP.parameters + many(PARAMETERS_MAX - 1)), "parameters"),
        (declaring(AMOUNT), "parameters['amount']"),
        (declaring(Parameter("User", ParameterType.TEXT)), "parameters['User']"),
        (declaring(Parameter("x" * 65, ParameterType.TEXT)), f"parameters[{'x' * 64!r}]"),
        (replace(TOP_UP, groups=groups(GROUPS_MAX + 1)), "groups"),
        (grouping(Group("items", many(1))), "groups[1].name"),
        (grouping(Group("Items", many(1))), "groups[1].name"),
        (grouping(Group("more", ())), "groups[1].parameters"),
        (grouping(Group("more", (NUMBER, NUMBER))), "groups[1].parameters['number']"),
        (grouping(Group("more", (PURCHASE.parameters[0],))), "groups[1].parameters['customer']"),
        (replace(PURCHASE, groups=(PURCHASE.groups[0]._replace(min_items=-1),)), "groups[0].min_items"),
        (replace(PURCHASE, groups=(PURCHASE.groups[0]._replace(min_items=1001),)), "groups[0].min_items"),
        (with_entry(TOP_UP, 0, group="items"), "entries[0].group"),
        (with_entry(TOP_UP, 1, account=""), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="x" * 256), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="2000:{user"), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="2000:user}"), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="2000:{{user}}"), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="2000:{}"), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="2000:{users}"), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="2000::{user}"), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="2000:{amount}"), "entries[1].account"),
        (with_entry(TOP_UP, 1, account="2000:{product}"), "entries[1].account"),
        (with_entry(TOP_UP, 1, asset="{user}"), "entries[1].asset"),
        (with_entry(TOP_UP, 1, asset="U D"), "entries[1].asset"),
        (with_entry(TOP_UP, 1, asset="x" * 33), "entries[1].asset"),
        (with_entry(TOP_UP, 1, factors=()), "entries[1].factors"),
        (with_entry(TOP_UP, 1, factors=("amount",) * 3), "entries[1].factors"),
        (with_entry(TOP_UP, 1, factors=("amount", "amount")), "entries[1].factors"),
        (with_entry(TOP_UP, 1, factors=("user",)), "entries[1].factors"),
        (with_entry(TOP_UP, 1, factors=("price",)), "entries[1].factors"),
        (with_entry(PURCHASE, 0, group=""), "entries[0].factors"),
        (with_entry(SPLIT, 1, weight=0), "entries[1].weight"),
        (with_entry(SPLIT, 1, weight=-1), "entries[1].weight"),
        (with_entry(SPLIT, 1, weight=10**18), "entries[1].weight"),
        (with_entry(SPLIT, 1, weight="seller"), "entries[1].weight"),
        (with_entry(SPLIT, 1, weight="parts"), "entries[1].weight"),
        (replace(DIVISION, groups=(DIVISION.groups[0]._replace(min_items=0),)), "entries[1].weight"),
        (with_entry(DIVISION, 1, asset="{partner}"), "entries[1].asset"),
        (with_entry(TOP_UP, 1, asset="EUR"), "entries"),
        (replace(BONUS, metadata={"": "x"}), "metadata"),
        (replace(BONUS, metadata={"x" * 65: "x"}), "metadata"),
        (replace(BONUS, metadata={f"{n}": "x" for n in range(65)}), "metadata"),
        (replace(BONUS, metadata={"reason": ""}), "metadata['reason']"),
        (replace(BONUS, metadata={"reason": "{why}"}), "metadata['reason']"),
        (replace(PURCHASE, metadata={"price": "{price}"}), "metadata['price']"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_template_is_named(template: Template, field: str) -> None:
    assert set(fields(template)) == {field}


def test_all_faults_are_told_together() -> None:
    wrong = with_entry(with_entry(replace(TOP_UP, name="", version=0), 0, account="a::b"), 1, asset="{user}")

    assert fields(wrong) == ["name", "version", "entries[0].account", "entries[1].asset"]


def test_bounds_themselves_are_allowed() -> None:
    assert not fields(replace(TOP_UP, entries=TOP_UP.entries * (PATTERNS_MAX // 2)))
    assert not fields(replace(TOP_UP, parameters=TOP_UP.parameters + many(PARAMETERS_MAX - 2)))
    assert not fields(
        replace(
            TOP_UP,
            name="x" * 64,
            version=VERSION_MAX,
            kind="x" * 64,
            groups=groups(GROUPS_MAX, 1000),
        )
    )
    assert not fields(with_entry(SPLIT, 1, weight=10**18 - 1))


def test_a_group_may_be_optional_where_nothing_is_divided_among_its_items() -> None:
    assert not fields(replace(PURCHASE, groups=(PURCHASE.groups[0]._replace(min_items=0),)))
    # One share is always there.
    house = EntryPattern("house", False, ("amount",), "USD", weight=1)
    divided = replace(
        DIVISION, entries=(*DIVISION.entries, house), groups=(DIVISION.groups[0]._replace(min_items=0),)
    )
    assert not fields(divided)
    assert is_always_balanced(divided)


@pytest.mark.parametrize(
    "template",
    [
        # A total that the caller gives, beside its parts.
        with_entry(TOTALLED, 0, factors=("amount",), group=""),
        # The same for each item on one side only.
        with_entry(TOTALLED, 0, factors=("amount",)),
        with_entry(PURCHASE, 0, factors=("price",)),
        # Taken once, and given for each item.
        with_entry(with_entry(TOTALLED, 0, factors=("amount",), group=""), 1, factors=("amount",)),
        with_entry(TOP_UP, 1, asset="{code}"),
        # The share of a total on one side, and on the other the total twice.
        replace(SPLIT, entries=(SPLIT.entries[0], *SPLIT.entries)),
    ],
)  # fmt: skip
def test_what_is_not_proved_is_not_said_to_be_balanced(template: Template) -> None:
    assert not is_always_balanced(template)


def test_factors_may_stand_in_any_order() -> None:
    assert is_always_balanced(with_entry(PURCHASE, 0, factors=("price", "quantity")))


# versions --------------------------------------------------------------------------------


def test_a_template_is_found_by_version_and_the_newest_without_one() -> None:
    first, third, other = TOP_UP, replace(TOP_UP, version=3), replace(BONUS, version=9)
    expanders = Expanders([third, other, first])

    def found(name: str, version: int) -> Template | None:
        expander = expanders.of(name, version)
        return expander.template if expander is not None else None

    assert found("topup", 0) is third
    assert found("topup", 1) is first
    assert found("topup", 2) is None
    assert found("Topup", 0) is None
    assert expanders.newest("topup") == 3
    assert expanders.of("topup", 1) is expanders.of("topup", 1)


# canonical form --------------------------------------------------------------------------


def test_the_canonical_form_of_a_template_is_these_bytes() -> None:
    template = Template(
        "split",
        2,
        (Parameter("total", ParameterType.AMOUNT), Parameter("by", ParameterType.SLUG)),
        (
            EntryPattern("cash", True, ("total",), "USD"),
            EntryPattern("to:{who}", False, ("total",), "USD", "parts", weight="part"),
            EntryPattern("to:{by}", False, ("total",), "USD", weight=3),
        ),
        (Group("parts", (Parameter("who", ParameterType.SLUG), Parameter("part", ParameterType.INT)), 2),),
        kind="k",
        metadata={"b": "{by}", "a": "x"},
    )

    def text(value: str) -> str:
        return f"{len(value.encode()):08x}" + value.encode().hex()

    assert canonical(template).hex() == "".join(
        [
            *(text("split"), "00000002", text("k")),
            *("00000002", text("by"), "03", text("total"), "05"),
            *("00000001", text("parts"), "00000002", "00000002", text("part"), "02", text("who"), "03"),
            "00000003",
            *("01", text("cash"), text("USD"), text(""), "00000001", text("total"), "00"),
            *("02", text("to:{who}"), text("USD"), text("parts"), "00000001", text("total")),
            *("02", text("part")),
            *("02", text("to:{by}"), text("USD"), text(""), "00000001", text("total")),
            "010000000000000003",
            *("00000002", text("a"), text("x"), text("b"), text("{by}")),
        ]
    )  # fmt: skip


def test_the_canonical_form_of_given_parameters_is_these_bytes() -> None:
    given = Parameters({"ö": "1", "b": "2"}, (Item("parts", {"who": "ann"}), Item("parts", {})))

    assert parameters.canonical(given).hex() == "".join(
        [
            *("00000002", "0000000162", "0000000132", "00000002c3b6", "0000000131"),
            "00000002",
            *("000000057061727473", "00000001", "0000000377686f", "00000003616e6e"),
            *("000000057061727473", "00000000"),
        ]
    )


CHANGES: list[Template] = [
    PURCHASE,
    replace(PURCHASE, name="purchases"),
    replace(PURCHASE, version=2),
    replace(PURCHASE, kind="sale"),
    replace(PURCHASE, metadata={"a": "b"}),
    replace(PURCHASE, metadata={"a": "c"}),
    replace(PURCHASE, parameters=(Parameter("customer", ParameterType.UUID),)),
    replace(PURCHASE, parameters=(*PURCHASE.parameters, NUMBER)),
    replace(PURCHASE, groups=(PURCHASE.groups[0]._replace(min_items=2),)),
    replace(PURCHASE, groups=(PURCHASE.groups[0]._replace(name="lines"),)),
    replace(PURCHASE, groups=(Group("items", (*PURCHASE.groups[0].parameters, NUMBER)),)),
    replace(PURCHASE, entries=PURCHASE.entries[::-1]),
    with_entry(PURCHASE, 0, account="customers:{customer}"),
    with_entry(PURCHASE, 0, asset="EUR"),
    with_entry(PURCHASE, 0, is_debit=False),
    with_entry(PURCHASE, 0, group=""),
    with_entry(PURCHASE, 0, factors=("price",)),
    with_entry(PURCHASE, 0, factors=("price", "quantity")),
    with_entry(PURCHASE, 0, weight=1),
    with_entry(PURCHASE, 0, weight=2),
    with_entry(PURCHASE, 0, weight="price"),
]


def test_whatever_differs_in_a_template_differs_in_its_canonical_form() -> None:
    assert len({canonical(template) for template in CHANGES}) == len(CHANGES)


def test_the_order_of_declarations_makes_no_difference() -> None:
    group = PURCHASE.groups[0]
    turned = replace(
        PURCHASE,
        parameters=(NUMBER, *PURCHASE.parameters),
        groups=(Group("others", (LETTER,)), group._replace(parameters=group.parameters[::-1])),
        metadata={"b": "1", "a": "2"},
    )
    straight = replace(
        PURCHASE,
        parameters=(*PURCHASE.parameters, NUMBER),
        groups=(group, Group("others", (LETTER,))),
        metadata={"a": "2", "b": "1"},
    )

    assert canonical(turned) == canonical(straight)


# whatever a template is and is given -----------------------------------------------------

OUTER = {"n": ParameterType.INT, "m": ParameterType.INT, "a": ParameterType.AMOUNT, "s": ParameterType.SLUG}
INNER = {"k": ParameterType.INT, "p": ParameterType.AMOUNT, "t": ParameterType.SLUG}
GROUPS = ("", "items")


@st.composite
def patterns(draw: st.DrawFn) -> EntryPattern:
    group = draw(st.sampled_from(GROUPS))
    known = OUTER | INNER if group else OUTER
    numbers = [name for name, kind in known.items() if kind is not ParameterType.SLUG]
    words = [name for name, kind in known.items() if kind is ParameterType.SLUG]
    return EntryPattern(
        draw(st.sampled_from(["x", "y", *(f"z:{{{name}}}" for name in words)])),
        draw(st.booleans()),
        tuple(draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=2))),
        draw(st.sampled_from(["USD", "EUR", *(f"{{{name}}}" for name in words)])),
        group,
        draw(st.none() | st.integers(min_value=1, max_value=4) | st.sampled_from(numbers)),
    )


@st.composite
def sound_templates(draw: st.DrawFn) -> Template:
    """Half of them have each pattern on both sides, and so are often balanced by construction."""
    drawn = draw(st.lists(patterns(), min_size=2, max_size=5))
    if draw(st.booleans()):
        other = draw(st.booleans())
        drawn += [
            one._replace(is_debit=not one.is_debit, account="other", weight=None if other else one.weight)
            for one in drawn
        ]
    template = Template(
        "drawn",
        1,
        tuple(Parameter(name, kind) for name, kind in OUTER.items()),
        tuple(drawn),
        (
            Group(
                "items",
                tuple(Parameter(name, kind) for name, kind in INNER.items()),
                draw(st.integers(min_value=0, max_value=1)),
            ),
        ),
    )
    assume(not template_faults(template))
    return template


SLUGS = st.sampled_from(["usd", "eur", "c"])
NUMBERS = st.integers(min_value=0, max_value=12) | st.just(10**18)


def values_of(declared: dict[str, ParameterType]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries(
        {name: SLUGS if kind is ParameterType.SLUG else NUMBERS.map(str) for name, kind in declared.items()}
    )


GIVEN = st.builds(
    Parameters,
    values_of(OUTER),
    st.lists(st.builds(Item, st.just("items"), values_of(INNER)), max_size=4).map(tuple),
)


@settings(max_examples=400)
@given(sound_templates(), GIVEN)
def test_what_is_proved_to_be_balanced_is_balanced_whatever_it_is_given(
    template: Template, given: Parameters
) -> None:
    proved = is_always_balanced(template)
    try:
        entries, _ = Expander(template).expand(given)
    except (InvalidRequest, AmountOverflow) as refused:
        event(refused.reason)
        return

    nets: dict[str, int] = {}
    for entry in entries:
        nets[entry.asset] = nets.get(entry.asset, 0) + (entry.amount if entry.is_debit else -entry.amount)
    event("unbalanced" if any(nets.values()) else "proved" if proved else "balanced")
    assert not (proved and any(nets.values()))
    assert all(entry.amount > 0 for entry in entries)
    assert 2 <= len(entries) <= ENTRIES_MAX
    assert (entries, {}) == Expander(template).expand(given)
