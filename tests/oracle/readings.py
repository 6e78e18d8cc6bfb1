"""What the reference ledger keeps, and every read of it: all added up from the entries each time."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from oracle import forms
from oracle.forms import Fields, Refused, judge

BY = "anonymous"


def lies_below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ":")


class Readings:
    """All ledgers of one service. `now` is its clock, in microseconds."""

    def __init__(self) -> None:
        self.now = 0
        self.ledgers: dict[str, Fields] = {}
        self.pages: dict[str, tuple[Fields, int, int, Fields]] = {}

    def book(self, q: Fields, field: str = "ledger") -> Fields:
        """The ledger asked for, when it has reached the asked sequence."""
        name = q.get(field, "")
        if name not in self.ledgers:
            raise Refused("LEDGER_NOT_FOUND", ledger=name)
        book = self.ledgers[name]
        if q.get("min_sequence", 0) > book["head"]:
            raise Refused(
                "SEQUENCE_NOT_REACHED", ledger=name, head=book["head"], min_sequence=q["min_sequence"]
            )
        return book

    def account(self, book: Fields, name: str) -> Fields:
        if name not in book["accounts"]:
            raise Refused("ACCOUNT_NOT_FOUND", account=name)
        return book["accounts"][name]

    def asset(self, book: Fields, code: str) -> None:
        if code not in book["assets"]:
            raise Refused("ASSET_NOT_FOUND", asset=code)

    def find(self, book: Fields, name: Fields) -> Any:
        if "sequence" in name:
            return book["journal"].get(name["sequence"])
        return book["keys"].get(name["idempotency_key"].strip(), (None, None))[1]

    def found(self, book: Fields, name: Fields) -> Fields:
        shown = self.find(book, name)
        if shown is None:
            raise Refused(
                "TRANSACTION_NOT_FOUND", **{field: str(value).strip() for field, value in name.items()}
            )
        return shown

    def reached(self, book: Fields, at: int) -> None:
        if at > book["head"]:
            raise Refused("SEQUENCE_NOT_REACHED", ledger=book["name"], head=book["head"], at_sequence=at)

    def lines(self, book: Fields, account: str, at: int) -> list[tuple[Fields, int, Fields]]:
        """An account's entries up to a sequence, oldest first, with transaction and index."""
        found = [shown for sequence, shown in sorted(book["journal"].items()) if sequence <= at]
        every = ((shown, index, entry) for shown in found for index, entry in enumerate(shown["entries"]))
        return [line for line in every if line[2]["account"] == account]

    def posted(self, book: Fields, account: str, asset: str, at: int = 2**63) -> int:
        """A balance in the account's normal sense, from all its entries."""
        side = book["accounts"][account]["normal_side"]
        lines = [entry for _, _, entry in self.lines(book, account, at) if entry["asset"] == asset]
        return sum(int(entry["amount"]) * (1 if entry["side"] == side else -1) for entry in lines)

    def as_of(self, book: Fields, shown: Fields, at: int) -> Fields:
        reversed_by = book["reversed"].get(shown["sequence"], 0)
        return {**shown, "reversed_by": reversed_by if reversed_by <= at else 0}

    def shown_ledger(self, book: Fields) -> Fields:
        # Its record_time is the database's; the driver checks that it stays.
        shown = {"name": book["name"], "description": book["description"], "sequence": book["head"]}
        return shown | {"epoch": 1, "created_by": BY}

    def GetLedger(self, q: Fields) -> Fields:
        judge(
            ["name"] * forms.bad_path(q.get("name", "")) + ["min_sequence"] * (q.get("min_sequence", 0) < 0)
        )
        return {"ledger": self.shown_ledger(self.book(q, "name"))}

    def ListLedgers(self, q: Fields) -> Fields:
        judge(["page_size"] * (q.get("page_size", 0) < 0))
        last = self.position("ListLedgers", q)[2].get("name", "").encode()
        names = sorted((name for name in self.ledgers if name.encode() > last), key=str.encode)
        page, following = self.page(
            "ListLedgers", q, [self.shown_ledger(self.ledgers[name]) for name in names], 0, 0
        )
        return {"ledgers": page, "next_page_token": following}

    def ListAssets(self, q: Fields) -> Fields:
        judge(forms.read_faults(q))
        token = self.position("ListAssets", q)
        book = self.book(q)
        at = token[0] or book["head"]
        found = sorted(
            (one for one in book["assets"].values() if one["sequence"] <= at),
            key=lambda a: a["code"].encode(),
        )
        page, following = self.page("ListAssets", q, found, at, token[1])
        return {"assets": page, "next_page_token": following, "sequence": at}

    def GetAccount(self, q: Fields) -> Fields:
        judge(["name"] * forms.bad_path(q.get("name", "")) + forms.read_faults(q))
        book = self.book(q)
        return {"account": self.account(book, q["name"]), "sequence": book["head"]}

    def ListAccounts(self, q: Fields) -> Fields:
        prefix, wanted = q.get("prefix", ""), q.get("type", 0)
        judge(
            ["prefix"] * bool(prefix and forms.bad_path(prefix))
            + ["type"] * (wanted not in range(6))
            + forms.read_faults(q)
        )
        token = self.position("ListAccounts", q)
        book = self.book(q)
        at = token[0] or book["head"]
        found = [
            one
            for one in sorted(book["accounts"].values(), key=lambda one: one["name"].encode())
            if one["sequence"] <= at
            and (not prefix or lies_below(one["name"], prefix))
            and wanted in (0, one["type"])
        ]
        page, following = self.page("ListAccounts", q, found, at, token[1])
        return {"accounts": page, "next_page_token": following, "sequence": at}

    def GetTransaction(self, q: Fields) -> Fields:
        judge(forms.read_faults(q) + forms.bad_name(q.get("transaction")))
        book = self.book(q)
        found = self.found(book, q["transaction"])
        return {"transaction": self.as_of(book, found, book["head"]), "sequence": book["head"]}

    def ListTransactions(self, q: Fields) -> Fields:
        wanted = q.get("filter", {})
        judge(forms.read_faults(q) + forms.filter_faults(wanted))
        token = self.position("ListTransactions", q)
        book = self.book(q)
        at = token[0] or book["head"]
        if wanted.get("account"):
            self.account(book, wanted["account"])
        found = [
            one for _, one in sorted(book["journal"].items()) if one["sequence"] <= at and passes(one, wanted)
        ]
        shown = [self.as_of(book, one, at) for one in (found if q.get("order") == 2 else found[::-1])]
        page, following = self.page("ListTransactions", q, shown, at, token[1])
        return {"transactions": page, "next_page_token": following, "sequence": at}

    def ListEntries(self, q: Fields) -> Fields:
        asset = q.get("asset", "")
        judge(
            forms.read_faults(q)
            + ["account"] * forms.bad_path(q.get("account", ""))
            + forms.asset_faults(asset)
        )
        token = self.position("ListEntries", q)
        book = self.book(q)
        at = token[0] or book["head"]
        self.account(book, q["account"])
        if asset:
            self.asset(book, asset)
        shown = [
            {"sequence": one["sequence"], "index": index, "entry": entry}
            | {field: one[field] for field in ("kind", "effective_time", "record_time", "description")}
            for one, index, entry in self.lines(book, q["account"], at)
            if asset in ("", entry["asset"])
        ]
        found = shown if q.get("order") == 2 else shown[::-1]
        page, following = self.page("ListEntries", q, found, at, token[1])
        return {"entries": page, "next_page_token": following, "sequence": at}

    def balances(self, book: Fields, name: str, asset: str, at: int) -> list[Fields]:
        """Balances right after a record: of one asset, or of all with entries by then."""
        self.account(book, name)
        if asset:
            self.asset(book, asset)
        self.reached(book, at)
        lines = self.lines(book, name, at or book["head"])
        last = {entry["asset"]: one for one, _, entry in lines}
        answer = []
        for code in [asset] if asset else sorted(last, key=str.encode):
            one = last.get(code, {"sequence": 0, "record_time": None})
            posted = str(self.posted(book, name, code, at or book["head"]))
            when = {"last_sequence": one["sequence"], "last_record_time": one["record_time"]}
            answer.append({"asset": code, "posted": posted} | when)
        return answer

    def GetBalance(self, q: Fields) -> Fields:
        name, asset, at = q.get("account", ""), q.get("asset", ""), q.get("at_sequence", 0)
        judge(forms.read_faults(q) + ["account"] * forms.bad_path(name) + forms.asset_faults(asset))
        book = self.book(q)
        found = self.balances(book, name, asset, at)
        return {"account": name, "balances": found, "sequence": at or book["head"]}

    def BatchGetBalances(self, q: Fields) -> Fields:
        names, at = q.get("names", []), q.get("at_sequence", 0)
        faults = forms.read_faults(q) + ["names"] * (not 1 <= len(names) <= 1000)
        for index, name in enumerate(names):
            faults += [f"names[{index}].account"] * forms.bad_path(name["account"])
            faults += forms.asset_faults(name["asset"], f"names[{index}].asset")
        judge(faults)
        book = self.book(q)
        found = [
            {"account": n["account"], "balances": self.balances(book, n["account"], n["asset"], at)}
            for n in names
        ]
        return {"accounts": found, "sequence": at or book["head"]}

    def TrialBalance(self, q: Fields) -> Fields:
        kind = q.get("rows", 0)
        judge(forms.read_faults(q) + ["rows"] * (kind not in range(3)))
        token = self.position("TrialBalance", q)
        book = self.book(q)
        at = token[0] or q.get("at_sequence", 0)
        self.reached(book, at)
        at = at or book["head"]
        sums: dict[Any, list[int]] = {}
        for name, account in book["accounts"].items():
            for _, _, entry in self.lines(book, name, at):
                asset, amount, side = entry["asset"], int(entry["amount"]), entry["side"] - 1
                for place in (asset,), (name, account["type"], asset), ("", account["type"], asset):
                    sums.setdefault(place, [0, 0])[side] += amount
        by_account = sorted(
            (p for p in sums if len(p) == 3 and p[0]), key=lambda p: (p[0].encode(), p[2].encode())
        )
        by_type = sorted((p for p in sums if p[0] == "" and len(p) == 3), key=lambda p: (p[1], p[2].encode()))
        digest = b"\x01"
        for place in by_account:
            for text in (place[0], place[2], *map(str, sums[place])):
                digest += len(text.encode()).to_bytes(4, "big") + text.encode()
        rows = [
            {"account": place[0], "type": place[1], "asset": place[2]}
            | {"debits": str(debits), "credits": str(credits), "net": str(debits - credits)}
            for place in ([], by_account, by_type)[kind]
            for debits, credits in [sums[place]]
        ]
        totals = [
            {"asset": code, "scale": book["assets"][code]["scale"], "status": 1, "difference": "0"}
            | {"total_debits": str(sums[code,][0]), "total_credits": str(sums[code,][1])}
            for code in sorted((place[0] for place in sums if len(place) == 1), key=str.encode)
        ]
        page, following = self.page("TrialBalance", q, rows, at, token[1])
        shown = {"status": 1, "totals": totals, "rows": page, "next_page_token": following, "sequence": at}
        return shown | {"digest": sha256(digest).digest() if q.get("digest") else b"", "basis": 1}

    def page(
        self, method: str, q: Fields, found: list[Fields], at: int, start: int
    ) -> tuple[list[Fields], str]:
        """A page, and the token of the next one."""
        stop = start + min(q.get("page_size", 0) or 20, 1000)
        if stop >= len(found):
            return found[start:], ""
        token = f"page-{len(self.pages)}"
        self.pages[token] = (bare(method, q), at, stop, found[stop - 1])
        return found[start:stop], token

    def position(self, method: str, q: Fields) -> tuple[int, int, Fields]:
        """Where a token goes on: the sequence, how many came before, the last of them."""
        token = q.get("page_token", "")
        if not token:
            return 0, 0, {}
        asked, *place = self.pages.get(token, (None, 0, 0, {}))
        if asked != bare(method, q):
            raise Refused("PAGE_TOKEN_INVALID")
        return place[0], place[1], place[2]


def bare(method: str, q: Fields) -> Fields:
    """A request without its paging."""
    paging = ("page_token", "page_size", "min_sequence")
    return {"": method} | {
        field: value for field, value in q.items() if (field not in paging and value) or value == {}
    }


def passes(one: Fields, wanted: Fields) -> bool:
    """Whether a transaction matches every part of a filter."""
    names = {entry["account"] for entry in one["entries"]}
    prefix = wanted.get("account_prefix", "")
    checks = [
        not prefix or any(lies_below(name, prefix) for name in names),
        wanted.get("account", "") in ("", *names),
    ]
    checks += [wanted.get(field, "") in ("", one[field]) for field in ("kind", "external_ref")]
    checks += [one["metadata"].get(key) == value for key, value in wanted.get("metadata", {}).items()]
    checks += [bool(one["reverses"]) == wanted["reversals"]] if "reversals" in wanted else []
    for field in ("effective_time", "record_time"):
        start, until = forms.micros(wanted.get(f"{field}_from")), forms.micros(wanted.get(f"{field}_until"))
        checks += [start is None or one[field] >= start, until is None or one[field] < until]
    return all(checks)
