"""Two workers: on one ledger beside one worker, and on many ledgers beside one ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from psycopg import connect

from benchmarks.bench import Bench, Side, rates
from benchmarks.drafts import Shape
from benchmarks.measured import Bar, Measured
from benchmarks.opening import open_ledger, open_ledgers
from benchmarks.plain_tables import ledger_id_and_head

_WORKERS = 2
# Connections enough that the system gives each worker some: it deals them out by chance.
_CHANNELS = 16
_IN_FLIGHT = 16
_COMMITS = "select count(distinct xmin::text) from ledger.transactions where ledger_id = %s and sequence > %s"


def two_workers(bench: Bench) -> Iterator[Measured]:
    """Two workers on one ledger beside one worker; and how often they abort each other."""
    stage, one_worker = bench.stage, bench.server
    pair = stage.serve(workers=_WORKERS)
    workers = stage.workers(1)
    ledgers = [open_ledger(one_worker.targets[0], bench.size.accounts) for _ in range(2)]
    spread = {"in_flight": _IN_FLIGHT, "channels": _CHANNELS}
    with connect(stage.owner_url) as connection:
        ledger_id, head = ledger_id_and_head(connection, ledgers[0])
    aborts_before = stage.aborts()
    both, alone = bench.alternate(
        Side(workers, bench.batches(pair, ledgers[:1], **spread), stage.meter(pair, workers)),
        Side(workers, bench.batches(one_worker, ledgers[1:], **spread)),
    )
    yield rates("two_workers", "transactions/s", both, "one worker", alone, bar=Bar(ratio_min=0.8))
    with connect(stage.owner_url) as connection:
        row = connection.execute(_COMMITS, (ledger_id, head)).fetchone()
    commits = row[0] if row else 0
    aborts = stage.aborts() - aborts_before
    bench.say(f"  {aborts} aborts (40001) beside {commits:,} commits")
    yield Measured("two_workers, 40001", "% of commits", 100 * aborts / commits, bar=Bar(value_max=0.1))
    pair.end()


def hundred_ledgers(bench: Bench) -> Iterator[Measured]:
    """As many batches at once, each on a ledger of its own, beside the same on one ledger; two workers."""
    stage, size = bench.stage, bench.size
    pair = stage.serve(workers=_WORKERS)
    workers = stage.workers(1)
    accounts = max(2, size.accounts // size.ledgers)
    many = open_ledgers(pair.targets[0], size.ledgers, accounts)
    at_once = {
        "in_flight": size.ledgers,
        "channels": _CHANNELS,
        "size": size.ledger_batch,
        "count": size.ledgers * size.ledger_batch,
    }
    each = asdict(Shape(accounts))
    spread, gathered = bench.alternate(
        Side(workers, bench.batches(pair, many, shape=each, **at_once), stage.meter(pair, workers)),
        Side(workers, bench.batches(pair, [bench.ledger], **at_once)),
    )
    yield rates(
        f"{size.ledgers} ledgers, two workers",
        "transactions/s",
        spread,
        "one ledger",
        gathered,
        bar=Bar(ratio_min=1.0),
    )
    pair.end()
