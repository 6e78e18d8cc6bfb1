"""The processes of a torture: servers and callers, each ending with the process that started it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import IO, Self, TypeVar

from ledger_server.store.child import User, command

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

    def __init__(self, log: Path, *arguments: str, ahead_from: str = "1") -> None:
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
                env=_environment(ahead_from),
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


# One server decides every batch ahead that it can, the next one writes every batch at once that it can.
_AHEAD_FROM = cycle(("1", "2048"))


def _environment(ahead_from: str) -> dict[str, str]:
    """Ours, without what would send a server elsewhere; from so many on batches are decided ahead."""
    kept = {name: text for name, text in os.environ.items() if name not in _NOT_FOR_SERVERS}
    return kept | {"PYTHONPATH": _PATHS, "GRPC_VERBOSITY": "NONE", "LEDGER_AHEAD_FROM": ahead_from}


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
        self.process = Process(
            self._log, *module, "--listen", self.target, *self._books, ahead_from=next(_AHEAD_FROM)
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            words = self.process.hear(deadline - time.monotonic()).split()
            if words[:1] == ["address"]:
                self.target = words[1]
                return

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.popen.pid

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
