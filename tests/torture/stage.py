"""What a torture runs on: PostgreSQL on a real disk, servers and callers, each a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Self, TypeVar

import grpc
import psycopg
from ledger.v1 import account_service_pb2, ledger_admin_service_pb2
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.account_service_pb2_grpc import AccountServiceStub
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub
from proxies import Proxy
from psycopg import conninfo
from torture.calling import CHANNEL, shown
from torture.checker import Verdict
from torture.history import UNKNOWN, Fields, History, read_logs
from torture.replaying import LEDGER
from torture.workload import BASE, OPENING

from ledger_server.service.verify import BadRecord, prove
from ledger_server.store.child import User, command
from ledger_server.store.databases import ensure_database
from ledger_server.store.embedded import SUPERUSER, EmbeddedPostgres
from ledger_server.store.migrate import migrate
from ledger_server.store.replaying import reading_journals
from ledger_server.store.running import running_url

DATABASE = "ledger"
PROBE = "probe"
PATIENCE_S = 60.0
CALLER_DEADLINE_S = 30.0
_NOT_FOR_SERVERS = ("LEDGER_DATABASE_URL", "LEDGER_DATA_DIR", "LEDGER_LISTEN")
_TREE = Path(__file__).resolve().parents[2]
_PATHS = os.pathsep.join(str(_TREE / part) for part in ("", "generated", "tests"))


class Stuck(Exception):
    """Something that must come did not."""


AnswerT = TypeVar("AnswerT")


def until(is_so: Callable[[], AnswerT | None], what: str, patience_s: float = PATIENCE_S) -> AnswerT:
    """Asks again and again until there is an answer. Raises Stuck."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = is_so()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Stuck(f"after {patience_s:.0f} s still not {what}")
        time.sleep(0.005)


