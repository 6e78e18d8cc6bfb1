"""A ledger written by raw SQL as ledger_app, with no code of the service between: to try the fences on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

DEBIT, CREDIT = 1, 2
USD, EUR = 1, 2
CASH, SALES, WALLET = 1, 2, 3
# A new book's head: the ledger, two assets, three accounts, and 100 USD from cash to the wallet.
FUNDED = 7
HASH = b"\x07" * 32
SALT = b"\x07" * 16


def entry(
    sequence: int,
    index: int,
    account: int,
    side: int,
    amount: Any,
    balance_after: Any,
    asset: int = USD,
    layer: int = 0,
) -> tuple[Any, ...]:
    """A row of ledger.entries."""
    return sequence, index, account, side, str(amount), str(balance_after), asset, layer


class RawBook:
    """A fresh ledger. Cash stands at 100 USD, the wallet (never below 0) at 100 in its own sense."""

    def __init__(self, connection: psycopg.Connection[Any], *, is_empty: bool = False) -> None:
        self.connection = connection
        with connection.transaction():
            row = self.run(
                "insert into ledger.directory (name) values (%s) returning ledger_id", [secrets.token_hex(8)]
            ).fetchone()
            assert row is not None
            self.id: int = row[0]
            self.name_session(self.id)
            self.run(
                "insert into ledger.heads (ledger_id, sequence, hash, record_time)"
                " values (%s, 1, %s, clock_timestamp())",
                [self.id, HASH],
            )
            self.run(
                "insert into ledger.ledgers (ledger_id, sequence, record_time, created_by, description,"
                " salt, hash)"
                " select ledger_id, 1, record_time, '', '', %s, hash from ledger.heads where ledger_id = %s",
                [SALT, self.id],
            )
        if not is_empty:
            self._fund()

    def _fund(self) -> None:
        with self.writing(5):
            self.assets((2, USD, "USD"), (3, EUR, "EUR"))
            self.accounts((4, CASH, "cash", 1, None), (5, SALES, "sales", 4, None))
            self.accounts((6, WALLET, "wallet", 2, {"1": {"balance_min": "0"}}))
        with self.writing(1, self.vouch((WALLET, USD))):
            self.transactions(FUNDED)
            self.entries(entry(FUNDED, 0, CASH, DEBIT, 100, 100), entry(FUNDED, 1, WALLET, CREDIT, 100, -100))

    def run(self, statement: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> psycopg.Cursor[Any]:
        """Runs a statement as it is."""
        return self.connection.execute(statement.encode(), parameters or None)

    def name_session(self, ledger_id: object) -> None:
        """Names the session's ledger."""
        self.run("select set_config('ledger.id', %s::text, true)", [ledger_id])

    @contextmanager
    def writing(self, by: int = 0, vouched: str = "") -> Iterator[None]:
        """One database transaction on this ledger; the head moves by so many sequences first."""
        with self.connection.transaction():
            self.name_session(self.id)
            self.run("select set_config('ledger.vouched', %s, true)", [vouched])
            if by:
                self.move(by)
            yield

    def move(self, by: int, digest: bytes | None = None, time: str = "1 microsecond") -> None:
        """Moves the head."""
        self.run(
            "update ledger.heads set sequence = sequence + %s, hash = %s, record_time = record_time +"
            " %s::interval"
            " where ledger_id = %s",
            [by, digest or secrets.token_bytes(32), time, self.id],
        )

    def vouch(self, *places: tuple[int, int]) -> str:
        """What the database vouches for, at the head."""
        with self.connection.transaction():
            self.name_session(self.id)
            return self.vouch_here(*places)

    def vouch_here(self, *places: tuple[int, int]) -> str:
        """The same within the database transaction that is open."""
        row = self.run(
            "select json_build_object('account_ids', account_ids, 'asset_ids', asset_ids, 'balances',"
            " balances,"
            " 'seal', seal)::text from ledger.vouch(%s::bigint[], %s::integer[])",
            [[place[0] for place in places], [place[1] for place in places]],
        ).fetchone()
        assert row is not None
        return str(row[0])

    def assets(self, *rows: tuple[int, int, str]) -> None:
        """Records assets of (sequence, asset_id, code) in one statement."""
        self._insert(
            "insert into ledger.assets (ledger_id, sequence, asset_id, code, scale, record_time,"
            " created_by, hash)"
            " select ledger_id, new.sequence, new.asset_id, new.code, 2, record_time, '', %(hash)s"
            " from ledger.heads, json_to_recordset(%(rows)s)"
            " as new (sequence bigint, asset_id integer, code text) where ledger_id = %(id)s",
            ("sequence", "asset_id", "code"),
            rows,
        )

    def accounts(self, *rows: tuple[int, int, str, int, dict[str, Any] | None], version: int = 1) -> None:
        """Records accounts of (sequence, account_id, name, type, limits) in one statement."""
        self._insert(
            "insert into ledger.accounts (ledger_id, sequence, account_id, version, name, type, limits,"
            " metadata,"
            " record_time, created_by, salt, hash)"
            " select ledger_id, new.sequence, new.account_id, %(version)s, new.name, new.type,"
            " new.limits, '{}',"
            " record_time, '', %(salt)s, %(hash)s"
            " from ledger.heads, json_to_recordset(%(rows)s)"
            " as new (sequence bigint, account_id bigint, name text, type smallint, limits jsonb)"
            " where ledger_id = %(id)s",
            ("sequence", "account_id", "name", "type", "limits"),
            rows,
            version=version,
        )

    def transactions(
        self, *sequences: int, ledger_id: int | None = None, time: str = "0", **columns: Any
    ) -> None:
        """Records transactions in one statement."""
        defaults = {
            "idempotency_key": None,
            "reverses": None,
            "effective_time": "2024-01-01Z",
            "forced": None,
        }
        values = {**defaults, **columns}
        self.run(
            "insert into ledger.transactions (ledger_id, sequence, idempotency_key, kind, effective_time,"
            " effective_time_given, record_time, created_by, reverses, description, metadata, external_ref,"
            " salt, hash, forced)"
            " select coalesce(%(ledger)s, ledger_id), new, %(idempotency_key)s, '',"
            " %(effective_time)s::timestamptz,"
            " true, record_time + %(time)s::interval, '', %(reverses)s, '', '{}', '', %(salt)s, %(hash)s,"
            " %(forced)s from ledger.heads, unnest(%(sequences)s::bigint[]) as new where ledger_id = %(id)s",
            {
                **values,
                "forced": values["forced"] or None,
                "ledger": ledger_id,
                "id": self.id,
                "sequences": list(sequences),
                "time": time,
                "salt": SALT,
                "hash": HASH,
            },
        )

    def entries(self, *rows: tuple[Any, ...], ledger_id: int | None = None) -> None:
        """Records entries in one statement."""
        self.run(
            "insert into ledger.entries (ledger_id, sequence, index, account_id, side, amount, balance_after,"
            " asset_id, layer)"
            " select %s, * from unnest(%s::bigint[], %s::smallint[], %s::bigint[], %s::smallint[],"
            " %s::numeric[],"
            " %s::numeric[], %s::integer[], %s::smallint[])",
            [ledger_id or self.id, *(list(column) for column in zip(*rows, strict=True))],
        )

    def _insert(
        self, statement: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]], **more: object
    ) -> None:
        described = json.dumps([dict(zip(names, row, strict=True)) for row in rows])
        self.run(statement, {"id": self.id, "rows": described, "hash": HASH, "salt": SALT, **more})
