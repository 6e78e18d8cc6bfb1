"""`./ledger apply`: a ledger's chart from a file; shows the difference, asks, applies."""

import sys
from pathlib import Path

import click

from ledger_client import Client, Refused
from ledger_client.contract import ApplyChartRequest, ApplyChartResponse, ChartChanges, GetChartRequest
from ledger_server.cli.chart_file import ChartFault, ChartFile, read_chart
from ledger_server.cli.target import connected, describe, target_option

# Every account may have to be looked at.
_DEADLINE_S = 300.0


@click.command("apply")
@target_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--ledger", required=True, metavar="NAME")
@click.option("--create", is_flag=True, help="Create the ledger first, where it is not there.")
@click.option("--yes", is_flag=True, help="Apply without asking.")
@click.option("--dry-run", is_flag=True, help="Show the difference, and apply nothing.")
def apply(target: str, file: Path, ledger: str, create: bool, yes: bool, dry_run: bool) -> int:
    """Give a ledger the chart in FILE, a YAML file; shows first what that changes.

    What is recorded and contradicts the chart is refused with the offenders, and
    nothing is applied. A chart that stands already is left as it is.
    """
    try:
        given = read_chart(file)
    except ChartFault as fault:
        raise click.ClickException(f"{file}: {fault}") from fault
    with connected(target) as client:
        if create:
            client.create_ledger(ledger)
        request = ApplyChartRequest(ledger=ledger, chart=given.chart, version=_standing(client, ledger))
        tried = _ask(client, given, file, request, validate_only=True)
        if tried.replayed:
            click.echo(f"{ledger} has this chart already: version {tried.chart.version}; nothing to do.")
            return 0
        _show(ledger, tried)
        if dry_run:
            return 0
        if not yes and not _is_agreed():
            raise click.ClickException("nothing was applied; answer y, or give --yes")
        applied = _ask(client, given, file, request, validate_only=False)
        click.echo(f"Applied: version {applied.chart.version}, sequence {applied.chart.sequence}.")
    return 0


def _is_agreed() -> bool:
    return sys.stdin.isatty() and click.confirm("Apply it?")


def _standing(client: Client, ledger: str) -> int:
    """The version that stands; 0 for none."""
    try:
        return client.call(client.charts.GetChart, GetChartRequest(ledger=ledger)).chart.version
    except Refused as refused:
        if refused.reason == "CHART_NOT_FOUND":
            return 0
        raise


def _ask(
    client: Client, given: ChartFile, file: Path, request: ApplyChartRequest, *, validate_only: bool
) -> ApplyChartResponse:
    request.validate_only = validate_only
    try:
        return client.call(client.charts.ApplyChart, request, deadline_s=_DEADLINE_S)
    except Refused as refused:
        if not refused.violations:
            raise
        told = "".join(f"\n  {given.located(violation)}" for violation in refused.violations)
        raise click.ClickException(f"{file}: {describe(refused)}{told}") from refused


def _show(ledger: str, tried: ApplyChartResponse) -> None:
    click.echo(f"{ledger}, from version {tried.chart.version - 1} of its chart to {tried.chart.version}:")
    changes: ChartChanges = tried.changes
    for name, difference in (
        ("asset", changes.assets),
        ("family", changes.families),
        ("kind", changes.kinds),
        ("template", changes.templates),
        ("set", changes.sets),
    ):
        for sign, names in (("+", difference.added), ("~", difference.changed), ("-", difference.removed)):
            for one in names:
                click.echo(f"  {sign} {name:6} {one}")
