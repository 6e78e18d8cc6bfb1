"""Rates: over any time nobody is given more than he may have, and what he is told of waiting is true."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_server.service.rates import Rates

RATES = st.integers(1, 10_000)
# Whole milliseconds pass, so that sums stay exact enough to be compared.
PAUSES_S = st.integers(0, 5_000).map(lambda pause_ms: pause_ms / 1_000)
ASKS = st.lists(st.tuples(PAUSES_S, st.integers(1, 9_000)), min_size=1, max_size=60)
SLACK = 1e-6


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@given(RATES, RATES, ASKS)
def test_over_any_time_no_more_is_given_than_rate_and_burst_and_the_heaviest(
    per_second: int, burst: int, asks: list[tuple[float, int]]
) -> None:
    clock = Clock()
    rates = Rates(per_second, burst, clock=clock)
    taken: list[tuple[float, int]] = []

    for pause_s, weight in asks:
        clock.now += pause_s
        if not rates.take("who", weight):
            taken.append((clock.now, weight))

    for first, (begin, _) in enumerate(taken):
        given_, heaviest = 0, 0
        for at, weight in taken[first:]:
            given_, heaviest = given_ + weight, max(heaviest, weight)
            beyond = max(0, heaviest - burst)
            assert given_ <= per_second * (at - begin) + burst + beyond + SLACK * per_second


@given(RATES, RATES, ASKS)
def test_who_waits_as_long_as_he_is_told_is_let_in_and_not_a_millisecond_earlier(
    per_second: int, burst: int, asks: list[tuple[float, int]]
) -> None:
    clock = Clock()
    rates = Rates(per_second, burst, clock=clock)

    for pause_s, weight in asks:
        clock.now += pause_s
        wait_s = rates.take("who", weight)
        if wait_s > 0.002:
            clock.now += wait_s - 0.001
            assert rates.take("who", weight) == pytest.approx(0.001, abs=SLACK)
            clock.now += 0.001 + SLACK
        elif wait_s:
            clock.now += wait_s + SLACK
        else:
            continue
        assert rates.take("who", weight) == 0.0


@given(RATES, RATES, st.integers(1, 1_000_000))
def test_a_full_bucket_lets_anything_through_and_nothing_behind_it_until_it_is_paid(
    per_second: int, burst: int, weight: int
) -> None:
    clock = Clock()
    rates = Rates(per_second, burst, clock=clock)

    assert rates.take("who", weight) == 0.0

    left = max(0, burst - weight)
    asked = left + 1
    owed = max(0, weight - burst)
    missing = owed + (asked - left if asked <= burst else burst - left)
    assert rates.take("who", asked) == pytest.approx(missing / per_second, abs=SLACK)


def test_one_name_s_use_is_no_other_s() -> None:
    clock = Clock()
    rates = Rates(1, 5, clock=clock)

    assert rates.take("one", 5) == 0.0
    assert rates.take("one", 1) > 0.0
    assert rates.take("other", 5) == 0.0


def test_nothing_is_taken_from_who_is_refused() -> None:
    clock = Clock()
    rates = Rates(1, 5, clock=clock)
    rates.take("who", 5)

    waits = [rates.take("who", 1) for _ in range(100)]

    assert waits == [1.0] * 100


def test_no_more_names_are_remembered_than_may_be_and_the_longest_unseen_is_forgotten() -> None:
    clock = Clock()
    rates = Rates(1, 2, names_max=100, clock=clock)
    for number in range(100):
        rates.take(str(number), 2)
    rates.take("0", 1)
    clock.now += 1.0
    assert rates.take("0", 1) == 0.0

    for number in range(100, 150):
        rates.take(str(number), 2)

    assert len(rates) == 100
    assert rates.take("0", 1) > 0.0
    assert rates.take("99", 2) > 0.0
    # Forgotten, and so full.
    assert rates.take("1", 2) == 0.0


def test_what_is_saved_up_is_never_more_than_the_burst() -> None:
    clock = Clock()
    rates = Rates(10, 20, clock=clock)
    clock.now += 86_400.0

    given_ = [rates.take("who", 1) for _ in range(25)]

    assert given_[:20] == [0.0] * 20
    assert all(later > 0 for later in given_[20:])
    assert all(a == b for a, b in pairwise(given_[20:]))
