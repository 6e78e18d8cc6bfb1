"""Tenants apart in the database: every table, command, role and context, against a table written by hand.

Nothing of the service stands between: row-level security and privileges must hold by
themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from clusters import Cluster
from psycopg import Connection, errors, sql
from raw_books import CASH, FUNDED, USD, RawBook
from store.rights import COMMANDS, CONTEXTS, ROLES, Trials, expected_commands, expected_functions

from ledger_server.store.embedded import EmbeddedPostgres

# The member of each ledger stands behind what a raw book begins with.
MEMBER = FUNDED + 1
CHART = MEMBER + 1
NEXT = CHART + 1
KEY = "{:016x}"

# What an UPDATE sets, to the value that it has: a column that ledger_app may set, where there is one.
SET = {
    "directory": "name",
    "heads": "epoch",
    "credentials": "revoked_at",
    "database_identity": "timeline",
    "schema_migrations": "name",
    "vouching": "secret",
}
# What makes of a row that is there one that no key refuses, where that can be.
FRESH: Mapping[str, Mapping[str, object]] = {
    "directory": {"name": "fresh"},
    "heads": {
        "sequence": 1,
        "moved_from": 0,
        "filled": 0,
        "account_id_max": 0,
        "asset_id_max": 0,
        "has_limits": False,
        "chart_version": 0,
    },
    "ledgers": {"sequence": 2},
    "assets": {"asset_id": 9, "code": "NEW", "sequence": NEXT},
    "accounts": {"account_id": 9, "name": "fresh", "sequence": NEXT},
    "transactions": {"sequence": NEXT},
    "entries": {"sequence": NEXT},
    "members": {"principal": "fresh", "sequence": NEXT},
    "charts": {"version": 2, "sequence": NEXT},
    "audit_events": {},
    "credentials": {"key_id": "f" * 16},
    "checkpoints": {"sequence": FUNDED - 1},
    "checkpoint_balances": {"account_id": 9},
    "bounds": {"account_id": 9},
    "trial_balance_runs": {"number": 9, "daily": False},
    "schema_migrations": {"number": 9_000},
}
# What an insert answers.
INSERTED = 0


@dataclass(frozen=True, slots=True)
class Books:
    """Two ledgers in a database, and a session of a superuser for each context."""

    own: int
    other: int
    sessions: Mapping[str, Connection[Any]]

    @contextmanager
    def acting(self, role: str, context: str) -> Iterator[Connection[Any]]:
        """A session that acts as the role in the context, in a database transaction that is rolled back."""
        connection = self.sessions[context]
        with connection.transaction(force_rollback=True):
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            yield connection

    def called(self, ids: set[int]) -> str:
        """What has been reached, in the words of the table."""
        words = {frozenset(): "none", frozenset({self.own}): "own", frozenset({self.other}): "other"}
        return words.get(frozenset(ids), "all")


@pytest.fixture(scope="module")
def books(each_server: EmbeddedPostgres) -> Iterator[Books]:
    """On each version: a ledger of one's own and another's, with rows in every table."""
    cluster = Cluster(each_server.owner_url, each_server.version_major)
    with cluster.database() as database, ExitStack() as ends:
        with psycopg.connect(database.app_url, autocommit=True) as app:
            own, other = RawBook(app), RawBook(app)
            for book in (own, other):
                _fill(book)
            with other.writing(1):
                other.assets((NEXT, 3, "GBP"))
            app.execute("insert into ledger.database_identity values (true, 'this one', 1)")
        sessions = {
            context: ends.enter_context(psycopg.connect(database.owner_url, autocommit=True))
            for context in CONTEXTS
        }
        for session in sessions.values():
            session.execute("set jit = off")
        for context, ledger_id in (("own", own.id), ("other", other.id)):
            sessions[context].execute("select set_config('ledger.id', %s::text, false)", [ledger_id])
        with sessions["empty"].transaction():
            sessions["empty"].execute("select set_config('ledger.id', %s::text, true)", [own.id])
        assert [_named(sessions[context]) for context in ("unset", "empty")] == [None, ""]
        yield Books(own.id, other.id, sessions)
        assert [_named(sessions[context]) for context in ("unset", "empty")] == [None, ""]


def _fill(book: RawBook) -> None:
    """A row in every table that a raw book leaves empty."""
    with book.writing(1):
        book.run(
            "insert into ledger.members (ledger_id, principal, version, status, roles, account_prefixes,"
            " sequence, record_time, created_by, hash)"
            " select ledger_id, 'spiffe://shop', 1, 1, '{1}', '{}', sequence, record_time, '', hash"
            " from ledger.heads where ledger_id = %s",
            [book.id],
        )
    with book.writing(1):
        book.run(
            "insert into ledger.charts (ledger_id, version, chart, name_patterns, sequence, record_time,"
            " created_by, hash)"
            " select ledger_id, 1, '{}', '{}', sequence, record_time, '', hash"
            " from ledger.heads where ledger_id = %s",
            [book.id],
        )
    with book.writing():
        assert book.run("select ledger.write_checkpoint(2)").fetchone() == (FUNDED,)
        assert book.run(RUN).fetchone() == (1,)
        book.run(AUDIT, [book.id])
        book.run(
            "insert into ledger.credentials (key_id, digest, ledger_id, principal, description, created_at,"
            " created_by) values (%s, %s, %s, 'shop', '', clock_timestamp(), '')",
            [KEY.format(book.id), bytes(32), book.id],
        )


def _named(connection: Connection[Any]) -> str | None:
    row = connection.execute("select current_setting('ledger.id', true)").fetchone()
    assert row is not None
    return row[0] if row[0] is None else str(row[0])


def _tables(connection: Connection[Any]) -> set[str]:
    return {
        name
        for (name,) in connection.execute(
            "select relname from pg_class where relnamespace = 'ledger'::regnamespace"
            " and relkind not in ('i', 'S', 'c')"
        )
    }


def _columns(connection: Connection[Any], table: str) -> dict[str, bool]:
    """The columns, and whether the database alone gives them values."""
    rows = connection.execute(
        "select attname, attidentity = 'a' from pg_attribute"
        " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
        [f"ledger.{table}"],
    )
    return dict(rows)


@pytest.mark.criterion("S001-3")
def test_every_table_lets_each_role_do_what_is_written_down_and_nothing_else(books: Books) -> None:
    expected = expected_commands()
    tables = {table for table, _, _ in expected}

    assert tables == _tables(books.sessions["own"])
    statements = {(table, command): _statement(books, table, command) for table, _, command in expected}
    found = {
        (table, role, command): tuple(
            _tried(books, context, role, statements[table, command]) for context in CONTEXTS
        )
        for table, role, command in expected
    }
    assert len(found) == len(tables) * len(ROLES) * len(COMMANDS)
    assert _differing(found, expected) == []


def _differing(found: Trials, expected: Trials) -> list[str]:
    return [
        f"{' '.join(trial)}: {dict(zip(CONTEXTS, found[trial], strict=True))}, not {expected[trial]}"
        for trial in expected
        if found[trial] != expected[trial]
    ]


def _tried(books: Books, context: str, role: str, statement: sql.Composed) -> str:
    """What the statement did: which ledgers' rows it reached, "done" for an insert, or an SQLSTATE."""
    with books.acting(role, context) as connection:
        try:
            cursor = connection.execute(statement)
        except psycopg.Error as error:
            return str(error.sqlstate)
        reached = {row[0] for row in cursor} if cursor.description else set()
        return "done" if reached == {INSERTED} else books.called(reached)


