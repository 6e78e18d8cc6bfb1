"""Every check of this tree, `./ledger test`: style, types, the contract, then the tests.

`--ci` runs the tests that are marked slow, and nothing else; `--zoo` the bug zoo
(docs/bug-zoo.md), which is not among them. Further arguments go to pytest, and then
only pytest runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
WORKERS_MAX = 4
PYTEST = (sys.executable, "-P", "-m", "pytest")
CHECKS: tuple[tuple[str, ...], ...] = (
    (sys.executable, "-P", "-m", "ruff", "check"),
    (sys.executable, "-P", "-m", "ruff", "format", "--check"),
    (sys.executable, "-P", "-m", "mypy"),
    (str(BIN / "buf"), "lint"),
    (str(BIN / "buf"), "format", "--diff", "--exit-code"),
    (str(BIN / "buf"), "breaking", "--against", "protos.baseline.binpb"),
)


def main(arguments: list[str]) -> int:
    """The exit code: 0 if everything passed. pytest's summary comes last."""
    workers = min(os.cpu_count() or 1, WORKERS_MAX)
    if arguments == ["--ci"]:
        return run(*PYTEST, "-m", "slow and not zoo")
    if arguments == ["--zoo"]:
        return run(*PYTEST, "-m", "zoo", "-n", str(workers))
    if arguments:
        return run(*PYTEST, *arguments)
    failed = [check for check in CHECKS if run(*check) != 0]
    for check in failed:
        print(f"FAILED: {name(check)}", flush=True)
    code = run(*PYTEST, "-m", "not slow", "-n", str(workers), "--dist", "worksteal")
    if failed:
        print(f"Not passed: {', '.join(map(name, failed))}", flush=True)
    return code or int(bool(failed))


def run(*command: str) -> int:
    """Its exit code; its output is ours."""
    print(f"$ {name(command)}", flush=True)
    # buf keeps a cache under HOME unless it is told a better place.
    environment = {"BUF_CACHE_DIR": str(TREE / ".cache" / "buf")} | dict(os.environ)
    return subprocess.run(command, cwd=TREE, env=environment, check=False).returncode


def name(command: tuple[str, ...]) -> str:
    """The command as one would type it."""
    words = command[3:] if command[0] == sys.executable else (Path(command[0]).name, *command[1:])
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
