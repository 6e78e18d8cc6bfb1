"""Databases with nothing in them, not even the schema."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from ledger_server.store.embedded import EmbeddedPostgres


@contextmanager
def fresh(server: EmbeddedPostgres, *, owner: str = "postgres", without_roles: bool = False) -> Iterator[str]:
    """The owner's URL of an empty database, in a server without our roles if asked."""
    name = f"fresh_{secrets.token_hex(4)}"
    with psycopg.connect(server.owner_url, autocommit=True) as connection:
        if without_roles:
            for role in ("ledger_app", "ledger_read", "ledger_backup", "ledger_owner"):
                connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(role)))
        connection.execute(
            sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(owner))
        )
        try:
            yield server.url(name, owner)
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
