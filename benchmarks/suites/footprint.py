"""What is kept: bytes of disk for a transaction, and the service's memory under load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict, replace

import psycopg

from benchmarks.bench import Bench
from benchmarks.measured import Bar, Measured
from benchmarks.opening import open_ledger
from benchmarks.processes import Server
from benchmarks.stage import Books

_WATCH_S = 0.05
_MEMORY = Bar(value_max=300)
_DISK = Bar(value_max=620)
_SIZES = """
select relname, pg_relation_size(pg_class.oid) from pg_class
left join pg_index on pg_index.indexrelid = pg_class.oid
where coalesce(indrelid, pg_class.oid) in ('ledger.transactions'::regclass, 'ledger.entries'::regclass)
order by relname
"""


def disk(bench: Bench) -> Iterator[Measured]:
    """Bytes of tables and indexes for a transaction of two entries without metadata, hashes included."""
    for name, has_ordered_keys in (("random keys", False), ("time-ordered keys", True)):
        books = bench.stage.more_books("disk_ordered" if has_ordered_keys else "disk_random")
        server = bench.stage.serve(books)
        ledger = open_ledger(server.targets[0], bench.size.accounts)
        shape = replace(bench.shape, has_metadata=False, has_ordered_keys=has_ordered_keys)
        count = bench.size.kept - bench.size.kept % bench.size.batch
        before = _sizes(books)
        job = bench.batches(server, [ledger], shape=asdict(shape), count=count, prepared=False)
        bench.stage.workers(1).run(job)
        server.end()
        each = {name: (size - before[name]) / count for name, size in _sizes(books).items()}
        bench.say("  " + ", ".join(f"{name} {size:.0f}" for name, size in each.items()))
        yield Measured(f"disk, {name}", "bytes/transaction", sum(each.values()), bar=_DISK)


def _sizes(books: Books) -> dict[str, int]:
    """The bytes of the journal's tables of transactions and entries, and of each of their indexes."""
    with psycopg.connect(books.owner_url) as connection:
        return dict(connection.execute(_SIZES).fetchall())


def memory(bench: Bench) -> Iterator[Measured]:
    """The most resident memory of a server of its own under many callers, then in an import; and after it."""
    stage, size = bench.stage, bench.size
    server = stage.serve()
    ledger = open_ledger(server.targets[0], size.accounts)
    watch = MemoryWatch(server)
    stage.workers(size.client_processes).run(bench.calls("post", server, [ledger]))
    yield Measured(f"memory, {size.callers} callers", "MB", watch.end(), bar=_MEMORY)
    watch = MemoryWatch(server)
    count = size.imported - size.imported % size.import_batch
    job = bench.batches(server, [ledger], count=count, size=size.import_batch, prepared=False)
    imported = stage.workers(1).run(job)
    bench.say(f"  {imported['count']:,} transactions at {imported['rate']:,.0f}/s")
    yield Measured(f"memory, batches of {size.import_batch:,}", "MB", watch.end(), bar=_MEMORY)
    yield Measured("memory, after them", "MB", server.resident_mib())
    server.end()


class MemoryWatch:
    """Looks at a server's resident memory until it is ended."""

    def __init__(self, server: Server, every_s: float = _WATCH_S) -> None:
        self._server = server
        self._every_s = every_s
        self.seen = [server.resident_mib()]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory-watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ending.wait(self._every_s):
            self.seen.append(self._server.resident_mib())

    def end(self) -> float:
        """The most it was, in MiB; what the system remembers where it does."""
        self._ending.set()
        self._thread.join()
        return max(*self.seen, self._server.resident_mib("VmHWM"))
