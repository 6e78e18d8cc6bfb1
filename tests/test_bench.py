"""The bench at a size of seconds: the figures are not judged here, only that they are complete and true."""

from __future__ import annotations

import json
import os
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.measured import Bar, Measured, median_interval, paired, percentile
from benchmarks.plot import svg
from benchmarks.report import Report
from benchmarks.running import NAMES, run
from benchmarks.stage import Process, Workers, stage
from benchmarks.suites import QUICK, Suites
from benchmarks.usage import CpuMeter, cpu_seconds, family_cpu_seconds, resident_mib
from ledger_server.cli.bench import bench

TINY = replace(
    QUICK,
    pairs=2,
    accounts=50,
    batch=20,
    transactions_per_run=80,
    seconds_per_run=0.2,
    callers=4,
    imported=200,
)
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU is read from /proc")


def measured(ratio: float = 0.5, bar: Bar | None = None) -> Measured:
    return paired("post", "calls/s", [(ratio * 1_000, 1_000.0)] * 3, "echo", bar=bar)


def report(*rows: Measured) -> Report:
    return Report("quick", "2026-01-02T03:04:05+00:00", 1.0, {"cpu": "a & b", "cores": 2}, list(rows))


@pytest.fixture(scope="module")
def taken() -> Report:
    """One tiny run of everything."""
    return run("quick", (), lambda line: None, size=TINY)


def test_every_suite_gives_a_figure_above_zero(taken: Report) -> None:
    suites = {one.suite for one in taken.measured}

    assert suites == {
        "post_batch",
        "post_batch, bounded",
        "post",
        "get_balance",
        "one_caller p50",
        "one_caller p99",
        "memory, import of 200",
        "memory, after it",
    }
    assert all(one.value > 0 for one in taken.measured)


def test_every_rate_stands_beside_another_and_the_ratio_lies_in_its_interval(taken: Report) -> None:
    for one in taken.measured:
        if one.unit == "MB":
            continue
        assert one.denominator is not None
        assert one.ratio_low is not None
        assert one.ratio is not None
        assert one.ratio_high is not None
        assert one.ratio_low <= one.ratio <= one.ratio_high
        assert one.pairs == TINY.pairs


@needs_proc
def test_the_cpu_of_client_server_and_database_is_known_apart(taken: Report) -> None:
    costs = [one.cpu_us for one in taken.measured if one.cpu_us]

    assert costs
    assert all(set(cost) == {"client", "server", "database"} for cost in costs)
    assert any(cost["server"] > 0 for cost in costs)


def test_the_machine_is_named_with_its_libraries_and_its_disk(taken: Report) -> None:
    for fact in ("cpu", "cores", "memory_mib", "postgresql", "fdatasync_us", "grpcio", "psycopg"):
        assert taken.machine[fact]


def test_what_is_copied_are_the_rows_that_the_service_wrote() -> None:
    with stage() as on:
        list(Suites(on, TINY, lambda line: None).post_batch())

        for schema in ("bench", "bench_encoded"):
            assert on.count(f"{schema}.transactions") == TINY.pairs * TINY.transactions_per_run
            assert on.count(f"{schema}.entries") == 2 * TINY.pairs * TINY.transactions_per_run
            differing = on.count(
                f"(select * from {schema}.entries except select * from ledger.entries) as differing"
            )
            assert differing == 0


def test_a_load_that_fails_ends_the_bench_with_its_last_words(tmp_path: Path) -> None:
    worker = Process(tmp_path / "log", "benchmarks.worker")
    job = {"kind": "calls", "verb": "sql", "database": "host=/nowhere", "callers": 1, "seconds": 0.1}

    try:
        with pytest.raises(RuntimeError, match="/nowhere"):
            Workers([worker]).run(job)
    finally:
        worker.end()


def test_json_and_plot_hold_what_the_table_shows(tmp_path: Path) -> None:
    missed = report(measured(0.3, Bar(ratio_min=0.4)), measured(0.6))

    content = json.loads(missed.to_json())
    picture = ET.fromstring(svg(missed))

    assert [one["ratio"] for one in content["measured"]] == [0.3, 0.6]
    assert content["is_ok"] is False
    assert "NO" in missed.to_table()
    assert sum(element.get("class") in ("bar", "low") for element in picture.iter()) == 2
    assert "a & b" in "".join(picture.itertext())


@pytest.mark.parametrize(
    ("bar", "value", "ratio", "is_ok"),
    [
        (Bar(), 1.0, None, None),
        (Bar(ratio_min=0.4), 1.0, 0.4, True),
        (Bar(ratio_min=0.4), 1.0, 0.39, False),
        (Bar(ratio_min=0.4, rate_min=10), 9.0, 0.5, False),
        (Bar(value_max=250), 249.0, None, True),
        (Bar(value_max=250), 250.0, None, False),
    ],
)
def test_a_figure_is_ok_where_it_reaches_every_part_of_its_bar(
    bar: Bar, value: float, ratio: float | None, is_ok: bool | None
) -> None:
    assert Measured("any", "calls/s", value, ratio=ratio, bar=bar).is_ok is is_ok


def test_the_interval_of_a_median_is_the_binomial_one() -> None:
    # Tables of the sign test: for 15 values the 4th and the 12th, for 6 the extremes.
    assert median_interval([float(number) for number in range(1, 16)]) == (4.0, 12.0)
    assert median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0)
    assert median_interval([2.0, 1.0]) == (1.0, 2.0)
    assert median_interval([7.0]) == (7.0, 7.0)


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert percentile([1.0, 2.0], 0.99) == 2.0


@needs_proc
def test_cpu_and_memory_are_read_of_this_process() -> None:
    meter = CpuMeter({"this": [lambda: cpu_seconds(os.getpid())]})
    while meter.used()["this"] < 0.02:
        sum(range(10_000))

    assert family_cpu_seconds(os.getpid()) is not None
    assert (resident_mib(os.getpid()) or 0) > 1
    assert (resident_mib(os.getpid(), "VmHWM") or 0) >= (resident_mib(os.getpid()) or 0) - 1


def test_a_suite_that_does_not_exist_is_refused_by_name() -> None:
    told = CliRunner().invoke(bench, ["--only", "speed"])

    assert told.exit_code == 2
    assert all(name in told.output for name in NAMES)


def test_an_installed_package_says_that_the_bench_is_in_the_source_tree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "benchmarks", None)

    told = CliRunner().invoke(bench, [])

    assert told.exit_code == 1
    assert "source tree" in told.output
