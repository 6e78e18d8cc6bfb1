"""A ledger of 1,000,000 accounts and 10,000,000 entries, and how long its trial balance takes.

    python -m benchmarks.big_ledger [--accounts N] [--entries N]

The rows are made by SQL on an embedded PostgreSQL of its own, with the fences off for
the loading and every running balance right; the hashes are zeros, so `verify` would
refuse the first record. The times are of TrialBalance through the service, the best of
so many calls, each beside its bar; the exit code is 1 where one misses it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import psycopg
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

from ledger_server.app import App
from ledger_server.config import Config
from ledger_server.service.verify import rebuild_checkpoints
from ledger_server.store.databases import ensure_database
from ledger_server.store.embedded import SUPERUSER, EmbeddedPostgres, make_ephemeral_data_dir
from ledger_server.store.migrate import migrate
from ledger_server.store.replaying import reading_journals

LEDGER = "big"
ACCOUNTS, ENTRIES = 1_000_000, 10_000_000
ASSETS = 2
RECOMPUTED_MAX_S, CHECKPOINTED_MAX_S = 8.0, 0.5
RECOMPUTED, CHECKPOINTED = pb.TRIAL_BALANCE_BASIS_RECOMPUTED, pb.TRIAL_BALANCE_BASIS_CHECKPOINTED
_AT_ONCE = 500_000
_CALLS = 3
_DEADLINE_S = 60.0

# Half of the accounts are debited, the other half credited: each has one partner, and
# moves the same amount every time. Accounts come in the order of a permutation, so
# that neighbours in the journal are no neighbours in an index.
_OPEN = """
with made as (
    insert into ledger.directory (name) values (%(name)s) returning ledger_id
), head as (
    insert into ledger.heads (
        ledger_id, sequence, hash, record_time, filled, account_id_max, asset_id_max
    )
    select ledger_id, %(head)s, decode(repeat('00', 32), 'hex'), '2026-01-01Z', %(head)s, %(accounts)s,
        %(assets)s
    from made
), first as (
    insert into ledger.ledgers (ledger_id, sequence, record_time, created_by, description, salt, hash)
    select ledger_id, 1, '2026-01-01Z', 'bench', '', decode(repeat('00', 16), 'hex'),
        decode(repeat('00', 32), 'hex')
    from made
), assets as (
    insert into ledger.assets (ledger_id, asset_id, code, scale, sequence, record_time, created_by, hash)
    select ledger_id, number, 'A' || number, 2, 1 + number, '2026-01-01Z', 'bench',
        decode(repeat('00', 32), 'hex')
    from made, generate_series(1, %(assets)s) as number
), accounts as (
    insert into ledger.accounts (ledger_id, account_id, version, sequence, name, type, metadata, record_time,
        created_by, salt, hash)
    select ledger_id, number, 1, 1 + %(assets)s + number, 'account:' || number, 1 + number %% 5, '{}',
        '2026-01-01Z', 'bench', decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex')
    from made, generate_series(1, %(accounts)s) as number
)
select ledger_id from made
"""
_TRANSACTIONS = """
insert into ledger.transactions (ledger_id, sequence, kind, effective_time, effective_time_given, record_time,
    created_by, description, metadata, external_ref, salt, hash)
select %(ledger_id)s, %(first)s + number, '', '2026-01-01Z', false, '2026-01-01Z', 'bench', '', '{}', '',
    decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex')
from generate_series(%(from)s::bigint, %(until)s::bigint - 1) as number
"""
_ENTRIES = """
insert into ledger.entries (ledger_id, account_id, asset_id, layer, sequence, index, side, amount,
    balance_after)
select %(ledger_id)s, case side when 1 then place else place + %(pairs)s end, 1 + place %% %(assets)s, 0,
    %(first)s + number, side - 1, side, amount,
    case side when 1 then amount else -amount end * (1 + number / %(pairs)s)
