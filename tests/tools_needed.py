"""Programs that a test needs and this machine may lack: skipped loudly, but a failure in CI."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def needed(program: str, how_to_get_it: str) -> str:
    """The program's path: beside this Python, on PATH, or where `go install` puts it."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), *_go_places()]
    found = shutil.which(program, path=os.pathsep.join(places))
    if found is None:
        missing(f"{program} is missing, so this proves nothing here; {how_to_get_it}")
    return found


def missing(sentence: str) -> NoReturn:
    """Skips loudly, and fails where LEDGER_CI says that everything must be there."""
    if os.environ.get("LEDGER_CI") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


def _go_places() -> list[str]:
    """Go's own folder, and where it installs programs."""
    home = Path(os.environ.get("GOPATH") or Path.home() / "go")
    return ["/usr/local/go/bin", os.environ.get("GOBIN") or str(home / "bin")]
