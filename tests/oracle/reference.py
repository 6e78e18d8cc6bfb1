"""The reference ledger: every answer and every refusal of the contract, in dicts and ints.

Written from the contract's words (the protos' comments, docs/errors.md, docs/chain.md)
and apart from the service: it knows no SQL, no lanes and no running balances. Where it
and the service disagree, one of the two has misread the contract. A request is a dict
of the proto's fields, a time in it (seconds, nanos). An answer is a dict of all
fields but the hashes, a time in it microseconds or None. Form is judged in forms.py,
reads are answered in readings.py, writes here.
"""

from __future__ import annotations

from copy import deepcopy

from oracle.forms import Fields, Refused, judge
from oracle.readings import ABSENT, BY, READS, Readings, micros

MOST = 10**38 - 1
DETAILS = {"description": "", "metadata": {}, "external_ref": ""}


class Reference(Readings):
    """The ledgers, and everything that changes them."""

    def answer(self, method: str, q: Fields) -> Fields:
        """The answer to a call. Raises Refused."""
        judge(method, q)
        q = ABSENT | q
        return self.read(method, q) if method in READS else getattr(self, method)(q)

    def record(self, book: Fields) -> Fields:
        """The next record: what every one of them has."""
        book["head"] += 1
        book["time"] = max(book["time"], self.now)
        return {"sequence": book["head"], "record_time": book["time"], "created_by": BY}

    def CreateLedger(self, q: Fields) -> Fields:
        name, description = q["name"], q["description"]
        replayed = name in self.ledgers
        book = self.ledgers.setdefault(name, {"name": name, "description": description, "head": 1, "time": 0})
        if book["description"] != description:
            raise Refused("LEDGER_ALREADY_EXISTS", ledger=name, differing_fields="description")
        if not replayed:
            book |= {"assets": {}, "accounts": {}, "journal": {}, "keys": {}, "reversed": {}}
        return {"ledger": self.shown_ledger(book) | {"sequence": 1}, "replayed": replayed}

    def CreateAsset(self, q: Fields) -> Fields:
        book, code, scale = self.book(q["ledger"]), q["code"], q["scale"]
        replayed = code in book["assets"]
        if not replayed:
            book["assets"][code] = {"code": code, "scale": scale} | self.record(book)
        known = book["assets"][code]
        if known["scale"] != scale:
            facts = {"scale": known["scale"], "differing_fields": "scale"}
            raise Refused("ASSET_ALREADY_EXISTS", asset=code, **facts)
        return {"asset": known, "replayed": replayed}

    def open_account(self, book: Fields, draft: Fields) -> Fields:
        limits = sorted(draft.get("limits", []), key=lambda limit: limit["asset"])
        shown = [{"balance_min": None, "balance_max": None} | limit for limit in limits]
        asked = {"type": draft["type"], "limits": shown, "metadata": draft.get("metadata", {})}
        name = draft["name"]
        if known := book["accounts"].get(name):
            if differing := ",".join(field for field, value in asked.items() if known[field] != value):
                facts = {"differing_fields": differing, "sequence": known["sequence"]}
                raise Refused("ACCOUNT_ALREADY_EXISTS", account=name, **facts)
            return {"account": known, "replayed": True}
        for limit in draft.get("limits", []):
            self.known(book, "asset", limit["asset"])
        side = 1 if draft["type"] in (1, 5) else 2
        opened = {"name": name, "normal_side": side, "version": 1} | asked | self.record(book)
        book["accounts"][name] = opened
        return {"account": opened, "replayed": False}

    def CreateAccount(self, q: Fields) -> Fields:
        return self.open_account(self.book(q["ledger"]), q["account"])

    def BatchCreateAccounts(self, q: Fields) -> Fields:
        before = deepcopy(self.book(q["ledger"]))
        try:
            return {"accounts": [self.open_account(self.book(q["ledger"]), one) for one in q["accounts"]]}
        except Refused:
            self.ledgers[q["ledger"]] = before
            raise

    def Post(self, q: Fields) -> Fields:
        return self.write(self.book(q["ledger"]), "post", q)

    def Reverse(self, q: Fields) -> Fields:
        return self.write(self.book(q["ledger"]), "reverse", q)

    def PostBatch(self, q: Fields) -> Fields:
        operations, atomic = q["operations"], q.get("atomic", False)
        count = len(operations)
        entries = sum(len(operation.get("post", {}).get("entries", [])) for operation in operations)
        if count > 8192 or entries > 65536:
            facts = {"operations": count, "operations_max": 8192, "entries": entries, "entries_max": 65536}
            raise Refused("BATCH_TOO_LARGE", **facts)
        results: list[Fields | Refused] = [malformed(operation) or operation for operation in operations]
        refused = [index for index, one in enumerate(results) if isinstance(one, Refused)]
        if len(refused) < count and not (atomic and refused):
            before = deepcopy(self.book(q["ledger"]))
            for index, operation in enumerate(operations):
                try:
                    if index not in refused:
                        ((verb, draft),) = operation.items()
                        results[index] = self.write(self.ledgers[q["ledger"]], verb, draft)
                except Refused as refusal:
                    results[index] = refusal
                    refused.append(index)
                    if atomic:
                        self.ledgers[q["ledger"]] = before
                        break
        if atomic and refused:
            why = results[refused[0]]
            facts = {"culprit_index": refused[0], "culprit_reason": why.reason}
            results = [Refused("ATOMIC_GROUP_REFUSED", **facts)] * count
            results[refused[0]] = why
        return {"results": [result(one, q["view"]) for one in results]}

    def write(self, book: Fields, verb: str, q: Fields) -> Fields:
        """One post or reversal: the key, then the state. Raises Refused and leaves the book as it was."""
        key = q.get("idempotency_key", "").strip()
        origin = self.find(book, q["transaction"]) if verb == "reverse" else None
        own: Fields = {"entries": q.get("entries", []), "kind": q.get("kind", "")}
        if verb == "reverse":
            own = {"transaction": origin["sequence"] if origin else 0}
        details = {field: q.get(field, absent) for field, absent in DETAILS.items()}
        given = micros(q.get("effective_time"))
        asked = {"verb": verb, **own, "effective_time": given, **details}
        if key in book["keys"]:
            return replayed(key, asked, *book["keys"][key])
        entries, kind, reverses = own.get("entries"), own.get("kind"), 0
        if verb == "reverse":
            origin = self.reversible(book, q["transaction"])
            entries = [{**entry, "side": 3 - entry["side"]} for entry in origin["entries"]]
            kind, reverses = origin["kind"], origin["sequence"]
        shown = {"ledger": book["name"], "kind": kind, "idempotency_key": key, **details}
        shown |= {"entries": self.judged(book, entries), "reverses": reverses, "reversed_by": 0}
        if q.get("validate_only"):
            shown |= {"sequence": 0, "record_time": max(book["time"], self.now), "created_by": BY}
        else:
            shown |= self.record(book)
            book["journal"][shown["sequence"]] = shown
            book["reversed"] |= {reverses: shown["sequence"]} if reverses else {}
            book["keys"] |= {key: (asked, shown)} if key else {}
        shown["effective_time"] = shown["record_time"] if given is None else given
        return {"transaction": shown, "replayed": False}

    def reversible(self, book: Fields, name: Fields) -> Fields:
        """The transaction to reverse, which is no reversal and was not reversed."""
        origin = self.found(book, name)
        sequence = origin["sequence"]
        if origin["reverses"]:
            raise Refused("REVERSAL_FORBIDDEN_TYPE", sequence=sequence, reverses=origin["reverses"])
        if by := book["reversed"].get(sequence):
            raise Refused("REVERSAL_ALREADY_EXISTS", sequence=sequence, reversed_by=by)
        return origin

    def judged(self, book: Fields, entries: list[Fields]) -> list[Fields]:
        """The lines with their running balances: names, then overflow, then bounds."""
        for kind in ("account", "asset"):
            for entry in entries:
                self.known(book, kind, entry[kind])
        running: dict[tuple[str, str], int] = {}
        lines = []
        for entry in entries:
            name, asset = place = entry["account"], entry["asset"]
            sign = 1 if entry["side"] == book["accounts"][name]["normal_side"] else -1
            before = running[place] if place in running else self.posted(book, name, asset)
            running[place] = before + sign * int(entry["amount"])
            if abs(running[place]) > MOST:
                raise Refused("AMOUNT_OVERFLOW", account=name, asset=asset)
            lines.append({**entry, "balance_after": str(running[place])})
        for (name, asset), after in running.items():
            self.judge_bounds(book, name, asset, after)
        return lines

    def judge_bounds(self, book: Fields, name: str, asset: str, after: int) -> None:
        """A bound refuses only what moves the balance toward it."""
        before = self.posted(book, name, asset)
        facts = {"account": name, "asset": asset, "balance": before, "balance_after": after}
        facts["sequence"] = book["head"]
        for limit in book["accounts"][name]["limits"]:
            low, high = limit["balance_min"], limit["balance_max"]
            if limit["asset"] == asset and low is not None and after < min(before, int(low)):
                raise Refused("INSUFFICIENT_FUNDS", balance_min=low, shortfall=int(low) - after, **facts)
            if limit["asset"] == asset and high is not None and after > max(before, int(high)):
                over = after - int(high)
                raise Refused("BALANCE_LIMIT_EXCEEDED", balance_max=high, shortfall=over, **facts)


def replayed(key: str, asked: Fields, content: Fields, recorded: Fields) -> Fields:
    """What a used key answers: the record as it was, if the same was asked. Raises Refused."""
    differing = [field for field, value in asked.items() if content.get(field) != value]
    if differing:
        named = "verb" if "verb" in differing else ",".join(differing)
        facts = {"sequence": recorded["sequence"], "differing_fields": named}
        raise Refused("IDEMPOTENCY_KEY_REUSED", idempotency_key=key, **facts)
    return {"transaction": recorded, "replayed": True}


def malformed(operation: Fields) -> Refused | None:
    """How an operation of a batch is refused for its form."""
    if not operation:
        return Refused("VALIDATION_FAILED", ("operation",))
    try:
        judge(*next(iter(operation.items())))
    except Refused as refused:
        return refused
    return None


def result(one: Fields | Refused, view: int) -> Fields:
    """What a batch shows of one operation."""
    if isinstance(one, Refused):
        return {"status": one, "sequence": 0, "replayed": False, "transaction": None}
    shown = one["transaction"]
    told = {"status": None, "sequence": shown["sequence"], "replayed": one["replayed"]}
    return told | {"transaction": shown if view == 2 else None}
