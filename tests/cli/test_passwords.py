"""No command prints the password of its database URL, whatever is wrong with the URL or behind it."""

from __future__ import annotations

import pytest
from cli.crews import refused_start
from cli.running import Run
from clusters import Database
from psycopg.conninfo import make_conninfo

from ledger_server.store.databases import app_conninfo

PASSWORD = "s3cret"
MISTYPED = [
    f"postgres//app:{PASSWORD}@h/db",
    f"postgresql://app:{PASSWORD}@[::1/db",
    f"postgresql://app:x@{PASSWORD}@h/db",
]


def unanswered(database: Database) -> list[str]:
    """Sound URLs that lead nowhere: no such host, port or database."""
    return [
        f"postgresql://app:{PASSWORD}@nowhere.invalid/db",
        f"postgresql://app:{PASSWORD}@127.0.0.1:1/db",
        make_conninfo(database.app_url, password=PASSWORD, dbname="nowhere"),
    ]


def assert_told(error: str) -> None:
    """One sentence, and not the password."""
    assert error.startswith("error: ")
    assert "unexpected" not in error
    assert PASSWORD not in error


@pytest.mark.parametrize("url", MISTYPED)
@pytest.mark.parametrize(
    ("command", "setting"), [("migrate", "--database-url"), ("verify", "the database URL")]
)
def test_a_mistyped_url_is_not_repeated(run: Run, command: str, setting: str, url: str) -> None:
    outcome = run(command, "--database-url", url, *(["--all"] if command == "verify" else []))

    assert_told(outcome.stderr)
    assert outcome.stderr.startswith(f"error: {setting} ")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr.count("\n")) == (1, "", 1)


def test_a_mistyped_url_of_the_environment_is_not_repeated(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", MISTYPED[0])

    outcome = run("verify", "--all")

    assert_told(outcome.stderr)
    assert "LEDGER_DATABASE_URL) cannot be read: " in outcome.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("url", MISTYPED)
def test_serve_does_not_repeat_a_mistyped_url(workers: str, url: str) -> None:
    error = refused_start("--workers", workers, "--database-url", url)

    assert_told(error)
    assert error.startswith(
        "error: the database URL (--database-url or LEDGER_DATABASE_URL) cannot be read: "
    )
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", [("migrate",), ("verify", "--all")])
def test_an_error_of_the_connection_does_not_tell_the_password(
    run: Run, database: Database, command: tuple[str, ...]
) -> None:
    for url in unanswered(database):
        outcome = run(*command, "--database-url", url)

        assert_told(outcome.stderr)
        assert PASSWORD not in outcome.stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_does_not_tell_the_password_when_nobody_answers(database: Database, workers: str) -> None:
    for url in unanswered(database):
        assert_told(refused_start("--workers", workers, "--database-url", url))


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", f"postgresql://app:{PASSWORD}@h/db"],
        ["serve", "--workers", f"postgresql://app:{PASSWORD}@h/db"],
        ["verify", "--nonsense", f"postgresql://app:{PASSWORD}@h/db"],
        ["trial-balance", f"postgresql://app:{PASSWORD}@h/d@b"],
    ],
)
def test_a_url_in_the_wrong_place_is_not_repeated(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)

    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
    assert PASSWORD not in outcome.stderr


@pytest.mark.parametrize("secret", ["password", "sslpassword"])
def test_what_migrate_says_to_serve_from_holds_no_secret(secret: str) -> None:
    assert PASSWORD not in app_conninfo(f"postgresql://owner@h/db?{secret}={PASSWORD}")
