"""Logs by allow-list: every sentence that is logged stands here, and what is put into it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parent.parent
# Each module's sentences, and why what is put into them is nobody's business but may be told:
# names of ledgers, sequences, counts, paths of the machine, and what PostgreSQL calls things.
ALLOWED = {
    "answering: %s failed [method.__name__]": "a method of the contract",
    "checkpointer: LEDGER_INVARIANT_BROKEN: no more checkpoints of ledger %r: %s; run `./ledger verify`"
    " [ledger, error]": "a sentence of 0003_checkpoints.sql: ids, sequences",
    "checkpointer: writing a checkpoint of ledger %r failed [ledger]": "a ledger",
    "checkpointer: writing a checkpoint of ledger %r was cancelled: %s [ledger, error]": "by whom",
    "daily_runs: looking for ledgers whose trial balance is due failed []": "nothing",
    "daily_runs: the daily trial balance of ledger %r failed [name]": "a ledger",
    "daily_runs: the daily trial balance of ledger %r was cancelled: %s [name, error]": "by whom",
    "daily_runs: the daily trial balance of ledger %r was not made: %s [name, error]": "why the database"
    " is lost",
    "denials: %d denials were not kept: %s [len(noted), error]": "a count; why the database is lost",
    "denials: denied %d more attempts, of too many principals to tell of each [dropped]": "a count",
    "embedded: the embedded PostgreSQL does not start: %s [refused]": "the end of its own log",
    "embedded: the embedded PostgreSQL ended with %s; starting it again [code]": "an exit code",
    "group_commit: the database does not answer: %s [error]": "why the database is lost",
    "group_commit: the database refused a decided batch: sqlstate=%s constraint=%s ledger=%s"
    " [error.sqlstate, error.constraint, ledger]": "names of the schema; a ledger",
    "key_sets: %s; the keys read before stay in use [error]": "where keys are read, and what is wrong there",
    "key_sets: the key set could not be read []": "nothing",
    "lanes: looking after an idle session failed []": "nothing",
    "lanes: serving a lane failed [{'ledger': turn.ledger}]": "a ledger",
    "leftovers: removing %s: its server is gone [lock]": "a path",
    "leftovers: stopping the PostgreSQL server %d, which an earlier run left in %s [pid, books]": "a path",
    "migrate: ledger_backup has no BYPASSRLS, which %s may not give: dump with pg_dump --enable-row-security,"
    " or have a superuser run `alter role ledger_backup bypassrls` [connection.info.user]": "a role",
    "server_certificate: %s; the certificate read before stays in use [error]": "a path, and what is wrong",
    "status: %s: %s %s [refusal.reason, refusal.message, refusal.facts]": "of InvariantBroken alone: its"
    " sentences name ledgers and sequences",
    "trial_balance_runs: LEDGER_INVARIANT_BROKEN: trial balance run %d of ledger %r is a MISMATCH: %d"
    " sequences are at fault, the lowest: %s; run `./ledger verify` [run.number, ledger,"
    " run.offending_count, run.offending]": "a ledger, sequences, counts",
    "trial_balances: LEDGER_INVARIANT_BROKEN: checkpoint %d of ledger %r is damaged and was not used; run"
    " `./ledger verify --rebuild-checkpoints` [damaged.sequence, ledger]": "a ledger, a sequence",
    "workers: worker %d cannot be started: %s; trying again in %.1f s"
    " [self._number, error, self._pause(now)]": "why a process does not start",
    "workers: worker %d did not drain in time [self._number]": "a number",
    "workers: worker %d, process %d, ended with %d%s; starting another one in %.1f s"
    " [self._number, self._process.pid, code, f': {problem}' if problem else '', self._pause(now)]": "an exit"
    " code, and why the service refused to start",
}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
PACKAGES = ("ledger_server", "ledger_client")


def _sentences() -> set[str]:
    """Every call of a logger: the module, the sentence, and the values as they stand in the code."""
    found = set()
    for package in PACKAGES:
        for path in sorted((TREE / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in LEVELS
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id in ("log", "_log", "logger", "_logger", "logging")
                ):
                    values = (*node.args[1:], *(each.value for each in node.keywords))
                    given = ", ".join(map(ast.unparse, values))
                    # Literal: a sentence that is put together could hold anything.
                    found.add(f"{path.stem}: {ast.literal_eval(node.args[0])} [{given}]")
    return found


@pytest.mark.criterion("S003-35")
def test_nothing_is_logged_but_these_sentences() -> None:
    assert _sentences() == set(ALLOWED)


def test_every_module_that_logs_calls_its_logger_by_the_name_that_is_looked_for() -> None:
    wrong = []
    for package in PACKAGES:
        for path in sorted((TREE / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            made = [line for line in text.splitlines() if "logging.getLogger(" in line]
            if any(not line.startswith(("_log = ", "log = ")) for line in made if "NullHandler" not in line):
                wrong.append(path.name)

    assert wrong == []
