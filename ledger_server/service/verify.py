"""Proving a journal: every record is replayed, and the first one that is wrong is named.

Nothing that was stored as a result is trusted. From the records alone, in order:

    numbering    1, 2, 3 … shared by all kinds of records, one record each, none after the head
    time         record_time never goes back
    chain        each hash is that of the record and the hash before it; redacted details enter by digest
    balance      at least two entries, debits equal credits in every asset
    running      each balance_after is the sum of the account's entries so far
    decision     `decide`, over fresh books with the recorded time and salt, records the same:
                 bounds, reversals and ids included
    sums         the database's own SUM of the entries is the newest balance_after, everywhere
    head         the head is the last record

What this cannot see: a journal that was cut off at the end, or rewritten from some
record on with every hash made anew, head included. Whoever wants to notice that
keeps a head hash elsewhere: every write returns one.

Memory grows with accounts, not with records.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ledger_server.service.replay import BadRecord, Replay
from ledger_server.store.replaying import Journal

__all__ = ["BadRecord", "Proof", "prove"]


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proven: the whole journal up to its head."""

    ledger: str
    sequence: int
    hash: bytes
    transactions: int
    seconds: float


def prove(
    journal: Journal,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[int, int], None] = lambda sequence, head: None,
) -> Proof:
    """Replays the journal up to the head it has now. Raises BadRecord, DatabaseLost."""
    started = clock()
    head = journal.head()
    if head is None:
        raise BadRecord(1, "cannot be judged: the ledger has no head")
    replay = Replay(journal.name)
    for page in journal.pages(head.sequence):
        replay.take(page)
        progress(page.until, head.sequence)
    stray = journal.beyond()
    if stray is not None:
        raise BadRecord(stray, "stands beyond the head")
    replay.end(head)
    for account_id, asset_id, total, balance_after in journal.sums(head.sequence):
        replay.compare_sum(account_id, asset_id, total, balance_after)
    replay.all_compared()
    return Proof(journal.name, head.sequence, head.hash, replay.transactions, clock() - started)
