"""What an earlier life of the embedded PostgreSQL may have left in the books' folder.

A PostgreSQL server works in its data folder, and so do all of its processes; that
is how they are told from a stranger who was given the same process id. Without
/proc (macOS) the process id alone decides, as it does for PostgreSQL itself.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

PROC = Path("/proc")
LEFTOVER_DEADLINE_S = 60.0  # A fast shutdown that was just asked for writes one checkpoint.


class LeftoverServer(Exception):
    """A server that nobody supervises holds the books and does not end."""


def stop_leftover(books: Path) -> None:
    """Stops a server that outlived its supervisor, and waits for its end. Raises LeftoverServer.

    The caller holds the data directory's lock, so no supervisor owns that server.
    """
    pid = _pid_in_lock_file(books)
    if pid is None or not _is_alive(pid) or not _works_in(pid, books):
        return
    log.warning("stopping the PostgreSQL server %d, which an earlier run left in %s", pid, books)
    for end in (signal.SIGINT, signal.SIGQUIT):
        try:
            os.kill(pid, end)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + LEFTOVER_DEADLINE_S
        while time.monotonic() < deadline:
            if not _is_alive(pid):
                return
            time.sleep(0.01)
    raise LeftoverServer(f"The PostgreSQL server {pid}, left in {books} by an earlier run, does not end.")


def remove_stale_lock_files(books: Path, socket_lock: Path) -> None:
    """Removes lock files that stop PostgreSQL though their server is gone.

    That happens when its process id belongs to another program now, or to a
    zombie that nobody reaps. If any process still works in the folder, or there
    is no /proc to ask, the files stay.
    """
    if not PROC.joinpath("self").exists() or any(_processes_in(books)):
        return
    for lock in (books / "postmaster.pid", socket_lock):
        if lock.exists():
            log.warning("removing %s: its server is gone", lock)
            lock.unlink(missing_ok=True)


def _pid_in_lock_file(books: Path) -> int | None:
    try:
        return abs(int((books / "postmaster.pid").read_text().splitlines()[0]))
    except (OSError, IndexError, ValueError):
        return None


def _is_alive(pid: int) -> bool:
    """True for a process that runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # "pid (name) state ...", where the name may hold anything.
        return PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return not PROC.joinpath("self").exists()


def _works_in(pid: int, books: Path) -> bool:
    if not PROC.joinpath("self").exists():
        return True
    try:
        return PROC.joinpath(str(pid), "cwd").resolve(strict=True) == books.resolve()
    except OSError:
        return False


def _processes_in(books: Path) -> Iterator[int]:
    for entry in PROC.iterdir():
        if entry.name.isdigit() and _works_in(int(entry.name), books):
            yield int(entry.name)