class Process:
    """A Python program of this tree, which is told to end when this process dies."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("ab") as errors:
            ourselves = User("", os.geteuid(), os.getegid())
            self.popen = subprocess.Popen(
                command(ourselves, log.parent, sys.executable, "-P", "-W", "ignore", "-m", *arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Unread lines stay in the pipe, where select sees them.
                bufsize=0,
                env=_environment(),
            )

    def hear(self, patience_s: float = PATIENCE_S) -> str:
        """The next line. Raises Stuck where none comes."""
        output = _pipe(self.popen.stdout)
        ready, _, _ = select.select([output], [], [], patience_s)
        line = output.readline() if ready else b""
        if not line:
            words = self._log.read_text(errors="replace")[-2000:]
            raise Stuck(f"a process said nothing (exit code {self.popen.poll()}); its last words:\n{words}")
        return line.decode().strip()

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        self.popen.kill()
        self._gone()

    def end(self) -> None:
        """SIGTERM, and waits until it is gone."""
        self.popen.terminate()
        self._gone()

    def _gone(self) -> None:
        try:
            self.popen.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            with suppress(OSError):
                _pipe(pipe).close()


def _environment() -> dict[str, str]:
    """Ours, without what would send a server elsewhere."""
    kept = {name: text for name, text in os.environ.items() if name not in _NOT_FOR_SERVERS}
    return kept | {"PYTHONPATH": _PATHS, "GRPC_VERBOSITY": "NONE"}


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


class Server:
    """A server process that is started again on the same port whenever it was killed."""

    def __init__(self, log: Path, books: Sequence[str]) -> None:
        self._log = log
        self._books = books
        self.target = "127.0.0.1:0"
        self.process: Process | None = None

    def start(self, *failpoint: str) -> None:
        """Starts it and waits until it listens; with a failpoint, the one that can die there."""
        module = ("torture.served", *failpoint) if failpoint else ("ledger_server.cli", "serve")
        self.process = Process(self._log, *module, "--listen", self.target, *self._books)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            words = self.process.hear(deadline - time.monotonic()).split()
            if words[:1] == ["address"]:
                self.target = words[1]
                return

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()

    def died(self, patience_s: float = PATIENCE_S) -> int:
        """Waits until it has ended by itself; answers the signal that ended it."""
        assert self.process is not None
        process = self.process.popen
        until(lambda: process.poll() is not None, "dead", patience_s)
        self.process.kill()
        return -int(process.returncode)

    def end(self) -> None:
        """Drains and ends it."""
        if self.process is not None:
            self.process.end()


class Callers:
    """Processes of callers under way."""

    def __init__(
        self,
        folder: Path,
        targets: Sequence[str],
        *,
        count: int = 16,
        processes: int = 2,
        seed: int,
        operations: int,
    ) -> None:
        self._folder = folder
        # A stage may see several crowds, one after the other, on the same books.
        crowd = len(list(folder.glob("c*.jsonl"))) // count
        everyone = [f"c{crowd}-{number}" for number in range(count)]
        self._processes = [Process(folder / "callers.log", "torture.calling") for _ in range(processes)]
        for number, process in enumerate(self._processes):
            job = {
                "names": everyone[number::processes],
                "everyone": everyone,
                # Every process has callers of every server.
                "targets": list(targets),
                "folder": str(folder),
                "seed": seed,
                "operations": operations // processes,
                "deadline_s": CALLER_DEADLINE_S,
            }
            _pipe(process.popen.stdin).write(json.dumps(job).encode() + b"\n")
        for process in self._processes:
            assert process.hear() == "READY"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()

    def answered(self) -> int:
        """About how many lines all logs have: it grows while the service answers."""
        return sum(path.stat().st_size for path in self._folder.glob("c*.jsonl"))

    def are_done(self) -> bool:
        """Whether all made their operations."""
        return all(select.select([_pipe(one.popen.stdout)], [], [], 0)[0] for one in self._processes)

    def finish(self, *, early: bool = True) -> None:
        """Waits for the last answers; `early` before all operations are made."""
        for process in self._processes if early else ():
            _pipe(process.popen.stdin).close()
        for process in self._processes:
            assert process.hear(PATIENCE_S * 4) == "DONE"


class Stage:
    """A folder on a real disk, a database, servers."""

    def __init__(self, folder: Path, servers: list[Server], owner_url: Callable[[], str]) -> None:
        self.folder = folder
        self.servers = servers
        self.owner_url = owner_url
        # Of all calls up to the last fault that was judged.
        self.verdict = Verdict([], 0, 0, 0, 0, 0)

    def open_books(self) -> None:
        """The callers' ledger and the probe's."""
        with grpc.insecure_channel(self.servers[0].target, options=CHANNEL) as channel:
            admin, accounts = LedgerAdminServiceStub(channel), AccountServiceStub(channel)
            for ledger in (LEDGER, PROBE):
                request = ledger_admin_service_pb2.CreateLedgerRequest(name=ledger)
                admin.CreateLedger(request, timeout=PATIENCE_S, wait_for_ready=True)
                for method, fields in OPENING:
                    module, stub = (
                        (ledger_admin_service_pb2, admin)
                        if method == "CreateAsset"
                        else (account_service_pb2, accounts)
                    )
                    asked = getattr(module, f"{method}Request")(**fields | {"ledger": ledger})
                    getattr(stub, method)(asked, timeout=PATIENCE_S)

    def database_is_back(self) -> float:
        """Waits until PostgreSQL answers; the time then."""

        def answers() -> bool:
            try:
                with psycopg.connect(self.owner_url(), connect_timeout=2) as connection:
                    connection.execute("select 1")
            except (psycopg.Error, Stuck):
                return False
            return True

        until(answers, "answered by PostgreSQL")
        return time.monotonic()

    def serves_again(self, server: Server) -> float:
        """Waits until the server records something; the time then."""
        entries = [
            {"account": "cash", "side": 1, "amount": "1", "asset": "USD"},
            {"account": "sales", "side": 2, "amount": "1", "asset": "USD"},
        ]
        request = pb.PostRequest(ledger=PROBE, entries=entries)
        with grpc.insecure_channel(server.target, options=CHANNEL) as channel:
            stub = LedgerServiceStub(channel)

            def posts() -> bool:
                try:
                    stub.Post(request, timeout=30.0, wait_for_ready=True)
                except grpc.RpcError:
                    return False
                return True

            until(posts, f"served by {server.target}")
        return time.monotonic()

    def history(self) -> History:
        """The callers' logs and the last reads."""
        calls = read_logs(sorted(self.folder.glob("c*.jsonl")))
        with grpc.insecure_channel(self.servers[0].target, options=CHANNEL) as channel:
            stub, admin = LedgerServiceStub(channel), LedgerAdminServiceStub(channel)
            head = admin.GetLedger(
                ledger_admin_service_pb2.GetLedgerRequest(name=LEDGER),
                timeout=PATIENCE_S,
                wait_for_ready=True,
            ).ledger.sequence
            journal: list[Fields] = []
            token = ""
            while True:
                request = pb.ListTransactionsRequest(ledger=LEDGER, order=2, page_size=1000, page_token=token)
                page = stub.ListTransactions(request, timeout=PATIENCE_S)
                journal += [shown(one) for one in page.transactions]
                token = page.next_page_token
                if not token:
                    break
            unknown = {
                fields["idempotency_key"]
                for call in calls
                if call.outcome == UNKNOWN
                for _, fields in call.operations
            }
            resolved = {key: _read(stub, key) for key in sorted(unknown)}
        return History(calls, BASE, head, OPENING, journal, resolved)

    def unproven(self) -> list[str]:
        """What `verify` finds."""
        found = []
        with reading_journals(self.owner_url(), None) as journals:
            for journal in journals:
                try:
                    prove(journal)
                except BadRecord as bad:
                    found.append(f"{journal.name}: {bad}")
        return found


