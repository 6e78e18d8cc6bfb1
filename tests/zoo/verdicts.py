"""A plugin for pytest that writes what became of each test: a line of JSON each, into LEDGER_ZOO_VERDICTS."""

from __future__ import annotations

import json
import os

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes every phase that did not pass, and every call that did."""
    if report.outcome == "passed" and report.when != "call":
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    line = {
        "test": report.nodeid,
        "phase": report.when,
        "outcome": report.outcome,
        "message": crash.message.partition("\n")[0] if crash else str(report.longrepr or ""),
    }
    with open(os.environ["LEDGER_ZOO_VERDICTS"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
