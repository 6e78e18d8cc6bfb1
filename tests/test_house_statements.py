"""Every SQL statement: used, sound on the schema, fenced by its ledger, and never built from text."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clusters import Database

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
    "checkpoints.read_write": "reads and writes nothing",
    "checkpoints.write": "writes of the ledger that the session named",
    "checkpoints.discard": "removes of the ledger that the session named",
    "opening.serializable": "reads and writes nothing",
    "opening.clock": "about the server",
    "database.version": "about the server",
    "database.identity": "about the server",
    "database.stored_identity": "about the server",
    "database.store_identity": "about the server",
    "database.update_identity": "about the server",
}
_TABLES = r"\bledger\.(heads|ledgers|assets|accounts|transactions|entries|checkpoints|checkpoint_balances)\b"
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


def test_every_table_of_a_statement_is_held_to_its_ledger() -> None:
    """Row security, the second lock, would hide a forgotten ledger_id from every other test."""
    loose = {}
    for name, text in _all().items():
        bare = re.sub(r"--[^\n]*", "", text)
        tables = re.findall(_TABLES, bare)
        held = re.findall(r"%\(ledger_id\)s|\busing \(ledger_id\b|\bledger_id = \w+\.ledger_id\b", bare)
        if name not in WITHOUT_LEDGER and len(held) < len(tables):
            loose[name] = f"{len(tables)} tables, {len(held)} times held to the ledger"

    assert not loose


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


def test_no_statement_is_built_from_text() -> None:
    """Literals and named statements only; what must hold an identifier is composed by psycopg.sql."""
    wrong = []
    for path in sorted(STORE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("execute", "executemany", "copy")
                and node.args
            ):
                continue
            if _is_built(node.args[0]):
                wrong.append(f"{path.name}:{node.lineno}")

    assert not wrong


def _is_built(argument: ast.expr) -> bool:
    if isinstance(argument, ast.JoinedStr | ast.BinOp):
        return True
    if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Attribute):
        # sql.SQL("…").format(…) quotes what it is given; "…".format(…) does not.
        return argument.func.attr == "format" and not isinstance(argument.func.value, ast.Call)
    return False
