"""`./ledger validate`: loyalty credits from end to end, over gRPC, with each step told and judged."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from ledger_client import Client, connect
from ledger_client.contract import Chart
from ledger_server import config
from ledger_server.app import STARTING_ERRORS, App, open_home
from ledger_server.cli.chart_file import ChartFault, read_chart
from ledger_server.cli.target import connected, credentials_options
from ledger_server.cli.validating import (
    StepFailed,
    Steps,
    open_books,
    walk,
    walk_with_a_switch_off,
    walk_with_all_on_again,
)

_CHART = Path(__file__).resolve().parents[2] / "examples" / "loyalty_credits" / "chart.yaml"
# In the order in which they are turned off.
SWITCHES = (config.DEV_ENDPOINTS_ENABLED, config.ENABLED)


@click.command()
@click.option("--target", metavar="HOST:PORT", help="A service that runs, instead of one of its own.")
@click.option("--ledger", metavar="NAME", help="With --target: a ledger that is there, instead of a new one.")
@credentials_options
def validate(target: str | None, ledger: str | None) -> int:
    """Walk through loyalty credits and check every balance, refusal and switch.

    Starts a service of its own on a throw-away PostgreSQL, and removes both. With
    --target the walk is made there, in a new ledger, which stays; the steps with a
    switch off are then made on a service of its own all the same, since another
    one's settings are not ours to change. The exit code is 0 if every step got what
    it expected; it ends at the first that did not.
    """
    if ledger and not target:
        raise click.UsageError("--ledger is for --target: a service of its own has none yet")
    try:
        chart = read_chart(_CHART).chart
    except (ChartFault, OSError) as error:
        raise click.ClickException(
            f"{_CHART}: {error}; the example is part of the source tree: run ./ledger validate there"
        ) from error
    steps = Steps(click.echo)
    # As for Ctrl-C: what was started is ended.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if target:
            with connected(target) as client:
                walk(steps, open_books(steps, client, chart, ledger))
            click.echo("a service of its own, with switches off:")
        with _own_books() as url:
            walk_on_own_books(steps, url, chart)
    except StepFailed as failed:
        raise click.ClickException(str(failed)) from failed
    except STARTING_ERRORS as error:
        raise click.ClickException(str(error)) from error
    finally:
        signal.signal(signal.SIGTERM, before)
    click.echo(f"All {steps.number} steps passed.")
    return 0


def walk_on_own_books(steps: Steps, url: str, chart: Chart) -> None:
    """Every step on a database that is ours, served again for each switch. Raises StepFailed."""
    with _serving(url) as client:
        credits = open_books(steps, client, chart, None)
        charge = walk(steps, credits).sequence
        journal = credits.journal()
    for switch in SWITCHES:
        with _serving(url, switch) as client:
            walk_with_a_switch_off(steps, credits.at(client), switch, charge)
    with _serving(url) as client:
        walk_with_all_on_again(steps, credits.at(client), journal)


@contextmanager
def _own_books() -> Iterator[str]:
    """The URL of a throw-away PostgreSQL."""
    settings = config.Config(ephemeral=True, pg_bindir=config.load().pg_bindir)
    with ExitStack() as ends:
        yield open_home(settings, ends).url


@contextmanager
def _serving(url: str, off: str | None = None) -> Iterator[Client]:
    """A client of a service as it is told in the environment, with one switch off."""
    environ = {"LEDGER_ENV": "dev", config.ENABLED: "on", "LEDGER_DAILY_TRIAL_BALANCE": "off"}
    if off:
        environ[off] = "off"
    settings = config.load(listen="127.0.0.1:0", database_url=url, environ=environ)
    with App(settings) as app, connect(f"127.0.0.1:{app.port}") as client:
        yield client
