"""Callers in other processes, faults among them, and a history that is judged: a sample, and CI's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools_needed import missing
from torture.report import faults, powerless, table, to_json
from torture.rounds import FAULTS, NAMES, Rounds
from torture.rows import Row

from ledger_server.cli import main

SEED = 20


def test_nothing_acknowledged_is_lost_or_doubled_whatever_is_killed_or_cut_off() -> None:
    rows = list(Rounds("quick", SEED).run())

    assert faults(rows) == []
    assert {row.fault for row in rows} == {fault.name for fault in FAULTS if fault.quick}
    assert all(row.acknowledged > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", NAMES)
def test_nothing_acknowledged_is_lost_or_doubled_by(fault: str) -> None:
    (row,) = Rounds("ci", SEED, only=(fault,)).run()
    if row.skipped and row.skipping_fails_ci:
        missing(row.skipped)
    if row.skipped:
        pytest.skip(f"{row.skipped}: this proves nothing here")

    assert set(faults([row])) <= set(powerless([row]))
    assert row.acknowledged > 0
    assert (row.lost > 0) == row.is_control
    # Two servers are rarely killed within a commit: they may leave nobody in the dark.
    if fault in ("kill -9 server", "failpoints"):
        assert powerless([row]) == []


def test_an_unknown_fault_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exit_code = main(["torture", "--only", "rain"])

    assert exit_code == 2
    complaint = capsys.readouterr().err
    assert "'rain'" in complaint
    assert all(name in complaint for name in NAMES)


def test_the_table_has_a_line_for_each_fault_and_the_rate_that_is_still_possible() -> None:
    rows = [
        Row("kill -9 server", 300, acknowledged=12345),
        Row("two servers", 5_000, violations=["torn: c1"]),
        Row("power cut", 0, skipped="mount is missing"),
    ]

    heads, first, second, third = table(rows).splitlines()

    assert heads.split()[:2] == ["fault", "n"]
    assert first.split()[-1] == "0.01"
    assert "12,345" in first
    assert second.split()[-1] == "-"
    assert third.split()[-1] == "SKIPPED"


def test_json_says_what_was_tried_on_what_machine_and_what_became_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"

    exit_code = main(["torture", "--seed", "7", "--only", "kill -9 backend", "--json", str(file)])

    assert exit_code == 0, capsys.readouterr().err
    content = json.loads(file.read_text(encoding="utf-8"))
    assert (content["seed"], content["size"]) == (7, "quick")
    assert {"cpu", "postgresql", "python", "fdatasync_us"} <= set(content["machine"])
    (row,) = content["faults"]
    assert (row["fault"], row["n"], row["struck"], row["violations"]) == ("kill -9 backend", 1, 1, [])
    assert row["operations"] >= row["acknowledged"] > 0
    assert row["refused"] == sum(row["reasons"].values())
    assert to_json([], size="quick", seed=7, seconds=1.0).startswith("{")