def _statement(books: Books, table: str, command: str) -> sql.Composed:
    """The command on all rows of a table, or of a fresh row of our own ledger; it answers their ledgers."""
    connection = books.sessions["own"]
    columns = _columns(connection, table)
    # Minus one stands for rows of no ledger.
    answer = sql.SQL("ledger_id" if "ledger_id" in columns else "-1")
    relation = sql.Identifier("ledger", table)
    if command == "SELECT":
        return sql.SQL("select {} from {}").format(answer, relation)
    if command == "UPDATE":
        column = sql.Identifier(SET.get(table, "ledger_id"))
        return sql.SQL("update {} set {} = {} returning {}").format(relation, column, column, answer)
    if command == "DELETE":
        return sql.SQL("delete from {} returning {}").format(relation, answer)
    if command == "TRUNCATE":
        return sql.SQL("truncate {}").format(relation)
    condition = sql.SQL("ledger_id = {}").format(books.own) if "ledger_id" in columns else sql.SQL("true")
    row = connection.execute(
        sql.SQL("select to_jsonb(one) from {} as one where {} limit 1").format(relation, condition)
    ).fetchone()
    assert row is not None, f"ledger.{table} has no rows to try with"
    given = sql.SQL(", ").join(sql.Identifier(name) for name, is_made in columns.items() if not is_made)
    return sql.SQL(
        "insert into {relation} ({given}) select {given} from jsonb_populate_record(null::{relation}, {row})"
        " returning {inserted}"
    ).format(
        relation=relation,
        given=given,
        inserted=INSERTED,
        row=sql.Literal(json.dumps(row[0] | FRESH.get(table, {}))),
    )


