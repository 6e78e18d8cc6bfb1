"""The bench at a size of seconds: the figures are not judged here, only that they are complete and true."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from click.testing import CliRunner

from benchmarks import running
from benchmarks.bench import Bench
from benchmarks.drafts import Drafts, Shape
from benchmarks.measured import Bar, Measured, median_interval, paired, percentile, percentiles
from benchmarks.overload_plot import overload_svg
from benchmarks.page import with_results
from benchmarks.plot import svg
from benchmarks.processes import Process, Workers
from benchmarks.report import Report, read_report
from benchmarks.sizes import FULL, QUICK
from benchmarks.stage import Stage, stage
from benchmarks.suites import overload
from benchmarks.usage import CpuMeter, cpu_seconds, family, family_cpu_seconds, resident_mib
from ledger_server.cli.bench import bench as command

TINY = replace(
    QUICK,
    pairs=2,
    accounts=50,
    batch=20,
    transactions_per_run=80,
    seconds_per_run=0.2,
    callers=4,
    imported=400,
    import_batch=100,
    kept=200,
    ledgers=4,
    ledger_batch=10,
    big_accounts=100,
    big_entries=400,
    capacity_callers=8,
    ramp_s=1,
    calm_s=1,
    overload_s=2,
    after_s=1,
)
# The rows that each suite yields at this size, and what each of them is measured in.
ROWS = {
    "post_batch": {"post_batch": "transactions/s"},
    "post_batch_bounded": {"post_batch_bounded": "transactions/s"},
    "hot_account": {"hot_account": "transactions/s"},
    "post": {"post": "calls/s", "post, server CPU": "us/call"},
    "get_balance": {"get_balance": "calls/s", "get_balance, server CPU": "us/call"},
    "client_post": {"client_post": "transactions/s"},
    "one_caller": {"one_caller, p50": "us"},
    "open_loop": {"open_loop, accepted": "calls/s"},
    "with_key": {
        "with_key, batches": "transactions/s",
        "with_key, post": "calls/s",
        "with_key, post, server CPU": "us/call",
        "with_key, balance": "calls/s",
        "with_key, balance, server CPU": "us/call",
    },
    "charts": {
        "charts, families and kinds": "transactions/s",
        "charts, limits": "transactions/s",
        "charts, template": "transactions/s",
        "charts, numbered kind": "transactions/s",
    },
    "two_workers": {"two_workers": "transactions/s", "two_workers, 40001": "% of commits"},
    "hundred_ledgers": {"4 ledgers, two workers": "transactions/s"},
    "disk": {"disk, random keys": "bytes/transaction", "disk, time-ordered keys": "bytes/transaction"},
    "memory": {"memory, 4 callers": "MB", "memory, batches of 100": "MB", "memory, after them": "MB"},
    "big_books": {
        "totals of 100 accounts, 400 entries, RECOMPUTED": "s",
        "400 entries, time-ordered keys": "transactions/s",
        "400 entries, random keys": "transactions/s",
        "400 entries, balance p50": "us",
        "400 entries, page p50": "us",
    },
    "overload": {
        "overload, goodput": "calls/s",
        "overload, refused in, p99": "ms",
        "overload, neither accepted nor OVERLOADED": "calls",
        "overload, memory at its end": "MB",
        "overload, normal after": "s",
    },
}
# What may be zero, or be missing where the machine was quick enough.
MAY_BE_ZERO = {"two_workers, 40001", "overload, neither accepted nor OVERLOADED", "overload, normal after"}
MAY_BE_MISSING = {
    "overload, refused in, p99",
    "post, server CPU",
    "get_balance, server CPU",
    "with_key, post, server CPU",
    "with_key, balance, server CPU",
}
# Those that start services of their own and take longer than a few seconds on a busy machine.
HEAVY = {"with_key", "two_workers", "hundred_ledgers", "disk", "big_books", "overload", "memory"}
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU is read from /proc")


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    """A stage for all suites."""
    with stage() as on:
        yield on


@pytest.fixture(scope="module")
def bench(on: Stage) -> Bench:
    """The bench at its smallest."""
    return Bench(on, TINY, lambda line: None)


def taken(ratio: float = 0.5, bar: Bar | None = None) -> Measured:
    return paired("post", "calls/s", [(ratio * 1_000, 1_000.0)] * 3, "echo", bar=bar)


def report(*rows: Measured) -> Report:
    return Report("quick", "2026-01-02T03:04:05+00:00", 1.0, {"cpu": "a & b", "cores": 2}, list(rows))


def test_every_suite_is_tried_here() -> None:
    assert set(ROWS) == set(running.NAMES)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in ROWS]
)
def test_a_suite_yields_its_rows_each_with_a_figure(bench: Bench, name: str) -> None:
    rows = list(running.SUITES[name](bench))

    found = {one.suite: one.unit for one in rows}
    assert {suite: unit for suite, unit in ROWS[name].items() if suite in found} == found
    assert set(ROWS[name]) - set(found) <= MAY_BE_MISSING
    for one in rows:
        assert one.value > 0 or one.suite in MAY_BE_ZERO
        assert (one.ratio is None) == (one.denominator is None)
        if one.ratio is not None:
            assert one.ratio_low is not None
            assert one.ratio_high is not None
            assert 0 < one.ratio_low <= one.ratio <= one.ratio_high
        if one.pairs:
            assert one.pairs == TINY.pairs
        if one.suite == name:
            assert list(one.latency_us) == ["p50", "p99", "p99.9"]
            assert list(one.latency_us.values()) == sorted(one.latency_us.values())
            if Path("/proc/self/stat").exists():
                assert set(one.cpu_us) == {"client", "server", "database"}


def test_a_run_names_the_machine_and_the_suites_it_was_asked_for() -> None:
    said: list[str] = []
    found = running.run("quick", ("open_loop",), said.append, size=TINY)

    for fact in ("cpu", "cores", "memory_mib", "postgresql", "fdatasync_us", "grpcio", "psycopg"):
        assert found.machine[fact]
    assert [one.suite for one in found.measured] == ["open_loop, accepted"]
    assert any("open_loop" in line for line in said)


def test_what_is_copied_are_the_rows_that_the_service_wrote(on: Stage, bench: Bench) -> None:
    tables = [
        (f"{schema}.{table}", rows)
        for schema in ("bench", "bench_encoded")
        for table, rows in (("transactions", 1), ("entries", 2))
    ]
    before = [on.books.count(table) for table, _ in tables]

    list(running.SUITES["post_batch"](bench))

    copied = [on.books.count(table) - count for (table, _), count in zip(tables, before, strict=True)]
    assert copied == [rows * TINY.pairs * TINY.transactions_per_run for _, rows in tables]
    for schema in ("bench", "bench_encoded"):
        # The bare SQL transactions of another suite lie there under ledger 0.
        copies = f"select * from {schema}.entries where ledger_id > 0"
        assert on.books.count(f"({copies} except select * from ledger.entries) as differing") == 0


def test_a_load_that_fails_ends_the_bench_with_its_last_words(tmp_path: Path) -> None:
    worker = Process(tmp_path / "log", "benchmarks.worker")
    job = {"kind": "calls", "verb": "sql", "database": "host=/nowhere", "callers": 1, "seconds": 0.1}

    try:
        with pytest.raises(RuntimeError, match="/nowhere"):
            Workers([worker]).run(job)
    finally:
        worker.end()


def test_a_refused_post_ends_the_bench(bench: Bench, tmp_path: Path) -> None:
    nobody = asdict(Shape(5, prefix="nobody:"))
    worker = Process(tmp_path / "log", "benchmarks.worker")

    try:
        with pytest.raises(RuntimeError, match=r"was refused.*nobody:"):
            Workers([worker]).run(bench.batches(bench.server, [bench.ledger], shape=nobody))
    finally:
        worker.end()


# the load ---------------------------------------------------------------------------------


def test_drafts_are_as_their_shape_says() -> None:
    hot = Drafts(Shape(5, stride=10, is_hot=True, prefix="account:", first=10, asset="A1"))
    ordered = Drafts(Shape(5, has_ordered_keys=True, has_metadata=False))
    posts = [hot.post("shop") for _ in range(50)]
    keys = [ordered.key() for _ in range(50) if time.sleep(0.0001) is None]

    assert {post.entries[0].account for post in posts} == {"account:10"}
    assert {post.entries[1].account for post in posts} == {f"account:{10 + 10 * n}" for n in range(1, 5)}
    assert {entry.asset for post in posts for entry in post.entries} == {"A1"}
    assert keys == sorted(keys)
    assert {len(key) for key in keys} == {32}
    assert not ordered.post("shop").metadata
    assert len({Drafts(Shape(5)).key() for _ in range(50)}) == 50


@pytest.mark.slow
def test_latencies_of_the_open_loop_count_from_when_a_call_was_due(on: Stage, bench: Bench) -> None:
    # The load itself stands still for a second: what was due meanwhile is answered at once when it goes on.
    load = on.workers(1)
    pid = load.processes[0].pid
    job = bench.calls("post", bench.server, [bench.ledger], kind="offers", phases=[(3, 50)])
    before = on.books.count("ledger.transactions")
    with ThreadPoolExecutor(1) as pool:
        offered = pool.submit(load.run, job)
        deadline = time.monotonic() + 20
        while on.books.count("ledger.transactions") < before + 5:
            assert time.monotonic() < deadline
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(pid, signal.SIGCONT)
        seconds = offered.result()["seconds_of"]

    latencies = [value for each in seconds for value in each["accepted_us"]]
    assert len(latencies) == 150
    assert sum(value > 300_000 for value in latencies) >= 20
    assert max(each["late_us"] for each in seconds) > 500_000


def test_offers_are_made_by_the_clock_and_told_apart_by_second(bench: Bench) -> None:
    job = bench.calls("post", bench.server, [bench.ledger], kind="offers", phases=[(1, 30), (2, 10)])

    done = bench.stage.workers(1).run(job)

    counted = [
        len(second["accepted_us"]) + len(second["refused_us"]) + second["failed"]
        for second in done["seconds_of"]
    ]
    assert counted == [30, 10, 10]
    assert done["count"] == sum(len(second["accepted_us"]) for second in done["seconds_of"])


@pytest.mark.slow
def test_calls_that_are_too_many_count_as_refused(on: Stage, bench: Bench) -> None:
    with on.slow_commits(100):
        server = on.serve()
        job = bench.calls("post", server, [bench.ledger], kind="offers", phases=[(1, 2_000)])
        seconds = on.workers(1).run(job)["seconds_of"]
        server.end()

    assert seconds[0]["accepted_us"]
    assert seconds[0]["refused_us"]
    assert seconds[0]["failed"] == 0


def test_commits_are_slow_where_the_stage_says_so_and_only_there(on: Stage, bench: Bench) -> None:
    def settings() -> list[str]:
        with psycopg.connect(on.books.app_url) as connection:
            rows = [
                connection.execute(query).fetchone()
                for query in ("show commit_delay", "show commit_siblings")
            ]
        return [row[0] for row in rows if row]

    with on.slow_commits(50):
        inside = settings()
        server = on.serve()
        slow = on.workers(1).run(bench.calls("post", server, [bench.ledger], callers=1))["latencies_us"]
        server.end()

    # Delayed only beside so many other transactions: none, or one caller would see nothing of it.
    assert inside == ["50000", "0"]
    assert min(slow) > 50_000
    assert settings() == ["0", "5"]


def test_an_abort_of_the_database_is_counted(on: Stage) -> None:
    before = on.aborts()
    with psycopg.connect(on.owner_url, autocommit=True) as connection:
        connection.execute("create table if not exists contested (number integer)")
        connection.execute("truncate contested")
        connection.execute("insert into contested values (0)")
    read = Barrier(2, timeout=20)

    def add_one() -> bool:
        with psycopg.connect(on.owner_url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            connection.execute("select * from contested")
            read.wait()
            try:
                connection.execute("update contested set number = number + 1")
                connection.commit()
            except psycopg.errors.SerializationFailure:
                return False
        return True

    with ThreadPoolExecutor(2) as pool:
        done = [one.result() for one in [pool.submit(add_one), pool.submit(add_one)]]

    assert sorted(done) == [False, True]
    assert on.aborts() == before + 1


# the overload, judged from what was offered -----------------------------------------------


def second(accepted_us: float, accepted: int = 100, refused: int = 0, failed: int = 0) -> overload.Second:
    return {"accepted_us": [accepted_us] * accepted, "refused_us": [2_000.0] * refused, "failed": failed}


def test_it_is_normal_again_with_the_first_second_like_those_before() -> None:
    calm = [second(10_000)] * 3
    refusing, slow, empty = second(10_000, refused=1), second(15_100), second(1, accepted=0)

    recovered = overload._recovery(calm, [refusing, slow, empty, second(14_900), slow])
    never = overload._recovery(calm, [slow] * 12)

    assert recovered.value == 3
    assert recovered.is_ok is True
    assert never.value == 13
    assert never.is_ok is False


def test_goodput_is_what_was_accepted_and_refusals_are_timed() -> None:
    struck = [second(10_000, accepted=50, refused=100), second(10_000, accepted=110, refused=90, failed=2)]

    goodput = overload._goodput(struck, 100.0, {})
    refused, failed = overload._refusals(struck)

    assert (goodput.value, goodput.ratio, goodput.is_ok) == (80.0, 0.8, True)
    assert overload._goodput(struck, 101.0, {}).is_ok is False
    assert (refused.value, refused.is_ok) == (2.0, True)
    assert (failed.value, failed.is_ok) == (2, False)


def test_memory_that_grows_through_the_overload_misses_its_bar() -> None:
    looks = [50.0] * 8 + [100.0] * 8 + [104.0] * 8 + [111.0] * 8 + [50.0] * 8

    assert overload._memory(looks, 2, 6).is_ok is False
    assert overload._memory([50.0] * 8 + [100.0] * 24, 2, 6).is_ok is True


# figures, bars, tables and pictures -------------------------------------------------------


def test_json_table_and_plot_hold_the_same_and_the_json_can_be_read_again() -> None:
    missed = report(taken(0.3, Bar(ratio_min=0.4)), taken(0.6))

    content = json.loads(missed.to_json())
    picture = ET.fromstring(svg(missed))

    assert [one["ratio"] for one in content["measured"]] == [0.3, 0.6]
    assert content["is_ok"] is False
    assert "NO" in missed.to_table()
    assert read_report(missed.to_json()) == missed
    assert sum(element.get("class") in ("bar", "low") for element in picture.iter()) == 2
    assert "a & b" in "".join(picture.itertext())


def test_the_overload_is_drawn_second_by_second() -> None:
    course = {"offered": [10.0, 30.0], "accepted": [10.0, 12.0], "refused": [0.0, 18.0]}
    struck = replace(taken(0.9), series=course)

    picture = ET.fromstring(overload_svg(report(taken(), struck)) or "")

    lines = {one.get("data-name"): one.get("points") for one in picture.iter() if one.get("data-name")}
    assert set(lines) == set(course)
    assert all(len((points or "").split()) == 2 for points in lines.values())
    assert overload_svg(report(taken())) is None


def test_results_are_written_between_the_marks_of_the_page_and_nothing_else_changes() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "performance.md").read_text(encoding="utf-8")

    written = with_results(page, report(taken(0.3, Bar(ratio_min=0.4))))
    again = with_results(written, report(taken(0.7)))

    assert "| post | 300 calls/s | echo | 1,000 | 0.30 (0.30-0.30, 3 pairs) | ratio >= 0.40 | NO |" in written
    assert "0.30" not in again.partition("<!-- results")[2].partition("<!-- end of results -->")[0]
    for before, after in ((page, again), (written, again)):
        assert before.partition("<!-- results")[0] == after.partition("<!-- results")[0]
        assert before.partition("<!-- end of")[2] == after.partition("<!-- end of")[2]
    with pytest.raises(ValueError, match="once"):
        with_results("no marks", report())


def test_a_later_run_of_one_suite_stands_behind_the_full_one_with_facts_of_its_own() -> None:
    marks = "a\n<!-- results: benchmarks/page.py writes them -->\n<!-- end of results -->\nb"
    later = replace(taken(0.9), suite="charts, limits")
    part = replace(report(later, replace(later, suite="charts, template")), size="full", taken="2027-05-06T")

    written = with_results(marks, report(taken(0.3)), part)

    full, _, behind = written.partition("`./ledger bench --suite full --only charts`, 2027-05-06,")
    assert "`./ledger bench --suite quick`, 2026-01-02," in full
    assert "| post | 300 calls/s |" in full
    assert "| charts, limits | 900 calls/s |" in behind
    assert "| charts, template | 900 calls/s |" in behind
    assert "--only" not in full


@pytest.mark.parametrize(
    ("bar", "value", "ratio", "is_ok"),
    [
        (Bar(), 1.0, None, None),
        (Bar(ratio_min=0.4), 1.0, 0.4, True),
        (Bar(ratio_min=0.4), 1.0, 0.39, False),
        (Bar(ratio_max=2.2), 1.0, 2.2, True),
        (Bar(ratio_max=2.2), 1.0, 2.21, False),
        (Bar(ratio_high_min=1.0), 1.0, 0.92, True),
        (Bar(ratio_high_min=1.0), 1.0, 0.88, False),
        (Bar(ratio_low_max=1.0), 1.0, 1.08, True),
        (Bar(ratio_low_max=1.0), 1.0, 1.12, False),
        (Bar(ratio_min=0.4, value_min=10), 9.0, 0.5, False),
        (Bar(value_min=10, value_min_where=100), 9.0, 0.5, False),
        (Bar(value_min=10, value_min_where=101), 9.0, 0.5, None),
        (Bar(value_max=250), 250.0, None, True),
        (Bar(value_max=250), 250.1, None, False),
        (Bar(ratio_min=0.4), 1.0, None, False),
    ],
)
def test_a_figure_is_ok_where_it_reaches_every_part_of_its_bar(
    bar: Bar, value: float, ratio: float | None, is_ok: bool | None
) -> None:
    low, high = (None, None) if ratio is None else (ratio - 0.1, ratio + 0.1)
    one = Measured(
        "any", "calls/s", value, denominator=100.0, ratio=ratio, ratio_low=low, ratio_high=high, bar=bar
    )

    assert one.is_ok is is_ok
    assert one.is_failure is (is_ok is False)
    assert bool(str(bar)) is bool(asdict(bar) != asdict(Bar()))


def test_a_missed_wish_is_shown_and_is_no_failure() -> None:
    wished = report(taken(0.3, Bar(ratio_min=0.4, is_stretch=True)))

    assert wished.is_ok
    assert "stretch" in wished.to_table()
    assert "NO" in wished.to_table()


def test_the_interval_of_a_median_is_the_binomial_one() -> None:
    # Tables of the sign test: for 15 values the 4th and the 12th, for 6 the extremes.
    assert median_interval([float(number) for number in range(1, 16)]) == (4.0, 12.0)
    assert median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0)
    assert median_interval([2.0, 1.0]) == (1.0, 2.0)
    assert median_interval([7.0]) == (7.0, 7.0)


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert percentile([1.0, 2.0], 0.99) == 2.0
    assert percentiles(float(number) for number in range(1000, 0, -1)) == {
        "p50": 501.0,
        "p99": 991.0,
        "p99.9": 1000.0,
    }
    assert percentiles([]) == {}


def test_quoted_figures_come_from_at_least_fifteen_pairs_and_the_full_sizes() -> None:
    assert FULL.pairs >= 15
    assert (FULL.big_accounts, FULL.big_entries) == (1_000_000, 10_000_000)
    assert (FULL.accounts, FULL.batch, FULL.callers, FULL.ledgers) == (10_000, 1_000, 64, 100)
    assert (FULL.overload_s, FULL.import_batch) == (60, 8_192)


@needs_proc
def test_cpu_and_memory_are_read_of_this_process() -> None:
    meter = CpuMeter({"this": [lambda: cpu_seconds(os.getpid())]})
    while meter.used()["this"] < 0.02:
        sum(range(10_000))

    assert family_cpu_seconds(os.getpid()) is not None
    assert (resident_mib(os.getpid()) or 0) > 1
    assert (resident_mib(os.getpid(), "VmHWM") or 0) >= (resident_mib(os.getpid()) or 0) - 1


@needs_proc
def test_what_children_use_counts_with_their_parent() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in family(os.getpid())
        assert os.getpid() in family(os.getpid())
    finally:
        child.communicate(b"\n")


def test_a_suite_that_does_not_exist_is_refused_by_name() -> None:
    told = CliRunner().invoke(command, ["--only", "speed"])

    assert told.exit_code == 2
    assert all(name in told.output for name in running.NAMES)


def test_the_command_writes_json_and_pictures_and_its_exit_code_says_whether_a_bar_was_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[int, float]] = []

    def run(size_name: str, only: tuple[str, ...], say: object, *, size: object) -> Report:
        asked.append((size.pairs, size.seconds_per_run))  # type: ignore[attr-defined]
        course = {"offered": [1.0], "accepted": [1.0], "refused": [0.0]}
        return report(replace(taken(0.3, Bar(ratio_min=0.4)), series=course))

    monkeypatch.setattr(running, "run", run)
    files = ["--json", str(tmp_path / "b.json"), "--plot", str(tmp_path / "b.svg")]

    told = CliRunner().invoke(command, ["--pairs", "7", "--seconds", "0.5", *files], standalone_mode=False)

    assert asked == [(7, 0.5)]
    assert told.return_value == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b-overload.svg", "b.json", "b.svg"]


@needs_proc
@pytest.mark.slow
def test_a_bench_that_is_told_to_end_ends_what_it_started() -> None:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ledger_server.cli", "bench", "--only", "open_loop", "--seconds", "600"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
    )
    try:
        # PostgreSQL, the service and a load at work.
        deadline = time.monotonic() + 90
        while len(started := family(process.pid)[1:]) < 4:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)
    finally:
        process.kill()

    assert process.returncode
    assert not [pid for pid in started if resident_mib(pid)]


def test_an_installed_package_says_that_the_bench_is_in_the_source_tree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "benchmarks", None)

    told = CliRunner().invoke(command, [])

    assert told.exit_code == 1
    assert "source tree" in told.output
