"""`./ledger trial-balance`: every balance of a ledger, and the proof that debits equal credits."""

import csv
import sys
from collections.abc import Iterator
from itertools import islice

import click

from ledger_client import Client
from ledger_client.contract import (
    TRIAL_BALANCE_BASIS_CHECKPOINTED,
    TRIAL_BALANCE_BASIS_RECOMPUTED,
    TRIAL_BALANCE_ROWS_BY_ACCOUNT,
    TRIAL_BALANCE_STATUS_OK,
    AssetTotal,
    TrialBalanceRequest,
    TrialBalanceResponse,
)
from ledger_client.decimals import from_minor_units, plain
from ledger_client.trial_balance_runs import TrialBalanceRun
from ledger_server.cli.target import connected, target_option

# Totals come from every entry of the ledger; a large one takes its time.
_DEADLINE_S = 120.0
_RUN_DEADLINE_S = 300.0
_RUNS_SHOWN = 20
_BASES = {"recomputed": TRIAL_BALANCE_BASIS_RECOMPUTED, "checkpointed": TRIAL_BALANCE_BASIS_CHECKPOINTED}


@click.command("trial-balance")
@target_option
@click.option("--ledger", required=True, metavar="NAME")
@click.option("--format", "form", type=click.Choice(["table", "csv"]), default="table", show_default=True)
@click.option(
    "--basis",
    type=click.Choice(list(_BASES)),
    default="recomputed",
    show_default=True,
    help="Add up every entry, or go on from a checkpoint where there is one.",
)
@click.option("--run", "is_run", is_flag=True, help="Add up every entry, keep what is found, and show that.")
@click.option("--runs", "is_list", is_flag=True, help=f"Show the newest {_RUNS_SHOWN} of what was kept.")
def trial_balance(target: str, ledger: str, form: str, basis: str, is_run: bool, is_list: bool) -> int:
    """Show every balance, debit positive, and whether debits equal credits; exit code 1 where they do not.

    The CSV has the columns account, asset and balance, without trailing zeros and
    without zero balances, sorted bytewise. With --run what is found is kept as a
    run of the ledger, and names the sequences at fault.
    """
    if (is_run or is_list) and (form == "csv" or basis != "recomputed" or (is_run and is_list)):
        raise click.UsageError("--run and --runs stand alone beside --ledger")
    with connected(target) as client:
        if is_run:
            return _show_run(ledger, client.run_trial_balance(ledger, deadline_s=_RUN_DEADLINE_S))
        if is_list:
            for run in islice(client.list_trial_balance_runs(ledger), _RUNS_SHOWN):
                click.echo(_run_line(run))
            return 0
        pages = read_trial_balance(client, ledger, basis)
        answer = _write_csv(pages) if form == "csv" else write_table(ledger, pages)
    if answer.status == TRIAL_BALANCE_STATUS_OK:
        return 0
    off = ", ".join(
        f"{from_minor_units(total.difference, total.scale):f} {total.asset}"
        for total in answer.totals
        if total.status != TRIAL_BALANCE_STATUS_OK
    )
    raise click.ClickException(
        f"MISMATCH: debits and credits of {ledger} differ by {off};"
        " run `./ledger verify` to find the first bad record"
    )


def read_trial_balance(
    client: Client, ledger: str, basis: str = "recomputed"
) -> Iterator[TrialBalanceResponse]:
    """Yields the pages of a trial balance by account, all at one sequence."""
    request = TrialBalanceRequest(
        ledger=ledger, rows=TRIAL_BALANCE_ROWS_BY_ACCOUNT, page_size=1_000, basis=_BASES[basis]
    )
    return client.pages(client.ledger.TrialBalance, request, deadline_s=_DEADLINE_S)


def _show_run(ledger: str, run: TrialBalanceRun) -> int:
    """Prints a run's totals and its verdict; answers the exit code. Raises click's error for a MISMATCH."""
    click.echo(_run_line(run))
    lines = [
        ("total", total.asset, *_amounts(total.scale, str(total.debits), str(total.credits)))
        for total in run.totals
    ]
    widths = [max(len(line[place]) for line in lines) for place in range(4)] if lines else []
    for line in lines:
        click.echo(_aligned(line, widths))
    if run.is_ok:
        return 0
    off = ", ".join(
        f"{from_minor_units(total.difference, total.scale):f} {total.asset}"
        for total in run.totals
        if total.difference
    )
    more = run.offending_count - len(run.offending_sequences)
    raise click.ClickException(
        f"MISMATCH: debits and credits of {ledger} differ by {off or 'nothing in sum'}; at fault:"
        f" {', '.join(map(str, run.offending_sequences))}{f' and {more} more' if more else ''};"
        " run `./ledger verify` to find the first bad record"
    )


def _run_line(run: TrialBalanceRun) -> str:
    """What a run was, in one line."""
    verdict = "OK" if run.is_ok else f"MISMATCH, {run.offending_count} at fault"
    made = run.record_time.isoformat(" ", "seconds").replace("+00:00", "Z")
    kind = "daily run" if run.is_daily else "run"
    return f"{kind} {run.number}  {made}  at sequence {run.sequence}  by {run.created_by}  {verdict}"


def _write_csv(pages: Iterator[TrialBalanceResponse]) -> TrialBalanceResponse:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("account", "asset", "balance"))
    for page in pages:
        scales = {total.asset: total.scale for total in page.totals}
        writer.writerows(
            (row.account, row.asset, plain(from_minor_units(row.net, scales[row.asset])))
            for row in page.rows
            if row.net != "0"
        )
    return page


def write_table(ledger: str, pages: Iterator[TrialBalanceResponse]) -> TrialBalanceResponse:
    """Prints the rows, the totals and the verdict; answers the last page."""
    head = ("account", "asset", "debits", "credits", "balance")
    lines: list[tuple[str, ...]] = []
    for page in pages:
        scales = {total.asset: total.scale for total in page.totals}
        lines += (
            (row.account, row.asset, *_amounts(scales[row.asset], row.debits, row.credits, row.net))
            for row in page.rows
        )
    totals = [_total_line(total) for total in page.totals]
    source = f", from the checkpoint at {page.checkpoint_sequence}" if page.checkpoint_sequence else ""
    click.echo(
        f"Trial balance of {ledger} at sequence {page.sequence}{source}; balances are debit positive\n"
    )
    widths = [max(len(line[place]) for line in (head, *lines, *totals)) for place in range(len(head))]
    rule = "  ".join("-" * width for width in widths)
    for line in (head, *lines):
        click.echo(_aligned(line, widths))
    click.echo(rule)
    for line in totals:
        click.echo(_aligned(line, widths))
    if page.status == TRIAL_BALANCE_STATUS_OK:
        click.echo("\nOK: debits equal credits in every asset.")
    return page


def _total_line(total: AssetTotal) -> tuple[str, ...]:
    word = "total" if total.status == TRIAL_BALANCE_STATUS_OK else "total MISMATCH"
    amounts = _amounts(total.scale, total.total_debits, total.total_credits, total.difference)
    return (word, total.asset, *amounts)


def _amounts(scale: int, *units: str) -> tuple[str, ...]:
    return tuple(f"{from_minor_units(each, scale):,f}" for each in units)


def _aligned(line: tuple[str, ...], widths: list[int]) -> str:
    """Names to the left, amounts to the right."""
    cells = [
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
