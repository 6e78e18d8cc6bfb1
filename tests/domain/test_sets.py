"""Account sets: which accounts are reached, each once, and what a chart's sets may look like."""

from __future__ import annotations

from itertools import pairwise, product
from random import Random

import pytest
from account_sets import random_sets, reached
from ledger.v1 import chart_service_pb2 as pb

from ledger_server.domain.names import is_at_or_below
from ledger_server.domain.set_faults import sets_faults
from ledger_server.domain.sets import AccountSet, Reach, reach_of

# 'a' and 'ab' share letters and no path; '!' and '~' sort around ':'.
NAMES = [":".join(parts) for depth in (1, 2, 3) for parts in product(("a", "ab", "a!", "a~"), repeat=depth)]


def of(one: pb.AccountSet) -> AccountSet:
    """A set as the domain has it."""
    return AccountSet(one.name, tuple(one.accounts), tuple(one.prefixes), tuple(one.sets))


@pytest.mark.parametrize("seed", range(30))
def test_a_set_reaches_what_brute_force_finds_and_each_account_on_one_way(seed: int) -> None:
    random = Random(seed)
    asked = random_sets(random, NAMES, 8)

    for one in asked:
        reach = reach_of(map(of, asked), one.name)
        assert reach is not None
        # What adds up names and prefixes one by one must meet each account once.
        met = [name for name in NAMES if name in reach.names]
        met += [name for prefix in reach.prefixes for name in NAMES if is_at_or_below(name, prefix)]
        assert sorted(met) == sorted(reached(asked, one.name, NAMES))


def test_what_is_reached_on_several_ways_is_there_once() -> None:
    sets = [
        AccountSet("all", ("a:b", "c"), ("a",), ("left", "right")),
        AccountSet("left", ("a:x", "d"), ("a:b",), ("base",)),
        AccountSet("right", ("d",), (), ("base",)),
        AccountSet("base", ("a", "ab", "e"), ("f:g",)),
    ]

    assert reach_of(sets, "all") == Reach(("ab", "c", "d", "e"), ("a", "f:g"))
    assert reach_of(sets, "base") == Reach(("a", "ab", "e"), ("f:g",))
    assert reach_of(sets, "none") is None


def test_a_chain_of_as_many_sets_as_there_may_be_is_reached_to_its_end() -> None:
    sets = [AccountSet(f"s{number}", (), (), (f"s{number + 1}",)) for number in range(255)]
    sets.append(AccountSet("s255", ("end",)))

    assert sets_faults(sets) == []
    assert reach_of(sets, "s0") == Reach(("end",), ())


FAULTY: dict[str, tuple[list[AccountSet], list[tuple[str, str]]]] = {
    "names": (
        [AccountSet("", ("a",)), AccountSet("a:b", ("a",)), AccountSet("s" * 65, ("a",))],
        [
            ("sets[0].name", "must be given"),
            ("sets[1].name", "is not one segment of at most 64 characters"),
            ("sets[2].name", "is not one segment of at most 64 characters"),
        ],
    ),
    "a name twice": (
        [AccountSet("s", ("a",)), AccountSet("s", ("b",))],
        [("sets[1].name", "'s' is named twice")],
    ),
    "no members": ([AccountSet("s")], [("sets[0]", "has 0 members; 1 to 256 are allowed")]),
    "too many members": (
        [AccountSet("s", tuple(f"a{n}" for n in range(255)), ("b",), ("t",)), AccountSet("t", ("a",))],
        [("sets[0]", "has 257 members; 1 to 256 are allowed")],
    ),
    "members": (
        [AccountSet("s", ("a::b", "a:{id}"), ("b:", "{b}"), ("t",))],
        [
            ("sets[0].accounts[0]", "has an empty segment; segments are separated by single colons"),
            ("sets[0].accounts[1]", "has a brace; a set names accounts and prefixes, no patterns"),
            ("sets[0].prefixes[0]", "has an empty segment; segments are separated by single colons"),
            ("sets[0].prefixes[1]", "has a brace; a set names accounts and prefixes, no patterns"),
            ("sets[0].sets[0]", "'t' is no set of the chart"),
        ],
    ),
    "members twice": (
        [AccountSet("s", ("a", "a"), ("b", "b"), ("t", "t")), AccountSet("t", ("a",))],
        [(f"sets[0].{name}", "names one twice") for name in ("accounts", "prefixes", "sets")],
    ),
    "a set of itself": ([AccountSet("s", sets=("s",))], [("sets[0].sets", "hold themselves: s > s")]),
    "a description": (
        [AccountSet("s", ("a",), description="d" * 256)],
        [("sets[0].description", "has 256 characters; at most 255 are allowed")],
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_every_fault_is_told_with_its_field(name: str) -> None:
    sets, faults = FAULTY[name]

    assert sets_faults(sets) == faults


@pytest.mark.parametrize("length", [2, 3, 200])
def test_a_cycle_is_named_as_its_sets_hold_each_other(length: int) -> None:
    ring = [AccountSet(f"s{number}", (), (), (f"s{(number + 1) % length}",)) for number in range(length)]
    beside = [AccountSet("out", ("a",), (), ("s0",)), AccountSet("in", ("a",))]

    ((field, fault),) = sets_faults([*beside, *ring])

    named = fault.removeprefix("hold themselves: ").split(" > ")
    cut = named[-1] == "…"
    named = named[:-1] if cut else named
    assert cut is (length + 1 > 8)
    assert len(named) == min(length + 1, 8)
    numbers = [int(one[1:]) for one in named]
    assert all((one + 1) % length == following for one, following in pairwise(numbers))
    assert field == f"sets[{numbers[0] + 2}].sets"


@pytest.mark.parametrize("seed", range(20))
def test_one_way_back_in_a_graph_without_cycles_is_found(seed: int) -> None:
    random = Random(seed)
    sets = [of(one) for one in random_sets(random, NAMES, 10)]
    assert sets_faults(sets) == []
    by_name = {one.name: one for one in sets}
    outer = next(one for one in sets if one.sets)
    inner = outer
    while inner.sets:
        inner = by_name[inner.sets[0]]
    back = AccountSet(inner.name, inner.accounts, inner.prefixes, (outer.name,))

    ((_, fault),) = sets_faults([back if one is inner else one for one in sets])

    assert fault.startswith("hold themselves: ")
