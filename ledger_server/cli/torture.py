"""`./ledger torture`: breaks what the service stands on, under load, and judges it; it lives in `tests`."""

from __future__ import annotations

import logging
import secrets
import sys
import time
from importlib import import_module
from pathlib import Path

import click

_TESTS = Path(__file__).resolve().parents[2] / "tests"
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--ci", "size", flag_value="ci", help="The numbers of continuous integration: some minutes.")
@click.option("--full", "size", flag_value="full", help="The numbers of a release: hours.")
@click.option(
    "--only", multiple=True, metavar="FAULT", help="One kind of fault, as the table names it; repeatable."
)
@click.option("--seed", type=int, help="Repeats a run's load and faults.  [default: a random one]")
@click.option("--json", "json_file", type=_FILE, help="Write the result there too.")
def torture(size: str | None, only: tuple[str, ...], seed: int | None, json_file: Path | None) -> int:
    """Kill it, stop it, cut its power, and show that nothing acknowledged is lost or doubled.

    Starts services and PostgreSQL of its own on a folder of the temporary
    directory's disk, with 16 callers at a time, and removes them again; half a
    minute unless told otherwise. Every call and answer is judged by a reference
    ledger. What this machine cannot do is skipped, and said. The exit code is 1
    where something is wrong, or nothing was put to the test.
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
    seed = secrets.randbits(32) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    # What the supervisor says of a PostgreSQL that is broken on purpose is no news.
    logging.getLogger("ledger_server.store").addHandler(logging.NullHandler())
    began = time.monotonic()
    kinds = rounds.Rounds(size or "quick", seed, only=only, say=lambda line: click.echo(line, err=True))
    rows = list(kinds.run())
    click.echo(report.table(rows))
    if json_file is not None:
        seconds = time.monotonic() - began
        content = report.to_json(rows, size=size or "quick", seed=seed, seconds=seconds)
        json_file.write_text(content, encoding="utf-8")
    found = report.faults(rows)
    for sentence in (*report.skipped(rows), *found):
        click.echo(sentence, err=True)
    return 1 if found else 0
