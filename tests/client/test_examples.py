"""The examples run, twice, and print what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Serving

TREE = Path(__file__).resolve().parents[2]
EXAMPLES = TREE / "examples"
PRINTED = {
    "threads": ["made before: True", "cash: 1250.00 EUR", "balanced: True"],
    "tasks": ["paid: 60 refused: 40", "left: 0", "entries: 61"],
}


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_it_says_also_the_second_time(name: str, server: Serving) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-P", str(EXAMPLES / f"{name}.py"), server.target],
            env=os.environ | {"PYTHONPATH": f"{TREE}{os.pathsep}{TREE / 'generated'}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == PRINTED[name]
