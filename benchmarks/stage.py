"""What a bench runs on: PostgreSQL, the service, the echo and the load, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, LiteralString

import grpc
import psycopg
from ledger.v1.account_service_pb2 import AccountDraft, BatchCreateAccountsRequest
from ledger.v1.account_service_pb2_grpc import AccountServiceStub
from ledger.v1.ledger_admin_service_pb2 import CreateAssetRequest, CreateLedgerRequest
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from ledger.v1.ledger_pb2 import ACCOUNT_TYPE_ASSET, BalanceLimit

from benchmarks import plain_tables
from benchmarks.drafts import ASSET, account_name
from benchmarks.usage import CpuMeter, cpu_seconds, family_cpu_seconds
from ledger_server.app import migrate_database
from ledger_server.store.databases import ensure_database
from ledger_server.store.embedded import SUPERUSER, EmbeddedPostgres, make_ephemeral_data_dir

DATABASE = "bench"
_ACCOUNTS_AT_ONCE = 1_000
_END_S = 30.0


class Process:
    """A Python program of this tree with pipes to it."""

    def __init__(self, log: Path, module: str, *arguments: str) -> None:
        self._log = log
        path = os.pathsep.join(part for part in sys.path if part)
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"PYTHONPATH": path},
            )
        self.pid = self._process.pid

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def hear(self) -> str:
        """The next line. Raises RuntimeError where the process has ended."""
        line = self._output.readline()
        if not line:
            code = self._process.wait(_END_S)
            words = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"a process of the bench ended with {code}; its last words:\n{words}")
        return line.strip()

    def say(self, line: str = "") -> None:
        """Sends a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Asks it to end, and waits."""
        assert self._process.stdin is not None
        self._process.terminate()
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


class Workers:
    """Load processes that do the same kind of job at the same time."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.processes = processes

    def run(self, job: dict[str, Any], meter: CpuMeter | None = None) -> dict[str, Any]:
        """The job on every process; counts and rates add up. The meter starts where preparation ends."""
        for process in self.processes:
            process.say(json.dumps(job))
        if job["kind"] != "calls":
            for process in self.processes:
                assert process.hear() == "READY"
        meter = meter or CpuMeter({})
        meter.restart()
        if job["kind"] != "calls":
            for process in self.processes:
                process.say()
        answers = [json.loads(process.hear()) for process in self.processes]
        return {
            "count": sum(answer["count"] for answer in answers),
            "rate": sum(answer["count"] / answer["seconds"] for answer in answers),
            "latencies_us": answers[0].get("latencies_us", []),
            "cpu": meter.used(),
        }


class Stage:
    """A running PostgreSQL and the processes started on it."""

    def __init__(self, ends: ExitStack, data_dir: Path, postgres: EmbeddedPostgres) -> None:
        self._ends = ends
        self._postgres = postgres
        self.data_dir = data_dir
        ensure_database(postgres.owner_url, DATABASE)
        self.owner_url = postgres.url(DATABASE, SUPERUSER)
        migrate_database(self.owner_url, None)
        plain_tables.create(self.owner_url)

    def database_version(self) -> str:
        """PostgreSQL's version."""
        with psycopg.connect(self.owner_url) as connection:
            row = connection.execute("show server_version").fetchone()
            return str(row[0]) if row else ""

    def count(self, relation: LiteralString) -> int:
        """The rows of a table or of a subquery, as the superuser sees them."""
        with psycopg.connect(self.owner_url) as connection:
            row = connection.execute(f"select count(*) from {relation}").fetchone()
            return int(row[0]) if row else 0

    def _start(self, module: str, *arguments: str) -> Process:
        process = Process(self.data_dir / f"{module}.log", module, *arguments)
        self._ends.callback(process.end)
        return process

    def serve(self) -> tuple[Process, str]:
        """Starts the service as ledger_app, and answers it and its target."""
        url = self._postgres.url(DATABASE, "ledger_app")
        server = self._start("ledger_server.cli", "serve", "--listen", "127.0.0.1:0", "--database-url", url)
        while True:
            name, _, value = server.hear().partition(" ")
            if name == "address":
                return server, value.strip()

    def echo(self) -> tuple[Process, str]:
        """Starts the echo server, and answers it and its target."""
        server = self._start("benchmarks.echo")
        return server, f"127.0.0.1:{server.hear()}"

    def workers(self, count: int) -> Workers:
        """Starts load processes."""
        return Workers([self._start("benchmarks.worker") for _ in range(count)])

    def meter(self, server: Process, workers: Workers) -> CpuMeter:
        """A meter of the three sides' CPU."""
        return CpuMeter(
            {
                "client": [
                    lambda pid=process.pid: cpu_seconds(pid)  # type: ignore[misc]
                    for process in workers.processes
                ],
                "server": [lambda: cpu_seconds(server.pid)],
                "database": [lambda: family_cpu_seconds(self._postgres.pid)],
            }
        )


@contextmanager
def stage() -> Iterator[Stage]:
    """A throw-away PostgreSQL with the schema, on the disk of temporary files, fsync on."""
    with ExitStack() as ends:
        data_dir = make_ephemeral_data_dir()
        postgres = EmbeddedPostgres.start(data_dir, ephemeral=True)
        ends.callback(postgres.stop)
        yield Stage(ends, data_dir, postgres)


def open_ledger(target: str, ledger: str, accounts: int, *, bounded: bool = False) -> None:
    """Makes a ledger with one asset and so many accounts."""
    with grpc.insecure_channel(target) as channel:
        admin, opener = LedgerAdminServiceStub(channel), AccountServiceStub(channel)
        admin.CreateLedger(CreateLedgerRequest(name=ledger))
        admin.CreateAsset(CreateAssetRequest(ledger=ledger, code=ASSET, scale=2))
        limits = [BalanceLimit(asset=ASSET, balance_min="-1000000000000")] if bounded else []
        for start in range(0, accounts, _ACCOUNTS_AT_ONCE):
            opener.BatchCreateAccounts(
                BatchCreateAccountsRequest(
                    ledger=ledger,
                    accounts=[
                        AccountDraft(name=account_name(number), type=ACCOUNT_TYPE_ASSET, limits=limits)
                        for number in range(start, min(start + _ACCOUNTS_AT_ONCE, accounts))
                    ],
                )
            )
