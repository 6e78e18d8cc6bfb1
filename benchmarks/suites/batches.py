"""Batches: beside COPY of the same rows, and with every transaction on one hot account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from benchmarks import plain_tables
from benchmarks.bench import Bench, Side, rates
from benchmarks.measured import Bar, Measured
from benchmarks.opening import open_ledger
from benchmarks.processes import Server

# Half of what COPY reaches; and, where COPY makes 40,000 a second, so many of them.
_BAR = Bar(ratio_min=0.5, value_min=18_000, value_min_where=40_000)


def post_batch(bench: Bench) -> Iterator[Measured]:
    """PostBatch of independent posts beside COPY BINARY of the rows it wrote."""
    yield from beside_copy(
        bench, "post_batch", bench.server, bench.batches(bench.server, [bench.ledger]), _BAR
    )


def post_batch_bounded(bench: Bench) -> Iterator[Measured]:
    """The same where every account has a lower bound."""
    ledger = open_ledger(bench.server.targets[0], bench.size.accounts, is_bounded=True)
    post = bench.batches(bench.server, [ledger])
    yield from beside_copy(bench, "post_batch_bounded", bench.server, post, Bar())


def hot_account(bench: Bench) -> Iterator[Measured]:
    """Every transaction on one account beside uniform ones."""
    stage, server = bench.stage, bench.server
    workers = stage.workers(1)
    hot = asdict(replace(bench.shape, is_hot=True))
    ledgers = [open_ledger(server.targets[0], bench.size.accounts) for _ in range(2)]
    on_one, uniform = bench.alternate(
        Side(workers, bench.batches(server, ledgers[:1], shape=hot), stage.meter(server, workers)),
        Side(workers, bench.batches(server, ledgers[1:])),
    )
    yield rates(
        "hot_account", "transactions/s", on_one, "uniform accounts", uniform, bar=Bar(ratio_high_min=1.0)
    )


def beside_copy(
    bench: Bench, name: str, server: Server, post: dict[str, Any], bar: Bar
) -> Iterator[Measured]:
    """A job of batches on one ledger beside COPY BINARY of the rows it wrote."""
    stage, size = bench.stage, bench.size
    workers = stage.workers(1)
    meter = stage.meter(server, workers)
    workers.run(post)
    (ledger,) = post["ledgers"]
    database = stage.owner_url
    copy = {"kind": "copies", "database": database, "ledger": ledger, "size": size.batch}
    posted, copied, encoded = [], [], []
    for _ in range(size.pairs):
        after = plain_tables.head(database, ledger)
        posted.append(workers.run(post, meter))
        copied.append(workers.run(copy | {"after": after, "encoded": False}))
        encoded.append(workers.run(copy | {"after": after, "encoded": True}))
        assert posted[-1]["count"] == copied[-1]["count"] == encoded[-1]["count"]
    yield rates(name, "transactions/s", posted, "COPY BINARY", copied, bar=bar)
    yield rates(name, "transactions/s", posted, "COPY of encoded rows", encoded)
