"""Finding the embedded PostgreSQL of a service that runs, to read its books beside it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def has_books(data_dir: Path) -> bool:
    """Whether an embedded PostgreSQL has ever kept books in the folder."""
    return any(data_dir.glob("pg[0-9]*/PG_VERSION"))


def running_url(data_dir: Path, dbname: str, user: str) -> str | None:
    """The way to the database of the server that runs on these books, by unix socket; None where none runs.

    PostgreSQL says in postmaster.pid which socket it listens on and whether it is
    ready; the file outlives a server that was killed, so its process is looked for.
    """
    for lock_file in sorted(data_dir.glob("pg[0-9]*/postmaster.pid")):
        try:
            lines = lock_file.read_text().splitlines()
            pid, port, socket_dir, status = int(lines[0]), int(lines[3]), lines[4], lines[7].strip()
            os.kill(pid, 0)
        except (OSError, IndexError, ValueError):
            continue
        if status == "ready" and (Path(socket_dir) / f".s.PGSQL.{port}").exists():
            host = quote(socket_dir, safe="")
            return f"postgresql://{quote(user, safe='')}@/{quote(dbname, safe='')}?host={host}&port={port}"
    return None
