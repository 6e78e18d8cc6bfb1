"""`./ledger import`: a journal CSV into a ledger, as often as you like, each transaction once."""

import shutil
import sys
import tempfile
import time
from typing import BinaryIO

import click

from ledger_client import Client, Refused
from ledger_client.contract import AccountType
from ledger_server.cli.account_types import AccountTypes, type_named
from ledger_server.cli.batches import RefusedTransaction, Tally, post_in_batches
from ledger_server.cli.import_plan import Plan, Survey, plan, refuse_to_create, survey
from ledger_server.cli.journal_csv import BadJournal, read_transactions
from ledger_server.cli.target import connected, describe, explain, target_option

_LINES_SHOWN = 5


class TypeRule(click.ParamType[tuple[str, AccountType.ValueType]]):
    """PREFIX=TYPE, such as `Cash=asset`."""

    name = "rule"

    def convert(
        self, value: object, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, AccountType.ValueType]:
        prefix, equals, word = str(value).rpartition("=")
        account_type = type_named(word)
        if not (prefix and equals) or account_type is None:
            self.fail(
                f"{value!r} is not PREFIX=TYPE with asset, liability, equity, revenue or expense",
                parameter,
                context,
            )
        return prefix, account_type


@click.command("import")
@target_option
@click.argument("file", type=click.File("rb"))
@click.option("--ledger", required=True, metavar="NAME", help="The ledger to post into.")
@click.option(
    "--account-type",
    "rules",
    type=TypeRule(),
    multiple=True,
    metavar="PREFIX=TYPE",
    help="The type of accounts at or below PREFIX; may be repeated, the longest prefix wins.",
)
@click.option(
    "--create/--no-create",
    "may_create",
    default=True,
    show_default=True,
    help="Create the ledger, its assets and its accounts where they are missing.",
)
def import_journal(
    target: str,
    file: BinaryIO,
    ledger: str,
    rules: tuple[tuple[str, AccountType.ValueType], ...],
    may_create: bool,
) -> None:
    """Post a journal CSV, as `hledger print -x -O csv` writes it, into a ledger. FILE may be - for stdin.

    Needs the columns txnidx, date, description, account, amount and commodity;
    others are ignored. The whole file is checked before anything is posted. The same
    file again changes nothing, and a longer one adds what is new.
    """
    with connected(target) as client, _seekable(file) as journal:
        try:
            if sys.stderr.isatty():
                click.echo(f"checking {file.name}", err=True)
            found = survey(read_transactions(journal))
            _tell_notes(found)
            planned = plan(client, ledger, found, AccountTypes(rules))
            if not may_create:
                refuse_to_create(planned)
            planned.create(client)
            _tell_created(planned)
            started_at = time.monotonic()
            tally = _post(client, target, journal, planned, found.transactions)
        except BadJournal as error:
            raise click.ClickException(f"{file.name} {error}") from error
        except RefusedTransaction as error:
            raise click.ClickException(
                f"{file.name} line {error.transaction.line}: {describe(error.refused)};"
                " what was posted stays recorded: mend this one and run the same command again"
            ) from error
    _tell_result(tally, time.monotonic() - started_at)


def _post(client: Client, target: str, journal: BinaryIO, planned: Plan, count: int) -> Tally:
    tally = Tally()
    try:
        with click.progressbar(
            length=count,
            label=f"posting to {planned.ledger}",
            show_pos=True,
            file=sys.stderr,
            hidden=not sys.stderr.isatty(),
        ) as bar:
            post_in_batches(
                client,
                planned.ledger,
                read_transactions(journal),
                planned.scales,
                tally=tally,
                progress=bar.update,
            )
    except Refused as refused:
        raise click.ClickException(
            f"{explain(refused, target)}; {tally.total:,} transactions were answered for:"
            " run the same command again to post the rest"
        ) from refused
    return tally


def _seekable(file: BinaryIO) -> BinaryIO:
    """The file itself, or where it is a pipe a copy on disk: the file is read twice."""
    if file.seekable():
        return file
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(file, copy)
    return copy


def _tell_notes(found: Survey) -> None:
    if found.zero_lines:
        click.echo(
            f"note: {_some_lines(found.zero_lines)} with amount 0 skipped: the ledger has no zero entries",
            err=True,
        )
    if found.empty_lines:
        click.echo(f"note: nothing is left of the transactions at {_some_lines(found.empty_lines)}", err=True)
    if found.respelled:
        names = list(found.respelled)
        more = f" and {len(names) - _LINES_SHOWN} more" if len(names) > _LINES_SHOWN else ""
        click.echo(
            f"note: names are kept in Unicode NFC: {', '.join(names[:_LINES_SHOWN])}{more}"
            " had another spelling in the file",
            err=True,
        )


def _tell_created(planned: Plan) -> None:
    if planned.is_new or planned.assets or planned.accounts:
        head = f"ledger {planned.ledger}, " if planned.is_new else ""
        click.echo(f"created {head}{len(planned.assets)} assets, {len(planned.accounts)} accounts", err=True)


def _tell_result(tally: Tally, took_s: float) -> None:
    rate = tally.total / took_s if took_s else 0.0
    click.echo(
        f"{tally.total:,} transactions: {tally.new:,} new, {tally.replayed:,} already there;"
        f" {took_s:.1f} s, {rate:,.0f} transactions/s"
    )


def _some_lines(lines: list[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:_LINES_SHOWN])
    more = f" and {len(lines) - _LINES_SHOWN} more" if len(lines) > _LINES_SHOWN else ""
    return f"line{'s' if len(lines) > 1 else ''} {shown}{more}"
