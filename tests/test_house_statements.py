"""Every SQL statement: used, sound on the schema, fenced by its ledger, and never built from text."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clusters import Database
from literal_sql import built_statements
from statement_scopes import loose_tables

from ledger_server.store.sql import Statement, statements

STORE = Path(__file__).resolve().parent.parent / "ledger_server" / "store"
FILES = sorted(path.stem for path in (STORE / "sql").glob("*.sql"))

# Statements that name no ledger_id, and why they may.
WITHOUT_LEDGER = {
    "lane.lock": "the lane's key is made of the ledger's id",
    "lane.unlock": "the lane's key is made of the ledger's id",
    "lane.vouch": "reads the ledger that the session named",
    "lane.begin": "reads and writes nothing",
    "lane.commit": "reads and writes nothing",
    "lane.rollback": "reads and writes nothing",
    "lane.row_types": "about the schema",
    "lane.backend_pid": "about the session",
    "lane.end_backend": "about a session",
    "lane.end_silent_holder": "the lane's key is made of the ledger's id",
    "summing.plan_anew": "about the planner",
    "checkpoints.plan_freely": "about the planner",
    "checkpoints.join_by_hashing": "about the planner",
    "checkpoints.read_write": "reads and writes nothing",
    "checkpoints.write": "writes of the ledger that the session named",
    "checkpoints.discard": "removes of the ledger that the session named",
    "trial_balance_runs.read_write": "reads and writes nothing",
    "trial_balance_runs.take_time": "about the session",
    "trial_balance_runs.run": "writes of the ledger that the session named",
    "trial_balance_runs.today": "about the server",
    "opening.serializable": "reads and writes nothing",
    "opening.clock": "about the server",
    "opening.mean_platform": "about the session",
    "opening.audit_ledger": "the platform's own event is of no ledger",
    "auditing.mean_platform": "about the session",
    "api_keys.find": "a key is found before its ledger is known",
    "database.version": "about the server",
    "database.identity": "about the server",
    "database.stored_identity": "about the server",
    "database.store_identity": "about the server",
    "database.update_identity": "about the server",
}
# Has ledger_id and holds the names of all ledgers; see 0001_journal.sql.
OF_ALL_LEDGERS = {"directory"}
# What PREPARE does not take is run instead, inside a database transaction that is rolled back.
_PREPARED = ("select", "insert", "update", "delete", "with")


def _statements() -> dict[str, Statement]:
    return {f"{file}.{name}": each for file in FILES for name, each in vars(statements(file)).items()}


def _all() -> dict[str, str]:
    return {name: statement.decode() for name, statement in _statements().items()}


def test_every_statement_is_used_and_every_use_exists() -> None:
    used = set()
    for path in STORE.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        files = [
            node.args[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "statements"
            and isinstance(node.args[0], ast.Constant)
        ]
        if not files:
            continue
        assert len(files) == 1, f"{path.name} uses {files}; one file of statements a module"
        used |= {
            f"{files[0]}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "_SQL"
        }

    assert used == set(_all())


@pytest.mark.parametrize("file", FILES)
def test_every_statement_has_its_own_name_and_a_sentence(file: str) -> None:
    text = (STORE / "sql" / f"{file}.sql").read_text(encoding="utf-8")

    names = re.findall(r"^-- name: (\w+)\n(?:-- [^\n]+\n)*-- [^\n]+[.?!]$", text, re.MULTILINE)

    assert len(names) == text.count("-- name:")
    assert len(names) == len(set(names))


def test_every_statement_names_its_ledger() -> None:
    without = {name for name, text in _all().items() if "ledger_id" not in re.sub(r"--[^\n]*", "", text)}

    assert without == set(WITHOUT_LEDGER)


@pytest.mark.criterion("S000-10")
def test_every_table_of_a_statement_is_held_to_its_ledger(database: Database) -> None:
    """Row security, the second lock, would hide a forgotten ledger_id from every other test."""
    with psycopg.connect(database.owner_url) as connection:
        tables = {
            name
            for (name,) in connection.execute(
                "select table_name from information_schema.columns"
                " where table_schema = 'ledger' and column_name = 'ledger_id'"
            )
        } - OF_ALL_LEDGERS

    loose = {name: loose_tables(text, tables) for name, text in _all().items() if name not in WITHOUT_LEDGER}

    assert {"heads", "entries", "checkpoints"} <= tables
    assert {name: found for name, found in loose.items() if found} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "select sequence from ledger.heads",
        "select sequence from ledger.heads where ledger_id = %(other)s",
        "select sequence from ledger.heads where ledger_id = %(ledger_id)s or true",
        "select sequence from ledger.heads where ledger_id = %(ledger_id)s + 1",
        "select sequence from ledger.heads where ledger_id <> %(ledger_id)s",
        "select sequence from ledger.heads -- where ledger_id = %(ledger_id)s",
        "select ' where ledger_id = %(ledger_id)s' from ledger.heads where true",
        "select 1 from ledger.heads as h join ledger.entries as e on e.ledger_id = %(ledger_id)s",
        "select 1 from ledger.heads join ledger.entries using (sequence)"
        " where heads.ledger_id = %(ledger_id)s",
        "select 1 from ledger.heads, ledger.entries where ledger_id = %(ledger_id)s",
        "select 1 from ledger.heads where ledger_id = %(ledger_id)s union select 1 from ledger.entries",
        "select (select 1 from ledger.entries) from ledger.heads where ledger_id = %(ledger_id)s",
        "select 1 from ledger.heads where ledger_id = %(ledger_id)s"
        " and exists (select from ledger.entries where entries.sequence = heads.sequence)",
        "with all_of_them as (select * from ledger.entries) select 1 from all_of_them, ledger.heads"
        " where ledger_id = %(ledger_id)s",
        "update ledger.heads set epoch = 2 where sequence = %(ledger_id)s",
        "update ledger.heads set ledger_id = %(ledger_id)s",
        "delete from ledger.checkpoints",
        "insert into ledger.heads (ledger_id, sequence) select 7, %(ledger_id)s",
        "insert into ledger.heads (sequence, ledger_id) values (%(ledger_id)s, %(sequence)s)",
        "insert into ledger.heads (sequence) values (%(ledger_id)s)",
    ],
)
def test_a_statement_that_reaches_other_ledgers_is_found_out(statement: str) -> None:
    assert loose_tables(statement, {"heads", "entries", "checkpoints"})


def test_every_statement_is_sound_on_the_migrated_schema(database: Database) -> None:
    failed = {}
    with psycopg.connect(database.app_url) as connection:
        for name, statement in _statements().items():
            try:
                _try(connection, name, statement)
            except psycopg.Error as error:
                failed[name] = str(error).partition("\n")[0]
            connection.rollback()

    assert not failed


def _try(connection: psycopg.Connection[Any], name: str, statement: Statement) -> None:
    bare = re.sub(r"--[^\n]*\n", "", statement.decode()).lstrip("( \n")
    if bare.startswith(_PREPARED):
        connection.execute(b"prepare one as " + statement.numbered)
        connection.execute("deallocate one")
    else:
        assert bare.split()[0] in ("begin", "commit", "rollback", "set"), name
        if bare.split()[0] == "set":
            connection.execute(statement)


@pytest.mark.criterion("S000-9")
def test_no_statement_is_built_from_text() -> None:
    """Literals and named statements only; what must hold an identifier is composed by psycopg.sql."""
    server = STORE.parent
    built = [
        f"{path.relative_to(server)}: {found}"
        for path in sorted(server.rglob("*.py"))
        for found in built_statements(path.read_text(encoding="utf-8"))
    ]

    assert built == []


@pytest.mark.parametrize(
    "code",
    [
        "connection.execute(f'select {name}')",
        "connection.execute('select ' + name)",
        "connection.execute('select %s' % name)",
        "connection.execute('select {}'.format(name))",
        "connection.execute(' '.join(parts))",
        "connection.execute(''.join(parts).encode())",
        "connection.execute('select name'.replace('name', name))",
        "cursor.executemany(f'insert into {name}', rows)",
        "cursor.copy(f'copy {name} from stdin')",
        "connection.execute(sql.SQL(f'select {name}'))",
        "connection.execute(sql.SQL('select ' + name).format(sql.Identifier(name)))",
        "connection.execute(text(name))",
        "statement = 'select 1'\nstatement += name\nconnection.execute(statement)",
        "statement = f'select {name}'\nconnection.execute(statement)",
        "STATEMENTS = ('select 1', f'select {name}')\n"
        "for statement in STATEMENTS:\n    connection.execute(statement)",
        "def ask(connection, statement):\n    connection.execute(statement)\n"
        "ask(connection, f'select {name}')",
        "def ask(self, statement):\n    self.connection.execute(statement)\n"
        "def look(self):\n    self.ask(statement=f'select {name}')",
        "trip.ask(Statement.of('one', f'select {name}'))",
        "pgconn.send_query(f'select {name}'.encode())",
    ],
)
def test_a_statement_that_is_built_from_text_is_found_out(code: str) -> None:
    assert built_statements(code)
