"""The reference ledger: every answer and every refusal of the contract, in dicts and ints.

Written from the contract's words (the protos' comments, docs/errors.md, docs/chain.md), apart from the
service: where the two disagree, one has misread the contract. A request is a dict of the proto's fields, a
time in it (seconds, nanos); an answer is one of all fields but the hashes, a time in it microseconds or None.
"""

from __future__ import annotations

from copy import deepcopy
from hashlib import sha256
from operator import itemgetter
from typing import Any

from oracle.accounts import Accounts
from oracle.forms import ABSENT, Fields, Refused, agree, attempt, judge, micros, passes, refuse, summed, under

MOST = 10**38 - 1
PAGING = ("page_token", "page_size", "min_sequence")


class Reference(Accounts):
    """All ledgers of one service. `now` is its clock, in microseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.ledgers: dict[str, Fields] = {}
        # By token: the request without its paging, the sequence, how many came before, the last of them.
        self.pages: dict[str, tuple[Fields, int, int, Fields]] = {}

    def answer(self, method: str, q: Fields) -> Any:
        """The answer to a call. Raises Refused."""
        judge(method, q)
        q = ABSENT | q
        match method:
            case "Post" | "Reverse":
                return self.write(self.book(q["ledger"]), method.lower(), q)
            case "CreateAccount":
                return self.open_account(self.book(q["ledger"]), q["account"])
            case "UpdateAccount" | "FreezeAccount" | "UnfreezeAccount" | "CloseAccount":
                return self.change_account(self.book(q["ledger"]), method, q)
            case "CreateAsset":
                return self.add(self.book(q["ledger"]), "asset", {"code": q["code"]}, {"scale": q["scale"]})
            case "GetLedger":
                return {"ledger": self.shown_ledger(self.book(q["name"], q["min_sequence"]))}
            case "CreateLedger" | "BatchCreateAccounts" | "PostBatch":
                return getattr(self, method)(q)
        return self.read(method, q)

    def book(self, name: str, min_sequence: int = 0) -> Fields:
        """A ledger, when it has reached a sequence."""
        refuse(name not in self.ledgers, "LEDGER_NOT_FOUND", ledger=name)
        self.reached(self.ledgers[name], min_sequence=min_sequence)
        return self.ledgers[name]

    def shown_ledger(self, book: Fields) -> Fields:
        """All but its record_time, which is the database's; the driver checks that it stays."""
        shown = {"name": book["name"], "description": book["description"], "sequence": book["head"]}
        return shown | {"epoch": 1, "created_by": "anonymous"}

    def reached(self, book: Fields, **asked: int) -> None:
        is_beyond = max(asked.values()) > book["head"]
        refuse(is_beyond, "SEQUENCE_NOT_REACHED", ledger=book["name"], head=book["head"], **asked)

    def find(self, book: Fields, name: Fields) -> Any:
        """A transaction by its sequence or its key, if there is one."""
        _, sequence = book["keys"].get(name.get("idempotency_key", "").strip(), ({}, name.get("sequence")))
        return book["journal"].get(sequence, {})

    def found(self, book: Fields, name: Fields) -> Any:
        shown, named = self.find(book, name), {field: str(value).strip() for field, value in name.items()}
        refuse(not shown, "TRANSACTION_NOT_FOUND", **named)
        return shown

    def CreateLedger(self, q: Fields) -> Fields:
        name, asked, replayed = q["name"], {"description": q["description"]}, q["name"] in self.ledgers
        records: Fields = {"assets": {}, "accounts": {}, "journal": {}, "keys": {}, "reversed": {}}
        records |= {"first": {"account": {}, "asset": {}}, "versions": []}
        book = self.ledgers.setdefault(name, {"name": name, "head": 1, "time": 0} | asked | records)
        agree("LEDGER_ALREADY_EXISTS", asked, book, ledger=name)
        return {"ledger": self.shown_ledger(book) | {"sequence": 1}, "replayed": replayed}

    def BatchCreateAccounts(self, q: Fields) -> Fields:
        book = deepcopy(self.book(q["ledger"]))
        opened = [self.open_account(book, draft) for draft in q["accounts"]]
        self.ledgers[q["ledger"]] = book
        return {"accounts": opened}

    def PostBatch(self, q: Fields) -> Fields:
        """Each operation by itself, or all or none; the form of all is judged first."""
        operations = [next(iter(one.items()), ("", {})) for one in q["operations"]]
        weighed = [draft.get(part, ()) for _, draft in operations for part in ("entries", "preconditions")]
        count, entries = len(operations), sum(map(len, weighed))
        facts = {"operations": count, "operations_max": 8192, "entries": entries, "entries_max": 65536}
        refuse(count > 8192 or entries > 65536, "BATCH_TOO_LARGE", **facts)
        before = deepcopy(self.ledgers)
        results = [attempt(self.judge_operation, *operation) for operation in operations]
        if None in results and not (q["atomic"] and any(results)):
            book, judged = self.book(q["ledger"]), zip(results, operations, strict=True)
            results = [wrong or attempt(self.operate, book, *operation) for wrong, operation in judged]
        culprit = next((index for index, one in enumerate(results) if isinstance(one, Refused)), None)
        if q["atomic"] and culprit is not None:
            why, self.ledgers = results[culprit], before
            refused = Refused("ATOMIC_GROUP_REFUSED", culprit_index=culprit, culprit_reason=why.reason)
            results = [why if index == culprit else refused for index in range(count)]
        return {"results": [result(one, q["view"]) for one in results]}

    def judge_operation(self, verb: str, q: Fields) -> None:
        judge(verb, q)

    def operate(self, book: Fields, verb: str, q: Fields) -> Fields:
        return self.open_account(book, q) if verb == "open_account" else self.write(book, verb, q)

    def write(self, book: Fields, verb: str, q: Fields) -> Fields:
        """One post or reversal: the key, then the state. Raises Refused and leaves the book as it was."""
        q = ABSENT | q
        key, given = q["idempotency_key"].strip(), micros(q["effective_time"])
        own = {"entries": q["entries"], "kind": q["kind"]}
        if verb == "reverse":
            own = {"transaction": self.find(book, q["transaction"]).get("sequence", 0), "force": q["force"]}
        details = {field: q[field] for field in ("description", "metadata", "external_ref")}
        asked = {"verb": verb, **own, "effective_time": given, **details}
        if key in book["keys"]:
            content, sequence = book["keys"][key]
            agree("IDEMPOTENCY_KEY_REUSED", asked, content, idempotency_key=key, sequence=sequence)
            return {"transaction": book["journal"][sequence], "replayed": True}
        self.judge_preconditions(book, q["preconditions"])
        origin = self.mirrored(book, q["transaction"]) if verb == "reverse" else q
        entries = self.judged(book, origin["entries"], q["force"])
        book = deepcopy(book) if q["validate_only"] else book
        shown = {"ledger": book["name"], "kind": origin["kind"], "idempotency_key": key, "entries": entries}
        shown |= details | {"reverses": origin.get("sequence", 0), "reversed_by": 0} | self.record(book)
        shown["forced"] = q["force"]
        shown["effective_time"] = shown["record_time"] if given is None else given
        book["journal"][shown["sequence"]] = shown
        book["reversed"] |= {shown["reverses"]: shown["sequence"]} if shown["reverses"] else {}
        book["keys"] |= {key: (asked, shown["sequence"])} if key else {}
        return {"transaction": shown | {"sequence": 0} if q["validate_only"] else shown, "replayed": False}

    def mirrored(self, book: Fields, name: Fields) -> Any:
        """The transaction to reverse, its sides swapped: no reversal, and not reversed."""
        origin = self.found(book, name)
        sequence, by = origin["sequence"], book["reversed"].get(origin["sequence"])
        refuse(origin["reverses"], "REVERSAL_FORBIDDEN_TYPE", sequence=sequence, reverses=origin["reverses"])
        refuse(by, "REVERSAL_ALREADY_EXISTS", sequence=sequence, reversed_by=by)
        return origin | {"entries": [entry | {"side": 3 - entry["side"]} for entry in origin["entries"]]}

    def judged(self, book: Fields, entries: list[Fields], force: bool) -> list[Fields]:
        """The entries with their running balances: names, open, overflow, then bounds unless forced."""
        for kind, entry in [(kind, entry) for kind in ("account", "asset") for entry in entries]:
            self.known(book, kind, entry[kind])
        for entry in entries:
            self.judge_open(book["accounts"][entry["account"]])
        places = [(entry["account"], entry["asset"]) for entry in entries]
        running = {place: self.posted(book, *place) for place in dict.fromkeys(places)}
        lines = []
        for entry, (name, asset) in zip(entries, places, strict=True):
            running[name, asset] += self.signed(book, entry)
            refuse(abs(running[name, asset]) > MOST, "AMOUNT_OVERFLOW", account=name, asset=asset)
            lines.append(entry | {"balance_after": str(running[name, asset])})
        for (name, asset), after in () if force else running.items():
            self.judge_bounds(book, name, asset, after)
        return lines

    def judge_bounds(self, book: Fields, name: str, asset: str, after: int) -> None:
        """A bound refuses only what moves the balance toward it."""
        before, head = self.posted(book, name, asset), book["head"]
        facts = {"account": name, "asset": asset, "balance": before, "balance_after": after, "sequence": head}
        for limit in [one for one in book["accounts"][name]["limits"] if one["asset"] == asset]:
            low, high = int(limit["balance_min"] or -MOST), int(limit["balance_max"] or MOST)
            low_facts, high_facts = facts | {"shortfall": low - after}, facts | {"shortfall": after - high}
            refuse(after < min(before, low), "INSUFFICIENT_FUNDS", balance_min=low, **low_facts)
            refuse(after > max(before, high), "BALANCE_LIMIT_EXCEEDED", balance_max=high, **high_facts)

    def read(self, method: str, q: Fields) -> Fields:
        """A read; every page of a ledger's shows the books of the first."""
        asked = {"": method} | {name: value for name, value in q.items() if name not in PAGING}
        first = None if q["page_token"] else asked, 0, 0, {}
        before, at, start, last = self.pages.get(q["page_token"], first)
        refuse(before != asked, "PAGE_TOKEN_INVALID")
        if method == "ListLedgers":
            later = [book for name, book in sorted(self.ledgers.items()) if name > last.get("name", "")]
            start, shown = 0, {"ledgers": [self.shown_ledger(book) for book in later]}
        else:
            book = self.book(q["ledger"], q["min_sequence"])
            at = at or q["at_sequence"] or book["head"]
            shown = self.shown(method, book, q, at) | {"sequence": at}
            self.reached(book, at_sequence=at)
        paged = "rows" if method == "TrialBalance" else method.removeprefix("List").lower()
        if paged in shown:
            stop, rows = start + min(q["page_size"] or 20, 1000), shown[paged]
            token = f"page-{len(self.pages)}" if stop < len(rows) else ""
            self.pages |= {token: (asked, at, stop, rows[stop - 1])} if token else {}
            shown |= {paged: rows[start:stop], "next_page_token": token}
        return shown

    def shown(self, method: str, book: Fields, q: Fields, at: int) -> Fields:
        """What one ledger showed right after a record."""
        by = {origin: reversal for origin, reversal in book["reversed"].items() if reversal <= at}
        journal = {n: one | {"reversed_by": by.get(n, 0)} for n, one in book["journal"].items() if n <= at}
        book, order = book | {"journal": journal}, 1 if q["order"] == 2 else -1
        match method:
            case "ListAssets":
                assets = [one for one in book["assets"].values() if one["sequence"] <= at]
                return {"assets": sorted(assets, key=itemgetter("code"))}
            case "GetAccount":
                return {"account": self.known(book, "account", q["name"])}
            case "ListAccounts":
                typed = [one for one in self.accounts_at(book, at) if q["type"] in (0, one["type"])]
                return {"accounts": [one for one in typed if under(one["name"], q["prefix"])]}
            case "GetTransaction":
                return {"transaction": self.found(book, q["transaction"])}
            case "ListTransactions":
                wanted = ABSENT | (q["filter"] or {})
                if wanted["account"]:
                    self.known(book, "account", wanted["account"])
                return {"transactions": [one for one in journal.values() if passes(one, wanted)][::order]}
            case "ListEntries":
                return {"entries": self.lines(book, q["account"], q["asset"])[::order]}
            case "GetBalance":
                last = {q["asset"]: {"sequence": 0, "record_time": None}} if q["asset"] else {}
                last |= {line["entry"]["asset"]: line for line in self.lines(book, q["account"], q["asset"])}
                self.reached(book, at_sequence=at)
                balances = [
                    {"asset": asset, "posted": str(self.posted(book, q["account"], asset))}
                    | {"last_sequence": line["sequence"], "last_record_time": line["record_time"]}
                    for asset, line in sorted(last.items())
                ]
                return {"account": q["account"], "balances": balances}
            case "BatchGetBalances":
                return {"accounts": [self.shown("GetBalance", book, ABSENT | one, at) for one in q["names"]]}
        return self.trial_balance(book, q)

    def trial_balance(self, book: Fields, q: Fields) -> Fields:
        """The sums of all entries by asset, and if asked for by account or by type."""
        entries = [entry for one in book["journal"].values() for entry in one["entries"]]
        kinds = {name: account["type"] for name, account in book["accounts"].items()}
        by_account = summed(entries, lambda one: (one["account"], kinds[one["account"]], one["asset"]))
        by_type = summed(entries, lambda one: ("", kinds[one["account"]], one["asset"]))
        rows = [
            {"account": name, "type": kind, "asset": asset}
            | {"debits": str(debits), "credits": str(credits), "net": str(debits - credits)}
            for (name, kind, asset), (debits, credits) in sorted(({}, by_account, by_type)[q["rows"]].items())
        ]
        totals = [
            {"asset": asset, "scale": book["assets"][asset]["scale"], "status": 1, "difference": "0"}
            | {"total_debits": str(debits), "total_credits": str(credits)}
            for asset, (debits, credits) in sorted(summed(entries, itemgetter("asset")).items())
        ]
        sums = [[name, asset, *map(str, sides)] for (name, _, asset), sides in sorted(by_account.items())]
        framed = [len(text.encode()).to_bytes(4, "big") + text.encode() for one in sums for text in one]
        digest = sha256(b"\x01" + b"".join(framed)).digest() if q["digest"] else b""
        shown = {"status": 1, "totals": totals, "rows": rows, "digest": digest}
        return shown | {"basis": 1, "checkpoint_sequence": 0}


def result(one: Fields | Refused, view: int) -> Fields:
    """What a batch shows of one operation."""
    if isinstance(one, Refused):
        return {"status": one, "sequence": 0, "replayed": False, "transaction": None, "account": None}
    shown = {"transaction": one.get("transaction"), "account": one.get("account")}
    (record,) = filter(None, shown.values())
    told = {"status": None, "sequence": record["sequence"], "replayed": one["replayed"]}
    return told | (shown if view == 2 else dict.fromkeys(shown))
