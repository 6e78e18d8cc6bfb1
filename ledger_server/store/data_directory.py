"""The folder in which the embedded PostgreSQL keeps the books: made, held by one process, of one version."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from .binaries import Binaries, wheel_bindirs

EPHEMERAL = "ledger-ephemeral-"
LOG_SIZE_MAX = 16 << 20


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot start; the message says why and what to do."""


def default_data_dir(xdg_data_home: str | None = None) -> Path:
    """Where the books lie unless told otherwise: /var/lib/ledger for root, else the user's data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/ledger")
    if os.uname().sysname == "Darwin":
        return Path.home() / "Library" / "Application Support" / "ledger"
    return Path(xdg_data_home or Path.home() / ".local" / "share") / "ledger"


def make_data_dir(data_dir: Path) -> None:
    """Makes the folder and what is missing above it; folders that exist are left as they are.

    Under root the server's user must pass through it, so it is made 0711. An
    empty folder that was made for us counts as ours.
    """
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        for parent in reversed(data_dir.parents):
            if not parent.exists():
                parent.mkdir(exist_ok=True)
                parent.chmod(0o755)
        data_dir.mkdir(mode=mode, exist_ok=True)
        if not any(data_dir.iterdir()):
            data_dir.chmod(mode)
    except OSError as error:
        raise EmbeddedError(
            f"{data_dir} cannot be made ({error.strerror}). Choose another with --data-dir."
        ) from error


def take_lock(data_dir: Path) -> IO[bytes]:
    """Holds the data directory for this process. Raises EmbeddedError if another one holds it."""
    try:
        lock_file = (data_dir / "lock").open("a+b")
    except OSError as error:
        raise EmbeddedError(
            f"{data_dir} cannot be written to ({error.strerror}). Choose another with --data-dir."
        ) from error
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock_file.seek(0)
        holder = lock_file.read().decode(errors="replace").strip() or "unknown"
        lock_file.close()
        raise EmbeddedError(
            f"The books in {data_dir} are already being served, by the process {holder}. "
            "Use that server, stop it first, or choose another --data-dir."
        ) from error
    lock_file.truncate(0)
    lock_file.write(str(os.getpid()).encode())
    lock_file.flush()
    return lock_file


def refuse_other_major(data_dir: Path, binaries: Binaries) -> None:
    """Refuses to make empty books beside those of another version."""
    if (data_dir / f"pg{binaries.major}" / "PG_VERSION").is_file():
        return
    others = sorted(path.parent.name[2:] for path in data_dir.glob("pg[0-9]*/PG_VERSION"))
    others = [other for other in others if other.isdigit()]
    if not others:
        return
    there = max(others, key=int)
    found = next((str(path) for path in wheel_bindirs(int(there))), f"the bin folder of PostgreSQL {there}")
    raise EmbeddedError(
        f"The books in {data_dir} were written by PostgreSQL {there}, "
        f"and this is PostgreSQL {binaries.major}. "
        f"Set LEDGER_PG_BINDIR={found} to go on with them, or move them with pg_dump into a new --data-dir."
    )


def open_log(path: Path) -> IO[bytes]:
    """The server's log, for appending; an old one is kept when it has grown large."""
    if path.exists() and path.stat().st_size > LOG_SIZE_MAX:
        path.replace(path.with_suffix(".log.old"))
    output = path.open("a+b")
    output.seek(0, os.SEEK_END)
    return output


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_ephemeral_data_dir(parent: Path | None = None) -> Path:
    """A new folder for throw-away books, under the parent or the system's temporary folder.

    Those of processes that died without removing theirs are removed first.
    """
    root = parent or Path(tempfile.gettempdir())
    for lock in root.glob(f"{EPHEMERAL}*/lock"):
        try:
            with take_lock(lock.parent):
                shutil.rmtree(lock.parent, ignore_errors=True)
        except (EmbeddedError, OSError):
            continue  # In use, or another user's.
    return Path(tempfile.mkdtemp(prefix=EPHEMERAL, dir=root))
