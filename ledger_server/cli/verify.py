"""`./ledger verify`: replays a journal and proves every record of it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--ledger", metavar="NAME", help="The ledger to prove.")
@click.option("--all", "is_all", is_flag=True, help="Prove every ledger.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the embedded PostgreSQL keeps the books.",
)
@click.option("--database-url", metavar="URL", help="Read this PostgreSQL instead.")
@click.option(
    "--rebuild-checkpoints",
    "rebuild",
    is_flag=True,
    help="Write a ledger's checkpoints anew if one is wrong.",
)
def verify(
    ledger: str | None, is_all: bool, data_dir: Path | None, database_url: str | None, rebuild: bool
) -> int:
    """Replay a journal and prove every record of it: numbering, hashes, balances, decisions.

    Reads only, also while the service runs, unless checkpoints are to be rebuilt.
    Names the first record or checkpoint that is wrong; the exit code is 1 then, and 0
    where the checkpoints were rebuilt.
    """
    from ledger_server import config
    from ledger_server.app import STARTING_ERRORS
    from ledger_server.service.verify import BadCheckpoint, BadRecord
    from ledger_server.upkeep import verify_database

    if is_all is (ledger is not None):
        raise click.UsageError("name a ledger with --ledger, or all of them with --all")
    broken = set()
    try:
        settings = config.load(database_url=database_url, data_dir=data_dir)
        for name, outcome in verify_database(settings, ledger, rebuild=rebuild):
            if isinstance(outcome, BadRecord):
                broken.add(name)
                click.echo(f"{name}: BROKEN at sequence {outcome.sequence}: {outcome}")
                continue
            if isinstance(outcome, BadCheckpoint):
                broken.add(name)
                next_step = "" if rebuild else "; --rebuild-checkpoints writes them anew"
                click.echo(f"  WRONG: {outcome}{next_step}")
                continue
            if isinstance(outcome, int):
                broken.remove(name)
                click.echo(f"  {outcome:,} checkpoints were written anew")
                continue
            rate = outcome.transactions / outcome.seconds if outcome.seconds else 0
            click.echo(
                f"{name}: sound. {outcome.sequence:,} records, {outcome.transactions:,} of them transactions,"
                f" in {outcome.seconds:.1f} s ({rate:,.0f}/s)"
            )
            click.echo(f"  head {outcome.sequence} {outcome.hash.hex()}")
    except STARTING_ERRORS as error:
        raise click.ClickException(str(error)) from error
    return 1 if broken else 0
