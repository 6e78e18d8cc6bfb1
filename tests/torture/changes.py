"""The history checker on what changes accounts and the chart: records without a key, named by their version.

A change is asked for under the version that its caller knows, so each version of an
account or of the chart is made by one of those calls that asked for just that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator

from oracle.accounts import STATUSES
from oracle.accounts import whole as whole_limits
from oracle.charted import whole as whole_chart
from oracle.forms import Refused
from torture.history import NOT_TAKEN, OK, UNKNOWN, Call, Fields, History, Violation
from torture.replaying import Replaying

# Of a call's time the first state and the last: what was completed before it, what was asked for by its end.
Span = Callable[[Call], tuple[int, int]]


def subject_of(fields: Fields) -> str:
    """Whose change a call asks for: an account's name, or "" for the chart."""
    return str(fields.get("name", ""))


def wanted_by(fields: Fields) -> Fields:
    """What a call asks to be so."""
    if fields["method"] == "ApplyChart":
        return whole_chart(fields["chart"])
    if fields["method"] in STATUSES:
        return {"status": STATUSES[fields["method"]]}
    return {"limits": whole_limits(fields.get("limits", []))}


class Changes:
    """All changes of a history, the calls that asked for them, and the rules."""

    def __init__(self, history: History) -> None:
        self._calls = [call for call in history.calls if call.is_change]
        self.records = {one["sequence"]: one for one in history.changes}
        self._versions = {(one["subject"], one["version"]): one for one in history.changes}
        self._hashes = {one["sequence"]: one["hash"] for one in (*history.changes, *history.journal)}
        self._sequences = sorted(self.records)
        self._base = history.base
        self._asking: dict[str, list[Call]] = defaultdict(list)
        for call in self._calls:
            self._asking[subject_of(call.fields)].append(call)
        self._makers = {sequence: self._makers_of(one) for sequence, one in self.records.items()}
        # Judged when the replay comes to a state.
        self._waiting: dict[int, list[Call]] = defaultdict(list)
        self._unjudged: dict[str, Call] = {}

    def first_asked(self) -> Iterator[tuple[int, int]]:
        """When each was asked for first, and its sequence."""
        for sequence, makers in self._makers.items():
            if makers:
                yield min(call.invoked for call in makers), sequence

    def states(self, lowest: int, highest: int) -> list[int]:
        """Where what a name, a kind, a template or a version means may change, between two states."""
        start, stop = bisect_right(self._sequences, lowest), bisect_right(self._sequences, highest)
        return list(dict.fromkeys((lowest, *self._sequences[start:stop], highest)))

    def _makers_of(self, record: Fields) -> list[Call]:
        """The calls that may have made it."""
        return [
            call
            for call in self._asking[record["subject"]]
            if call.fields.get("version", 0) in (0, record["version"] - 1)
            and wanted_by(call.fields).items() <= record["now"].items()
            and (call.outcome == UNKNOWN or "reason" not in call.results[0])
        ]

    # what callers were told --------------------------------------------------------------

    def told(self, span: Span) -> Iterator[Violation]:
        """Of every call, and of every record that it needs one."""
        for call in self._calls:
            if call.outcome == OK:
                yield from self._acknowledged(call, span)
            if call.outcome != UNKNOWN:
                self._wait(call, span)
        for sequence, makers in self._makers.items():
            record = self.records[sequence]
            where = f"version {record['version']} of {record['subject'] or 'the chart'} at {sequence}"
            if not makers:
                yield Violation("stranger", f"{where}: nobody asked for it")
            firsts = [one for one in makers if one.outcome == OK and _is_first_of(one.results[0], record)]
            if len(firsts) > 1:
                yield Violation("doubled", f"{where}: {[one.name for one in firsts]}")
            if makers and not firsts and not any(one.outcome == UNKNOWN for one in makers):
                yield Violation("refused", f"{where}: nobody was told so")

    def _acknowledged(self, call: Call, span: Span) -> Iterator[Violation]:
        told = call.results[0]
        lowest, highest = span(call)
        if told["sequence"] > self._base and self._hashes.get(told["sequence"]) != told["hash"]:
            yield Violation("acknowledged", f"{call.name} was told {told}; no such record stands")
        if told["sequence"] > highest:
            yield Violation("future read", call.name)
        if told["replayed"]:
            return
        record = self._versions.get((subject_of(call.fields), told["version"]))
        if record is None or record["sequence"] != told["sequence"]:
            yield Violation("acknowledged", f"{call.name} was told {told}; there is {record}")
        elif not wanted_by(call.fields).items() <= record["now"].items():
            yield Violation("acknowledged", f"{call.name} asked for something else than {record}")
        if told["sequence"] <= lowest:
            yield Violation("stale write", f"{call.name} at {told['sequence']}")

    def _wait(self, call: Call, span: Span) -> None:
        """A refusal, or an answer that all is so already, is true at one of the states of its time."""
        told = call.results[0] if call.results else {}
        if told.get("reason", "") in {*NOT_TAKEN, "OUTCOME_UNKNOWN"} or told.get("replayed") is False:
            return
        self._unjudged[call.name] = call
        for state in self.states(*span(call)):
            self._waiting[state].append(call)

    # through the reference ---------------------------------------------------------------

    def record(self, replaying: Replaying, sequence: int) -> Iterator[Violation]:
        """Makes the change that stands at a sequence, as the reference would."""
        record = self.records[sequence]
        makers = self._makers[sequence]
        if not makers:
            replaying.skip()
            return
        replaying.now = record["record_time"]
        try:
            shown = replaying.change(makers[0].fields)
        except Refused as refused:
            yield Violation("impossible", f"{sequence}: {refused.reason} {refused.facts}")
            replaying.skip()
            return
        expected = {name: shown[name] for name in ("sequence", "version")}
        if expected != {name: record[name] for name in expected}:
            yield Violation("impossible", f"{sequence} is {record}, not {expected}")
        elif not record["now"].items() <= shown.get("chart", shown).items():
            yield Violation("impossible", f"{sequence} leaves {record['now']}, not {shown}")

    def judge(self, replaying: Replaying, sequence: int) -> None:
        """What waits for this state."""
        for call in self._waiting[sequence]:
            if call.name in self._unjudged and _is_true(replaying, call):
                del self._unjudged[call.name]

    def unjustified(self) -> Iterator[Violation]:
        """What was true at no state of its time."""
        for call in self._unjudged.values():
            yield Violation("unjustified", f"{call.name}: {call.results}")


def _is_first_of(told: Fields, record: Fields) -> bool:
    return not told["replayed"] and (told["sequence"], told["version"]) == (
        record["sequence"],
        record["version"],
    )


def _is_true(replaying: Replaying, call: Call) -> bool:
    told, answer = call.results[0], replaying.tried(call.fields)
    if isinstance(answer, Refused):
        return (told.get("reason"), told.get("facts")) == (answer.reason, answer.facts)
    return (
        "reason" not in told
        and answer is not None
        and all(told[name] == answer[name] for name in ("sequence", "version"))
    )