from generate_series(%(from)s::bigint, %(until)s::bigint - 1) as number
cross join lateral (select 1 + number * 7919 %% %(pairs)s as place) as paired
cross join lateral (select 1 + place %% 9973 as amount) as paid
cross join generate_series(1, 2) as side
order by number, side
"""


def fill(
    owner_url: str,
    *,
    accounts: int = ACCOUNTS,
    entries: int = ENTRIES,
    name: str = LEDGER,
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Makes the ledger as the superuser, analyzed, and answers its head's sequence."""
    pairs, transactions = accounts // 2, entries // 2
    shape: dict[str, Any] = {"name": name, "assets": ASSETS, "accounts": 2 * pairs, "pairs": pairs}
    first = 1 + ASSETS + 2 * pairs + 1
    head = first + transactions - 1
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        row = connection.execute(_OPEN, shape | {"head": head}).fetchone()
        assert row is not None
        shape |= {"ledger_id": row[0], "first": first}
        for done in range(0, transactions, _AT_ONCE):
            span = {"from": done, "until": min(done + _AT_ONCE, transactions)}
            connection.execute(_TRANSACTIONS, shape | span)
            connection.execute(_ENTRIES, shape | span)
            say(f"{2 * span['until']:,} entries")
        connection.execute("vacuum analyze")
    return head


class Measured(NamedTuple):
    """How long a trial balance took, in seconds, and what it may take; None where nothing is asked of it."""

    name: str
    seconds: float
    seconds_max: float | None


@contextmanager
def database(name: str = "big") -> Iterator[tuple[str, str]]:
    """The superuser's and the service's URL of a database on a throw-away PostgreSQL, fsync on."""
    with EmbeddedPostgres.start(make_ephemeral_data_dir(), ephemeral=True) as postgres:
        ensure_database(postgres.owner_url, name)
        migrate(postgres.url(name, SUPERUSER))
        yield postgres.url(name, SUPERUSER), postgres.url(name, "ledger_app")


def measure(app_url: str, name: str = LEDGER) -> Iterator[Measured]:
    """Trial balances of the ledger from every entry, then from checkpoints, which are written in between.

    Those at the sequence before the newest checkpoint have the longest tail there can
    be: all but one of the entries that make a checkpoint.
    """
    with (
        App(Config(listen="127.0.0.1:0", database_url=app_url)) as app,
        grpc.insecure_channel(f"127.0.0.1:{app.port}") as channel,
    ):
        stub = LedgerServiceStub(channel)
        ask = pb.TrialBalanceRequest(ledger=name, basis=RECOMPUTED)
        yield Measured("totals, recomputed", _best(stub, ask), RECOMPUTED_MAX_S)
        ask.rows = pb.TRIAL_BALANCE_ROWS_BY_TYPE
        yield Measured("rows by type, recomputed", _best(stub, ask), None)
        started = time.monotonic()
        with reading_journals(app_url, name) as journals:
            count = rebuild_checkpoints(next(journals).checkpoints)
        yield Measured(f"{count} checkpoints, written", time.monotonic() - started, None)
        ask = pb.TrialBalanceRequest(ledger=name, basis=CHECKPOINTED)
        newest = stub.TrialBalance(ask, timeout=_DEADLINE_S)
        yield Measured("totals, checkpointed", _best(stub, ask), CHECKPOINTED_MAX_S)
        ask.at_sequence = newest.checkpoint_sequence - 1
        yield Measured("totals, checkpointed, longest tail", _best(stub, ask), CHECKPOINTED_MAX_S)
        ask.rows = pb.TRIAL_BALANCE_ROWS_BY_TYPE
        yield Measured("rows by type, checkpointed, longest tail", _best(stub, ask), None)


def _best(stub: LedgerServiceStub, ask: pb.TrialBalanceRequest) -> float:
    """The least time of a few calls. Raises where the answer is of another basis or does not balance."""
    times = []
    for _ in range(_CALLS):
        started = time.perf_counter()
        answer = stub.TrialBalance(ask, timeout=_DEADLINE_S)
        times.append(time.perf_counter() - started)
        if answer.basis != ask.basis or answer.status != pb.TRIAL_BALANCE_STATUS_OK:
            raise RuntimeError(f"not the trial balance that was asked for: {answer}")
    return min(times)


def main() -> int:
    """Measures, prints a line each, and answers the exit code."""
    parser = argparse.ArgumentParser(description="How long a large ledger's trial balance takes.")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    size = parser.parse_args()
    missed = 0
    with database() as (owner_url, app_url):
        fill(owner_url, accounts=size.accounts, entries=size.entries, say=print)
        for one in measure(app_url):
            is_missed = one.seconds_max is not None and one.seconds > one.seconds_max
            missed += is_missed
            bar = "" if one.seconds_max is None else f"  at most {one.seconds_max} s"
            print(f"{one.name:42} {one.seconds:8.3f} s{bar}{'  MISSED' * is_missed}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