# What is called; the last statement answers which ledgers were reached.
CHECKPOINTED = "select distinct ledger_id from ledger.checkpoints"
RUN = "select ledger.run_trial_balance('shop', false)"
RUN_TWICE = "select ledger_id from ledger.trial_balance_runs where number = 2"
AUDIT = "select ledger.audit(%s, 'shop', 'api_key', '', 'DONE', '')"
CALLS = {
    "audit": AUDIT,
    "find_api_key": "select ledger from ledger.find_api_key(%s)",
    "vouch": f"select sequence from ledger.vouch(array[{CASH}]::bigint[], array[{USD}])",
    "write_checkpoint": "select ledger.write_checkpoint(2)",
    "discard_checkpoints": "select ledger.discard_checkpoints()",
    "run_trial_balance": RUN,
    "offending_sequences": "select * from ledger.offending_sequences(%s)",
    "seal": "select ledger.seal(1, 1, '', '', '')",
    "vouched_balances": "select * from ledger.vouched_balances(1, 1)",
    "checkpoint_digest": "select ledger.checkpoint_digest(1, 1, '{}', '{}', '{}', '{}', 0)",
    "balance_checksum": "select ledger.balance_checksum(1, 1, 0, 0)",
    "bounds_of": "select * from ledger.bounds_of(1::smallint, '{}')",
}


@pytest.mark.criterion("S001-3")
def test_every_function_reaches_the_sessions_ledger_and_no_other(books: Books) -> None:
    expected = expected_functions()
    functions = {
        name
        for (name,) in books.sessions["own"].execute(
            "select proname from pg_proc where pronamespace = 'ledger'::regnamespace"
            " and prorettype <> 'trigger'::regtype"
        )
    }

    assert {function for function, _, _ in expected} == functions
    found = {
        (function, role, word): tuple(_called(books, context, function, role) for context in CONTEXTS)
        for function, role, word in expected
    }
    assert _differing(found, expected) == []


def _called(books: Books, context: str, function: str, role: str) -> str:
    """What calling the function reached, or an SQLSTATE."""
    with books.acting(role, context) as connection:
        if function == "write_checkpoint":
            # One that can be written, in every ledger; the role is another one for that long.
            connection.execute("reset role")
            connection.execute("delete from ledger.checkpoint_balances")
            connection.execute("delete from ledger.checkpoints")
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        try:
            row = connection.execute(CALLS[function].encode(), _given(books, function)).fetchone()
        except psycopg.Error as error:
            return str(error.sqlstate)
        connection.execute("reset role")
        left = {ledger_id for (ledger_id,) in connection.execute(CHECKPOINTED.encode())}
        if function == "discard_checkpoints":
            return books.called({books.own, books.other} - left)
        if function == "write_checkpoint":
            return books.called(left)
        if function == "run_trial_balance":
            return books.called({ledger_id for (ledger_id,) in connection.execute(RUN_TWICE.encode())})
        if function == "vouch":
            assert row is not None
            # The other ledger's head is one further.
            heads = {CHART: books.own, NEXT: books.other}
            return books.called({heads[row[0]]} if row[0] is not None else set())
        if function in ("find_api_key", "offending_sequences"):
            return books.called({books.own} if row else set())
        return "done" if function == "audit" else "pure"


def _given(books: Books, function: str) -> list[object] | None:
    """What a function is called with, where that is of a ledger: always our own."""
    given: dict[str, list[object]] = {
        "audit": [books.own],
        "find_api_key": [KEY.format(books.own)],
        "offending_sequences": [books.own],
    }
    return given.get(function)


def test_events_of_no_ledger_are_for_those_who_say_that_they_mean_them(books: Books) -> None:
    for context in CONTEXTS:
        with books.acting("ledger_app", context) as connection:
            hidden = "select count(*) from ledger.audit_events where ledger_id is null"
            with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
                connection.execute(AUDIT.encode(), [None])

            connection.execute("select set_config('ledger.platform', 'on', true)")
            connection.execute(AUDIT.encode(), [None])

            assert connection.execute(hidden.encode()).fetchone() == (1,)
            connection.execute("select set_config('ledger.platform', 'off', true)")
            assert connection.execute(hidden.encode()).fetchone() == (0,)


def test_no_trigger_function_can_be_called_or_put_on_a_table_by_anybody_but_the_owner(books: Books) -> None:
    rows = books.sessions["own"].execute(
        "select proname, rolname from pg_proc, pg_roles where pronamespace = 'ledger'::regnamespace"
        " and prorettype = 'trigger'::regtype and rolname = any (%s)"
        " and has_function_privilege(rolname, pg_proc.oid, 'execute')",
        [[role for role in ROLES if role != "ledger_owner"]],
    )

    assert rows.fetchall() == []


@pytest.mark.parametrize(("table", "column"), [("vouching", "secret"), ("credentials", "digest")])
def test_secrets_are_read_by_the_owner_and_the_backups_alone(books: Books, table: str, column: str) -> None:
    query = sql.SQL("select {} from {}").format(sql.Identifier(column), sql.Identifier("ledger", table))
    for role in ROLES:
        with books.acting(role, "own") as connection:
            if role in ("ledger_app", "ledger_read"):
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute(query)
            else:
                assert connection.execute(query).fetchall()
