"""The command line itself: quick help, one-line errors with a next step, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli.running import Run

from ledger_server import cli
from ledger_server.cli import COMMANDS, main


def test_help_lists_every_command_and_imports_none() -> None:
    program = (
        "import sys; from ledger_server.cli import main; code = main(['--help']);"
        "heavy = [name for name in sys.modules if name.partition('.')[0] in ('grpc', 'psycopg', 'google')"
        " or name.startswith('ledger_server.cli.')]; print(heavy, file=sys.stderr); sys.exit(code)"
    )
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=path
    )
    assert done.stderr.strip() == "[]"
    for name, (_, line) in COMMANDS.items():
        assert f"{name} " in done.stdout
        assert line in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", ["import", "export", "trial-balance", "demo", "health"])
def test_every_client_command_explains_itself_and_its_target(run: Run, name: str) -> None:
    outcome = run(name, "--help")
    assert outcome.exit_code == 0
    assert "--target HOST:PORT" in outcome.stdout
    assert "LEDGER_TARGET" in outcome.stdout
    assert "127.0.0.1:50051" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["helth"], "error: No such command 'helth'; see `./ledger --help`"),
        (["trial-balance"], "error: Missing option '--ledger'; see `./ledger trial-balance --help`"),
        (["export", "--ledger", "x", "--format", "pdf"], "see `./ledger export --help`"),
        (["import", "/nowhere.csv", "--ledger", "x"], "'/nowhere.csv': No such file or directory"),
        (["import", "-", "--ledger", "x", "--account-type", "Kasse"], "'Kasse' is not PREFIX=TYPE"),
        (["import", "-", "--ledger", "x", "--account-type", "Kasse=cash"], "'Kasse=cash' is not PREFIX=TYPE"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(run: Run, arguments: list[str], sentence: str) -> None:
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert sentence in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_target_from_the_environment_is_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_TARGET", "127.0.0.1:1")
    outcome = run("health")
    assert outcome.exit_code == 1
    assert outcome.stderr == (
        "error: no ledger service answers at 127.0.0.1:1;"
        " start one with `./ledger serve`, or give --target HOST:PORT\n"
    )


@pytest.mark.parametrize(
    "arguments", [["demo"], ["trial-balance", "--ledger", "x"], ["export", "--ledger", "x"]]
)
def test_nobody_listening_is_one_line_that_says_how_to_start(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments, "--target", "127.0.0.1:1")
    assert outcome.exit_code == 1
    assert outcome.stdout == "" or arguments == ["demo"]
    assert outcome.stderr.startswith("error: no ledger service answers at 127.0.0.1:1; start one")


def test_a_bad_journal_is_told_before_anybody_is_asked(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("txnidx,date,description,account,amount,commodity\n1,2024-01-01,x,Assets,1.0.0,EUR\n")
    outcome = run("import", path, "--ledger", "x", "--target", "127.0.0.1:1")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(
        f"error: {path} line 2: the amount '1.0.0' is not a plain decimal number"
    )


@pytest.mark.parametrize(
    ("error", "exit_code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (OSError(28, "No space left on device", "/tmp/out"), 1, "error: /tmp/out: No space left on device"),
        (KeyError("x"), 1, "error: unexpected KeyError at test_command_line.py:"),
    ],
)
def test_whatever_goes_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    exit_code: int,
    sentence: str,
) -> None:
    @click.command()
    def breaking() -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: breaking)
    assert main(["health"]) == exit_code
    stderr = capsys.readouterr().err.strip()
    assert stderr.startswith(sentence)
    assert "\n" not in stderr
    assert "Traceback" not in stderr


def test_an_environment_that_is_none_starts_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_ENV", "production")

    outcome = run("serve", "--ephemeral")

    assert outcome.exit_code == 1
    assert outcome.stderr == "error: LEDGER_ENV is 'production'; it may be dev, stage or prod\n"
