"""What the command line does to the books beside the service, or without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ledger_server.app import DATABASE, URL_SETTING
from ledger_server.config import Config, ConfigError
from ledger_server.service.verify import (
    BadCheckpoint,
    BadRecord,
    Proof,
    prove,
    prove_checkpoints,
    rebuild_checkpoints,
)
from ledger_server.store.api_keys import APIKeyTable, owned_keys
from ledger_server.store.data_directory import default_data_dir
from ledger_server.store.database_url import refuse_unreadable
from ledger_server.store.embedded import SUPERUSER, EmbeddedPostgres
from ledger_server.store.outcomes import NotCommitted
from ledger_server.store.replaying import reading_journals
from ledger_server.store.running import has_books, running_url


def verify_database(
    config: Config, ledger: str | None, *, rebuild: bool = False
) -> Iterator[tuple[str, Proof | BadRecord | BadCheckpoint | int]]:
    """Proves the journal of a ledger, or of all where it is None; answers each as it is proven.

    A sound journal is followed by its first checkpoint that is wrong, if there is one,
    and that by the number of those written instead, if they are to be rebuilt.
    Reads the database that the configuration names, or that of the embedded
    PostgreSQL: beside the service where it runs, else started for as long as it
    takes. Raises STARTING_ERRORS; ConfigError where there is no such ledger.
    """
    with ExitStack() as ends:
        if config.database_url:
            refuse_unreadable(config.database_url, URL_SETTING)
        url = config.database_url or _embedded_url(config, ends, "ledger_app")
        found = False
        for journal in ends.enter_context(reading_journals(url, ledger)):
            found = True
            try:
                yield journal.name, prove(journal)
                prove_checkpoints(journal.checkpoints)
            except BadRecord as bad:
                yield journal.name, bad
            except BadCheckpoint as bad_checkpoint:
                yield journal.name, bad_checkpoint
                if rebuild:
                    yield journal.name, rebuild_checkpoints(journal.checkpoints)
        if ledger is not None and not found:
            raise ConfigError(f"there is no ledger {ledger!r} in this database")


@contextmanager
def operator_keys(config: Config, ledger: str | None) -> Iterator[APIKeyTable]:
    """The API keys of a ledger, or the platform's where it is None, as the owner of the database.

    In one database transaction, in the database that the configuration names, or that of
    the embedded PostgreSQL as `verify_database` finds it. Raises STARTING_ERRORS;
    ConfigError where there is no such ledger, or the database refuses.
    """
    try:
        with _operator_keys(config, ledger) as keys:
            yield keys
    except NotCommitted as error:
        hint = "; the URL must be the owner's or a superuser's" if error.sqlstate == "42501" else ""
        raise ConfigError(f"the database refuses: {error}{hint}") from error


@contextmanager
def _operator_keys(config: Config, ledger: str | None) -> Iterator[APIKeyTable]:
    with ExitStack() as ends:
        if config.database_url:
            refuse_unreadable(config.database_url, "--database-url")
        url = config.database_url or _embedded_url(config, ends, SUPERUSER)
        keys = ends.enter_context(owned_keys(url, ledger))
        if keys is None:
            raise ConfigError(f"there is no ledger {ledger!r} in this database")
        yield keys


def _embedded_url(config: Config, ends: ExitStack, user: str) -> str:
    """The way to the embedded PostgreSQL, which is started where it does not run."""
    data_dir = config.data_dir or default_data_dir(config.xdg_data_home)
    url = running_url(data_dir, DATABASE, user)
    if url is not None:
        return url
    if not has_books(data_dir):
        raise ConfigError(f"no books are kept in {data_dir}: name them with --data-dir or --database-url")
    postgres = ends.enter_context(EmbeddedPostgres.start(data_dir, bindir=config.pg_bindir))
    return postgres.url(DATABASE, user)
