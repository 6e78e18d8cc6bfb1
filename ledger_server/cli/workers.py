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
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from ledger_server.app import Home, open_home
from ledger_server.config import DRAIN_GRACE_S, Config, ConfigError, refuse_strangers
from ledger_server.rpc.server import reserve
from ledger_server.store.child import User, command

_log = logging.getLogger(__name__)

# Calls, open streams, writes and reads each have the drain's grace, one after the other.
_DRAIN_MAX_S = 4 * DRAIN_GRACE_S
# A start that was broken off waits no longer than this for workers that may be stuck in it.
_BREAK_OFF_MAX_S = 5.0
_PAUSE_FIRST_S = 0.2
_PAUSE_MAX_S = 5.0
# Who has served for so long has not failed to start: the pauses begin anew.
_SOUND_S = 10.0
# How often a start looks whether it is to be broken off.
_LOOK_S = 0.2


def pause_s(failures: int) -> float:
    """How long a worker's place stays empty after so many failures in a row (at least 1), in seconds."""
    doublings = min(failures - 1, 10)  # More would pass the bound, and later what a float holds.
    return min(_PAUSE_FIRST_S * 2.0**doublings, _PAUSE_MAX_S)


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

    def await_serving(self, stopping: threading.Event) -> None:
        """Waits until it serves, or until `stopping` is set. Raises ConfigError with why it does not."""
        assert self._process is not None
        while not stopping.is_set():
            if select.select([_pipe(self._process.stdout)], [], [], _LOOK_S)[0]:
                break
        else:
            return
        problem = self._hear()
        if problem is None:
            raise ConfigError("a worker ended before it served; its log says why")
        if problem:
            raise ConfigError(problem)

    def start_ended(self) -> None:
        """Starts it again if it has ended and its pause is over."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            if now - self._started > _SOUND_S:
                self._failures = 0
            problem = " ".join((self._hear() or "").split())
            _log.error(
                "worker %d, process %d, ended with %d%s; starting another one in %.1f s",
                self._number,
                self._process.pid,
                code,
                f": {problem}" if problem else "",
                self._pause(now),
            )
            self._forget()
        elif now >= self._start_again:
            try:
                self.start()
            except OSError as error:
                # No memory, no process, no folder just now: the others go on.
                _log.error(
                    "worker %d cannot be started: %s; trying again in %.1f s",
                    self._number,
                    error,
                    self._pause(now),
                )

    def _pause(self, now: float) -> float:
        """Counts one more failure; answers the pause that it costs, in seconds."""
        self._failures += 1
        pause = pause_s(self._failures)
        self._start_again = now + pause
        return pause

    def _hear(self) -> str | None:
        """What it says of its start, once: empty if it serves, else why not; None if it says nothing."""
        assert self._process is not None
        line = _pipe(self._process.stdout).readline()
        return str(json.loads(line)["problem"]) if line else None

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

    def __init__(self, settings: Config, stopping: threading.Event) -> None:
        self.port = 0
        self.data_dir: Path | None = None
        self._settings = settings
        self._stopping = stopping
        self._drain_max_s = _BREAK_OFF_MAX_S
        self._ends = ExitStack()
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Opens the books and starts every worker; leaves nothing running if one of them fails.

        Returns early where it is told to stop: what was started is to be drained.
        """
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
            worker.await_serving(self._stopping)
        if not self._stopping.is_set():
            self._drain_max_s = _DRAIN_MAX_S

    def _told(self, home: Home) -> str:
        """What a worker is told; by a pipe: a URL has a password, and everybody may read a command line."""
        host = self._settings.listen.rpartition(":")[0]
        settings = replace(
            self._settings, listen=f"{host}:{self.port}", data_dir=None, pg_bindir=None, xdg_data_home=None
        )
        return json.dumps({"supervisor": os.getpid(), "settings": asdict(settings), "url": home.url})

    def start_ended(self) -> None:
        """Starts workers that have ended. To be called from the thread that started them."""
        for worker in self._workers:
            worker.start_ended()

    def drain(self) -> None:
        """Drains every worker, all at once, and stops what it started."""
        deadline = time.monotonic() + self._drain_max_s
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.await_end(deadline)
        self._workers.clear()
        self._ends.close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
