"""The only reader of the environment: what the service was told from outside.

    LEDGER_DATABASE_URL   serve from this PostgreSQL, as the role ledger_app
    LEDGER_PG_BINDIR      the embedded PostgreSQL's programs
    LEDGER_DATA_DIR       where the embedded PostgreSQL keeps the books
    XDG_DATA_HOME         the folder above it, where LEDGER_DATA_DIR is not set
    LEDGER_LISTEN         HOST:PORT to serve on
    LEDGER_REFLECTION     on or off; by default on where the service listens on loopback
    LEDGER_WORKERS        how many processes share the port (1-32)
    LEDGER_COMMITTERS     how many batches a process decides or writes at once (1-16)
    LEDGER_AHEAD_FROM     from how many waiting drafts a ledger's next batch is decided while
                          one is being written (1-8192)
    LEDGER_ENV            dev, stage or prod; unset means prod

Command-line options come before the environment.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LISTEN_DEFAULT = "127.0.0.1:50051"
PORT_MAX = 65_535
WORKERS_MAX = 32
COMMITTERS_DEFAULT = 4
# Fewer drafts gain more by waiting for each other; see docs/performance.md.
AHEAD_FROM_DEFAULT = 200
READERS_DEFAULT = 8
DRAIN_GRACE_S = 20.0


class ConfigError(Exception):
    """A setting that cannot be used; the sentence says which, and what it may be."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the service runs with."""

    listen: str = LISTEN_DEFAULT
    database_url: str | None = None
    data_dir: Path | None = None
    pg_bindir: Path | None = None
    xdg_data_home: str | None = None
    ephemeral: bool = False
    reflection: bool = True
    workers: int = 1
    committers: int = COMMITTERS_DEFAULT
    ahead_from: int = AHEAD_FROM_DEFAULT
    readers: int = READERS_DEFAULT
    environment: str = "prod"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.listen)


def load(
    *,
    listen: str | None = None,
    database_url: str | None = None,
    data_dir: Path | None = None,
    ephemeral: bool = False,
    workers: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration from options and environment. Raises ConfigError."""
    listen = listen or environ.get("LEDGER_LISTEN") or LISTEN_DEFAULT
    if not _is_address(listen):
        raise ConfigError(
            f"cannot listen on {listen!r}; it may be HOST:PORT, as {LISTEN_DEFAULT}, or unix:PATH"
        )
    bindir = environ.get("LEDGER_PG_BINDIR")
    data = environ.get("LEDGER_DATA_DIR")
    environment = environ.get("LEDGER_ENV") or "prod"
    if environment not in ("dev", "stage", "prod"):
        raise ConfigError(f"LEDGER_ENV is {environment!r}; it may be dev, stage or prod")
    reflection = environ.get("LEDGER_REFLECTION") or ("on" if is_loopback(listen) else "off")
    if reflection not in ("on", "off"):
        raise ConfigError(f"LEDGER_REFLECTION is {reflection!r}; it may be on or off")
    workers = workers or _number(environ, "LEDGER_WORKERS", 1, WORKERS_MAX)
    if workers > 1 and listen.startswith("unix:"):
        raise ConfigError(
            f"{workers} workers cannot share {listen}: a unix socket has one listener; give HOST:PORT"
        )
    committers = _number(environ, "LEDGER_COMMITTERS", COMMITTERS_DEFAULT, 16)
    ahead_from = _number(environ, "LEDGER_AHEAD_FROM", AHEAD_FROM_DEFAULT, 8_192)
    url = database_url or environ.get("LEDGER_DATABASE_URL") or None
    if ephemeral and data_dir:
        raise ConfigError(
            "--ephemeral makes a folder of its own and removes it at the end; leave out --data-dir"
        )
    if url and (data_dir or ephemeral):
        raise ConfigError("a database URL and an embedded PostgreSQL's data directory exclude each other")
    return Config(
        listen=listen,
        database_url=url,
        data_dir=data_dir or (Path(data) if data and not ephemeral else None),
        pg_bindir=Path(bindir) if bindir else None,
        xdg_data_home=environ.get("XDG_DATA_HOME"),
        ephemeral=ephemeral,
        reflection=reflection == "on",
        workers=workers,
        committers=committers,
        ahead_from=ahead_from,
        environment=environment,
    )


def _number(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise ConfigError(f"{name} is {text!r}; it may be 1 to {most}")
    return int(text)


def is_loopback(listen: str) -> bool:
    """Whether an address to listen on is this machine's own."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(listen: str) -> bool:
    """Whether an address to listen on is well formed."""
    host, _, port = listen.rpartition(":")
    return listen.startswith("unix:") or (
        bool(host) and port.isascii() and port.isdigit() and int(port) <= PORT_MAX
    )
