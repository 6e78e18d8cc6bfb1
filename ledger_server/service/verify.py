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
    bounds       those that the fence of entries goes by are the limits of the newest versions
    head         the head is the last record

What this cannot see: a journal that was cut off at the end, or rewritten from some
record on with every hash made anew, head included. Whoever wants to notice that
keeps a head hash elsewhere: every write returns one.

Memory grows with accounts, not with records.

Checkpoints are no records. Each is compared with what the entries up to it add up to,
and may be written anew from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ledger_server.service.bad_records import BadRecord
from ledger_server.service.replay import Replay
from ledger_server.store.checkpoints import ENTRIES_PER_CHECKPOINT, Checkpoints
from ledger_server.store.replaying import Journal

__all__ = ["BadCheckpoint", "BadRecord", "Proof", "prove", "prove_checkpoints", "rebuild_checkpoints"]


class BadCheckpoint(Exception):
    """The first checkpoint of a ledger that is not what the entries give, and what it says instead."""

    def __init__(self, sequence: int, fault: str) -> None:
        super().__init__(f"checkpoint {sequence} {fault}")
        self.sequence = sequence


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
    misstated = journal.misstated_bounds()
    if misstated is not None:
        raise BadRecord(
            head.sequence,
            f"leaves account {misstated} with other limits than the fence of entries goes by (ledger.bounds)",
        )
    return Proof(journal.name, head.sequence, head.hash, replay.transactions, clock() - started)


def prove_checkpoints(checkpoints: Checkpoints) -> int:
    """Compares every checkpoint with the entries; answers how many there are. Raises BadCheckpoint."""
    stored = checkpoints.stored()
    expected: dict[tuple[int, int], tuple[int, int]] = {}
    after = 0
    for one in stored:
        for place, (debits, credits_) in checkpoints.sums_between(after, one.sequence).items():
            before = expected.get(place, (0, 0))
            expected[place] = before[0] + debits, before[1] + credits_
        after = one.sequence
        for place in sorted({*expected, *one.sums}):
            if one.sums.get(place) != expected.get(place):
                raise BadCheckpoint(
                    one.sequence,
                    f"holds {_sides(one.sums.get(place))} of asset {place[0]} in accounts of type {place[1]};"
                    f" the entries give {_sides(expected.get(place))}",
                )
        if not one.is_sound:
            raise BadCheckpoint(one.sequence, "has a digest that is not its own")
    differing = checkpoints.differing_balance()
    if differing is not None:
        raise BadCheckpoint(
            differing.sequence,
            f"holds {_sides(differing.held)} of account {differing.account_id} in asset {differing.asset_id};"
            f" the entries give {_sides(differing.summed)}",
        )
    wrong = checkpoints.wrong_checksum()
    if wrong is not None:
        raise BadCheckpoint(wrong, "has a checksum that is not that of its accounts")
    return len(stored)


def rebuild_checkpoints(checkpoints: Checkpoints) -> int:
    """Discards all of them and writes them anew; answers how many. Raises CheckpointRefused."""
    checkpoints.discard()
    count = 0
    while checkpoints.write(ENTRIES_PER_CHECKPOINT) is not None:
        count += 1
    return count


def _sides(sums: tuple[int, int] | None) -> str:
    return "nothing" if sums is None else f"{sums[0]} debits and {sums[1]} credits"
