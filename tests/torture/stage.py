"""What a torture runs on: PostgreSQL on a real disk, servers on it, and what is read when all is over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psycopg
from ledger.v1 import account_service_pb2, chart_service_pb2, ledger_admin_service_pb2
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.account_service_pb2_grpc import AccountServiceStub
from ledger.v1.chart_service_pb2_grpc import ChartServiceStub
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub
from oracle.drive import plain
from proxies import Proxy
from psycopg import conninfo
from torture.calling import CHANNEL, shown
from torture.checker import Verdict
from torture.history import UNKNOWN, Fields, History, read_logs
from torture.processes import PATIENCE_S, Server, Stuck, until
from torture.replaying import LEDGER
from torture.workload import BASE, OPENING

from ledger_server.service.verify import BadRecord, prove
from ledger_server.store.databases import ensure_database
from ledger_server.store.embedded import SUPERUSER, EmbeddedPostgres
from ledger_server.store.migrate import migrate
from ledger_server.store.replaying import reading_journals
from ledger_server.store.running import running_url

DATABASE = "ledger"
PROBE = "probe"
# With the process id behind it, so that a later run knows whose it was.
FOLDER = "ledger-torture-"


class Stage:
    """A folder on a real disk, a database, servers."""

    def __init__(self, folder: Path, servers: list[Server], owner_url: Callable[[], str]) -> None:
        self.folder = folder
        self.servers = servers
        self.owner_url = owner_url
        # Of all calls up to the last fault that was judged, and how many of them were judged then.
        self.verdict = Verdict([], 0, 0, 0, 0, 0)
        self.judged = 0

    def open_books(self) -> None:
        """The callers' ledger and the probe's."""
        with grpc.insecure_channel(self.servers[0].target, options=CHANNEL) as channel:
            admin = LedgerAdminServiceStub(channel)
            services = {
                "CreateAsset": (ledger_admin_service_pb2, admin),
                "CreateAccount": (account_service_pb2, AccountServiceStub(channel)),
                "ApplyChart": (chart_service_pb2, ChartServiceStub(channel)),
            }
            for ledger in (LEDGER, PROBE):
                request = ledger_admin_service_pb2.CreateLedgerRequest(name=ledger)
                admin.CreateLedger(request, timeout=PATIENCE_S, wait_for_ready=True)
                for method, fields in OPENING:
                    module, stub = services[method]
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

    def head(self) -> int:
        """The newest record of the callers' ledger, by PostgreSQL itself."""
        with psycopg.connect(self.owner_url()) as connection:
            row = connection.execute(
                "select sequence from ledger.heads join ledger.directory using (ledger_id) where name = %s",
                [LEDGER],
            ).fetchone()
        assert row is not None
        return int(row[0])

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
            changes = [*self._changed_accounts(), *_changed_charts(ChartServiceStub(channel))]
        return History(calls, BASE, head, OPENING, journal, resolved, changes)

    def _changed_accounts(self) -> list[Fields]:
        """Every version of an account but its first, by PostgreSQL itself: the service shows the newest."""
        with psycopg.connect(self.owner_url()) as connection:
            named = "join ledger.directory using (ledger_id) where directory.name = %s"
            codes = {
                str(asset): code
                for asset, code in connection.execute(
                    f"select asset_id, code from ledger.assets {named}".encode(), [LEDGER]
                )
            }
            return [
                {
                    "sequence": sequence,
                    "hash": digest.hex(),
                    "record_time": round(seconds * 10**6),
                    "subject": name,
                    "version": version,
                    "now": {"status": status, "limits": _limits(limits or {}, codes)},
                }
                for sequence, digest, seconds, name, version, status, limits in connection.execute(
                    "select sequence, hash, extract(epoch from record_time),"
                    " accounts.name, version, status, limits"
                    f" from ledger.accounts {named} and version > 1".encode(),
                    [LEDGER],
                )
            ]

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


def _limits(limits: Fields, codes: dict[str, str]) -> list[Fields]:
    shown = [
        {"asset": codes[asset], **{bound: given.get(bound) for bound in ("balance_min", "balance_max")}}
        for asset, given in limits.items()
    ]
    return sorted(shown, key=lambda one: str(one["asset"]))


def _changed_charts(stub: ChartServiceStub) -> list[Fields]:
    """Every version of the chart but the first."""
    newest = _chart(stub, 0)["version"]
    charts = [_chart(stub, version) for version in range(2, newest + 1)]
    names = ("sequence", "record_time", "version")
    return [
        {"subject": "", "hash": one["hash"].hex(), "now": one["chart"], **{name: one[name] for name in names}}
        for one in charts
    ]


def _chart(stub: ChartServiceStub, version: int) -> Fields:
    request = chart_service_pb2.GetChartRequest(ledger=LEDGER, version=version)
    chart: Fields = plain(stub.GetChart(request, timeout=PATIENCE_S).chart)
    return chart


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
    with TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)
        yield Path(name)


@contextmanager
def embedded_stage(elsewhere: Path | None = None) -> Iterator[Stage]:
    """One `serve --data-dir`: the database lives and dies with the server. `elsewhere` is where it lies."""
    with folder_on_disk() as folder:
        books = elsewhere or folder / "books"
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
