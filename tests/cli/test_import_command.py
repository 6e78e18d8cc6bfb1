"""A journal CSV becomes a ledger: to the cent, once however often it comes, or with a clear no."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from cli.running import Run, Server

from ledger_client import connect
from ledger_client.contract import (
    ACCOUNT_TYPE_LIABILITY,
    AccountDraft,
    AccountType,
    BalanceLimit,
    CreateAccountRequest,
    CreateAssetRequest,
    CreateLedgerRequest,
    GetAccountRequest,
    ListAssetsRequest,
    ListTransactionsRequest,
)

HEADER = "txnidx,date,description,account,amount,commodity\n"


pytestmark = pytest.mark.usefixtures("at_server")


def bought(number: int, what: str) -> str:
    """The rows of one purchase for 2.80."""
    return (
        f"{number},2024-01-01,{what},Assets:Cash,-2.80,EUR\n"
        f"{number},2024-01-01,{what},Expenses:Food,2.80,EUR\n"
    )


COFFEE = bought(1, "coffee")


def write(path: Path, *rows: str) -> Path:
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    return path


def test_the_household_imported_twice_has_the_balances_of_its_maker(
    run: Run, household: Path, household_balances: str
) -> None:
    first = run("import", household, "--ledger", "household")
    assert first.exit_code == 0, first.stderr
    assert first.stdout.startswith("1,125 transactions: 1,125 new, 0 already there; ")
    assert "created ledger household, 9 assets, 62 accounts\n" in first.stderr
    second = run("import", household, "--ledger", "household")
    assert second.exit_code == 0, second.stderr
    assert second.stdout.startswith("1,125 transactions: 0 new, 1,125 already there; ")
    assert second.stderr == ""
    balances = run("trial-balance", "--ledger", "household", "--format", "csv")
    assert (balances.exit_code, balances.stdout) == (0, household_balances)


def test_a_longer_version_of_the_file_adds_only_what_is_new(run: Run, tmp_path: Path) -> None:
    run("import", write(tmp_path / "a.csv", COFFEE, bought(2, "tea")), "--ledger", "l")
    # Earlier rows may come in: neither the numbers nor the place in the file count.
    rows = [bought(number, what) for number, what in enumerate(["cake", "coffee", "tea", "coffee"], start=1)]
    longer = write(tmp_path / "b.csv", *rows)
    assert run("import", longer, "--ledger", "l").stdout.startswith("4 transactions: 2 new, 2 already there;")


def test_two_equal_transactions_stay_two(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", COFFEE, bought(2, "coffee"))
    run("import", path, "--ledger", "l")
    run("import", path, "--ledger", "l")
    balances = run("trial-balance", "--ledger", "l", "--format", "csv")
    assert balances.stdout == "account,asset,balance\nAssets:Cash,EUR,-5.6\nExpenses:Food,EUR,5.6\n"


def test_spaces_accents_and_signs_pass_as_they_are(run: Run, tmp_path: Path) -> None:
    rows = (
        "1,2024-01-01,Crème brûlée,Assets:Cash in hand,-5,€\n1,2024-01-01,Crème brûlée,Expenses:Café,5,€\n"
        "2,2024-01-02,A$AP,Assets:Cash in hand,-1.25,$\n2,2024-01-02,A$AP,Expenses:Cafe\u0301,1.25,$\n"
    )
    outcome = run("import", write(tmp_path / "a.csv", rows), "--ledger", "Haus: Müller".replace(": ", ":"))
    assert outcome.exit_code == 0, outcome.stderr
    assert "note: names are kept in Unicode NFC: Expenses:Café had another spelling" in outcome.stderr
    balances = run("trial-balance", "--ledger", "Haus:Müller", "--format", "csv")
    assert balances.stdout.splitlines()[1:] == [
        "Assets:Cash in hand,$,-1.25",
        "Assets:Cash in hand,€,-5",
        "Expenses:Café,$,1.25",
        "Expenses:Café,€,5",
    ]


def test_days_descriptions_and_the_order_are_kept(server: Server, run: Run, household: Path) -> None:
    run("import", household, "--ledger", "household")
    with connect(server.target) as client:
        request = ListTransactionsRequest(ledger="household", page_size=1)
        newest = client.call(client.ledger.ListTransactions, request).transactions[0]
    assert newest.description == "Hooli | Payroll"
    assert newest.effective_time.ToJsonString() == "2026-11-19T00:00:00Z"
    assert newest.sequence == 1125 + 1 + 9 + 62


def test_a_zero_line_is_skipped_with_a_note(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", COFFEE, "1,2024-01-01,coffee,Assets:Bank,0,\n")
    outcome = run("import", path, "--ledger", "l")
    assert outcome.stdout.startswith("1 transactions: 1 new")
    assert "note: line 4 with amount 0 skipped: the ledger has no zero entries\n" in outcome.stderr


def test_unknown_top_segments_are_all_told_and_nothing_is_created(run: Run, tmp_path: Path) -> None:
    rows = COFFEE.replace("Assets:Cash", "Kasse").replace("Expenses:Food", "Aufwand:Essen")
    path = write(tmp_path / "a.csv", rows)
    outcome = run("import", path, "--ledger", "l")
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert outcome.stderr == (
        "error: no account type is known for accounts under Aufwand, Kasse; give --account-type Aufwand=TYPE"
        " --account-type Kasse=TYPE (asset, liability, equity, revenue or expense)\n"
    )
    assert "LEDGER_NOT_FOUND" in run("trial-balance", "--ledger", "l").stderr


def test_account_types_can_be_given_by_prefix(server: Server, run: Run, tmp_path: Path) -> None:
    rows = COFFEE.replace("Assets:Cash", "Kasse:Bar")
    path = write(tmp_path / "a.csv", rows)
    rules = ["--account-type", "Kasse=asset", "--account-type", "Kasse:Bar=liability"]
    assert run("import", path, "--ledger", "l", *rules).exit_code == 0
    with connect(server.target) as client:
        request = GetAccountRequest(ledger="l", name="Kasse:Bar")
        account = client.call(client.accounts.GetAccount, request).account
    assert AccountType.Name(account.type) == "ACCOUNT_TYPE_LIABILITY"


def test_no_create_names_what_is_missing(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", COFFEE)
    outcome = run("import", path, "--ledger", "l", "--no-create")
    assert outcome.stderr == "error: there is no ledger l; leave --no-create out to create it\n"
    run("import", path, "--ledger", "l")
    assert run("import", path, "--ledger", "l", "--no-create").exit_code == 0
    other = write(tmp_path / "b.csv", COFFEE.replace("EUR", "USD").replace("Food", "Drink"))
    outcome = run("import", other, "--ledger", "l", "--no-create")
    assert outcome.exit_code == 1
    assert "ledger l has no asset USD, account Expenses:Drink; leave --no-create out" in outcome.stderr


def test_an_asset_with_a_smaller_scale_is_refused_and_with_a_larger_one_used(
    server: Server, run: Run, tmp_path: Path
) -> None:
    with connect(server.target) as client:
        client.call(client.admin.CreateLedger, CreateLedgerRequest(name="l"))
        for code, scale in (("EUR", 1), ("USD", 4)):
            request = CreateAssetRequest(ledger="l", code=code, scale=scale)
            client.call(client.admin.CreateAsset, request)
    small = write(tmp_path / "a.csv", COFFEE.replace("2.80", "2.85"))
    outcome = run("import", small, "--ledger", "l")
    assert outcome.exit_code == 1
    assert "line 2: -2.85 EUR has 2 decimals, but the asset EUR of ledger l has scale 1" in outcome.stderr
    assert run("import", write(tmp_path / "b.csv", COFFEE), "--ledger", "l").exit_code == 0
    large = write(tmp_path / "c.csv", COFFEE.replace("EUR", "USD"))
    assert run("import", large, "--ledger", "l").exit_code == 0
    balances = run("trial-balance", "--ledger", "l", "--format", "csv")
    assert "Assets:Cash,EUR,-2.8\nAssets:Cash,USD,-2.8\n" in balances.stdout
    with connect(server.target) as client:
        assets = client.call(client.admin.ListAssets, ListAssetsRequest(ledger="l")).assets
    assert [(asset.code, asset.scale) for asset in assets] == [("EUR", 1), ("USD", 4)]


def test_a_bad_line_keeps_the_whole_file_out(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", COFFEE, "2,2024-01-02,x,Assets:Cash,1,EUR\n")
    outcome = run("import", path, "--ledger", "l")
    assert outcome.stderr.startswith(f"error: {path} line 4: transaction 2 is not balanced: off by 1 EUR")
    assert "LEDGER_NOT_FOUND" in run("trial-balance", "--ledger", "l").stderr


def test_a_transaction_that_the_ledger_refuses_is_named_by_its_line(
    server: Server, run: Run, tmp_path: Path
) -> None:
    with connect(server.target) as client:
        client.call(client.admin.CreateLedger, CreateLedgerRequest(name="l"))
        client.call(client.admin.CreateAsset, CreateAssetRequest(ledger="l", code="EUR", scale=2))
        limit = BalanceLimit(asset="EUR", balance_max="300")
        account = AccountDraft(name="Liabilities:Card", type=ACCOUNT_TYPE_LIABILITY, limits=[limit])
        client.call(client.accounts.CreateAccount, CreateAccountRequest(ledger="l", account=account))
    rows = [bought(number, "coffee").replace("Assets:Cash", "Liabilities:Card") for number in (1, 2)]
    path = write(tmp_path / "a.csv", *rows)
    outcome = run("import", path, "--ledger", "l")
    assert outcome.exit_code == 1
    assert outcome.stderr.splitlines()[-1].startswith(f"error: {path} line 4: ")
    assert "[BALANCE_LIMIT_EXCEEDED]; what was posted stays recorded" in outcome.stderr
    balances = run("trial-balance", "--ledger", "l", "--format", "csv")
    assert "Liabilities:Card,EUR,-2.8\n" in balances.stdout


def test_a_journal_may_come_through_a_pipe(
    run: Run, household: Path, household_balances: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe cannot be read twice as a file is."""
    with subprocess.Popen(["cat", household], stdout=subprocess.PIPE) as feeder:
        assert feeder.stdout is not None
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(feeder.stdout))
        outcome = run("import", "-", "--ledger", "piped")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.startswith("1,125 transactions: 1,125 new, 0 already there; ")
    assert run("trial-balance", "--ledger", "piped", "--format", "csv").stdout == household_balances
