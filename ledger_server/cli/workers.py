"""`./ledger serve --workers N`: processes that share one port, started, watched and ended by this one.

This process opens the books, keeps the port, and serves nothing itself. Workers are
programs of their own, never forks: gRPC does not live through a fork. The system gives
each new connection to one of those that listen. A worker that ends is started again,
after a pause that grows while it keeps ending. Workers end when this process does,
however it does: the kernel tells them, and where it does not, they look.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from ledger_server.app import Home, open_home, refuse_strangers
from ledger_server.config import DRAIN_GRACE_S, Config, ConfigError
from ledger_server.rpc.server import reserve
from ledger_server.store.child import User, command

_log = logging.getLogger(__name__)

# Calls, open streams, writes and reads each have the drain's grace, one after the other.
_DRAIN_MAX_S = 4 * DRAIN_GRACE_S
_PAUSE_FIRST_S = 0.1
_PAUSE_MAX_S = 5.0
# Who has served for so long has not failed to start: the pauses begin anew.
_SOUND_S = 10.0


class Worker:
    """The place of one worker: a process, and another one after it has ended."""

    def __init__(self, number: int, told: str) -> None:
        self._number = number
        self._told = told
        self._failures = 0
        self._started = 0.0
        self._start_again = 0.0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts the process.

        The thread must live as long as this program: the kernel's signal to a child
        comes when the thread that started it ends.
        """
        ourselves = User("", os.geteuid(), os.getegid())
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            command(ourselves, Path.cwd(), sys.executable, "-P", "-m", "ledger_server.cli.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us: we tell the workers.
        )
        try:
            with _pipe(self._process.stdin) as stdin:
                stdin.write(self._told)
        except BrokenPipeError:
            pass  # It has ended already, and is started again.

    def await_serving(self) -> None:
        """Waits until it serves. Raises ConfigError with the reason why it does not."""
        line = _pipe(self._process.stdout).readline() if self._process is not None else ""
        problem = json.loads(line)["problem"] if line else "a worker ended before it served; its log says why"
        if problem:
            raise ConfigError(problem)

    def start_ended(self) -> None:
        """Starts it again if it has ended and its pause is over."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._failures = 0 if now - self._started > _SOUND_S else self._failures + 1
            pause_s = min(_PAUSE_FIRST_S * 2**self._failures, _PAUSE_MAX_S)
            self._start_again = now + pause_s
            _log.error(
                "worker %d, process %d, ended with %d; starting another one in %.1f s",
                self._number,
                self._process.pid,
                code,
                pause_s,
            )
            self._forget()
        elif now >= self._start_again:
            self.start()

    def end(self) -> None:
        """Has it drain; `await_end` waits for that."""
        if self._process is not None:
            self._process.terminate()

    def await_end(self, deadline: float) -> None:
        """Waits until it has drained; past the deadline it is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("worker %d did not drain in time", self._number)
            self._process.kill()
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._process is not None:
            _pipe(self._process.stdout).close()
            self._process = None


class Workers:
    """The service as several processes. Use `start`, then `start_ended` now and then, then `drain`."""

    def __init__(self, settings: Config) -> None:
        self.port = 0
        self.data_dir: Path | None = None
        self._settings = settings
        self._ends = ExitStack()
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Opens the books and starts every worker; leaves nothing running if one of them fails."""
        try:
            self._start()
        except BaseException:
            self.drain()
            raise

    def _start(self) -> None:
        refuse_strangers(self._settings)
        reserved: socket.socket = self._ends.enter_context(reserve(self._settings.listen))
        self.port = reserved.getsockname()[1]
        home = open_home(self._settings, self._ends)
        self.data_dir = home.data_dir
        told = self._told(home)
        for number in range(1, self._settings.workers + 1):
            worker = Worker(number, told)
            self._workers.append(worker)
            worker.start()
        for worker in self._workers:
            worker.await_serving()

    def _told(self, home: Home) -> str:
        """What a worker is told; by a pipe: a URL has a password, and everybody may read a command line."""
        host = self._settings.listen.rpartition(":")[0]
        settings = replace(
            self._settings, listen=f"{host}:{self.port}", data_dir=None, pg_bindir=None, xdg_data_home=None
        )
        return json.dumps({"settings": asdict(settings), "url": home.url})

    def start_ended(self) -> None:
        """Starts workers that have ended. To be called from the thread that started them."""
        for worker in self._workers:
            worker.start_ended()

    def drain(self) -> None:
        """Drains every worker, all at once, and stops what it started."""
        deadline = time.monotonic() + _DRAIN_MAX_S
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.await_end(deadline)
        self._workers.clear()
        self._ends.close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
