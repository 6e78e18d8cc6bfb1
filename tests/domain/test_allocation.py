"""Shares of a total: they add up to it, each is as near to its proportion as whole units are."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from math import floor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger_server.domain.allocation import shares
from ledger_server.domain.amounts import AMOUNT_MAX

TOTALS = st.integers(min_value=0, max_value=AMOUNT_MAX)
WEIGHTS = st.lists(st.integers(min_value=0, max_value=10**19), min_size=1, max_size=20).filter(any)
SEED = 20_261_121


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (101, [1, 1, 1], [34, 34, 33]),
        (102, [1, 1, 1], [34, 34, 34]),
        # 70 %, 20 % and 10 % of 0.99: remainders .3, .8 and .9.
        (99, [70, 20, 10], [69, 20, 10]),
        # The larger remainder comes first, not the earlier place.
        (1, [1, 2], [0, 1]),
        (2, [1, 1, 1], [1, 1, 0]),
        (5, [0, 3, 0, 2], [0, 3, 0, 2]),
        (0, [1, 2, 3], [0, 0, 0]),
        (7, [9], [7]),
        (AMOUNT_MAX, [1, 1], [AMOUNT_MAX // 2 + 1, AMOUNT_MAX // 2]),
    ],
)
def test_what_is_left_goes_to_the_largest_remainders(
    total: int, weights: list[int], expected: list[int]
) -> None:
    assert shares(total, weights) == expected


@pytest.mark.parametrize(("total", "weights"), [(1, []), (1, [0, 0]), (1, [2, -1]), (-1, [1])])
def test_what_cannot_be_shared_is_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="not negative"):
        shares(total, weights)


def _judge(total: int, weights: list[int]) -> None:
    given, whole = shares(total, weights), sum(weights)

    assert sum(given) == total, (total, weights)
    for share, weight in zip(given, weights, strict=True):
        # Less than a unit away from the exact proportion, compared without a fraction.
        assert share >= 0, (total, weights)
        assert abs(share * whole - total * weight) < whole, (total, weights)
        assert weight or not share, (total, weights)


@given(TOTALS, WEIGHTS)
@example(10**38 - 1, [10**19] * 20)
def test_shares_add_up_and_each_is_less_than_a_unit_off(total: int, weights: list[int]) -> None:
    _judge(total, weights)


def by_fractions(total: int, weights: list[int]) -> list[int]:
    """The same by definition: exact proportions rounded down, then a unit each to the largest remainders."""
    unit = Fraction(total, sum(weights))
    exact = [unit * weight for weight in weights]
    given = [floor(share) for share in exact]
    by_remainder = sorted(range(len(given)), key=lambda place: (given[place] - exact[place], place))
    for place in by_remainder[: total - sum(given)]:
        given[place] += 1
    return given


def _drawn_split(drawn: random.Random) -> tuple[int, list[int]]:
    """Mostly a few shares by small weights; now and then many, of any size, equal, or nothing at all."""
    total = drawn.randrange(10 ** drawn.randint(0, 38))
    is_rare = drawn.randrange(50) == 0
    digits = drawn.randint(1, 38 if is_rare else 6)
    count = drawn.randint(1, 300) if drawn.randrange(500) == 0 else drawn.randint(1, 7)
    weights = [drawn.randrange(10**digits) * (drawn.randrange(8) > 0) for _ in range(count)]
    if drawn.randrange(8) == 0:
        weights = [weights[0]] * count
    weights[drawn.randrange(count)] += 1
    return total, weights


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "splits", [pytest.param(20_000, id="some"), pytest.param(1_000_000, marks=pytest.mark.slow, id="million")]
)
def test_random_splits_are_exact(splits: int) -> None:
    """Each as the definition in fractions has it, and summing up to its total."""
    drawn = random.Random(SEED)

    for _ in range(splits):
        total, weights = _drawn_split(drawn)
        _judge(total, weights)
        assert shares(total, weights) == by_fractions(total, weights), (total, weights)


@given(TOTALS, WEIGHTS)
def test_a_heavier_weight_never_gets_less_and_an_equal_one_gets_less_only_when_later(
    total: int, weights: list[int]
) -> None:
    given = shares(total, weights)

    # Heaviest first, and what is equal in its order: so must the shares be ordered.
    ordered = sorted(range(len(weights)), key=lambda place: -weights[place])
    falling = [given[place] for place in ordered]
    assert falling == sorted(falling, reverse=True)


@given(TOTALS, WEIGHTS, st.integers(min_value=1, max_value=10**6))
def test_only_proportions_count(total: int, weights: list[int], factor: int) -> None:
    assert shares(total, [weight * factor for weight in weights]) == shares(total, weights)


@given(TOTALS, WEIGHTS, st.randoms(use_true_random=False))
def test_order_matters_only_where_remainders_are_equal(
    total: int, weights: list[int], drawn: random.Random
) -> None:
    remainders = [total * weight % sum(weights) for weight in weights]
    order = list(range(len(weights)))
    drawn.shuffle(order)

    before = shares(total, weights)
    after = shares(total, [weights[place] for place in order])

    if len(set(remainders)) == len(remainders):
        assert after == [before[place] for place in order]
    # Whoever stands where: of each remainder as many get a unit more.
    units = [share - total * weights[place] // sum(weights) for place, share in enumerate(before)]
    later = [
        share - total * weights[place] // sum(weights) for place, share in zip(order, after, strict=True)
    ]
    assert Counter(zip(remainders, units, strict=True)) == Counter(
        (remainders[place], unit) for place, unit in zip(order, later, strict=True)
    )
