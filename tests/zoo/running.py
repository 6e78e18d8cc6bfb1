"""Named tests run in a copy of the tree, and what that says of the animal in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
# Longer than any of the named tests takes; a fault that makes one hang is found all the same.
TEST_S = 60
_NOT_COPIED = (".git", ".venv", ".cache", "__pycache__", ".pytest_cache", ".hypothesis", ".*_cache")
# A test that fails so was not failed by what it claims, but by a plant that does not even run.
_CLUMSY = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "UnboundLocalError")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one phase (setup, call, teardown) of one test."""

    test: str
    phase: str
    outcome: str
    message: str

    @property
    def is_of_the_claim(self) -> bool:
        """Whether the test itself failed, and not its fixtures or the planted code's form."""
        return self.phase == "call" and self.outcome == "failed" and not self.message.startswith(_CLUMSY)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of pytest: its exit code, its verdicts, and all it said."""

    exit_code: int
    verdicts: tuple[Verdict, ...]
    output: str

    def survived(self, named: Sequence[str]) -> list[str]:
        """The named tests that did not notice: none of their cases failed by their claim."""
        failed = [verdict.test for verdict in self.verdicts if verdict.is_of_the_claim]
        return [one for one in named if not any(test == one or test.startswith(one + "[") for test in failed)]

    def faults(self, named: Sequence[str]) -> str:
        """Why the run kills nothing, in words; empty where it killed."""
        if self.exit_code != 1:
            return f"pytest ended with {self.exit_code}, which is no test's failure"
        survived = self.survived(named)
        return f"not noticed by {', '.join(survived)}" if survived else ""


def copy_tree(to: Path, tree: Path = TREE) -> Path:
    """A copy of the tree without what was made in it."""
    shutil.copytree(tree, to, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    return to


def run_tests(tree: Path, tests: Sequence[str], *, dsn: str = "", collect_only: bool = False) -> Run:
    """Runs tests of a copy of the tree with the copy's own code, on the server `dsn` where they need one."""
    with tempfile.TemporaryDirectory() as directory:
        verdicts = Path(directory) / "verdicts"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))
        } | {
            "PYTHONPATH": os.pathsep.join(str(tree / folder) for folder in (".", "generated", "tests")),
            # A file that is planted, restored and planted again within a second must be read each time.
            "PYTHONDONTWRITEBYTECODE": "1",
            # Python 3.11 fails at times where two threads draw tracebacks from source at once, and
            # where a fault is planted many do: here none is drawn so, nor by pytest (--tb native).
            "PYTHONNODEBUGRANGES": "1",
            "LEDGER_ZOO_VERDICTS": str(verdicts),
            "LEDGER_TEST_DSN": dsn,
        }
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "zoo.verdicts", "-p", "no:cacheprovider"]
        command += ["--timeout", str(TEST_S), "--hypothesis-seed", "0", "--tb", "native"]
        done = subprocess.run(
            [*command, *(["--collect-only"] if collect_only else []), *tests],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TEST_S * (1 + len(tests)),
            check=False,
        )
        lines = verdicts.read_text(encoding="utf-8").splitlines() if verdicts.exists() else []
    return Run(
        done.returncode, tuple(Verdict(**json.loads(line)) for line in lines), done.stdout + done.stderr
    )
