"""Ten million entries: writes and reads beside an empty ledger, and the totals of a million accounts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from statistics import median

import grpc
import psycopg
from ledger.v1.ledger_service_pb2 import (
    TRIAL_BALANCE_BASIS_CHECKPOINTED,
    TRIAL_BALANCE_BASIS_RECOMPUTED,
    TRIAL_BALANCE_STATUS_OK,
    TrialBalanceBasis,
    TrialBalanceRequest,
)
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub
from psycopg import sql

from benchmarks import big_ledger
from benchmarks.bench import Bench, Side, latency_us, rates
from benchmarks.drafts import Shape
from benchmarks.measured import Bar, Measured, paired, percentile
from benchmarks.processes import Server
from benchmarks.stage import Books
from ledger_server.service.verify import rebuild_checkpoints
from ledger_server.store.replaying import reading_journals

_TRIAL_BALANCE_TIMEOUT_S = 120.0
# One for the sequence before the newest to start from; a journal of a test is too short for any.
_CHECKPOINTS_MIN = 2
_TOTALS_TAKEN = 5
_ACCOUNTS_MAX = 10_000
_BASES = {
    TRIAL_BALANCE_BASIS_CHECKPOINTED: Bar(value_max=0.5),
    TRIAL_BALANCE_BASIS_RECOMPUTED: Bar(value_max=8),
}
_WRITES = {
    "time-ordered keys": (True, Bar(ratio_min=0.8)),
    "random keys": (False, Bar(ratio_min=0.65)),
}


def big_books(bench: Bench) -> Iterator[Measured]:
    """Totals first; then writes and reads in the big ledger beside an empty one with the same accounts."""
    stage, size = bench.stage, bench.size
    name = f"{size.big_entries:,} entries"
    big, empty = stage.more_books("big"), stage.more_books("empty")
    big_ledger.fill(big.owner_url, accounts=size.big_accounts, entries=size.big_entries, say=bench.say)
    big_ledger.fill(empty.owner_url, accounts=size.big_accounts, entries=0)
    server = stage.serve(big)
    yield from _totals(bench, big, server, f"totals of {size.big_accounts:,} accounts, {name}")
    server.end()
    _give_keys(big)
    yield from _beside_empty(bench, name, stage.serve(big), stage.serve(empty))


def _totals(bench: Bench, books: Books, server: Server, name: str) -> Iterator[Measured]:
    """TrialBalance without rows on each basis, the checkpoints written before.

    From a checkpoint it is asked for the sequence before the newest one, which has the
    longest tail there can be.
    """
    with reading_journals(books.app_url, big_ledger.LEDGER) as journals:
        count = rebuild_checkpoints(next(journals).checkpoints)
    bench.say(f"  {count} checkpoints")
    with grpc.insecure_channel(server.targets[0]) as channel:
        stub = LedgerServiceStub(channel)
        ask = TrialBalanceRequest(ledger=big_ledger.LEDGER, basis=TRIAL_BALANCE_BASIS_CHECKPOINTED)
        newest = stub.TrialBalance(ask, timeout=_TRIAL_BALANCE_TIMEOUT_S)
        for basis, bar in _BASES.items():
            is_checkpointed = basis == TRIAL_BALANCE_BASIS_CHECKPOINTED
            ask.basis, ask.at_sequence = basis, newest.checkpoint_sequence - 1 if is_checkpointed else 0
            if is_checkpointed and count < _CHECKPOINTS_MIN:
                continue
            taken = []
            for _ in range(min(_TOTALS_TAKEN, bench.size.pairs)):
                start = time.perf_counter()
                answer = stub.TrialBalance(ask, timeout=_TRIAL_BALANCE_TIMEOUT_S)
                taken.append(time.perf_counter() - start)
                if answer.basis != basis or answer.status != TRIAL_BALANCE_STATUS_OK:
                    raise RuntimeError(f"not the trial balance that was asked for: {answer}")
            yield Measured(f"{name}, {_word(basis)}", "s", median(taken), bar=bar)


def _word(basis: TrialBalanceBasis.ValueType) -> str:
    return TrialBalanceBasis.Name(basis).rpartition("_")[2]


def _beside_empty(bench: Bench, name: str, big: Server, empty: Server) -> Iterator[Measured]:
    stage, size = bench.stage, bench.size
    workers = stage.workers(1)
    # So many accounts, spread over all; with this step and start all of the first asset.
    used = min(_ACCOUNTS_MAX, size.big_accounts // 2)
    step = max(2, size.big_accounts // used // 2 * 2)
    shape = Shape(used, prefix="account:", first=step, stride=step, asset="A1")
    used_ledger = [big_ledger.LEDGER]
    for keys, (has_ordered_keys, bar) in _WRITES.items():
        like = {"shape": asdict(replace(shape, has_ordered_keys=has_ordered_keys))}
        among_many, alone = bench.alternate(
            Side(workers, bench.batches(big, used_ledger, **like), stage.meter(big, workers)),
            Side(workers, bench.batches(empty, used_ledger, **like)),
        )
        yield rates(f"{name}, {keys}", "transactions/s", among_many, "empty ledger", alone, bar=bar)
    for verb in ("balance", "page"):
        but = {"shape": asdict(shape), "callers": 1, "seconds": size.seconds_per_run / 2}
        among_many, alone = bench.alternate(
            Side(workers, bench.calls(verb, big, used_ledger, **but)),
            Side(workers, bench.calls(verb, empty, used_ledger, **but)),
        )
        halves = [
            [percentile(sorted(run["latencies_us"]), 0.5) for run in runs] for runs in (among_many, alone)
        ]
        yield paired(
            f"{name}, {verb} p50",
            "us",
            list(zip(*halves, strict=True)),
            "empty ledger",
            bar=Bar(ratio_low_max=1.0),
            latency_us=latency_us(among_many),
        )
    big.end()
    empty.end()


def _give_keys(books: Books) -> None:
    """Gives every transaction a random key, as callers do: their index is as large as in life."""
    with psycopg.connect(books.owner_url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("create unlogged table keyless as select * from ledger.transactions")
        connection.execute("truncate ledger.transactions")
        names = [
            column.name for column in connection.execute("select * from keyless limit 0").description or ()
        ]
        chosen = [
            sql.SQL("md5(sequence::text)") if name == "idempotency_key" else sql.Identifier(name)
            for name in names
        ]
        connection.execute(
            sql.SQL("insert into ledger.transactions ({}) select {} from keyless order by sequence").format(
                sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join(chosen)
            )
        )
        connection.execute("drop table keyless")
    with psycopg.connect(books.owner_url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
