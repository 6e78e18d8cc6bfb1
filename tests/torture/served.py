"""A server that kills itself: `python -m torture.served NAME HIT MARK` and the options of a server.

At the HIT-th time that its commit path comes to the place NAME it writes MARK, so
that nobody can say it was not there, and dies by SIGKILL. Without NAME in the path
it serves as any other.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from ledger_server.app import App
from ledger_server.config import load


class Death:
    """Kills its own process at a place."""

    def __init__(self, name: str, hit: int, mark: Path) -> None:
        self._name = name
        self._left = hit
        self._mark = mark
        self._guard = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self._name:
            return
        # Critical section: counts; nobody goes on once it is over.
        with self._guard:
            self._left -= 1
            if self._left == 0:
                self._mark.write_text(name)
                os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Serves until it dies."""
    name, hit, mark, _, listen, _, url = arguments
    app = App(load(listen=listen, database_url=url), failpoint=Death(name, int(hit), Path(mark)))
    app.start()
    print(f"address {listen.rpartition(':')[0]}:{app.port}", flush=True)
    # Its end is its death, or that of whoever holds the other end of stdin.
    sys.stdin.read()
    app.drain()


if __name__ == "__main__":
    main(sys.argv[1:])
