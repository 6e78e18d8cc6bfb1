"""What the faults are made of does what its name says: else a round could pass because nothing happened."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from clusters import Database
from tools_needed import missing
from torture.backends import stopped
from torture.disks import filled_up, loop_disk, small_disk_over
from torture.processes import until
from torture.rows import Missing
from torture.straining import DELAY_S, PIECE_BYTES, StrainingProxy
from torture.syncing import traced

TEXT = "x" * 20_000


def test_a_slow_connection_delays_both_ways_and_loses_nothing(database: Database) -> None:
    with (
        StrainingProxy(database.app_url, random.Random(1)) as proxy,
        psycopg.connect(proxy.url, autocommit=True) as connection,
    ):
        proxy.how = "slow"
        began = time.monotonic()

        row = connection.execute("select %s::text", [TEXT]).fetchone()

        assert time.monotonic() - began >= 2 * DELAY_S[0]
        assert row == (TEXT,)
        assert proxy.strained >= 2


def test_split_messages_are_many_and_whole_again(database: Database) -> None:
    with (
        StrainingProxy(database.app_url, random.Random(1)) as proxy,
        psycopg.connect(proxy.url, autocommit=True) as connection,
    ):
        proxy.how = "split"

        row = connection.execute("select %s::text", [TEXT]).fetchone()

        assert row == (TEXT,)
        assert proxy.strained >= 2
        assert proxy.pieces >= 2 * len(TEXT) / PIECE_BYTES[1]


def test_a_stopped_process_stands_still_and_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with stopped(process.pid):
            until(lambda: _state(process.pid) == "T", "stopped", 10.0)
        until(lambda: _state(process.pid) in "RS", "going on", 10.0)
        process.kill()


def test_what_nobody_flushed_is_gone_after_a_power_cut_and_the_rest_is_there() -> None:
    try:
        with loop_disk() as disk:
            flushed = disk.path / "flushed"
            with flushed.open("wb") as file:
                file.write(b"kept")
                file.flush()
                os.fsync(file.fileno())
            disk.cut_power()
            with pytest.raises(OSError, match="Input/output error"):
                flushed.write_bytes(b"late")

            assert disk.come_back()

            assert flushed.read_bytes() == b"kept"
    except Missing as why:
        pytest.skip(f"{why}: this proves nothing here")


def test_a_disk_that_was_only_mounted_again_is_no_power_cut() -> None:
    try:
        with loop_disk() as disk:
            disk.write_witness()

            assert not disk.come_back()
    except Missing as why:
        pytest.skip(f"{why}: this proves nothing here")


def test_a_filled_up_disk_takes_nothing_until_it_has_room_again(tmp_path: Path) -> None:
    place = tmp_path / "base"
    place.mkdir()
    (place / "before").write_bytes(b"kept")
    try:
        with small_disk_over(place, 8) as disk:
            with filled_up(disk), pytest.raises(OSError, match="No space left"):
                (disk / "more").write_bytes(b"x" * 8192)
            (disk / "more").write_bytes(b"x" * 8192)

            assert (disk / "before").read_bytes() == b"kept"
    except Missing as why:
        pytest.skip(f"{why}: this proves nothing here")


@pytest.mark.parametrize(
    ("injection", "code"), [("fdatasync:error=EIO:when=1", errno.EIO), ("fdatasync:delay_enter=200000", 0)]
)
def test_strace_makes_fdatasync_fail_or_slow(tmp_path: Path, injection: str, code: int) -> None:
    syncing = (
        "import os, sys, time\n"
        "file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
        "input()\n"
        "began = time.monotonic()\n"
        "try:\n"
        "    os.fdatasync(file)\n"
        "except OSError as error:\n"
        "    sys.exit(error.errno)\n"
        "sys.exit(0 if time.monotonic() - began >= 0.15 else 99)\n"
    )
    command = [sys.executable, "-c", syncing, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            with traced(tmp_path, [process.pid], injection) as trace:
                process.communicate(b"\n", 30)
                until(lambda: not trace.is_at_work(), "gone with what it traced", 10.0)
        except Missing as why:
            process.kill()
            missing(str(why))

        assert process.returncode == code
        assert trace.strikes() == (1 if code else 0)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
