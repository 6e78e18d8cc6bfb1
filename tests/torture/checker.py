"""The history checker: whether what callers were told can be true of one ledger that keeps its promises.

No search is needed, because the ledger tells the order: every record has its
sequence, and every answer the sequence that it reflects. So each rule is a look at
the journal, at one state of it, or at what was completed before a call was made.

    numbering        the journal has every number from the first to the head, each once
    one key          no idempotency key is recorded twice
    stranger         every record was asked for by a caller, in the same words
    acknowledged     what was acknowledged stands at the told sequence, with the told hash and balances
    doubled          one key has one record: every answer to it names the same one, at most one as its first
    replay           what is told as a replay was recorded by an earlier call
    refused          what was refused everywhere it was asked is not in the journal
    unjustified      a refusal is what the reference answers at a state within the call's time
    resolved         a read by key, when all is over, finds what the journal has
    torn             of an atomic batch stands all or nothing, together
    batch order      a batch's records stand in its order
    impossible       every record is one that the reference would have made there
    template         what a template made is what the reference makes of what was asked
    number           a record has the number that the chart gives it there, none is left out or used twice
    balance          every balance_after is the reference's
    hash             every record has a hash of its own
    record time      record times never fall
    stale write      a record made after something was completed has a higher sequence than it
    stale read       a read reflects everything that was completed before it was made
    future read      nothing reflects what had not been asked for yet
    read value       a read's balances are the reference's at its sequence
    trial balance    debits and credits are equal, and the reference's at that sequence
    undocumented     no call ends in a way that the contract does not know
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from oracle.forms import Refused
from torture.changes import Changes
from torture.history import (
    NEVER_NS,
    NOT_TAKEN,
    OK,
    REFUSED,
    UNKNOWN,
    Call,
    Fields,
    History,
    Violation,
)
from torture.replaying import Replaying

# Judged at the state that the refusal itself names.
_NAMES_ITS_STATE = ("INSUFFICIENT_FUNDS", "BALANCE_LIMIT_EXCEEDED")
# True until something is recorded; or from then on.
_ENDS_WITH_A_RECORD = ("TRANSACTION_NOT_FOUND",)
_BEGINS_WITH_A_RECORD = ("IDEMPOTENCY_KEY_REUSED", "REVERSAL_ALREADY_EXISTS", "REVERSAL_FORBIDDEN_TYPE")


@dataclass(slots=True)
class _Try:
    """One operation of one call."""

    call: Call
    index: int
    verb: str
    fields: Fields
    result: Fields | None

    @property
    def where(self) -> str:
        return f"{self.call.name}[{self.index}]"

    @property
    def is_acknowledged(self) -> bool:
        return self.result is not None and "reason" not in self.result

    @property
    def is_open(self) -> bool:
        """Whether nobody told the caller what became of it."""
        told = self.result or {}
        return self.call.outcome == UNKNOWN or told.get("reason") == "OUTCOME_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker found, and how much it had to look at."""

    violations: list[Violation]
    acknowledged: int
    unknown_committed: int
    unknown_not_committed: int
    lost: int
    doubled: int


def check(history: History) -> Verdict:
    """Judges a history by every rule."""
    checker = Checker(history)
    violations = list(checker.violations())
    heads = [tries[0] for tries in checker.tries_of.values() if tries]
    firsts = [(one.fields["idempotency_key"], one) for one in heads]
    fates = Counter(
        key in checker.by_key
        for key, one in firsts
        if one.is_open and not any(other.is_acknowledged for other in checker.tries[key])
    )
    rules = Counter(violation.rule for violation in violations)
    acknowledged = sum(one.is_acknowledged for tries in checker.tries.values() for one in tries)
    return Verdict(
        violations,
        acknowledged,
        fates[True],
        fates[False],
        rules["acknowledged"],
        rules["doubled"] + rules["one key"],
    )


