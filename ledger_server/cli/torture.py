"""`./ledger torture`: kills the service under load and judges what is left; it lives in `tests`."""

from __future__ import annotations

import secrets
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click

_TESTS = Path(__file__).resolve().parents[2] / "tests"


@click.command()
@click.option("--ci", "size", flag_value="ci", help="The numbers of continuous integration: some minutes.")
@click.option("--full", "size", flag_value="full", help="The numbers of a release: hours.")
@click.option("--only", multiple=True, metavar="FAULT", help="One kind of fault, as the table names it.")
@click.option("--seed", type=int, help="Repeats a run's load and faults.  [default: a random one]")
def torture(size: str | None, only: tuple[str, ...], seed: int | None) -> int:
    """Kill it, cut it off, and show that nothing acknowledged is lost or doubled.

    Starts services and PostgreSQL of its own on a folder of the temporary
    directory's disk, with 16 callers at a time, and removes them again; half a
    minute unless told otherwise. Every call and answer is judged by a reference
    ledger. The exit code is 1 where something is wrong, or nothing was put to the test.
    """
    if not (_TESTS / "torture").is_dir():
        raise click.ClickException(
            "the torture is part of the source tree, not of the installed package: run ./ledger torture there"
        )
    sys.path.insert(0, str(_TESTS))
    rounds, report = import_module("torture.rounds"), import_module("torture.report")
    for name in only:
        if name not in rounds.NAMES:
            raise click.UsageError(f"no fault {name!r}; there are: {', '.join(rounds.NAMES)}")
    counts = replace({"ci": rounds.CI, "full": rounds.FULL}.get(size or "", rounds.QUICK), only=only)
    seed = secrets.randbits(32) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    try:
        rows = list(rounds.Rounds(counts, seed, lambda line: click.echo(line, err=True)).run())
    except rounds.Stuck as stuck:
        raise click.ClickException(str(stuck)) from stuck
    click.echo(report.table(rows))
    found = report.faults(rows)
    for sentence in found:
        click.echo(sentence, err=True)
    return 1 if found else 0