def _read(stub: LedgerServiceStub, key: str) -> int | None:
    request = pb.GetTransactionRequest(ledger=LEDGER, transaction={"idempotency_key": key})
    try:
        return int(stub.GetTransaction(request, timeout=PATIENCE_S).transaction.sequence)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        return None


@contextmanager
def folder_on_disk() -> Iterator[Path]:
    """A folder that PostgreSQL's user may pass through, removed at the end."""
    with TemporaryDirectory(prefix="ledger-torture-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)
        yield Path(name)


@contextmanager
def embedded_stage() -> Iterator[Stage]:
    """One `serve --data-dir`: the database lives and dies with the server."""
    with folder_on_disk() as folder:
        books = folder / "books"
        server = Server(folder / "server.log", ["--data-dir", str(books)])

        def owner_url() -> str:
            url = running_url(books, DATABASE, SUPERUSER)
            if url is None:
                raise Stuck("PostgreSQL does not run")
            return url

        server.start()
        try:
            stage = Stage(folder, [server], owner_url)
            stage.open_books()
            yield stage
        finally:
            server.end()


@contextmanager
def cluster_on_disk() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of the torture's own, on a real disk, fsync on."""
    with folder_on_disk() as folder, EmbeddedPostgres.start(folder / "books") as postgres:
        yield postgres


@contextmanager
def shared_stage(postgres: EmbeddedPostgres, servers: int, *, proxy: Proxy | None = None) -> Iterator[Stage]:
    """Servers on one database of a PostgreSQL that outlives them, through the proxy if there is one."""
    with folder_on_disk() as folder:
        database = folder.name.replace("-", "_")
        ensure_database(postgres.owner_url, database)
        owner_url = postgres.url(database, SUPERUSER)
        migrate(owner_url)
        url = postgres.url(database, "ledger_app")
        if proxy is not None:
            url = conninfo.make_conninfo(proxy.url, dbname=database)
        books = ["--database-url", url]
        started = [Server(folder / f"server{number}.log", books) for number in range(servers)]
        try:
            for server in started:
                server.start()
            stage = Stage(folder, started, lambda: owner_url)
            stage.open_books()
            yield stage
        finally:
            for server in started:
                server.end()


def postmaster_pid(stage: Stage) -> int:
    """The process to kill for the whole PostgreSQL."""
    with psycopg.connect(stage.owner_url()) as connection:
        row = connection.execute("select setting from pg_settings where name = 'data_directory'").fetchone()
    assert row is not None
    return int((Path(row[0]) / "postmaster.pid").read_text().split()[0])


def backend_pids(stage: Stage) -> list[int]:
    """The backends that serve the ledger, those at work first."""
    with psycopg.connect(stage.owner_url()) as connection:
        rows = connection.execute(
            "select pid from pg_stat_activity where application_name = 'ledger'"
            " and datname = current_database() order by state = 'active' desc, query_start desc"
        ).fetchall()
    return [pid for (pid,) in rows]


def kill_9(pid: int) -> None:
    """SIGKILL, of a process of the torture's own PostgreSQL."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