class Checker:
    """The rules, over one history."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.journal = {one["sequence"]: one for one in history.journal}
        self.by_key = {one["idempotency_key"]: one for one in history.journal}
        self.changes = Changes(history)
        self.tries: dict[str, list[_Try]] = defaultdict(list)
        self.tries_of: dict[str, list[_Try]] = defaultdict(list)
        for call in history.calls:
            for index, (verb, fields) in enumerate(call.operations):
                result = call.results[index] if index < len(call.results) else None
                one = _Try(call, index, verb, fields, result)
                self.tries[fields["idempotency_key"]].append(one)
                self.tries_of[call.name].append(one)
        self._completed = _Peaks(
            history.base,
            [(call.completed, reflected) for call in history.calls for reflected in _reflected(call)],
        )
        self._asked = _Peaks(
            history.base,
            [
                *self.changes.first_asked(),
                *(
                    (min(one.call.invoked for one in self.tries[key]), record["sequence"])
                    for key, record in self.by_key.items()
                    if key in self.tries
                ),
            ],
        )

    def violations(self) -> Iterator[Violation]:
        """Every violation, rule by rule."""
        yield from self._numbering()
        for key, tries in self.tries.items():
            yield from self._key(key, tries)
        for call in self.history.calls:
            yield from self._answered(call)
            if call.is_write:
                yield from self._batch(call)
            elif call.outcome == OK and not call.is_change:
                yield from self._order_of_read(call)
        yield from self.changes.told(self._span)
        yield from self._replay()

    def _span(self, call: Call) -> tuple[int, int]:
        """Of a call's time the first state and the last: see changes."""
        lowest = self._completed.before(call.invoked)
        return lowest, min(self._asked.until(call.completed), self.history.head)

    # the journal alone -------------------------------------------------------------------

    def _numbering(self) -> Iterator[Violation]:
        expected = range(self.history.base + 1, self.history.head + 1)
        records = [*self.history.journal, *self.history.changes]
        numbers = Counter(one["sequence"] for one in records)
        for number in sorted(numbers.keys() ^ set(expected)):
            yield Violation("numbering", f"{number} is {'beyond' if number in numbers else 'missing'}")
        for number, times in numbers.items():
            if times > 1:
                yield Violation("numbering", f"{number} stands {times} times")
        for key, times in Counter(one["idempotency_key"] for one in self.history.journal).items():
            if times > 1:
                yield Violation("one key", f"{key} is recorded {times} times")
        for text, times in Counter(one["hash"] for one in records).items():
            if times > 1 or len(text) != 64:
                yield Violation("hash", f"{text!r} stands {times} times")
        latest = 0
        for one in sorted(records, key=itemgetter("sequence")):
            if one["record_time"] < latest:
                yield Violation("record time", f"{one['sequence']}")
            latest = max(latest, one["record_time"])

    # what callers were told --------------------------------------------------------------

    def _key(self, key: str, tries: list[_Try]) -> Iterator[Violation]:
        record = self.by_key.get(key)
        acknowledged = [one for one in tries if one.is_acknowledged]
        told = {(one.result["sequence"], one.result["hash"]) for one in acknowledged if one.result}
        firsts = [one for one in acknowledged if one.result and not one.result["replayed"]]
        if len(told) > 1 or len(firsts) > 1:
            yield Violation("doubled", f"{key}: {sorted(told)}")
        for one in acknowledged:
            yield from self._acknowledged(one, record)
        unheard = [one for one in tries if one.is_open]
        if acknowledged and not firsts and not unheard:
            yield Violation("replay", f"{key}: nobody was told its first record")
        if record is None:
            return
        if not acknowledged and not unheard:
            yield Violation("refused", f"{key} stands at {record['sequence']}")
        # Its first answer, or the first try that nobody heard of, made it.
        for maker in (firsts or unheard)[:1]:
            if record["sequence"] <= self._completed.before(maker.call.invoked):
                yield Violation("stale write", f"{key} at {record['sequence']}")

    def _acknowledged(self, one: _Try, record: Fields | None) -> Iterator[Violation]:
        result = one.result
        assert result is not None
        told = result["sequence"], result["hash"]
        if record is None or told != (record["sequence"], record["hash"]):
            yield Violation("acknowledged", f"{one.where} was told {told}; there is {record}")
        elif result["balances"] != [entry["balance_after"] for entry in record["entries"]]:
            yield Violation("acknowledged", f"{one.where} was told the balances {result['balances']}")
        elif not _is_of(record, one, self.by_key):
            yield Violation("acknowledged", f"{one.where} asked for something else than {record}")
        if result["sequence"] > self._asked.until(one.call.completed):
            yield Violation("future read", f"{one.where}")

    def _answered(self, call: Call) -> Iterator[Violation]:
        known = {OK, REFUSED, UNKNOWN}
        if call.outcome not in known:
            yield Violation("undocumented", f"{call.name}: {call.outcome} {call.results}")
        if call.outcome == OK and call.is_write and len(call.results) != len(call.operations):
            yield Violation("undocumented", f"{call.name} has {len(call.results)} results")

    def _batch(self, call: Call) -> Iterator[Violation]:
        tries = self.tries_of[call.name]
        # Only keys that this call alone asked for were surely recorded by it.
        own = [one for one in tries if len(self.tries[one.fields["idempotency_key"]]) == 1]
        standing = [
            self.by_key[one.fields["idempotency_key"]]["sequence"]
            for one in own
            if one.fields["idempotency_key"] in self.by_key
        ]
        if standing != sorted(standing):
            yield Violation("batch order", f"{call.name}: {standing}")
        if call.fields.get("atomic") and standing:
            whole = len(standing) == len(own) and max(standing) - min(standing) + 1 == len(own)
            if not whole:
                yield Violation("torn", f"{call.name}: {standing} of {len(own)}")

    def _order_of_read(self, call: Call) -> Iterator[Violation]:
        is_past = bool(call.fields.get("at_sequence"))
        if not is_past and call.answer["sequence"] < self._completed.before(call.invoked):
            yield Violation("stale read", f"{call.name} at {call.answer['sequence']}")
        if call.answer["sequence"] > self._asked.until(call.completed):
            yield Violation("future read", f"{call.name} at {call.answer['sequence']}")

    # through the reference ---------------------------------------------------------------

    def _replay(self) -> Iterator[Violation]:
        """Every state in turn: its record, and the refusals that were judged at it."""
        history = self.history
        replaying = Replaying(history)
        if replaying.open_book["head"] != history.base:
            yield Violation("numbering", f"the callers began at {history.base}")
        judged_at: dict[int, list[_Try]] = defaultdict(list)
        open_refusals: dict[str, _Try] = {}
        for one in self._refused():
            open_refusals[one.where] = one
            for state in self._states(one):
                judged_at[state].append(one)
        for sequence in range(history.base, history.head + 1):
            if sequence in self.changes.records:
                yield from self.changes.record(replaying, sequence)
            elif sequence > history.base:
                yield from self._record(replaying, sequence)
            self.changes.judge(replaying, sequence)
            for one in judged_at[sequence]:
                if one.where in open_refusals and self._is_justified(replaying, one):
                    del open_refusals[one.where]
        for where, one in open_refusals.items():
            yield Violation("unjustified", f"{where}: {one.result}")
        yield from self.changes.unjustified()
        yield from self._reads(replaying)
        for key, found in history.resolved.items():
            stands = self.by_key[key]["sequence"] if key in self.by_key else None
            if found != stands:
                yield Violation("resolved", f"{key} was read at {found} and stands at {stands}")

    def _record(self, replaying: Replaying, sequence: int) -> Iterator[Violation]:
        record = self.journal.get(sequence)
        if record is None:
            replaying.skip()
            return
        key = record["idempotency_key"]
        asked = next((one for one in self.tries.get(key, ()) if _is_of(record, one, self.by_key)), None)
        if asked is None:
            yield Violation("stranger", f"{key} at {sequence}: nobody asked for {record}")
        try:
            shown = replaying.record_one(record, asked.fields if asked else None)
        except Refused as refused:
            yield Violation("impossible", f"{sequence}: {refused.reason} {refused.facts}")
            replaying.skip()
            return
        if shown["sequence"] != sequence:
            # A key recorded twice: the reference answers its first record.
            yield Violation("impossible", f"{sequence} is a replay of {shown['sequence']}")
            replaying.skip()
            return
        if (shown["series"], shown["number"]) != (record["series"], record["number"]):
            numbered = f"{shown['series']!r} {shown['number']}"
            yield Violation(
                "number", f"{sequence} is {record['series']!r} {record['number']}, not {numbered}"
            )
        if _made(shown) != _made(record):
            yield Violation("template", f"{sequence}: {_made(record)}, not {_made(shown)}")
        elif shown["entries"] != record["entries"]:
            yield Violation("balance", f"{sequence}: {record['entries']}, not {shown['entries']}")

    def _refused(self) -> Iterator[_Try]:
        """What was refused for a reason that the books give; of an atomic group, its culprit."""
        for call in self.history.calls:
            for one in self.tries_of[call.name]:
                result = one.result
                if result is None or "reason" not in result:
                    continue
                if result["reason"] not in NOT_TAKEN | {"ATOMIC_GROUP_REFUSED", "OUTCOME_UNKNOWN"}:
                    yield one

    def _states(self, one: _Try) -> list[int]:
        """Where in its time a refusal can have been true, if anywhere."""
        assert one.result is not None
        reason, facts = one.result["reason"], one.result["facts"]
        lowest, highest = self._span(one.call)
        if not one.call.fields.get("atomic"):
            earlier = self.tries_of[one.call.name][: one.index]
            lowest = max([lowest, *(other.result["sequence"] for other in earlier if _is_fresh(other))])
        if reason in _NAMES_ITS_STATE:
            # In an atomic group it counts the group's own records too.
            own = one.index if one.call.fields.get("atomic") else 0
            named = range(int(facts["sequence"]) - own, int(facts["sequence"]) + 1)
            return [state for state in named if lowest <= state <= highest]
        if one.call.fields.get("atomic"):
            # Who is at fault first depends on the balances, which go up and down.
            return list(range(lowest, highest + 1))
        if reason in _BEGINS_WITH_A_RECORD:
            return [highest]
        # What a name, a kind or a template means goes by accounts and charts.
        return [lowest] if reason in _ENDS_WITH_A_RECORD else self.changes.states(lowest, highest)

    def _is_justified(self, replaying: Replaying, one: _Try) -> bool:
        assert one.result is not None
        is_atomic = bool(one.call.fields.get("atomic"))
        group = one.call.operations if is_atomic else [(one.verb, one.fields)]
        refusal = replaying.refusal(group)
        if refusal is None:
            return False
        index, refused = refusal
        told = one.result["reason"], one.result["facts"]
        return (not is_atomic or index == one.index) and told == (refused.reason, refused.facts)

    def _reads(self, replaying: Replaying) -> Iterator[Violation]:
        for call in self.history.calls:
            if call.is_write or call.is_change or call.outcome != OK:
                continue
            at = call.fields.get("at_sequence") or call.answer["sequence"]
            if call.verb == "balance":
                shown = {one["asset"]: one["posted"] for one in call.answer["balances"]}
                for asset, posted in shown.items():
                    line = replaying.balances.get((call.fields["account"], asset))
                    expected = line.at(at) if line else 0
                    if int(posted) != expected:
                        yield Violation("read value", f"{call.name}: {posted} at {at}, not {expected}")
            else:
                yield from self._trial(call, replaying, at)

    @staticmethod
    def _trial(call: Call, replaying: Replaying, at: int) -> Iterator[Violation]:
        for total in call.answer["totals"]:
            sides = int(total["debits"]), int(total["credits"])
            expected = tuple(replaying.totals[total["asset"], side].at(at) for side in (1, 2))
            if sides[0] != sides[1] or not call.answer["is_ok"]:
                yield Violation("trial balance", f"{call.name}: {sides} at {at}")
            elif sides != expected:
                yield Violation("read value", f"{call.name}: {sides} at {at}, not {expected}")


