"""Makes the database inside a cluster that is ours."""

from __future__ import annotations

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# Parameters of a connection that are secrets (PostgreSQL, libpq "Parameter Key Words").
_SECRETS = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}


def ensure_database(owner_url: str, name: str) -> None:
    """Creates the database if it is not there yet; the user must be allowed to."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        known = connection.execute("select from pg_database where datname = %s", (name,)).fetchone()
        if known is None:
            try:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            except errors.DuplicateDatabase:
                return


def app_conninfo(owner_url: str) -> str:
    """The same database as the role ledger_app, without what the owner's secrets are."""
    given = conninfo_to_dict(owner_url)
    kept = {name: str(value) for name, value in given.items() if name not in _SECRETS}
    return make_conninfo("", **{**kept, "user": "ledger_app"})
