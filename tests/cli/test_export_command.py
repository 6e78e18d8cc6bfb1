"""What comes out of a ledger is what went in: for another ledger, and for hledger."""

import csv
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from cli.running import Run
from tools_needed import needed

pytestmark = pytest.mark.usefixtures("at_server")


@pytest.fixture
def imported(at_server: None, run: Run, household: Path) -> None:
    """The household's books in the ledger `household`."""
    assert run("import", household, "--ledger", "household").exit_code == 0


def rows(path: Path) -> list[tuple[str, ...]]:
    """The rows of a journal CSV; amounts by value, transactions numbered without gaps."""
    numbers: dict[str, int] = {}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            (
                str(numbers.setdefault(row["txnidx"], len(numbers) + 1)),
                row["date"],
                row["description"],
                row["account"],
                str(Decimal(row["amount"]).normalize()),
                row["commodity"],
            )
            for row in csv.DictReader(file)
        ]


@pytest.mark.usefixtures("imported")
def test_the_exported_csv_is_the_imported_one(run: Run, household: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    outcome = run("export", "--ledger", "household", "--format", "csv", "--output", path)
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert rows(path) == rows(household)


@pytest.mark.usefixtures("imported")
def test_an_export_imported_elsewhere_has_the_same_trial_balance_and_here_changes_nothing(
    run: Run, household_balances: str, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    run("export", "--ledger", "household", "--output", path)
    assert "1,125 new, 0 already there" in run("import", path, "--ledger", "copy").stdout
    assert run("trial-balance", "--ledger", "copy", "--format", "csv").stdout == household_balances
    assert "0 new, 1,125 already there" in run("import", path, "--ledger", "household").stdout


@pytest.mark.usefixtures("imported")
def test_hledger_checks_the_exported_journal_and_gets_the_same_balances(
    run: Run, household_balances: str, tmp_path: Path
) -> None:
    needed("hledger", "install hledger")
    path = tmp_path / "out.journal"
    assert run("export", "--ledger", "household", "--format", "hledger", "--output", path).exit_code == 0
    subprocess.run(["hledger", "-f", path, "check", "-s"], check=True)
    printed = subprocess.run(
        ["hledger", "-f", path, "balance", "--flat", "--no-total", "--layout=bare", "-O", "csv"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    balances = {
        (row["account"], row["commodity"]): Decimal(row["balance"])
        for row in csv.DictReader(printed.splitlines())
        if Decimal(row["balance"])
    }
    assert balances == {
        (account, asset): Decimal(balance)
        for account, asset, balance in list(csv.reader(household_balances.splitlines()))[1:]
    }


def test_a_ledger_without_transactions_is_a_header_only(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("txnidx,date,description,account,amount,commodity\n")
    assert run("import", empty, "--ledger", "empty").stdout.startswith("0 transactions: 0 new")
    outcome = run("export", "--ledger", "empty")
    assert (outcome.exit_code, outcome.stdout) == (0, empty.read_text())


def test_an_unknown_ledger_is_one_line_and_leaves_the_file_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    path.write_text("kept")
    outcome = run("export", "--ledger", "nowhere", "--output", path)
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("error: ")
    assert "[LEDGER_NOT_FOUND]" in outcome.stderr
    assert path.read_text() == "kept"
