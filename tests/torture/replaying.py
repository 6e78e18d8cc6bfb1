"""The reference ledger fed with a journal: every state it went through, at hand by sequence.

The reference adds up all entries at every look; a history of hundreds of
thousands asks for running sums instead. Only that is replaced here: every
judgement is the reference's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from oracle.forms import Fields, Refused
from oracle.templated import Templated
from torture.history import History

LEDGER = "torture"
DEBIT = 1


class Timeline:
    """A number that changes at sequences."""

    def __init__(self) -> None:
        self._sequences = [0]
        self._values = [0]

    def set(self, sequence: int, value: int) -> None:
        """From this sequence on."""
        self._sequences.append(sequence)
        self._values.append(value)

    def at(self, sequence: int) -> int:
        """As it stood right after the record."""
        return self._values[bisect_right(self._sequences, sequence) - 1]

    @property
    def now(self) -> int:
        """As it stands."""
        return self._values[-1]


class Replaying(Templated):
    """The reference, at one state of the ledger at a time."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self.balances: dict[tuple[str, str], Timeline] = defaultdict(Timeline)
        # Gross sums of one side of an asset, for trial balances.
        self.totals: dict[tuple[str, int], Timeline] = defaultdict(Timeline)
        self._running: dict[tuple[str, str], int] = defaultdict(int)
        self.answer("CreateLedger", {"name": LEDGER})
        for method, fields in history.opened:
            self.answer(method, fields)
        self.open_book: Fields = self.ledgers[LEDGER]

    def posted(self, book: Fields, account: str, asset: str, at: int = 2**63) -> int:
        """The running sum."""
        return self._running[account, asset]

    def record_one(self, transaction: Fields) -> Fields:
        """Records what the journal says at its sequence; answers how it should stand. Raises Refused."""
        self.now = transaction["record_time"]
        return self.write_one("reverse" if transaction["reverses"] else "post", asked_for(transaction))

    def write_one(self, verb: str, fields: Fields) -> Fields:
        """Records what is asked for, or finds it. Raises Refused."""
        sequence = self.open_book["head"] + 1
        shown = self._write(verb, fields)
        if shown["sequence"] != sequence:
            return shown
        for entry in shown["entries"]:
            place = entry["account"], entry["asset"]
            self.balances[place].set(sequence, self._running[place])
            total = self.totals[entry["asset"], entry["side"]]
            total.set(sequence, total.now + int(entry["amount"]))
        return shown

    def skip(self) -> None:
        """Leaves a number out."""
        self.open_book["head"] += 1

    def refusal(self, group: Iterable[tuple[str, Fields]]) -> tuple[int, Refused] | None:
        """Which of a group's operations would be refused here first, and how; changes nothing."""
        book = self.open_book
        head, time = book["head"], book["time"]
        try:
            for index, (verb, fields) in enumerate(group):
                try:
                    self._write(verb, fields)
                except Refused as refused:
                    return index, refused
            return None
        finally:
            for sequence in range(book["head"], head, -1):
                self._forget(book["journal"].pop(sequence))
            book["head"], book["time"] = head, time

    def _write(self, verb: str, fields: Fields) -> Fields:
        answer = self.write(self.open_book, verb, fields)
        if not answer["replayed"]:
            self._add(answer["transaction"], 1)
        transaction: Fields = answer["transaction"]
        return transaction

    def _forget(self, shown: Fields) -> None:
        self._add(shown, -1)
        self.open_book["keys"].pop(shown["idempotency_key"], None)
        self.open_book["reversed"].pop(shown["reverses"], None)

    def _add(self, shown: Fields, times: int) -> None:
        for entry in shown["entries"]:
            side = self.open_book["accounts"][entry["account"]]["normal_side"]
            sign = times if entry["side"] == side else -times
            self._running[entry["account"], entry["asset"]] += sign * int(entry["amount"])


def asked_for(transaction: Fields) -> Fields:
    """The request that a recorded transaction answers."""
    fields: dict[str, Any] = {"idempotency_key": transaction["idempotency_key"]}
    if transaction["reverses"]:
        return fields | {"transaction": {"sequence": transaction["reverses"]}}
    entries = [
        {name: entry[name] for name in ("account", "side", "amount", "asset")}
        for entry in transaction["entries"]
    ]
    return fields | {"entries": entries, "kind": transaction["kind"]}
