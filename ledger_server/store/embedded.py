"""The embedded PostgreSQL: a server of our own, started with us and ending with us.

The books lie in `<data_dir>/pg<major>`. One supervisor at a time holds the data
directory, by a file lock that the kernel frees when the process dies, however it
dies. The server is a child that gets SIGINT (PostgreSQL's fast shutdown) when we
die; if it is killed itself, the supervising thread starts it again.

Nothing here trusts what an earlier life left behind:
- initdb writes to a folder of another name, which is renamed when it is complete;
- "ready" in postmaster.pid counts only beside the child's own process id;
- a server left over by an earlier supervisor is stopped before ours starts;
- a postmaster.pid whose process id now belongs to somebody else, or to a zombie,
  is removed only if no process works in the books' folder.
Durability is not negotiable: fsync, full_page_writes and synchronous_commit are
given on the command line, which no configuration file overrides.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from .binaries import Binaries, find_binaries, reachable_binaries
from .child import UNREACHABLE, User, command, server_user
from .data_directory import (
    EmbeddedError,
    default_data_dir,
    make_data_dir,
    make_ephemeral_data_dir,
    open_log,
    refuse_other_major,
    sync_directory,
    take_lock,
)
from .leftovers import remove_stale_lock_files, stop_leftover
from .server_settings import DISCREET, LOCAL, PORT
from .sizing import settings_for, this_machine

__all__ = ["EmbeddedError", "EmbeddedPostgres", "default_data_dir", "make_ephemeral_data_dir"]

log = logging.getLogger(__name__)

SUPERUSER = "postgres"
SOCKET_PATH_MAX = 100  # sockaddr_un holds 104 to 108 bytes, by system.
START_DEADLINE_S = 600.0  # A crash recovery of max_wal_size takes well under a minute.
OBSTACLE_DEADLINE_S = 15.0  # For a killed server's last processes to let go of its memory.
STOP_DEADLINE_S = 60.0  # A fast shutdown writes one checkpoint.
RESTART_PAUSE_MAX_S = 5.0
PASSING_OBSTACLES = (b"FATAL:  lock file ", b"pre-existing shared memory block")

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


class EmbeddedPostgres:
    """A running PostgreSQL of our own. Use `start`, then `stop` or a with statement."""

    def __init__(
        self, data_dir: Path, binaries: Binaries, user: User, *, ephemeral: bool, settings: Mapping[str, str]
    ) -> None:
        self.data_dir = data_dir
        self.version_major = binaries.major
        self._binaries = binaries
        self._user = user
        self._ephemeral = ephemeral
        self._books = data_dir / f"pg{binaries.major}"
        fitting = settings_for(this_machine(data_dir))
        self._settings = {**fitting, **LOCAL, **DISCREET, **DURABLE, **settings}
        self._socket_dir = self._books
        self._lock_file: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()  # Critical sections set or signal the child: no waiting inside.
        self._stopping = threading.Event()
        self._settled = threading.Event()  # The first start has succeeded or failed.
        self._failure: EmbeddedError | None = None
        self._thread = threading.Thread(target=self._supervise, name="postgres-supervisor", daemon=True)

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        bindir: Path | None = None,
        major: int | None = None,
        ephemeral: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> EmbeddedPostgres:
        """Starts the server of the books in data_dir (new ones if there are none) and waits for it.

        `bindir` names the programs (else the wheel's, else the system's); `major` asks the wheel or the
        system for that version. `ephemeral` removes data_dir at the end. Raises EmbeddedError or
        BinariesNotFound.
        """
        user = server_user()
        data_dir = data_dir.absolute()
        binaries = find_binaries(bindir, major=major)
        make_data_dir(data_dir)
        lock_file = take_lock(data_dir)
        try:
            refuse_other_major(data_dir, binaries)
            if user.is_other:
                copies = default_data_dir()
                binaries = reachable_binaries(binaries, copies, lambda program: _runs(user, program))
            server = cls(data_dir, binaries, user, ephemeral=ephemeral, settings=settings or {})
            server._lock_file = lock_file
        except BaseException:
            lock_file.close()
            raise
        atexit.register(server.stop)
        try:
            server._initialise()
            server._choose_socket_dir()
            server._thread.start()
            server._settled.wait()
            if server._failure is not None:
                raise server._failure
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        """The server's process id; another one after a restart."""
        process = self._process
        if process is None:
            raise EmbeddedError("The embedded PostgreSQL is not running.")
        return process.pid

    @property
    def owner_url(self) -> str:
        """The superuser's way to the database `postgres`, over the unix socket."""
        return self.url("postgres", SUPERUSER)

    @property
    def bindir(self) -> Path:
        """The folder of the programs that are running."""
        return self._binaries.bindir

    def url(self, dbname: str, user: str) -> str:
        """The way to the database as the user, over the unix socket."""
        host = quote(str(self._socket_dir), safe="")
        return f"postgresql://{quote(user, safe='')}@/{quote(dbname, safe='')}?host={host}&port={PORT}"

    def stop(self) -> None:
        """Shuts the server down (a checkpoint, so no recovery at the next start) and frees its folder."""
        self._stopping.set()
        for end in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with self._guard:
                if self._process is not None and self._process.poll() is None:
                    self._process.send_signal(end)
            if self._thread.ident is None:
                break
            self._thread.join(STOP_DEADLINE_S)
            if not self._thread.is_alive():
                break
        atexit.unregister(self.stop)
        if self._socket_dir != self._books:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        if self._ephemeral:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _initialise(self) -> None:
        """Makes empty books, complete or not at all."""
        if (self._books / "PG_VERSION").is_file():
            return
        unfinished = self.data_dir / f"pg{self.version_major}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        os.chown(unfinished, self._user.uid, self._user.gid)
        flags = (
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
        )
        initdb = self._binaries.bindir / "initdb"
        done = subprocess.run(
            command(self._user, unfinished, initdb, "-D", unfinished, *flags),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode == UNREACHABLE:
            raise EmbeddedError(self._unreachable())
        if done.returncode != 0:
            raise EmbeddedError(
                f"initdb could not make the books in {self.data_dir}:\n{done.stdout.decode(errors='replace')}"
            )
        os.rename(unfinished, self._books)
        sync_directory(self.data_dir)

    def _unreachable(self) -> str:
        return (
            f"PostgreSQL runs as the user {self._user.name}, who cannot enter {self.data_dir}: a folder "
            f"above it is closed. Choose another with --data-dir, for example {default_data_dir()}."
        )

    def _choose_socket_dir(self) -> None:
        """The books' folder, or a short one of its own where that path is too long for a socket."""
        if len(os.fsencode(self._books / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX:
            return
        self._socket_dir = Path(tempfile.mkdtemp(prefix="ledger-"))
        os.chown(self._socket_dir, self._user.uid, self._user.gid)

    def _supervise(self) -> None:
        """The life of the child: started, awaited, and started again if it ends unasked."""
        failures = 0
        while not self._stopping.is_set():
            try:
                stop_leftover(self._books)
                self._launch()
                failures = 0
                self._settled.set()
            except Exception as error:
                refused = error if isinstance(error, EmbeddedError) else EmbeddedError(str(error))
                if not self._settled.is_set():
                    self._failure = refused
                    self._settled.set()
                    return
                failures += 1
                log.error("the embedded PostgreSQL does not start: %s", refused)
                self._stopping.wait(min(0.1 * 2**failures, RESTART_PAUSE_MAX_S))
                continue
            process = self._process
            code = process.wait() if process is not None else None
            if not self._stopping.is_set():
                log.error("the embedded PostgreSQL ended with %s; starting it again", code)

    def _launch(self) -> None:
        """Starts the child and waits until it takes connections. Raises EmbeddedError."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        arguments: list[str | Path] = ["-D", self._books, "-k", self._socket_dir, *options]
        program = command(self._user, self._books, self._binaries.bindir / "postgres", *arguments)
        obstacle_deadline = time.monotonic() + OBSTACLE_DEADLINE_S
        while True:
            with open_log(self.data_dir / "postgres.log") as output:
                written = output.tell()
                with self._guard:
                    if self._stopping.is_set():
                        return
                    process = self._process = subprocess.Popen(
                        program,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,  # Ctrl-C is for us: we drain, then stop the server.
                    )
                if self._await_ready(process) or self._stopping.is_set():
                    return
                output.seek(written)
                told = output.read()
            if process.returncode == UNREACHABLE:
                raise EmbeddedError(self._unreachable())
            passing = any(obstacle in told for obstacle in PASSING_OBSTACLES)
            if not passing or time.monotonic() > obstacle_deadline:
                raise EmbeddedError(
                    f"PostgreSQL {self._binaries.version} in {self._books} ended with {process.returncode}. "
                    f"Its last words, from {self.data_dir / 'postgres.log'}:\n"
                    + told.decode(errors="replace")[-2000:]
                )
            remove_stale_lock_files(self._books, self._socket_dir / f".s.PGSQL.{PORT}.lock")
            self._stopping.wait(0.1)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """True when postmaster.pid names this child and says that it is ready; False if it ended."""
        deadline = time.monotonic() + START_DEADLINE_S
        while process.poll() is None:
            try:
                lines = (self._books / "postmaster.pid").read_text().splitlines()
                if int(lines[0]) == process.pid and lines[7].strip() in ("ready", "standby"):
                    return True
            except (OSError, IndexError, ValueError):
                pass  # Not written yet, or half of it.
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGQUIT)
                process.wait()
                raise EmbeddedError(
                    f"PostgreSQL in {self._books} was not ready after {START_DEADLINE_S:.0f} s."
                )
            time.sleep(0.005)
        return False


def _runs(user: User, program: Path) -> bool:
    """True if the user can run the program."""
    done = subprocess.run(command(user, Path("/"), program, "--version"), capture_output=True, check=False)
    return done.returncode == 0
