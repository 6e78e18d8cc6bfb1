"""One worker of `./ledger serve --workers N`: it serves until it is ended, or its supervisor is gone.

It reads from stdin what to serve and whose worker it is, and says on stdout, in one line, that it serves or
why it cannot.
"""

from __future__ import annotations

import json
import os
import sys

from ledger_server.app import STARTING_ERRORS, App, Home
from ledger_server.cli.one_core import OneCore
from ledger_server.cli.serve import calm_collector, log_to_stderr, stop_on_signals
from ledger_server.config import Config

# How often it is looked whether the supervisor is there, where the kernel does not tell.
_LOOK_S = 1.0


def main() -> int:
    """Serves, and answers the exit code."""
    stopping = stop_on_signals()
    log_to_stderr()
    told = json.load(sys.stdin)
    settings = Config(**told["settings"])
    app = App(settings, Home(told["url"], None))
    try:
        app.start()
    except STARTING_ERRORS as error:
        _say(str(error))
        return 1
    try:
        calm_collector()
        if settings.one_core:
            OneCore().start()
        _say("")
        while not stopping.wait(_LOOK_S) and os.getppid() == told["supervisor"]:
            pass
    finally:
        app.drain()
    return 0


def _say(problem: str) -> None:
    """Tells the supervisor; an empty problem is that there is none."""
    print(json.dumps({"problem": problem}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
