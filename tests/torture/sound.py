"""A sound history without a service: the reference answers, and callers overlap on a made-up clock."""

from __future__ import annotations

import random
from copy import deepcopy
from hashlib import sha256

from oracle.forms import Refused
from torture.calling import Fields
from torture.changes import subject_of
from torture.history import OK, REFUSED, UNKNOWN, Call, History
from torture.replaying import Replaying
from torture.workload import BASE, OPENING, Workload

_CALLERS = 6


def sound_history(calls: int, seed: int) -> History:
    """A history of so many calls in which every promise is kept."""
    chance = random.Random(seed)
    names = [f"c{number}" for number in range(_CALLERS)]
    streams = [Workload(name, [other for other in names if other != name], seed) for name in names]
    asking = [iter(stream) for stream in streams]
    history = History([], BASE, BASE, OPENING, [], {})
    books = Replaying(history)
    under_way: dict[int, tuple[Call, bool]] = {}
    clock = 0
    while len(history.calls) < calls or under_way:
        clock += 1
        who = chance.randrange(_CALLERS)
        if who not in under_way:
            if len(history.calls) < calls:
                verb, fields = next(asking[who])
                call = Call(f"{names[who]}#{clock}", verb, fields, clock)
                history.calls.append(call)
                under_way[who] = call, False
        elif not under_way[who][1]:
            call = under_way[who][0]
            is_unheard = (call.is_write or call.is_change) and chance.random() < 0.06
            if is_unheard and chance.random() < 0.5:
                # Never arrived.
                del under_way[who]
                continue
            _answer(books, call)
            if is_unheard:
                call.outcome, call.results = UNKNOWN, []
                del under_way[who]
            else:
                under_way[who] = call, True
        else:
            call = under_way.pop(who)[0]
            call.completed = clock
            reached = [call.answer.get("sequence", 0), *(one.get("sequence", 0) for one in call.results)]
            streams[who].seen = max(streams[who].seen, *reached)
            if call.is_change and "version" in call.results[0]:
                streams[who].versions[subject_of(call.fields)] = call.results[0]["version"]
    history.head = books.open_book["head"]
    history.journal = [_shown(one) for _, one in sorted(books.open_book["journal"].items())]
    history.changes = _changes(books.open_book)
    by_key = {one["idempotency_key"]: one["sequence"] for one in history.journal}
    history.resolved = {
        fields["idempotency_key"]: by_key.get(fields["idempotency_key"])
        for call in history.calls
        if call.outcome == UNKNOWN
        for _, fields in call.operations
    }
    return history


def _answer(books: Replaying, call: Call) -> None:
    call.outcome = OK
    if call.verb == "balance":
        call.answer = _balances(books, call.fields)
    elif call.verb == "trial":
        call.answer = _trial(books, call.fields)
    elif call.is_change:
        call.results = [_change(books, call.fields)]
        call.outcome = REFUSED if "reason" in call.results[0] else OK
    elif call.fields.get("atomic") and (refusal := books.refusal(call.operations)) is not None:
        culprit, refused = refusal
        others = {"reason": "ATOMIC_GROUP_REFUSED", "facts": {}}
        call.results = [
            _refusal(refused) if index == culprit else others for index in range(len(call.operations))
        ]
    else:
        call.results = [_write(books, verb, fields) for verb, fields in call.operations]
        if call.verb != "batch" and "reason" in call.results[0]:
            call.outcome = REFUSED


def _write(books: Replaying, verb: str, fields: Fields) -> Fields:
    before = books.open_book["head"]
    books.now = before * 10
    try:
        shown = books.write_one(verb, fields)
    except Refused as refused:
        return _refusal(refused)
    return {
        "sequence": shown["sequence"],
        "hash": _hash(shown["sequence"]),
        "replayed": shown["sequence"] <= before,
        "balances": [entry["balance_after"] for entry in shown["entries"]],
    }


def _change(books: Replaying, fields: Fields) -> Fields:
    before = books.open_book["head"]
    books.now = before * 10
    try:
        version = books.change(fields)
    except Refused as refused:
        return _refusal(refused)
    told = {name: version[name] for name in ("sequence", "version")}
    return told | {"hash": _hash(told["sequence"]), "replayed": told["sequence"] <= before}


def _changes(book: Fields) -> list[Fields]:
    """Versions that changed something, as the last reads show them."""
    accounts = [one for one in book["versions"] if one.get("version", 1) > 1]
    changes = [
        {"subject": one["name"], "now": {name: one[name] for name in ("status", "limits")}, "record": one}
        for one in accounts
    ]
    changes += [{"subject": "", "now": one["chart"], "record": one} for one in book["charts"][1:]]
    names = ("sequence", "record_time", "version")
    return [
        {"subject": one["subject"], "now": deepcopy(one["now"]), "hash": _hash(one["record"]["sequence"])}
        | {name: one["record"][name] for name in names}
        for one in changes
    ]


def _refusal(refused: Refused) -> Fields:
    return {"reason": refused.reason, "facts": refused.facts}


def _balances(books: Replaying, fields: Fields) -> Fields:
    head = books.open_book["head"]
    at = fields["at_sequence"] or head
    codes = [fields["asset"]] if fields["asset"] else ["EUR", "USD"]
    balances = []
    for code in codes:
        line = books.balances.get((fields["account"], code))
        balances.append({"asset": code, "posted": str(line.at(at) if line else 0)})
    return {"sequence": at, "balances": balances}


def _trial(books: Replaying, fields: Fields) -> Fields:
    at = fields["at_sequence"] or books.open_book["head"]
    totals = [
        {
            "asset": code,
            "debits": str(books.totals[code, 1].at(at)),
            "credits": str(books.totals[code, 2].at(at)),
        }
        for code in ("EUR", "USD")
    ]
    return {"sequence": at, "totals": totals, "is_ok": True}


def _shown(one: Fields) -> Fields:
    names = ("sequence", "idempotency_key", "kind", "reverses", "record_time", "entries")
    names += ("series", "number", "template")
    return deepcopy({name: one[name] for name in names}) | {"hash": _hash(one["sequence"])}


def _hash(sequence: int) -> str:
    return sha256(str(sequence).encode()).hexdigest()
