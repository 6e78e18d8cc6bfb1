"""Callers in other processes, faults among them, and a history that is judged: a sample, and CI's numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torture.report import faults, powerless
from torture.rounds import CI, HALF_OPEN, NAMES, QUICK, Rounds

SEED = 20


def test_nothing_acknowledged_is_lost_or_doubled_whatever_is_killed_or_cut_off() -> None:
    rows = list(Rounds(QUICK, SEED).run())

    assert faults(rows) == []
    assert {row.fault for row in rows} == set(NAMES) - {HALF_OPEN}
    assert all(row.acknowledged > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", NAMES)
def test_nothing_acknowledged_is_lost_or_doubled_by(fault: str) -> None:
    rows = list(Rounds(replace(CI, only=(fault,)), SEED).run())

    # Whom the service itself answers in the end was never left in the dark.
    assert set(faults(rows)) <= set(powerless(rows))
    (row,) = rows
    assert row.acknowledged > 0
    if fault in ("kill -9 server", "failpoints"):
        assert powerless(rows) == []
