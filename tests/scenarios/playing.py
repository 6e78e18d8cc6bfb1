"""Playing a scenario on one side, and telling every line that came out otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scenarios.language import Fault, Line, Outcome, Words, read, split
from scenarios.operations import OPERATIONS
from scenarios.sides import Fields, Refusal, Side
from scenarios.stage import Stage
from scenarios.verbs import VERBS

GROUPS = ("batch", "atomic")
CLAIM, END = "criterion", "end"
WHOLE = 2


class Wrong(AssertionError):
    """What came out otherwise than a scenario expects, line by line."""


def play(path: Path, side: Side) -> None:
    """Plays a file in fresh ledgers of a side. Raises Wrong with all lines that came out otherwise, Fault."""
    stage = Stage(side, path.parent)
    stage.go_to("main")
    wrong: list[str] = []
    for group in groups(read(path)):
        try:
            told = batch(stage, group) if group[0].verb in GROUPS else [alone(stage, group[0])]
        except Fault as fault:
            raise Fault(f"{group[0]}: {fault}") from None
        for line, expected, got in told:
            if not agrees(expected, got):
                wrong.append(f"{line}: expected {expected}, got {shortened(expected, got)}, on {side.name}")
    if wrong:
        raise Wrong("\n".join(wrong))


def claims(path: Path) -> dict[str, list[Line]]:
    """The criteria that a file claims, each with the lines that do. Raises Fault."""
    claimed: dict[str, list[Line]] = {}
    standing: tuple[str, ...] = ()
    for line in read(path):
        if line.verb == CLAIM:
            standing = tuple(word.text for word in line.words)
        else:
            for number in standing:
                claimed.setdefault(number, []).append(line)
    return claimed


def groups(lines: list[Line]) -> Iterator[list[Line]]:
    """Each line that does something by itself; a batch with its lines and its end. Raises Fault."""
    group: list[Line] = []
    for line in lines:
        if line.verb in GROUPS and group:
            raise Fault(f"{line}: a batch within a batch")
        if line.verb == END and not group:
            raise Fault(f"{line}: an end of nothing")
        if line.verb not in (CLAIM, END, *GROUPS, *(OPERATIONS if group else VERBS)):
            raise Fault(f"{line}: {line.verb!r} is no verb{' of a batch' if group else ''}")
        if group or line.verb in GROUPS:
            group.append(line)
            if line.verb == END:
                yield group
                group = []
        elif line.verb != CLAIM:
            yield [line]
    if group:
        raise Fault(f"{group[0]}: a batch without an end")


Told = tuple[Line, Outcome, Outcome]


def alone(stage: Stage, line: Line) -> Told:
    """A line by itself: what it expects, and what came."""
    verb = VERBS[line.verb]
    said, expected = split(line.words, verb.outcomes, verb.otherwise)
    words = Words(said)
    try:
        got = verb.do(stage, words)
    except Refusal as refusal:
        got = refused(refusal)
    return line, expected, got


def batch(stage: Stage, group: list[Line]) -> list[Told]:
    """The lines of a batch: each its own outcome, or one for all behind its end."""
    first, *rest, end = group
    lines = [line for line in rest if line.verb != CLAIM]
    is_refused = bool(end.words)
    operations, expected = [], []
    for line in lines:
        _, name, read_words, _, outcomes = OPERATIONS[line.verb]
        otherwise = "ok" if line.verb == "account" else ""
        try:
            said = line.words
            if not is_refused:
                said, one = split(line.words, outcomes, otherwise)
                expected.append(one)
            fields = read_words(stage, Words(said))
            if "validate_only" in fields:
                raise Fault("nothing in a batch is tried dry")
            operations.append({name: fields})
        except Fault as fault:
            raise Fault(f"line {line.number}: {fault}") from None
    asked: Fields = {"operations": operations, "atomic": first.verb == "atomic", "view": WHOLE}
    try:
        results = stage.ask("PostBatch", **asked)["results"]
    except Refusal as refusal:
        wanted = split(end.words, "(?!)")[1] if is_refused else Outcome("an answer", {})
        return [(end, wanted, refused(refusal))]
    if is_refused:
        return [(end, split(end.words, "(?!)")[1], Outcome("an answer", {}))]
    told = [
        refused(one["status"]) if one["status"] else OPERATIONS[line.verb][3](one)
        for line, one in zip(lines, results, strict=True)
    ]
    return list(zip(lines, expected, told, strict=True))


def refused(refusal: Refusal) -> Outcome:
    """A refusal as an outcome: its facts, its code and the fields at fault."""
    facts = refusal.facts | {"status": refusal.code, "fields": ",".join(sorted(set(refusal.fields)))}
    return Outcome(refusal.reason, facts)


def agrees(expected: Outcome, got: Outcome) -> bool:
    """The same word, and every fact that is named; the fields at fault in any order."""
    wanted = dict(expected.facts)
    if "fields" in wanted:
        wanted["fields"] = ",".join(sorted(wanted["fields"].split(",")))
    return expected.word == got.word and wanted.items() <= got.facts.items()


def shortened(expected: Outcome, got: Outcome) -> Outcome:
    """What came, with the facts that were asked for; with all, where one of those is not there."""
    if expected.word != got.word:
        return Outcome(got.word, {name: value for name, value in got.facts.items() if value})
    if expected.facts.keys() <= got.facts.keys():
        return Outcome(got.word, {name: got.facts[name] for name in expected.facts})
    return got
