"""`./ledger keys`: the operator's API keys, made in the database itself, as its owner."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ledger_server.domain.api_keys import APIKey
    from ledger_server.store.api_keys import APIKeyTable

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_PAGE = 1_000


def _lifetime(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """A number and a unit, in microseconds."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{text!r} is no time; it is a number and s, m, h or d, as 90d")
    return int(match[1]) * _UNITS_S[match[2]] * 1_000_000


def _of_a_database(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--ledger", metavar="NAME", help="A ledger's key; without it the platform's, of no ledger."
        ),
        click.option(
            "--database-url", metavar="OWNER_URL", help="The database, as its owner or a superuser."
        ),
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            help="Where the embedded PostgreSQL keeps the books.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def keys() -> None:
    """Make, revoke and list API keys: the platform's, or with --ledger a ledger's.

    Works in the database itself, as its owner, so it needs no service and asks nobody:
    for the first key of all. Ledgers' keys are made through the service too.
    """


@keys.command()
@click.option("--principal", required=True, metavar="NAME", help="Who will call with it.")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.option(
    "--expires-in", callback=_lifetime, metavar="90d", help="How long it is good; else until revoked."
)
@_of_a_database
def create(
    principal: str,
    description: str,
    expires_in: int | None,
    ledger: str | None,
    database_url: str | None,
    data_dir: Path | None,
) -> None:
    """Make a key and print it, this once, on a line of its own."""
    from ledger_server.domain import names
    from ledger_server.domain.api_keys import APIKeyDraft
    from ledger_server.domain.callers import reserved_fault

    fault = names.principal_fault(principal) or reserved_fault(principal)
    if fault:
        raise click.UsageError(f"--principal {fault}")
    if fault := names.text_fault(description):
        raise click.UsageError(f"--description {fault}")
    draft = APIKeyDraft(ledger, principal, description, lifetime=expires_in)
    with _table(ledger, database_url, data_dir) as table:
        key, text = table.insert(draft, _operator())
    click.echo(_line(key), err=True)
    click.echo("it is shown this once; send it as `authorization: Bearer`, or set LEDGER_TOKEN", err=True)
    click.echo(text)


@keys.command()
@click.argument("key_id")
@_of_a_database
def revoke(key_id: str, ledger: str | None, database_url: str | None, data_dir: Path | None) -> None:
    """Revoke a key for good; every service refuses it within a second."""
    with _table(ledger, database_url, data_dir) as table:
        key = table.revoke(key_id, _operator())
    if key is None:
        where = f"ledger {ledger!r} has" if ledger else "the platform has"
        raise click.ClickException(f"{where} no key {key_id!r}; `./ledger keys list` shows them")
    click.echo(_line(key))


@keys.command("list")
@_of_a_database
def list_keys(ledger: str | None, database_url: str | None, data_dir: Path | None) -> None:
    """List keys in the order of their making, those revoked and expired too."""
    after = (0, "")
    while True:
        with _table(ledger, database_url, data_dir) as table:
            page = table.page(after, _PAGE)
        for key in page:
            click.echo(_line(key))
        if len(page) < _PAGE:
            return
        after = page[-1].created_at, page[-1].key_id


def _operator() -> Any:
    from ledger_server.domain.callers import Caller, Means

    return Caller("operator", Means.OPEN, "the database")


@contextmanager
def _table(ledger: str | None, database_url: str | None, data_dir: Path | None) -> Iterator[APIKeyTable]:
    from ledger_server import config
    from ledger_server.app import STARTING_ERRORS
    from ledger_server.upkeep import operator_keys

    try:
        settings = config.load(database_url=database_url, data_dir=data_dir)
        with operator_keys(settings, ledger) as table:
            yield table
    except STARTING_ERRORS as error:
        raise click.ClickException(str(error)) from error


def _line(key: APIKey) -> str:
    if key.revoked_at is not None:
        state = f"revoked {_when(key.revoked_at)}"
    elif key.expires_at is not None:
        state = f"expires {_when(key.expires_at)}"
    else:
        state = "does not expire"
    parts = (
        key.key_id,
        key.principal,
        f"made {_when(key.created_at)} by {key.created_by}",
        state,
        key.description,
    )
    return "  ".join(part for part in parts if part)


def _when(microseconds: int) -> str:
    return (
        datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(" ", "seconds").replace("+00:00", "Z")
    )
