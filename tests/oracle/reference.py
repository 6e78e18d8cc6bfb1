"""The reference ledger: every answer and every refusal of the contract, in dicts and ints.

Written from the contract's words (the protos' comments, docs/errors.md, docs/chain.md)
and apart from the service: it knows no SQL, no lanes and no running balances. Where it
and the service disagree, one of the two has misread the contract. A request is a dict
of the proto's fields, a time in it (seconds, nanos). An answer is a dict of all
fields but the hashes, a time in it microseconds or None. Form is judged in forms.py,
reads are answered in readings.py, writes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from oracle import forms
from oracle.forms import Fields, Refused, judge
from oracle.readings import BY, Readings

MOST = 10**38 - 1


class Reference(Readings):
    """The ledgers, and everything that changes them."""

    def answer(self, method: str, q: Fields) -> Fields:
        """The answer to a call. Raises Refused."""
        return getattr(self, method)(q)

    def record(self, book: Fields) -> Fields:
        """The next record: what every one of them has."""
        book["head"] += 1
        book["time"] = max(book["time"], self.now)
        return {"sequence": book["head"], "record_time": book["time"], "created_by": BY}

    def CreateLedger(self, q: Fields) -> Fields:
        name, description = q.get("name", ""), q.get("description", "")
        judge(["name"] * forms.bad_path(name) + ["description"] * forms.bad_text(description))
        replayed = name in self.ledgers
        if replayed and self.ledgers[name]["description"] != description:
            raise Refused("LEDGER_ALREADY_EXISTS", ledger=name, differing_fields="description")
        if not replayed:
            book: Fields = {"name": name, "description": description, "head": 1, "time": 0}
            self.ledgers[name] = book | {
                "assets": {},
                "accounts": {},
                "journal": {},
                "keys": {},
                "reversed": {},
            }
        return {"ledger": self.shown_ledger(self.ledgers[name]) | {"sequence": 1}, "replayed": replayed}

    def CreateAsset(self, q: Fields) -> Fields:
        code, scale = q.get("code", ""), q.get("scale", 0)
        bad = {
            "ledger": forms.bad_path(q.get("ledger", "")),
            "code": forms.bad_code(code),
            "scale": not 0 <= scale <= 36,
        }
        judge([field for field, is_bad in bad.items() if is_bad])
        book = self.book(q)
        replayed = code in book["assets"]
        if replayed and book["assets"][code]["scale"] != scale:
            known = book["assets"][code]["scale"]
            raise Refused("ASSET_ALREADY_EXISTS", asset=code, scale=known, differing_fields="scale")
        if not replayed:
            book["assets"][code] = {"code": code, "scale": scale} | self.record(book)
        return {"asset": book["assets"][code], "replayed": replayed}

    def open_account(self, book: Fields, draft: Fields) -> Fields:
        limits = sorted(draft.get("limits", []), key=lambda limit: limit["asset"].encode())
        shown = [{"balance_min": None, "balance_max": None} | limit for limit in limits]
        asked = {"type": draft["type"], "limits": shown, "metadata": draft.get("metadata", {})}
        known = book["accounts"].get(draft["name"])
        if known:
            differing = ",".join(field for field, value in asked.items() if known[field] != value)
            if differing:
                facts = {
                    "account": draft["name"],
                    "differing_fields": differing,
                    "sequence": known["sequence"],
                }
                raise Refused("ACCOUNT_ALREADY_EXISTS", **facts)
            return {"account": known, "replayed": True}
        for limit in draft.get("limits", []):
            self.asset(book, limit["asset"])
        side = 1 if draft["type"] in (1, 5) else 2
        opened = {"name": draft["name"], "normal_side": side, "version": 1} | asked | self.record(book)
        book["accounts"][draft["name"]] = opened
        return {"account": opened, "replayed": False}

    def CreateAccount(self, q: Fields) -> Fields:
        draft = q.get("account", {})
        judge(["ledger"] * forms.bad_path(q.get("ledger", "")) + forms.account_faults(draft, "account"))
        return self.open_account(self.book(q), draft)

    def BatchCreateAccounts(self, q: Fields) -> Fields:
        drafts = q.get("accounts", [])
        faults = ["ledger"] * forms.bad_path(q.get("ledger", "")) + ["accounts"] * (
            not 1 <= len(drafts) <= 1000
        )
        for index, draft in enumerate(drafts):
            faults += forms.account_faults(draft, f"accounts[{index}]")
        judge(faults)
        book = self.book(q)
        before = deepcopy(book)
        try:
            return {"accounts": [self.open_account(book, draft) for draft in drafts]}
        except Refused:
            self.ledgers[book["name"]] = before
            raise

    def Post(self, q: Fields) -> Fields:
        forms.judge_draft("post", q, ["ledger"] * forms.bad_path(q.get("ledger", "")))
        return self.write(self.book(q), "post", q)

    def Reverse(self, q: Fields) -> Fields:
        forms.judge_draft("reverse", q, ["ledger"] * forms.bad_path(q.get("ledger", "")))
        return self.write(self.book(q), "reverse", q)

    def PostBatch(self, q: Fields) -> Fields:
        operations, atomic, view = q.get("operations", []), q.get("atomic", False), q.get("view", 0)
        bad = {
            "ledger": forms.bad_path(q.get("ledger", "")),
            "operations": not operations,
            "view": view not in range(3),
        }
        judge([field for field, is_bad in bad.items() if is_bad])
        count = len(operations)
        entries = sum(len(operation.get("post", {}).get("entries", [])) for operation in operations)
        if count > 8192 or entries > 65536:
            facts = {"operations": count, "operations_max": 8192, "entries": entries, "entries_max": 65536}
            raise Refused("BATCH_TOO_LARGE", **facts)
        results: list[Fields | Refused] = [self.malformed(operation) for operation in operations]
        culprit = next((index for index, one in enumerate(results) if isinstance(one, Refused)), None)
        if any(isinstance(one, dict) for one in results) and not (atomic and culprit is not None):
            book = self.book(q)
            before = deepcopy(book)
            for index, operation in enumerate(operations):
                if isinstance(results[index], Refused) or (atomic and culprit is not None):
                    continue
                try:
                    ((verb, draft),) = operation.items()
                    results[index] = self.write(book, verb, draft)
                except Refused as refused:
                    results[index], culprit = refused, index
            if atomic and culprit is not None:
                self.ledgers[book["name"]] = before
        if atomic and culprit is not None:
            why = results[culprit]
            others = Refused("ATOMIC_GROUP_REFUSED", culprit_index=culprit, culprit_reason=why.reason)
            results = [why if index == culprit else others for index in range(count)]
        return {"results": [self.result(one, view) for one in results]}

    def malformed(self, operation: Fields) -> Fields | Refused:
        if not operation:
            return Refused("VALIDATION_FAILED", ("operation",))
        ((verb, draft),) = operation.items()
        try:
            forms.judge_draft(verb, draft, [])
        except Refused as refused:
            return refused
        return operation

    def result(self, one: Fields | Refused, view: int) -> Fields:
        shown: Fields = {"status": None, "sequence": 0, "replayed": False, "transaction": None}
        if isinstance(one, Refused):
            return shown | {"status": one}
        whole = one["transaction"] if view == 2 else None
        return {
            "status": None,
            "sequence": one["transaction"]["sequence"],
            "replayed": one["replayed"],
            "transaction": whole,
        }

    def write(self, book: Fields, verb: str, q: Fields) -> Fields:
        """One post or reversal: the key, then the state. Raises Refused and leaves the book as it was."""
        key = q.get("idempotency_key", "").strip()
        origin = self.find(book, q["transaction"]) if verb == "reverse" else None
        own: Fields = {"entries": q.get("entries", []), "kind": q.get("kind", "")}
        if verb == "reverse":
            own = {"transaction": origin["sequence"] if origin else 0}
        details = {"description": "", "metadata": {}, "external_ref": ""}
        details |= {field: q[field] for field in details if field in q}
        asked = {"verb": verb, **own, "effective_time": forms.micros(q.get("effective_time")), **details}
        if key in book["keys"]:
            content, recorded = book["keys"][key]
            differing = [field for field, value in asked.items() if content.get(field) != value]
            if differing:
                named = "verb" if "verb" in differing else ",".join(differing)
                facts = {"sequence": recorded["sequence"], "differing_fields": named}
                raise Refused("IDEMPOTENCY_KEY_REUSED", idempotency_key=key, **facts)
            return {"transaction": recorded, "replayed": True}
        entries, kind, reverses = own.get("entries"), own.get("kind"), 0
        if verb == "reverse":
            origin = self.reversible(book, origin, q["transaction"])
            swapped = [{**entry, "side": 3 - entry["side"]} for entry in origin["entries"]]
            entries, kind, reverses = swapped, origin["kind"], origin["sequence"]
        lines = self.judged(book, entries)
        record = {"sequence": 0, "record_time": max(book["time"], self.now), "created_by": BY}
        is_real = not q.get("validate_only", False)
        record = self.record(book) if is_real else record
        when = record["record_time"] if asked["effective_time"] is None else asked["effective_time"]
        shown = (
            {"ledger": book["name"], "kind": kind, "idempotency_key": key, "entries": lines}
            | details
            | record
        )
        shown |= {"effective_time": when, "reverses": reverses, "reversed_by": 0}
        if is_real:
            book["journal"][shown["sequence"]] = shown
            book["reversed"] |= {reverses: shown["sequence"]} if reverses else {}
            book["keys"] |= {key: (asked, shown)} if key else {}
        return {"transaction": shown, "replayed": False}

    def reversible(self, book: Fields, origin: Fields | None, name: Fields) -> Fields:
        """The transaction to reverse, which is no reversal and was not reversed."""
        origin = self.found(book, name)
        sequence = origin["sequence"]
        if origin["reverses"]:
            raise Refused("REVERSAL_FORBIDDEN_TYPE", sequence=sequence, reverses=origin["reverses"])
        if sequence in book["reversed"]:
            by = book["reversed"][sequence]
            raise Refused("REVERSAL_ALREADY_EXISTS", sequence=sequence, reversed_by=by)
        return origin

    def judged(self, book: Fields, entries: Sequence[Fields]) -> list[Fields]:
        """The lines with their running balances: names, then overflow, then bounds."""
        for entry in entries:
            self.account(book, entry["account"])
        for entry in entries:
            self.asset(book, entry["asset"])
        running: dict[tuple[str, str], int] = {}
        lines = []
        for entry in entries:
            name, asset, amount = entry["account"], entry["asset"], int(entry["amount"])
            sign = 1 if entry["side"] == book["accounts"][name]["normal_side"] else -1
            before = running[name, asset] if (name, asset) in running else self.posted(book, name, asset)
            after = before + sign * amount
            if abs(after) > MOST:
                raise Refused("AMOUNT_OVERFLOW", account=name, asset=asset)
            running[name, asset] = after
            lines.append({**entry, "balance_after": str(after)})
        for (name, asset), after in running.items():
            self.judge_bounds(book, name, asset, after)
        return lines

    def judge_bounds(self, book: Fields, name: str, asset: str, after: int) -> None:
        before = self.posted(book, name, asset)
        facts = {
            "account": name,
            "asset": asset,
            "balance": before,
            "balance_after": after,
            "sequence": book["head"],
        }
        for limit in book["accounts"][name]["limits"]:
            low, high = limit["balance_min"], limit["balance_max"]
            if limit["asset"] == asset and low is not None and after < min(before, int(low)):
                raise Refused("INSUFFICIENT_FUNDS", balance_min=low, shortfall=int(low) - after, **facts)
            if limit["asset"] == asset and high is not None and after > max(before, int(high)):
                raise Refused(
                    "BALANCE_LIMIT_EXCEEDED", balance_max=high, shortfall=after - int(high), **facts
                )
