"""`./ledger verify`: on a database of yours, beside a running service, and on books that nobody serves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psycopg
import pytest
from callers import Teller
from cli.running import Run
from clusters import Database, fast_directory
from ledger.v1 import account_service_pb2_grpc, ledger_admin_service_pb2_grpc, ledger_service_pb2_grpc
from serving import Serving

from ledger_server.app import App
from ledger_server.config import Config, load
from ledger_server.store.data_directory import make_ephemeral_data_dir


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the embedded PostgreSQL's user can enter."""
    made = make_ephemeral_data_dir(fast_directory())
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def serving_config(config: Config) -> Iterator[Serving]:
    """Serves as configured, on an embedded PostgreSQL."""
    with App(config) as app:
        target = f"127.0.0.1:{app.port}"
        with grpc.insecure_channel(target) as channel:
            yield Serving(
                app,
                target,
                channel,
                ledger_service_pb2_grpc.LedgerServiceStub(channel),
                account_service_pb2_grpc.AccountServiceStub(channel),
                ledger_admin_service_pb2_grpc.LedgerAdminServiceStub(channel),
                "",
            )


def test_a_database_of_yours_is_proven_ledger_by_ledger(
    run: Run, server: Serving, database: Database
) -> None:
    for name in ("one", "two"):
        Teller.open(server, name).post("cash", "sales", 5)

    one = run("verify", "--ledger", "one", "--database-url", database.app_url)
    all_of_them = run("verify", "--all", "--database-url", database.app_url)

    assert one.exit_code == all_of_them.exit_code == 0
    first, second = one.stdout.splitlines()
    assert first.startswith("one: sound. 7 records, 1 of them transactions")
    assert second == f"  head 7 {Teller(server, 'one').transaction(7).hash.hex()}"
    assert [line.split(":")[0] for line in all_of_them.stdout.splitlines()[::2]] == ["one", "two"]


def test_the_first_bad_record_is_named_and_the_exit_code_is_1(
    run: Run, server: Serving, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good"):
        Teller.open(server, name).post("cash", "sales", 5)
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        session.execute(
            "update ledger.entries set amount = 6 where ledger_id = 1 and sequence = 7 and index = 1"
        )
    monkeypatch.setenv("LEDGER_DATABASE_URL", database.app_url)

    outcome = run("verify", "--all")

    assert outcome.exit_code == 1
    bad, good, _ = outcome.stdout.splitlines()
    assert bad == (
        "bad: BROKEN at sequence 7: record 7 leaves sales at -6 USD by its entries, and says -5 in entry 1"
    )
    assert good.startswith("good: sound.")


def test_embedded_books_are_proven_while_they_are_served_and_afterwards(run: Run, data_dir: Path) -> None:
    with serving_config(load(listen="127.0.0.1:0", data_dir=data_dir)) as server:
        Teller.open(server, "home").post("cash", "sales", 5)
        served = run("verify", "--ledger", "home", "--data-dir", data_dir)
        again = Teller(server, "home").post("cash", "sales", 6)
    alone = run("verify", "--ledger", "home", "--data-dir", data_dir)

    assert (served.exit_code, alone.exit_code) == (0, 0)
    assert served.stdout.startswith("home: sound. 7 records")
    assert alone.stdout.splitlines()[1] == f"  head 8 {again.transaction.hash.hex()}"


def test_what_cannot_be_proven_is_said_in_one_line(run: Run, database: Database, tmp_path: Path) -> None:
    unknown = run("verify", "--ledger", "none", "--database-url", database.app_url)
    nothing = run("verify", "--all", "--data-dir", tmp_path)
    neither = run("verify", "--database-url", database.app_url)
    unreachable = run("verify", "--all", "--database-url", f"postgresql:///x?host={tmp_path}")

    assert (unknown.exit_code, unknown.stderr) == (1, "error: there is no ledger 'none' in this database\n")
    assert nothing.exit_code == 1
    assert nothing.stderr.startswith(f"error: no books are kept in {tmp_path}")
    assert neither.exit_code == 2
    assert unreachable.exit_code == 1
    assert unreachable.stderr.startswith("error: ")
    assert unreachable.stderr.count("\n") == 1


def test_a_database_without_our_schema_says_so(run: Run, database: Database) -> None:
    url = psycopg.conninfo.make_conninfo(database.owner_url, dbname="postgres")

    outcome = run("verify", "--all", "--database-url", url)

    assert (outcome.exit_code, outcome.stderr) == (
        1,
        "error: the database holds no ledgers: run `./ledger migrate` first\n",
    )


def test_a_wrong_checkpoint_is_named_and_rebuilt_where_that_is_asked(
    run: Run, server: Serving, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger_server.service.verify.ENTRIES_PER_CHECKPOINT", 2)
    teller = Teller.open(server, "home")
    teller.post("cash", "sales", 5)
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        session.execute("set ledger.id = 1")
        session.execute("select ledger.write_checkpoint(2)")
        session.execute("update ledger.checkpoint_balances set debits = 6 where account_id = 1")
    asked = ("verify", "--ledger", "home", "--database-url", database.app_url)

    found = run(*asked)
    rebuilt = run(*asked, "--rebuild-checkpoints")
    afterwards = run(*asked)

    wrong = (
        "  WRONG: checkpoint 7 holds 6 debits and 0 credits of account 1 in asset 1;"
        " the entries give 5 debits and 0 credits"
    )
    assert found.exit_code == 1
    assert found.stdout.splitlines()[2] == f"{wrong}; --rebuild-checkpoints writes them anew"
    assert rebuilt.exit_code == 0
    assert rebuilt.stdout.splitlines()[2:] == [wrong, "  1 checkpoints were written anew"]
    assert (afterwards.exit_code, len(afterwards.stdout.splitlines())) == (0, 2)
