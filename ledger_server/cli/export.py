"""`./ledger export`: a ledger's transactions, oldest first, as a CSV to import or as an hledger journal."""

import csv
import io
from collections.abc import Iterator
from typing import TextIO

import click

from ledger_client import Client
from ledger_client.contract import (
    ORDER_OLDEST_FIRST,
    Account,
    Asset,
    ListAccountsRequest,
    ListAssetsRequest,
    ListTransactionsRequest,
    Transaction,
)
from ledger_server.cli.hledger_journal import HledgerJournal, NotRepresentable, signed
from ledger_server.cli.journal_csv import COLUMNS
from ledger_server.cli.target import connected, target_option

_PAGE_SIZE = 1_000
_DEADLINE_S = 60.0


@click.command()
@target_option
@click.option("--ledger", required=True, metavar="NAME")
@click.option("--format", "form", type=click.Choice(["csv", "hledger"]), default="csv", show_default=True)
@click.option(
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    metavar="FILE",
    help="Where to write; stdout unless given.",
)
def export(target: str, ledger: str, form: str, output: TextIO) -> None:
    """Write every transaction of a ledger, oldest first, as of the moment of the call.

    csv is what `./ledger import` reads; hledger is a journal that `hledger check -s`
    accepts. Both keep days, descriptions and entries.
    """
    with connected(target) as client:
        try:
            lines = _hledger_lines(client, ledger) if form == "hledger" else _csv_lines(client, ledger)
            for line in lines:
                output.write(line)
            output.flush()
        except NotRepresentable as error:
            raise click.ClickException(f"{error}; use --format csv") from error


def _csv_lines(client: Client, ledger: str) -> Iterator[str]:
    assets, sequence = _assets(client, ledger)
    scales = {asset.code: asset.scale for asset in assets}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, transaction in enumerate(_transactions(client, ledger, sequence), start=1):
        day = transaction.effective_time.ToDatetime().date().isoformat()
        for entry in transaction.entries:
            amount = signed(entry.side, entry.amount, scales[entry.asset])
            writer.writerow((number, day, transaction.description, entry.account, f"{amount:f}", entry.asset))
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _hledger_lines(client: Client, ledger: str) -> Iterator[str]:
    assets, sequence = _assets(client, ledger)
    journal = HledgerJournal(_accounts(client, ledger, sequence), assets)
    yield from journal.head()
    for transaction in _transactions(client, ledger, sequence):
        yield journal.transaction(transaction)


def _assets(client: Client, ledger: str) -> tuple[list[Asset], int]:
    """The assets, and the sequence they are as of: what is recorded later is not exported.

    So nothing in the export names an asset or an account that was not listed before.
    """
    pages = list(
        client.pages(client.admin.ListAssets, ListAssetsRequest(ledger=ledger, page_size=_PAGE_SIZE))
    )
    return [asset for page in pages for asset in page.assets], pages[0].sequence


def _accounts(client: Client, ledger: str, sequence: int) -> Iterator[Account]:
    request = ListAccountsRequest(ledger=ledger, page_size=_PAGE_SIZE, min_sequence=sequence)
    for page in client.pages(client.accounts.ListAccounts, request):
        yield from page.accounts


def _transactions(client: Client, ledger: str, sequence: int) -> Iterator[Transaction]:
    request = ListTransactionsRequest(
        ledger=ledger, order=ORDER_OLDEST_FIRST, page_size=_PAGE_SIZE, min_sequence=sequence
    )
    for page in client.pages(client.ledger.ListTransactions, request, deadline_s=_DEADLINE_S):
        for transaction in page.transactions:
            if transaction.sequence > sequence:
                return
            yield transaction
