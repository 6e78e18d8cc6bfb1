"""What an import needs before its first post: the file read once, the ledger looked at, the rest created.

Everything that can be refused without posting is refused here: a file with a bad
line, an asset whose scale cannot hold the file's decimals, an account whose type
nobody knows. Only then is anything created.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

import click

from ledger_client import Client, Refused
from ledger_client.contract import (
    AccountDraft,
    AccountType,
    BatchCreateAccountsRequest,
    CreateAssetRequest,
    CreateLedgerRequest,
    GetLedgerRequest,
    ListAccountsRequest,
    ListAssetsRequest,
)
from ledger_client.decimals import plain
from ledger_server.cli.account_types import AccountTypes, unknown_roots
from ledger_server.cli.journal_csv import CsvEntry, CsvTransaction

# The contract's bounds on a page and on one call of BatchCreateAccounts.
_PAGE_SIZE = 1_000
_ACCOUNTS_PER_CALL = 1_000
_NAMES_SHOWN = 5


@dataclass(slots=True)
class Survey:
    """What the file holds, as far as it matters before posting."""

    transactions: int = 0
    # The most decimals that each commodity is written with: the scale of a new asset.
    scales: dict[str, int] = field(default_factory=dict)
    # For each commodity the first entry that needs the most of them: it must fit an asset that exists.
    finest: dict[str, CsvEntry] = field(default_factory=dict)
    # In the file's order.
    accounts: dict[str, None] = field(default_factory=dict)
    zero_lines: list[int] = field(default_factory=list)
    empty_lines: list[int] = field(default_factory=list)
    respelled: dict[str, None] = field(default_factory=dict)

    def add(self, transaction: CsvTransaction) -> None:
        """Takes one transaction into account."""
        self.zero_lines += transaction.zero_lines
        for name in transaction.respelled:
            self.respelled[name] = None
        if not transaction.entries:
            self.empty_lines.append(transaction.line)
            return
        self.transactions += 1
        for entry in transaction.entries:
            self.accounts[entry.account] = None
            self._measure(entry)

    def _measure(self, entry: CsvEntry) -> None:
        code = entry.commodity
        written = decimals(entry.amount)
        self.scales[code] = max(written, self.scales.get(code, 0))
        finest = self.finest.get(code)
        # The cheap question first: what is not written with more decimals does not need more.
        if finest is None or (
            written > needed_decimals(finest.amount)
            and needed_decimals(entry.amount) > needed_decimals(finest.amount)
        ):
            self.finest[code] = entry


def survey(transactions: Iterable[CsvTransaction]) -> Survey:
    """Reads the whole file once, keeping names only."""
    result = Survey()
    for transaction in transactions:
        result.add(transaction)
    return result


def decimals(amount: Decimal) -> int:
    """How many decimals the amount is written with."""
    exponent = amount.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def needed_decimals(amount: Decimal) -> int:
    """How many decimals are left without trailing zeros: 5.00 needs none."""
    return decimals(Decimal(plain(amount)))


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be created, and the scale of every asset of the file once that is done."""

    ledger: str
    is_new: bool
    assets: dict[str, int]
    accounts: dict[str, AccountType.ValueType]
    scales: dict[str, int]

    def create(self, client: Client) -> None:
        """Creates the ledger, the assets and the accounts; again, it changes nothing."""
        if self.is_new:
            client.call(client.admin.CreateLedger, CreateLedgerRequest(name=self.ledger))
        for code, scale in self.assets.items():
            client.call(
                client.admin.CreateAsset, CreateAssetRequest(ledger=self.ledger, code=code, scale=scale)
            )
        drafts = [AccountDraft(name=name, type=account_type) for name, account_type in self.accounts.items()]
        for start in range(0, len(drafts), _ACCOUNTS_PER_CALL):
            some = drafts[start : start + _ACCOUNTS_PER_CALL]
            client.call(
                client.accounts.BatchCreateAccounts,
                BatchCreateAccountsRequest(ledger=self.ledger, accounts=some),
                deadline_s=60.0,
            )


def plan(client: Client, ledger: str, found: Survey, types: AccountTypes) -> Plan:
    """Compares the file with the ledger; raises click.ClickException where they do not go together."""
    is_new = not _exists(client, ledger)
    scales_known = {} if is_new else _scales(client, ledger)
    accounts_known = set[str]() if is_new else _accounts(client, ledger)
    assets: dict[str, int] = {}
    for code, entry in found.finest.items():
        if code not in scales_known:
            assets[code] = found.scales[code]
        elif (needed := needed_decimals(entry.amount)) > scales_known[code]:
            raise click.ClickException(
                f"line {entry.line}: {plain(entry.amount)} {code} has {needed} decimals, but the asset {code}"
                f" of ledger {ledger} has scale {scales_known[code]}, which never changes;"
                " import into another ledger, or round in the journal"
            )
    missing = [name for name in found.accounts if name not in accounts_known]
    roots = unknown_roots(missing, types)
    if roots:
        raise click.ClickException(
            f"no account type is known for accounts under {', '.join(roots)}; give"
            f" {' '.join(f'--account-type {_quoted(root)}=TYPE' for root in roots)}"
            " (asset, liability, equity, revenue or expense)"
        )
    accounts = {name: account_type for name in missing if (account_type := types.of(name)) is not None}
    return Plan(ledger, is_new, assets, accounts, scales_known | assets)


def refuse_to_create(plan: Plan) -> None:
    """Raises click.ClickException naming what --no-create would have had to create."""
    if plan.is_new:
        raise click.ClickException(f"there is no ledger {plan.ledger}; leave --no-create out to create it")
    missing = [f"asset {code}" for code in plan.assets] + [f"account {name}" for name in plan.accounts]
    if missing:
        more = f" and {len(missing) - _NAMES_SHOWN} more" if len(missing) > _NAMES_SHOWN else ""
        raise click.ClickException(
            f"ledger {plan.ledger} has no {', '.join(missing[:_NAMES_SHOWN])}{more};"
            " leave --no-create out to create what is missing"
        )


def _exists(client: Client, ledger: str) -> bool:
    try:
        client.call(client.admin.GetLedger, GetLedgerRequest(name=ledger))
    except Refused as refused:
        if refused.reason != "LEDGER_NOT_FOUND":
            raise
        return False
    return True


def _scales(client: Client, ledger: str) -> dict[str, int]:
    pages = client.pages(client.admin.ListAssets, ListAssetsRequest(ledger=ledger, page_size=_PAGE_SIZE))
    return {asset.code: asset.scale for page in pages for asset in page.assets}


def _accounts(client: Client, ledger: str) -> set[str]:
    pages = client.pages(
        client.accounts.ListAccounts, ListAccountsRequest(ledger=ledger, page_size=_PAGE_SIZE)
    )
    return {account.name for page in pages for account in page.accounts}


def _quoted(word: str) -> str:
    return word if word.isalnum() else f"'{word}'"