class _Peaks:
    """The highest sequence among those with a time before a given one."""

    def __init__(self, base: int, seen: list[tuple[int, int]]) -> None:
        seen = sorted(one for one in seen if one[0] < NEVER_NS)
        self._times = [time for time, _ in seen]
        self._peaks = [base]
        for _, sequence in seen:
            self._peaks.append(max(self._peaks[-1], sequence))

    def before(self, time: int) -> int:
        """Strictly before."""
        return self._peaks[bisect_left(self._times, time)]

    until = before


def _reflected(call: Call) -> Iterator[int]:
    """The sequences that a completed call proves to be committed."""
    if call.outcome == OK:
        if call.answer and not call.fields.get("at_sequence"):
            yield call.answer["sequence"]
        yield from (result["sequence"] for result in call.results if "reason" not in result)


def _is_fresh(one: _Try) -> bool:
    return one.is_acknowledged and one.result is not None and not one.result["replayed"]


def _is_of(record: Fields, one: _Try, by_key: dict[str, Fields]) -> bool:
    """Whether a record says what was asked."""
    fields = one.fields
    if one.verb == "post" and fields.get("template"):
        asked_use, used = {"version": 0, "items": []} | fields["template"], record["template"]
        if not asked_use["version"]:
            asked_use |= {"version": used and used["version"]}
        return bool(used == asked_use)
    if one.verb == "post":
        lines = [
            {name: entry[name] for name in ("account", "side", "amount", "asset")}
            for entry in record["entries"]
        ]
        asked = fields["entries"], fields.get("kind", ""), 0, None
        return asked == (lines, record["kind"], record["reverses"], record["template"])
    name = fields["transaction"]
    origin = name.get("sequence") or by_key.get(name["idempotency_key"], {}).get("sequence")
    return bool(record["reverses"]) and record["reverses"] == origin


def _made(record: Fields) -> Fields | None:
    """What a template is said to have made: the lines, the kind, and by what; None where none did."""
    if not record["template"]:
        return None
    lines = [
        {name: value for name, value in one.items() if name != "balance_after"} for one in record["entries"]
    ]
    return {"template": record["template"], "kind": record["kind"], "entries": lines}
