"""Overload: three times the capacity, by the clock, and what becomes of those who come.

The capacity is made small, so that the load does not take the machine away from
what it loads: every commit waits 20 ms longer, and the posts go to a hundred
ledgers, which cannot share commits. What then bounds the service is what bounds it
in life: committers, and how many calls it admits at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from benchmarks.bench import Bench
from benchmarks.drafts import Shape
from benchmarks.measured import Bar, Measured, percentiles
from benchmarks.opening import open_ledgers
from benchmarks.suites.footprint import MemoryWatch

SUITE = "overload"
_COMMIT_DELAY_MS = 20
# The ramp that looks for the capacity, in shares of what the closed loop reached.
_RAMP = (1.0, 1.5, 2.0, 2.5)
_OFFERED = 3.0
_CALM = 0.5
_ACCOUNTS = 10
# A second is normal again where nothing is refused and the median is at most this many times what it was.
_NORMAL = 1.5
_MEMORY_LOOKS_S = 0.25

Second = dict[str, Any]


def overload(bench: Bench) -> Iterator[Measured]:
    """Calm, overload, calm again: goodput, refusals, memory, and how soon it is over.

    The capacity is the most that was accepted in a closed loop or on a ramp of
    offers, whichever is more.
    """
    stage, size = bench.stage, bench.size
    ledgers = open_ledgers(bench.server.targets[0], size.ledgers, _ACCOUNTS)
    shape = {"shape": asdict(Shape(_ACCOUNTS))}
    with stage.slow_commits(_COMMIT_DELAY_MS):
        server = stage.serve()
        crowd = stage.workers(size.client_processes)
        callers = size.capacity_callers // size.client_processes
        closed = bench.calls("post", server, ledgers, callers=callers, seconds=size.calm_s, **shape)
        offers = bench.calls("post", server, ledgers, kind="offers", **shape)
        crowd.run(closed | {"seconds": 1})
        reached = crowd.run(closed)["rate"]
        load = stage.workers(1)
        ramp = [(size.ramp_s, reached * share) for share in _RAMP]
        climbed = load.run(offers | {"phases": ramp})["seconds_of"]
        peak = max(reached, *_goodputs(climbed, size.ramp_s))
        bench.say(
            f"  capacity: {reached:,.0f} calls/s from {size.capacity_callers} callers, {peak:,.0f} at best"
        )
        phases = [
            (size.calm_s, peak * _CALM),
            (size.overload_s, peak * _OFFERED),
            (size.after_s, peak * _CALM),
        ]
        watch = MemoryWatch(server, _MEMORY_LOOKS_S)
        seconds = load.run(offers | {"phases": phases})["seconds_of"]
        watch.end()
        server.end()
    calm, struck, after = _split(seconds, size.calm_s, size.overload_s)
    late = percentiles(second["late_us"] for second in struck)["p50"]
    bench.say(f"  in the median second the latest call was made {late / 1e3:.1f} ms after it was due")
    yield _goodput(struck, peak, _series(seconds, phases))
    yield from _refusals(struck)
    yield _memory(watch.seen, size.calm_s, size.overload_s)
    yield _recovery(calm, after)


def _split(seconds: Sequence[Second], calm_s: int, overload_s: int) -> tuple[Sequence[Second], ...]:
    return seconds[:calm_s], seconds[calm_s : calm_s + overload_s], seconds[calm_s + overload_s :]


def _goodputs(seconds: Sequence[Second], length: int) -> list[float]:
    """What was accepted in a second, for each step of so many seconds."""
    accepted = [len(second["accepted_us"]) for second in seconds]
    return [fmean(accepted[start : start + length]) for start in range(0, len(accepted), length)]


def _goodput(struck: Sequence[Second], peak: float, series: dict[str, list[float]]) -> Measured:
    rate = _goodputs(struck, len(struck))[0]
    return Measured(
        f"{SUITE}, goodput",
        "calls/s",
        rate,
        beside="capacity",
        denominator=peak,
        ratio=rate / peak,
        ratio_low=rate / peak,
        ratio_high=rate / peak,
        bar=Bar(ratio_min=0.8),
        latency_us=percentiles(value for second in struck for value in second["accepted_us"]),
        series=series,
    )


def _refusals(struck: Sequence[Second]) -> Iterator[Measured]:
    refused = percentiles(value for second in struck for value in second["refused_us"])
    if refused:
        yield Measured(
            f"{SUITE}, refused in, p99", "ms", refused["p99"] / 1e3, bar=Bar(value_max=50), latency_us=refused
        )
    failed = sum(second["failed"] for second in struck)
    yield Measured(f"{SUITE}, neither accepted nor OVERLOADED", "calls", failed, bar=Bar(value_max=0))


def _memory(seen: Sequence[float], calm_s: int, overload_s: int) -> Measured:
    """The memory of the overload's last third beside that of its first."""
    a_second = 1 / _MEMORY_LOOKS_S
    begins = round(calm_s * a_second)
    third = max(1, round(overload_s * a_second / 3))
    first, last = fmean(seen[begins : begins + third]), fmean(seen[begins + 2 * third : begins + 3 * third])
    return Measured(
        f"{SUITE}, memory at its end",
        "MB",
        last,
        beside="memory at its beginning",
        denominator=first,
        ratio=last / first,
        ratio_low=last / first,
        ratio_high=last / first,
        bar=Bar(ratio_max=1.1),
    )


def _recovery(calm: Sequence[Second], after: Sequence[Second]) -> Measured:
    """How many seconds pass until the first one that is normal; all of them where none is."""
    normal_us = percentiles(value for second in calm for value in second["accepted_us"])["p50"]

    def is_normal(second: Second) -> bool:
        has_others = second["refused_us"] or second["failed"] or not second["accepted_us"]
        return not has_others and percentiles(second["accepted_us"])["p50"] <= normal_us * _NORMAL

    waited = next((number for number, second in enumerate(after) if is_normal(second)), len(after) + 1)
    return Measured(f"{SUITE}, normal after", "s", waited, bar=Bar(value_max=10))


def _series(seconds: Sequence[Second], phases: Sequence[tuple[int, float]]) -> dict[str, list[float]]:
    offered = [round(rate) for length, rate in phases for _ in range(length)]
    return {
        "offered": [float(count) for count in offered],
        "accepted": [float(len(second["accepted_us"])) for second in seconds],
        "refused": [float(len(second["refused_us"])) for second in seconds],
    }
