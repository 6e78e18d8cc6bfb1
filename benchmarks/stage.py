"""What a bench runs on: PostgreSQL, the service, the echo and the load, each a process of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import plain_tables
from benchmarks.echo import ONE_CORE
from benchmarks.processes import Process, Server, Workers
from benchmarks.usage import CpuMeter, cpu_seconds, family_cpu_seconds
from ledger_server.app import migrate_database
from ledger_server.cli.serve import serve
from ledger_server.store.databases import ensure_database
from ledger_server.store.embedded import SUPERUSER, EmbeddedPostgres, make_ephemeral_data_dir

_SERVED_BY = "ledger_app"
# A log line begins with the SQLSTATE of what it tells, so that aborts can be counted.
_SETTINGS = {"log_line_prefix": "%e "}
_ABORT = re.compile(rb"^40001 ERROR", re.MULTILINE)


class Books:
    """A database with the schema."""

    def __init__(self, postgres: EmbeddedPostgres, name: str) -> None:
        ensure_database(postgres.owner_url, name)
        self.owner_url = postgres.url(name, SUPERUSER)
        self.app_url = postgres.url(name, _SERVED_BY)
        migrate_database(self.owner_url, None)

    def count(self, relation: str) -> int:
        """The rows of a table or of a subquery, as the superuser sees them."""
        with psycopg.connect(self.owner_url) as connection:
            row = connection.execute(f"select count(*) from {relation}".encode()).fetchone()
            return int(row[0]) if row else 0


class Stage:
    """A running PostgreSQL and the processes started on it."""

    def __init__(self, ends: ExitStack, data_dir: Path, postgres: EmbeddedPostgres) -> None:
        self._ends = ends
        self._postgres = postgres
        self._load: list[Process] = []
        self.data_dir = data_dir
        self.books = self.more_books("bench")
        plain_tables.create(self.owner_url)

    @property
    def owner_url(self) -> str:
        """The superuser's way to the first database."""
        return self.books.owner_url

    def database_version(self) -> str:
        """PostgreSQL's version."""
        with psycopg.connect(self.owner_url) as connection:
            row = connection.execute("show server_version").fetchone()
            return str(row[0]) if row else ""

    def more_books(self, name: str) -> Books:
        """Another database beside the first."""
        return Books(self._postgres, name)

    def aborts(self) -> int:
        """How often PostgreSQL has aborted a statement or a commit with 40001 since it started."""
        return len(_ABORT.findall((self.data_dir / "postgres.log").read_bytes()))

    @contextmanager
    def slow_commits(self, delay_ms: int) -> Iterator[None]:
        """Every commit of a service that starts inside takes so much longer, at most 100 ms.

        PostgreSQL waits before its flush, which it else does for others to join; the
        commit is a real one.
        """
        settings = {"commit_delay": delay_ms * 1_000, "commit_siblings": 0}
        role = sql.Identifier(_SERVED_BY)
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(
                    sql.SQL("alter role {} set {} = {}").format(
                        role, sql.Identifier(name), sql.Literal(value)
                    )
                )
            try:
                yield
            finally:
                for name in settings:
                    connection.execute(sql.SQL("alter role {} reset {}").format(role, sql.Identifier(name)))

    def _start(self, module: str, *arguments: str) -> Process:
        process = Process(self.data_dir / f"{module}.log", module, *arguments)
        self._ends.callback(process.end)
        return process

    def serve(self, books: Books | None = None, *, workers: int = 1, options: tuple[str, ...] = ()) -> Server:
        """Starts the service on the books as ledger_app, with so many worker processes."""
        url = (books or self.books).app_url
        common = ("serve", "--listen", "127.0.0.1:0", "--database-url", url, *options)
        if workers == 1:
            started = [self._start("ledger_server.cli", *common)]
        elif any(option.name == "workers" for option in serve.params):
            started = [self._start("ledger_server.cli", *common, "--workers", str(workers))]
        else:
            started = [self._start("ledger_server.cli", *common) for _ in range(workers)]
        return Server(tuple(started), tuple(_address(process) for process in started))

    def echo(self, *, on_one_core: bool = False) -> Server:
        """Starts the echo server, as gRPC runs it by itself or on one core as the service is."""
        process = self._start("benchmarks.echo", *([ONE_CORE] if on_one_core else ()))
        return Server((process,), (f"127.0.0.1:{process.hear()}",))

    def workers(self, count: int) -> Workers:
        """So many load processes: the first ones of those there are, and new ones where they are too few."""
        while len(self._load) < count:
            self._load.append(self._start("benchmarks.worker"))
        return Workers(self._load[:count])

    def meter(self, server: Server, workers: Workers) -> CpuMeter:
        """A meter of the three sides' CPU."""
        return CpuMeter(
            {
                "client": [
                    lambda pid=process.pid: cpu_seconds(pid)  # type: ignore[misc]
                    for process in workers.processes
                ],
                "server": [server.cpu_seconds],
                "database": [lambda: family_cpu_seconds(self._postgres.pid)],
            }
        )


def _address(process: Process) -> str:
    while True:
        name, _, value = process.hear().partition(" ")
        if name == "address":
            return value.strip()


@contextmanager
def stage() -> Iterator[Stage]:
    """A throw-away PostgreSQL with the schema, on the disk of temporary files, fsync on."""
    with ExitStack() as ends:
        data_dir = make_ephemeral_data_dir()
        postgres = EmbeddedPostgres.start(data_dir, ephemeral=True, settings=_SETTINGS)
        ends.callback(postgres.stop)
        yield Stage(ends, data_dir, postgres)
