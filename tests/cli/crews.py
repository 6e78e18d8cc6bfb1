"""A service of several processes for tests, a load on it, and who belongs to it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import grpc
from callers import Refused, Teller, answer_of
from faults import until
from ledger.v1 import account_service_pb2_grpc, ledger_admin_service_pb2_grpc, ledger_service_pb2_grpc
from serving import Serving
from torture.processes import Server
from torture.stage import DATABASE, folder_on_disk

from ledger_server.store.embedded import SUPERUSER
from ledger_server.store.running import running_url

CHANNELS_MAX = 64
TREE = Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join((str(TREE), str(TREE / "generated")))


class Crew:
    """A `serve` with workers, and channels that reach every worker."""

    def __init__(self, folder: Path, arguments: Sequence[str], ends: ExitStack) -> None:
        self._folder = folder
        self._ends = ends
        self.server = Server(folder / "server.log", arguments)
        self.server.start()
        ends.callback(self.server.end)

    @property
    def target(self) -> str:
        """Where it listens."""
        return self.server.target

    @property
    def owner_url(self) -> str:
        """The way to the embedded books as a superuser."""
        url = running_url(self._folder / "books", DATABASE, SUPERUSER)
        assert url is not None
        return url

    def log(self) -> str:
        """What it said on stderr."""
        return (self._folder / "server.log").read_text()

    def workers(self) -> list[int]:
        """The processes that serve."""
        return worker_pids(self.server.pid)

    def connect(self) -> Serving:
        """Stubs on a connection of their own."""
        channel = self._ends.enter_context(
            grpc.insecure_channel(self.target, options=(("grpc.use_local_subchannel_pool", 1),))
        )
        grpc.channel_ready_future(channel).result(30)
        return Serving(
            None,  # type: ignore[arg-type]
            self.target,
            channel,
            ledger_service_pb2_grpc.LedgerServiceStub(channel),
            account_service_pb2_grpc.AccountServiceStub(channel),
            ledger_admin_service_pb2_grpc.LedgerAdminServiceStub(channel),
            "",
        )

    def connect_to_each(self, teller: Teller, least: int = 8) -> list[Teller]:
        """The teller's ledger over connections that reach every worker."""
        tellers: list[Teller] = []
        while len(tellers) < least or len(self.listeners_spoken_to()) < len(self.workers()):
            assert len(tellers) < CHANNELS_MAX
            tellers.append(teller.at(self.connect()))
        return tellers

    def listeners_spoken_to(self) -> set[int]:
        """The workers that somebody is connected to."""
        port = int(self.target.rpartition(":")[2])
        # A server's IPv4 connections are among those of IPv6 where it listens for both.
        listed = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
        rows = [row.split() for rows in listed for row in rows]
        sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == "01" and row[1].endswith(f":{port:04X}")}
        return {pid for pid in self.workers() if sockets & set(open_files(pid))}


def worker_pids(pid: int) -> list[int]:
    """The workers of a process."""
    return [child for child, line in family(pid) if "ledger_server.cli.worker" in line]


def open_files(pid: int) -> list[str]:
    """What a process has open."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(descriptor))
        except OSError:
            continue  # Closed meanwhile.
    return found


def family(pid: int) -> list[tuple[int, str]]:
    """The processes that descend from one, with their command lines."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(None, 2) for line in listed]
    found, parents = [], {pid}
    while parents:
        born = [(int(row[0]), row[2]) for row in rows if int(row[1]) in parents]
        found += born
        parents = {child for child, _ in born}
    return found


def are_gone(pids: Sequence[int]) -> bool:
    """Whether none of them runs; who is dead and not yet waited for does not."""

    def is_gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return True

    return all(is_gone(pid) for pid in pids)


def refused_start(*arguments: str) -> str:
    """What a `serve` says that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "ledger_server.cli", "serve", "--listen", "127.0.0.1:0", *arguments],
        cwd=TREE,
        env=os.environ | {"PYTHONPATH": PATHS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@contextmanager
def crew(*, database_url: str = "") -> Iterator[Crew]:
    """A service of two workers, on an embedded PostgreSQL unless a URL is given."""
    with folder_on_disk() as folder, ExitStack() as ends:
        books = ["--database-url", database_url] if database_url else ["--data-dir", str(folder / "books")]
        yield Crew(folder, [*books, "--workers", "2"], ends)


class Load:
    """Callers that post one by one, over all connections, until they are told to stop."""

    def __init__(self, tellers: Sequence[Teller], ends: ExitStack) -> None:
        self.acknowledged: list[str] = []
        self.refusals: list[Refused] = []
        # Whoever was cut off does not know what became of the post.
        self.unknown: list[str] = []
        self._stopping = threading.Event()
        self._numbers = count()
        pool = ends.enter_context(ThreadPoolExecutor(len(tellers)))
        ends.callback(self._stopping.set)
        self._running = [pool.submit(self._post_on, teller) for teller in tellers]

    def _post_on(self, teller: Teller) -> None:
        while not self._stopping.is_set():
            key = f"k{next(self._numbers)}"
            answer = answer_of(lambda key=key: teller.post("cash", "wallet", 1, key))  # type: ignore[misc]
            if isinstance(answer, Refused):
                self.refusals.append(answer)
                if not answer.reason:
                    self.unknown.append(key)
                self._stopping.wait(0.02)
            else:
                self.acknowledged.append(key)

    def await_answers(self, more: int = 50) -> None:
        """Waits until so many more posts were answered."""
        least = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= least, f"{more} more answers")

    def finish(self) -> None:
        """Waits for the last answers."""
        self._stopping.set()
        for one in self._running:
            one.result(60)
