"""The reference ledger fed with a journal: every state it went through, at hand by sequence.

The reference adds up all entries at every look; a history of hundreds of
thousands asks for running sums instead. Only that is replaced here: every
judgement is the reference's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from oracle.forms import ABSENT, Fields, Refused
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
        # The last number of each series.
        self._numbers: dict[str, int] = defaultdict(int)
        self.answer("CreateLedger", {"name": LEDGER})
        for method, fields in history.opened:
            self.answer(method, fields)
        self.open_book: Fields = self.ledgers[LEDGER]

    def posted(self, book: Fields, account: str, asset: str, at: int = 2**63) -> int:
        """The running sum."""
        return self._running[account, asset]

    def used(self, book: Fields, account: str) -> set[str]:
        """The assets with a running sum."""
        return {asset for name, asset in self.balances if name == account}

    def counted(self, book: Fields, series: str) -> int:
        """The last number given."""
        return self._numbers[series]

    def record_one(self, transaction: Fields, asked: Fields | None) -> Fields:
        """Records what the journal says at its sequence; answers how it should stand. Raises Refused.

        What a template made is made again of what was asked.
        """
        self.now = transaction["record_time"]
        if transaction["template"] and asked is not None:
            return self.write_one("post", asked)
        return self.write_one("reverse" if transaction["reverses"] else "post", asked_for(transaction))

    def change(self, fields: Fields) -> Fields:
        """Changes an account or the chart, or finds it so; answers its version. Raises Refused."""
        method, asked = fields["method"], ABSENT | fields | {"ledger": LEDGER}
        if method == "ApplyChart":
            version: Fields = self.ApplyChart({"version": 0, "validate_only": False} | asked)["chart"]
            return version
        account: Fields = self.change_account(self.ledgers[LEDGER], method, asked)["account"]
        return account

    def tried(self, fields: Fields) -> Fields | Refused | None:
        """How a change would be answered here that changes nothing; None where it would change something."""
        book = self.open_book
        head = book["head"]
        self.ledgers[LEDGER] = book | {
            "accounts": dict(book["accounts"]),
            "versions": [],
            "charts": [*book["charts"]],
        }
        try:
            answer = self.change(fields)
            return answer if self.ledgers[LEDGER]["head"] == head else None
        except Refused as refused:
            return refused
        finally:
            self.ledgers[LEDGER] = book

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
        make = self.by_template if fields.get("template") else partial(self.write, verb=verb)
        answer = make(self.open_book, q=ABSENT | fields)
        transaction: Fields = answer["transaction"]
        if not answer["replayed"]:
            self._add(transaction, 1)
            self._numbers[transaction["series"]] = transaction["number"]
        return transaction

    def _forget(self, shown: Fields) -> None:
        """Takes the newest record back, with the accounts that it opened."""
        self._add(shown, -1)
        self.open_book["keys"].pop(shown["idempotency_key"], None)
        self.open_book["reversed"].pop(shown["reverses"], None)
        self._numbers[shown["series"]] -= 1
        accounts, versions = self.open_book["accounts"], self.open_book["versions"]
        opened = {one["account"] for one in shown["entries"]}
        for name in [name for name in opened if accounts[name]["sequence"] == shown["sequence"]]:
            versions.remove(accounts.pop(name))
            del self.open_book["first"]["account"][name]

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
