"""trial-balance, health and demo as a person meets them."""

import re
import time
from pathlib import Path

import psycopg
import pytest
from cli.running import Run, Server
from clusters import Database

_CHECKPOINTED = ("trial-balance", "--ledger", "bases", "--basis", "checkpointed")

pytestmark = pytest.mark.usefixtures("at_server")


def test_the_table_shows_every_balance_the_totals_and_the_verdict(run: Run, household: Path) -> None:
    run("import", household, "--ledger", "household")
    outcome = run("trial-balance", "--ledger", "household")
    assert outcome.exit_code == 0
    lines = outcome.stdout.splitlines()
    assert re.fullmatch(r"Trial balance of household at sequence \d+; balances are debit positive", lines[0])
    assert lines[2].split() == ["account", "asset", "debits", "credits", "balance"]
    (checking,) = [line for line in lines if line.startswith("Assets:US:BofA:Checking ")]
    assert checking.split()[-1] == "2,823.41"
    totals = [line.split() for line in lines if line.startswith("total ")]
    assert len(totals) == 9
    assert all(debits == credits for _, _, debits, credits, _ in totals)
    assert lines[-1] == "OK: debits equal credits in every asset."
    assert all(not line.endswith(" ") for line in lines)


def test_a_checkpoint_shows_the_same_and_is_named(
    run: Run, household: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger_server.service.checkpointer.ENTRIES_PER_CHECKPOINT", 1_000)
    run("import", household, "--ledger", "bases")
    recomputed = run("trial-balance", "--ledger", "bases").stdout

    deadline = time.monotonic() + 30
    named = r", from the checkpoint at \d+;"
    while not re.search(named, checkpointed := run(*_CHECKPOINTED).stdout):
        assert time.monotonic() < deadline, checkpointed

    assert re.sub(named, ";", checkpointed) == recomputed


def test_an_unknown_ledger_is_one_line_with_a_next_step(run: Run) -> None:
    outcome = run("trial-balance", "--ledger", "nowhere")
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.endswith("[LEDGER_NOT_FOUND]; `./ledger import` and `./ledger demo` create one\n")


def test_a_serving_service_is_healthy(run: Run) -> None:
    outcome = run("health")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "SERVING\n", "")
    assert run("health", "--service", "ledger.v1.LedgerService").exit_code == 0


def test_a_service_that_is_not_there_is_not_healthy(run: Run) -> None:
    outcome = run("health", "--service", "nothing")
    assert outcome.exit_code == 1
    assert "knows no 'nothing'" in outcome.stderr


def test_the_demo_shows_each_verb_and_names_what_to_try_next(run: Run, server: Server) -> None:
    outcome = run("demo")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    text = outcome.stdout
    for part in (
        "reason   INSUFFICIENT_FUNDS",
        "status   FAILED_PRECONDITION",
        "replayed: nothing new was recorded",
        "(reverses ",
        "<- 50.00 EUR, at sequence ",
        "OK: debits equal credits in every asset.",
        "Try next:",
        f"--target {server.target}",
    ):
        assert part in text
    (ledger,) = set(re.findall(r"demo-[0-9a-f]{6}", text))
    balances = run("trial-balance", "--ledger", ledger, "--format", "csv")
    assert balances.stdout == "account,asset,balance\ncash,EUR,50\ncustomers:ada,EUR,-50\n"


def test_the_demo_on_the_same_ledger_again_records_nothing_new(run: Run) -> None:
    run("demo", "--ledger", "d")
    first = run("trial-balance", "--ledger", "d").stdout
    assert run("demo", "--ledger", "d").exit_code == 0
    assert run("trial-balance", "--ledger", "d").stdout == first


def test_a_run_is_kept_shown_and_listed(run: Run) -> None:
    run("demo", "--ledger", "kept")

    outcome = run("trial-balance", "--ledger", "kept", "--run")
    again = run("trial-balance", "--ledger", "kept", "--run")

    assert (outcome.exit_code, outcome.stderr) == (0, "")
    first, total = outcome.stdout.splitlines()
    assert re.fullmatch(r"run 1  [\d-]{10} [\d:]{8}Z  at sequence \d+  by anonymous  OK", first)
    assert total.split()[:2] == ["total", "EUR"]
    listed = run("trial-balance", "--ledger", "kept", "--runs").stdout.splitlines()
    assert listed == [again.stdout.splitlines()[0], first]


def test_a_run_of_damaged_books_names_what_is_at_fault_and_exits_1(run: Run, database: Database) -> None:
    run("demo", "--ledger", "off")
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("set session_replication_role = replica")
        row = owner.execute(
            "update ledger.entries set amount = amount + 100 where (ledger_id, sequence, index) ="
            " (select ledger_id, max(sequence), 0 from ledger.transactions where ledger_id ="
            " (select ledger_id from ledger.directory where name = 'off') group by ledger_id)"
            " returning sequence, side"
        ).fetchone()
    assert row is not None
    sequence, side = row

    outcome = run("trial-balance", "--ledger", "off", "--run")

    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines()[0].endswith("  MISMATCH, 1 at fault")
    assert f"differ by {'' if side == 1 else '-'}1.00 EUR; at fault: {sequence};" in outcome.stderr


def test_a_run_takes_no_other_form(run: Run) -> None:
    for more in (("--runs",), ("--format", "csv"), ("--basis", "checkpointed")):
        outcome = run("trial-balance", "--ledger", "kept", "--run", *more)
        assert (outcome.exit_code, outcome.stdout) == (2, "")
