"""Callers in other processes, faults among them, and a history that is judged: a sample, and CI's numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torture.report import faults, powerless, table
from torture.rounds import CI, HALF_OPEN, NAMES, QUICK, Rounds, Row

from ledger_server.cli import main

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


def test_an_unknown_fault_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exit_code = main(["torture", "--only", "rain"])

    assert exit_code == 2
    complaint = capsys.readouterr().err
    assert "'rain'" in complaint
    assert all(name in complaint for name in NAMES)


def test_the_table_has_a_line_for_each_fault_and_the_rate_that_is_still_possible() -> None:
    text = table([Row("kill -9 server", 300, 12345), Row("two servers", 5_000, violations=["torn: c1"])])

    heads, first, second = text.splitlines()
    assert heads.split()[:2] == ["fault", "n"]
    assert first.split()[-1] == "0.01"
    assert "12,345" in first
    assert second.split()[-1] == "-"
