"""The short way from a template to its entries makes what the long way makes, or leaves it to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sample_templates import AMOUNT, ANN, TOP_UP, moving, parameters

from ledger_server.domain.amounts import AMOUNT_MAX
from ledger_server.domain.expanding import Expander
from ledger_server.domain.parameters import Parameter, Parameters, ParameterType
from ledger_server.domain.plain_lines import PlainLines, is_plain
from ledger_server.domain.refusals import InvalidRequest, Refusal
from ledger_server.domain.templates import EntryPattern, Group, Template
from ledger_server.domain.transactions import EntryDraft

# Each type in a name and beside it, one and two values in a name, one and two factors.
EVERYTHING = Template(
    "everything",
    1,
    (
        Parameter("amount", ParameterType.AMOUNT),
        Parameter("count", ParameterType.INT),
        Parameter("note", ParameterType.TEXT),
        Parameter("shop", ParameterType.TEXT),
        Parameter("user", ParameterType.SLUG),
    ),
    (
        EntryPattern("shops:{shop}:{user}:credit", True, ("amount", "count"), "USD"),
        EntryPattern("users:{user}", False, ("count", "amount"), "USD"),
        EntryPattern("lots:{count}", True, ("amount",), "EUR"),
        EntryPattern("cash", False, ("amount",), "EUR"),
    ),
    metadata={"note": "{note}", "by": "machine"},
)
SOUND = {"amount": "250", "count": "4", "note": "n", "shop": "a b", "user": "jo"}
NUMBERS = st.sampled_from(
    ["0", "1", "7", "07", "-1", "1.5", "", "9" * 19, "1" + "0" * 19, "9" * 38, "1" * 39]
)
TEXTS = st.sampled_from(["", " ", "a", "a:b", " a", "a ", "é", "e\u0301", "a\u0000", "x" * 240, "x" * 256])
# What is done to sound values: nearly all of them are left as they are.
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["amount", "count"]), NUMBERS),
        st.tuples(st.sampled_from(["note", "shop", "user", "more"]), TEXTS),
        st.tuples(st.sampled_from([*SOUND]), st.none()),
    ),
    max_size=2,
)


def the_long_way(template: Template) -> Template:
    """The same template, which is not plain for a group that nobody fills."""
    return replace(template, groups=(Group("none", (), 0),))


def outcome(
    template: Template, values: dict[str, str]
) -> tuple[tuple[EntryDraft, ...], dict[str, str]] | tuple[type[Refusal], str]:
    try:
        return Expander(template).expand(Parameters(values))
    except Refusal as refusal:
        fields = refusal.violations if isinstance(refusal, InvalidRequest) else ()
        return type(refusal), f"{refusal} {fields}"


@given(CHANGES)
@example([])
def test_both_ways_make_the_same(changes: list[tuple[str, str | None]]) -> None:
    changed = {**SOUND, **dict(changes)}
    values = {name: text for name, text in changed.items() if text is not None}
    assert is_plain(EVERYTHING)
    assert not is_plain(the_long_way(EVERYTHING))

    assert outcome(EVERYTHING, values) == outcome(the_long_way(EVERYTHING), values)


def test_what_is_sound_goes_the_short_way() -> None:
    entries = PlainLines(EVERYTHING).entries(SOUND)

    assert entries == (
        EntryDraft("shops:a b:jo:credit", True, 1000, "USD"),
        EntryDraft("users:jo", False, 1000, "USD"),
        EntryDraft("lots:4", True, 250, "EUR"),
        EntryDraft("cash", False, 250, "EUR"),
    )
    assert all(type(entry) is EntryDraft for entry in entries or ())


@pytest.mark.parametrize(
    "values",
    [
        SOUND | {"more": ""},
        {name: text for name, text in SOUND.items() if name != "note"} | {"more": "1"},
        SOUND | {"note": " "},
        SOUND | {"user": "Jo"},
        SOUND | {"shop": "a:b"},
        SOUND | {"count": "0"},
        SOUND | {"amount": str(AMOUNT_MAX)},
        SOUND | {"shop": "x" * 240},
    ],
)
def test_what_is_not_makes_nothing(values: dict[str, str]) -> None:
    assert PlainLines(EVERYTHING).entries(values) is None


def test_a_value_that_fits_one_template_is_judged_for_each() -> None:
    as_text = moving("say", "cash", "2000:{user}", Parameter("user", ParameterType.TEXT))

    assert PlainLines(as_text).entries({"amount": "1", "user": "ann"}) is not None
    assert PlainLines(TOP_UP).entries({"amount": "1", "user": "ann"}) is None
    assert PlainLines(TOP_UP).entries({"amount": "1", "user": ANN}) is not None


@pytest.mark.parametrize(
    "around", ["a: {user}", "{user}\u0301", "{user}\u0327", "::{user}", "x" * 250 + "{user}"]
)
@pytest.mark.parametrize("value", ["e", "1", "aaaaa", "aaaaaa"])
def test_a_pattern_that_spoils_its_values_is_judged_with_them(around: str, value: str) -> None:
    template = moving("odd", "cash", around, Parameter("user", ParameterType.SLUG))
    values = {"amount": "1", "user": value}

    assert outcome(template, values) == outcome(the_long_way(template), values)


def test_metadata_without_values_is_judged_as_the_rest_is() -> None:
    long = {f"k{number}": "x" * 255 for number in range(40)}

    made = outcome(moving("note", "cash", "sales", metadata=long), {"amount": "1"})

    assert made == outcome(the_long_way(moving("note", "cash", "sales", metadata=long)), {"amount": "1"})
    assert "bytes" in str(made[1])


@pytest.mark.parametrize(
    ("entry", "plain"),
    [
        (EntryPattern("a", True, ("amount",), "USD"), True),
        (EntryPattern("a", True, ("amount",), "USD", weight=1), False),
        (EntryPattern("a", True, ("amount",), "{amount}"), False),
    ],
)
def test_which_templates_are_plain(entry: EntryPattern, plain: bool) -> None:
    assert is_plain(Template("one", 1, (AMOUNT,), (entry,))) is plain
    assert not is_plain(Template("one", 1, (AMOUNT,), (entry,), (Group("items", ()),)))


def test_parameters_are_as_the_caller_gave_them() -> None:
    given_here = parameters(user=ANN, amount=5)

    Expander(TOP_UP).expand(given_here)

    assert given_here == parameters(user=ANN, amount=5)
