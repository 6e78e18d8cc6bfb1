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
def verify(ledger: str | None, is_all: bool, data_dir: Path | None, database_url: str | None) -> int:
    """Replay a journal and prove every record of it: numbering, hashes, balances, decisions.

    Reads only, also while the service runs. Names the first record that is wrong;
    the exit code is 1 then.
    """
    from ledger_server import config
    from ledger_server.app import STARTING_ERRORS, verify_database
    from ledger_server.service.verify import BadRecord

    if is_all is (ledger is not None):
        raise click.UsageError("name a ledger with --ledger, or all of them with --all")
    is_sound = True
    try:
        settings = config.load(database_url=database_url, data_dir=data_dir)
        for name, outcome in verify_database(settings, ledger):
            if isinstance(outcome, BadRecord):
                is_sound = False
                click.echo(f"{name}: BROKEN at sequence {outcome.sequence}: {outcome}")
                continue
            rate = outcome.transactions / outcome.seconds if outcome.seconds else 0
            click.echo(
                f"{name}: sound. {outcome.sequence:,} records, {outcome.transactions:,} of them transactions,"
                f" in {outcome.seconds:.1f} s ({rate:,.0f}/s)"
            )
            click.echo(f"  head {outcome.sequence} {outcome.hash.hex()}")
    except STARTING_ERRORS as error:
        raise click.ClickException(str(error)) from error
    return 0 if is_sound else 1
