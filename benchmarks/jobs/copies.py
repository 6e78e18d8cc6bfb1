"""The denominator of batches: COPY BINARY of the journal's own rows into the plain tables, by the superuser.

Two ways. `values`: a Python program that has the rows as values and hands them to
COPY, as any loader in this language does. `bytes`: rows that were encoded before
the clock starts, so that only PostgreSQL works; no client has its rows like that,
but it is the ceiling. Both commit once a chunk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.plain_tables import ledger_id_and_head

_TABLES = ("transactions", "entries")
_ORDER = {"transactions": "sequence", "entries": "sequence, index"}
_RANGE = (
    "select * from ledger.{table}"
    " where ledger_id = {ledger_id} and sequence > {after} and sequence <= {until} order by {order}"
)
_TYPES = (
    "select format_type(atttypid, null) from pg_attribute"
    " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum"
)


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """The rows after a sequence, as they lie in the journal, copied `size` transactions a commit."""
    copy_all = _copying(job["database"], job["ledger"], job["after"], job["size"], encoded=job["encoded"])

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        count = copy_all()
        return {"count": count, "seconds": time.perf_counter() - start}

    return run


def _copying(database: str, ledger: str, after: int, size: int, *, encoded: bool) -> Callable[[], int]:
    """Reads the rows after a sequence; the answer copies them, and counts them."""
    source = psycopg.connect(database)
    ledger_id, last = ledger_id_and_head(source, ledger)
    chunks = [
        [_read(source, table, ledger_id, start, start + size, encoded=encoded) for table in _TABLES]
        for start in range(after, last, size)
    ]
    source.close()
    connection = psycopg.connect(database)
    schema = "bench_encoded" if encoded else "bench"
    types = {
        table: [row[0] for row in connection.execute(_TYPES, (f"{schema}.{table}",))] for table in _TABLES
    }
    connection.commit()

    def copy_all() -> int:
        cursor = connection.cursor()
        for chunk in chunks:
            for table, rows in zip(_TABLES, chunk, strict=True):
                with cursor.copy(f"copy {schema}.{table} from stdin (format binary)".encode()) as copy:
                    if isinstance(rows, bytes):
                        copy.write(rows)
                        continue
                    copy.set_types(types[table])
                    for row in rows:
                        copy.write_row(row)
            connection.commit()
        connection.close()
        return last - after

    return copy_all


def _read(
    connection: psycopg.Connection[Any], table: str, ledger_id: int, after: int, until: int, *, encoded: bool
) -> bytes | list[tuple[Any, ...]]:
    query = _RANGE.format(table=table, ledger_id=ledger_id, after=after, until=until, order=_ORDER[table])
    if encoded:
        with connection.cursor().copy(f"copy ({query}) to stdout (format binary)".encode()) as copy:
            return b"".join(bytes(block) for block in copy)
    return [tuple(_plain(value) for value in row) for row in connection.execute(query.encode())]


def _plain(value: Any) -> Any:
    """The value as a program would hold it: whole numbers as int, JSON as a mapping."""
    if isinstance(value, Decimal):
        return int(value)
    return Jsonb(value) if isinstance(value, dict) else value
