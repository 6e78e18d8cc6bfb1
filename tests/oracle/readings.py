"""What the reference ledger keeps, and every read of it: all added up from the entries each time."""

from __future__ import annotations

from hashlib import sha256
from operator import add, itemgetter
from typing import Any

from oracle.forms import Fields, Refused, Time

Sums = dict[tuple[str, int, str], list[int]]

BY = "anonymous"
PAGING = ("page_token", "page_size", "min_sequence")
# The reads of one ledger, each with the field that is paged, if any.
READS = {
    **{"ListAssets": "assets", "ListAccounts": "accounts", "ListTransactions": "transactions"},
    **{"ListEntries": "entries", "TrialBalance": "rows", "GetAccount": "", "GetTransaction": ""},
    **{"GetBalance": "", "BatchGetBalances": ""},
}
# What a request says where it leaves a field out.
ABSENT = dict.fromkeys(("ledger", "name", "description", "prefix", "account", "asset", "page_token"), "")
ABSENT |= dict.fromkeys(
    ("page_size", "at_sequence", "min_sequence", "order", "type", "rows", "view", "scale"), 0
)


def lies_below(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(prefix + ":")


def micros(time: Time | None) -> int | None:
    return None if time is None else time[0] * 10**6 + time[1] // 1000


class Readings:
    """All ledgers of one service. `now` is its clock, in microseconds."""

    def __init__(self) -> None:
        self.now = 0
        self.ledgers: dict[str, Fields] = {}
        # By token: the request without its paging, the sequence, how many came before, the last of them.
        self.pages: dict[str, tuple[Fields, int, int, Fields]] = {}

    def book(self, name: str, min_sequence: int = 0) -> Fields:
        """A ledger, when it has reached a sequence."""
        if name not in self.ledgers:
            raise Refused("LEDGER_NOT_FOUND", ledger=name)
        self.reached(self.ledgers[name], min_sequence=min_sequence)
        return self.ledgers[name]

    def reached(self, book: Fields, **asked: int) -> None:
        if max(asked.values()) > book["head"]:
            raise Refused("SEQUENCE_NOT_REACHED", ledger=book["name"], head=book["head"], **asked)

    def known(self, book: Fields, kind: str, name: str) -> Fields:
        """An account or an asset."""
        if name not in book[f"{kind}s"]:
            raise Refused(f"{kind.upper()}_NOT_FOUND", **{kind: name})
        return book[f"{kind}s"][name]

    def known_names(self, book: Fields, q: Fields) -> None:
        self.known(book, "account", q["account"])
        if q["asset"]:
            self.known(book, "asset", q["asset"])

    def find(self, book: Fields, name: Fields) -> Any:
        if "sequence" in name:
            return book["journal"].get(name["sequence"])
        return book["keys"].get(name["idempotency_key"].strip(), (None, None))[1]

    def found(self, book: Fields, name: Fields) -> Fields:
        if shown := self.find(book, name):
            return shown
        raise Refused("TRANSACTION_NOT_FOUND", **{field: str(value).strip() for field, value in name.items()})

    def lines(self, book: Fields, account: str, at: int) -> list[tuple[Fields, int, Fields]]:
        """An account's entries up to a sequence, oldest first, with transaction and index."""
        every = ((one, *line) for one in until(book["journal"], at) for line in enumerate(one["entries"]))
        return [line for line in every if line[2]["account"] == account]

    def posted(self, book: Fields, account: str, asset: str, at: int = 2**63) -> int:
        """A balance in the account's normal sense, from all its entries."""
        side = book["accounts"][account]["normal_side"]
        lines = [entry for _, _, entry in self.lines(book, account, at) if entry["asset"] == asset]
        return sum(int(entry["amount"]) * (1 if entry["side"] == side else -1) for entry in lines)

    def as_of(self, book: Fields, shown: Fields, at: int) -> Fields:
        reversed_by = book["reversed"].get(shown["sequence"], 0)
        return {**shown, "reversed_by": reversed_by if reversed_by <= at else 0}

    def read(self, method: str, q: Fields) -> Fields:
        """A read of one ledger as of a sequence; every page shows the books of the first."""
        _, at, start, _ = self.position(method, q)
        book = self.book(q["ledger"], q["min_sequence"])
        at = at or q["at_sequence"]
        shown: Fields = getattr(self, method)(book, q, at or book["head"])
        self.reached(book, at_sequence=at)
        shown["sequence"] = at = at or book["head"]
        rows = READS[method]
        return shown | self.page(method, q, rows, shown[rows], at, start) if rows else shown

    def page(self, method: str, q: Fields, rows: str, found: list[Fields], at: int, start: int) -> Fields:
        """The next rows, and the token of those after them."""
        stop = start + min(q["page_size"] or 20, 1000)
        token = f"page-{len(self.pages)}" if stop < len(found) else ""
        if token:
            self.pages[token] = (bare(method, q), at, stop, found[stop - 1])
        return {rows: found[start:stop], "next_page_token": token}

    def position(self, method: str, q: Fields) -> tuple[Fields, int, int, Fields]:
        """Where the request's token goes on."""
        place = self.pages.get(q["page_token"]) if q["page_token"] else (bare(method, q), 0, 0, {})
        if place is None or place[0] != bare(method, q):
            raise Refused("PAGE_TOKEN_INVALID")
        return place

    def shown_ledger(self, book: Fields) -> Fields:
        # Its record_time is the database's; the driver checks that it stays.
        shown = {"name": book["name"], "description": book["description"], "sequence": book["head"]}
        return shown | {"epoch": 1, "created_by": BY}

    def GetLedger(self, q: Fields) -> Fields:
        return {"ledger": self.shown_ledger(self.book(q["name"], q["min_sequence"]))}

    def ListLedgers(self, q: Fields) -> Fields:
        last = self.position("ListLedgers", q)[3].get("name", "")
        found = [self.shown_ledger(self.ledgers[name]) for name in sorted(self.ledgers) if name > last]
        return self.page("ListLedgers", q, "ledgers", found, 0, 0)

    def ListAssets(self, book: Fields, q: Fields, at: int) -> Fields:
        return {"assets": sorted(until(book["assets"], at), key=itemgetter("code"))}

    def GetAccount(self, book: Fields, q: Fields, at: int) -> Fields:
        return {"account": self.known(book, "account", q["name"])}

    def ListAccounts(self, book: Fields, q: Fields, at: int) -> Fields:
        every = sorted(until(book["accounts"], at), key=itemgetter("name"))
        typed = [one for one in every if q["type"] in (0, one["type"])]
        return {"accounts": [one for one in typed if lies_below(one["name"], q["prefix"])]}

    def GetTransaction(self, book: Fields, q: Fields, at: int) -> Fields:
        return {"transaction": self.as_of(book, self.found(book, q["transaction"]), at)}

    def ListTransactions(self, book: Fields, q: Fields, at: int) -> Fields:
        wanted = q.get("filter", {})
        if wanted.get("account"):
            self.known(book, "account", wanted["account"])
        found = [self.as_of(book, one, at) for one in until(book["journal"], at) if passes(one, wanted)]
        return {"transactions": found if q["order"] == 2 else found[::-1]}

    def ListEntries(self, book: Fields, q: Fields, at: int) -> Fields:
        self.known_names(book, q)
        found = [
            {"sequence": one["sequence"], "index": index, "entry": entry}
            | {field: one[field] for field in ("kind", "effective_time", "record_time", "description")}
            for one, index, entry in self.lines(book, q["account"], at)
            if q["asset"] in ("", entry["asset"])
        ]
        return {"entries": found if q["order"] == 2 else found[::-1]}

    def GetBalance(self, book: Fields, q: Fields, at: int) -> Fields:
        """Right after a record: of one asset, or of all with entries by then."""
        self.known_names(book, q)
        self.reached(book, at_sequence=at)
        last = {entry["asset"]: one for one, _, entry in self.lines(book, q["account"], at)}
        shown = []
        for code in [q["asset"]] if q["asset"] else sorted(last):
            one = last.get(code, {"sequence": 0, "record_time": None})
            posted = str(self.posted(book, q["account"], code, at))
            when = {"last_sequence": one["sequence"], "last_record_time": one["record_time"]}
            shown.append({"asset": code, "posted": posted} | when)
        return {"account": q["account"], "balances": shown}

    def BatchGetBalances(self, book: Fields, q: Fields, at: int) -> Fields:
        return {"accounts": [self.GetBalance(book, name, at) for name in q["names"]]}

    def TrialBalance(self, book: Fields, q: Fields, at: int) -> Fields:
        sums: Sums = {}
        for account in until(book["accounts"], at):
            for _, _, entry in self.lines(book, account["name"], at):
                place = account["name"], account["type"], entry["asset"]
                sums.setdefault(place, [0, 0])[entry["side"] - 1] += int(entry["amount"])
        sums = dict(sorted(sums.items()))
        rows = [
            {"account": name, "type": kind, "asset": code}
            | {"debits": str(debits), "credits": str(credits), "net": str(debits - credits)}
            for (name, kind, code), (debits, credits) in ({}, sums, added(sums, 1))[q["rows"]].items()
        ]
        totals = [
            {"asset": code, "scale": book["assets"][code]["scale"], "status": 1, "difference": "0"}
            | {"total_debits": str(debits), "total_credits": str(credits)}
            for (_, _, code), (debits, credits) in added(sums, 2).items()
        ]
        texts = [text for place, sides in sums.items() for text in (place[0], place[2], *map(str, sides))]
        framed = [len(text.encode()).to_bytes(4, "big") + text.encode() for text in texts]
        digest = sha256(b"\x01" + b"".join(framed)).digest() if q.get("digest") else b""
        return {"status": 1, "totals": totals, "rows": rows, "digest": digest, "basis": 1}


def until(records: dict[Any, Fields], at: int) -> list[Fields]:
    """Those recorded by then, oldest first."""
    return sorted((one for one in records.values() if one["sequence"] <= at), key=itemgetter("sequence"))


def added(sums: Sums, parts: int) -> Sums:
    """The sums of all accounts by type and asset (1), or by asset alone (2)."""
    found: Sums = {}
    for (_, kind, code), sides in sums.items():
        total = found.setdefault(("", kind if parts == 1 else 0, code), [0, 0])
        total[:] = map(add, total, sides)
    return dict(sorted(found.items()))


def bare(method: str, q: Fields) -> Fields:
    """A request without its paging."""
    kept = {name: value for name, value in q.items() if name not in PAGING and (value or value == {})}
    return {"": method} | kept


def passes(one: Fields, wanted: Fields) -> bool:
    """Whether a transaction matches every part of a filter."""
    names = {entry["account"] for entry in one["entries"]}
    checks = [any(lies_below(name, wanted.get("account_prefix", "")) for name in names)]
    checks += [wanted.get("account", "") in ("", *names)]
    checks += [wanted.get(field, "") in ("", one[field]) for field in ("kind", "external_ref")]
    checks += [one["metadata"].get(key) == value for key, value in wanted.get("metadata", {}).items()]
    checks += [bool(one["reverses"]) == wanted["reversals"]] if "reversals" in wanted else []
    for field in ("effective_time", "record_time"):
        start, end = micros(wanted.get(f"{field}_from")), micros(wanted.get(f"{field}_until"))
        checks += [start is None or one[field] >= start, end is None or one[field] < end]
    return all(checks)
