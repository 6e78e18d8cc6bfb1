"""A process of the service stays on one core, and what it starts does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from faults import until
from tools_needed import missing
from torture.processes import Server
from torture.stage import folder_on_disk

from ledger_server.cli.one_core import better, busy_seconds, cores

STAT = """cpu  {sum} 0 0 400 0 0 0 0 0 0
cpu0 {first} 1 2 100 50 3 4 5 7 0
cpu1 {second} 0 0 300 0 0 0 0 0 0
intr 12345 0 9
"""


def test_what_a_core_did_is_all_but_idle_and_waiting_for_a_disk() -> None:
    ticks = os.sysconf("SC_CLK_TCK")

    found = busy_seconds(STAT.format(sum=40, first=10, second=30))

    assert found == {0: (10 + 1 + 2 + 3 + 4 + 5) / ticks, 1: 30 / ticks}


@pytest.mark.parametrize(
    ("core", "used", "expected"),
    [
        (None, {0: 0.5, 1: 0.1}, {1}),
        (None, {0: 0.12, 1: 0.1, 2: 0.9}, {0, 1}),
        # Not for little, and not where there is nothing to be gained.
        (0, {0: 0.35, 1: 0.1}, {0}),
        (0, {0: 1.0, 1: 1.0}, {0}),
        (0, {0: 0.36, 1: 0.1}, {1}),
        (1, {0: 0.0, 1: 0.9, 2: 0.04, 3: 0.3}, {0, 2}),
        # A core that was taken away.
        (7, {0: 0.9, 1: 0.1}, {1}),
    ],
)
def test_a_process_moves_where_others_use_less(
    core: int | None, used: dict[int, float], expected: set[int]
) -> None:
    assert better(core, used) == expected


# A program that is told what the cores did, and burns some of it itself; it says where its threads were.
ROAMING = """
import json, os, sys, threading, time
from pathlib import Path
from ledger_server.cli.one_core import OneCore

stat, first, second = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
one, ended, seen = OneCore(frozenset([first, second]), stat), threading.Event(), []

def begin():
    threading.Thread(target=ended.wait).start()

def where():
    tasks = [int(task) for task in os.listdir("/proc/self/task")]
    seen.append(sorted({core for task in tasks for core in os.sched_getaffinity(task)}))

def look(at_first, at_second):
    ticks = {first: at_first, second: at_second}
    stat.write_text("".join(f"cpu{core} {ticks[core]} 0 0 0 0 0 0 0 0 0\\n" for core in ticks))
    one.look()
    where()

begin()
begin()
look(0, 0)
time.sleep(0.1)
look(1000, 0)
burnt = time.process_time()
while time.process_time() - burnt < 0.3:
    pass
look(1000, int(0.3 * os.sysconf("SC_CLK_TCK")))
time.sleep(0.1)
look(1000, 1000)
begin()
where()
ended.set()
print(json.dumps(seen))
"""


def test_every_thread_moves_and_what_the_process_itself_used_does_not_count(tmp_path: Path) -> None:
    first, second = two_cores()
    arguments = [str(tmp_path / "stat"), str(first), str(second)]

    ran = subprocess.run(
        [sys.executable, "-c", ROAMING, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [[first, second], [second], [second], [first], [first]]


def test_the_service_stays_on_one_core_and_its_database_on_all() -> None:
    two_cores()
    with folder_on_disk() as folder, ExitStack() as ends:
        server = Server(folder / "server.log", ["--data-dir", str(folder / "books")])
        server.start()
        ends.callback(server.end)
        until(lambda: len(places(server.pid)) == 1, "all threads on one core")
        until(lambda: policies(server.pid) == {os.SCHED_BATCH}, "all threads as batch work")
        postmaster = postmaster_of(folder / "books")

        assert (places(postmaster), policies(postmaster)) == (cores(), {os.SCHED_OTHER})
        os.kill(postmaster, signal.SIGKILL)
        until(lambda: postmaster_of(folder / "books") not in (0, postmaster), "another postmaster")

        again = postmaster_of(folder / "books")
        assert (places(again), policies(again)) == (cores(), {os.SCHED_OTHER})


def test_a_service_that_is_told_so_stays_where_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    two_cores()
    monkeypatch.setenv("LEDGER_ONE_CORE", "off")
    with folder_on_disk() as folder, ExitStack() as ends:
        server = Server(folder / "server.log", ["--ephemeral"])
        server.start()
        ends.callback(server.end)
        # Longer than the first look takes.
        time.sleep(1)

        assert (places(server.pid), policies(server.pid)) == (cores(), {os.SCHED_OTHER})


def two_cores() -> tuple[int, int]:
    """Two cores that there are."""
    if len(cores()) < 2:
        missing("there is one core only: a process has no choice where to stay")
    first, second, *_ = sorted(cores())
    return first, second


def places(pid: int) -> frozenset[int]:
    """The cores that the threads of a process may use."""
    found: set[int] = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with suppress(ProcessLookupError):
            found |= os.sched_getaffinity(int(task))
    return frozenset(found)


def policies(pid: int) -> set[int]:
    """How the threads of a process are scheduled; sched(7)."""
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with suppress(ProcessLookupError):
            found.add(os.sched_getscheduler(int(task)))
    return found


def postmaster_of(books: Path) -> int:
    """The process of the embedded PostgreSQL, 0 while there is none that is ready."""
    for lock_file in books.glob("pg[0-9]*/postmaster.pid"):
        with suppress(OSError):
            lines = lock_file.read_text().splitlines()
            return int(lines[0]) if len(lines) > 7 and lines[7].strip() == "ready" else 0
    return 0
