"""The server under hostile calls: a process of its own, whose memory, threads and files are watched."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc
from clusters import Database
from ledger.v1 import account_service_pb2_grpc, ledger_admin_service_pb2_grpc, ledger_service_pb2_grpc
from torture.processes import Server

ENVIRONMENT_SECRET = "LEDGER_CANARY"
_LOOK_S = 0.25
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Look:
    """What the process held at one moment, after so many answers."""

    answers: int
    resident_bytes: int
    threads: int
    files: int


@dataclass(slots=True)
class Hostage:
    """A served database and stubs that speak to it."""

    target: str
    channel: grpc.Channel
    ledgers: ledger_service_pb2_grpc.LedgerServiceStub
    accounts: account_service_pb2_grpc.AccountServiceStub
    admin: ledger_admin_service_pb2_grpc.LedgerAdminServiceStub
    database: Database
    pid: int
    log_path: Path

    def log(self) -> str:
        """Everything that the server wrote."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def look(self, answers: int = 0) -> Look:
        """What the process holds now."""
        process = Path(f"/proc/{self.pid}")
        resident = int((process / "statm").read_text().split()[1]) * _PAGE_BYTES
        return Look(answers, resident, len(os.listdir(process / "task")), len(os.listdir(process / "fd")))


@contextmanager
def hostage(database: Database, folder: Path, *arguments: str) -> Iterator[Hostage]:
    """Serves the database from a process of its own, with these options more, until the block ends."""
    server = Server(folder / "server.log", ["--database-url", database.app_url, *arguments])
    server.start()
    assert server.process is not None
    try:
        with grpc.insecure_channel(server.target) as channel:
            yield Hostage(
                server.target,
                channel,
                ledger_service_pb2_grpc.LedgerServiceStub(channel),
                account_service_pb2_grpc.AccountServiceStub(channel),
                ledger_admin_service_pb2_grpc.LedgerAdminServiceStub(channel),
                database,
                server.process.popen.pid,
                folder / "server.log",
            )
    finally:
        server.end()


class Watch:
    """Looks at the process a few times a second while the block runs."""

    def __init__(self, hostage: Hostage) -> None:
        self._hostage = hostage
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self.answers = 0
        self.looks: list[Look] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self.looks.append(self._hostage.look(self.answers))
