"""What the tests of the commands share: running one, and the household's books."""

from pathlib import Path

import pytest
from cli.running import Outcome, Run, Server

from ledger_server.cli import main

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Answers a function that runs `ledger` with the given arguments."""

    def run_command(*arguments: object) -> Outcome:
        capsys.readouterr()
        exit_code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(exit_code, captured.out, captured.err)

    return run_command


@pytest.fixture
def household() -> Path:
    """The journal CSV of a household's three years."""
    return DATA / "household.csv"


@pytest.fixture
def household_balances() -> str:
    """Its balances, as computed by the program that made the journal."""
    return (DATA / "household.balances.csv").read_text(encoding="utf-8")


@pytest.fixture
def at_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the test speaks to its own server."""
    monkeypatch.setenv("LEDGER_TARGET", server.target)
