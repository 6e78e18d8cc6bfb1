"""The reference's accounts: opened, changed, frozen and closed; each change is one more version of them."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter

from oracle.forms import ABSENT, Fields, agree, refuse

# What an account is called after a verb.
STATUSES = {"FreezeAccount": 2, "UnfreezeAccount": 1, "CloseAccount": 3}
OPEN, FROZEN, CLOSED = 1, 2, 3


class Accounts:
    """Accounts and assets of a book: `first` as they were recorded first, `accounts` as they stand."""

    def __init__(self) -> None:
        self.now = 0

    def record(self, book: Fields) -> Fields:
        """The next record: what every one of them has."""
        book["head"], book["time"] = book["head"] + 1, max(book["time"], self.now)
        return {"sequence": book["head"], "record_time": book["time"], "created_by": "anonymous"}

    def known(self, book: Fields, kind: str, name: str) -> Fields:
        """An account or an asset."""
        refuse(name not in book[f"{kind}s"], f"{kind.upper()}_NOT_FOUND", **{kind: name})
        found: Fields = book[f"{kind}s"][name]
        return found

    def add(self, book: Fields, kind: str, given: Fields, asked: Fields) -> Fields:
        """Records an account or an asset, its name given first, or finds it as it was recorded first."""
        first, (name, *_) = book["first"][kind], given.values()
        replayed, told = name in first, "scale" if kind == "asset" else "sequence"
        if not replayed:
            first[name] = self.stand(book, kind, given | asked | self.record(book))
        agree(f"{kind.upper()}_ALREADY_EXISTS", asked, first[name], **{kind: name, told: first[name][told]})
        return {kind: first[name], "replayed": replayed}

    def stand(self, book: Fields, kind: str, one: Fields) -> Fields:
        """From here on it stands so."""
        book[f"{kind}s"][one["name" if kind == "account" else "code"]] = one
        book["versions"].append(one)
        return one

    def open_account(self, book: Fields, draft: Fields) -> Fields:
        draft = ABSENT | draft
        for limit in draft["limits"] if draft["name"] not in book["accounts"] else ():
            self.known(book, "asset", limit["asset"])
        side = 1 if draft["type"] in (1, 5) else 2
        given = {"name": draft["name"], "normal_side": side, "version": 1, "status": OPEN}
        asked = {"type": draft["type"], "limits": whole(draft["limits"]), "metadata": draft["metadata"]}
        return self.add(book, "account", given, asked)

    def change_account(self, book: Fields, method: str, q: Fields) -> Fields:
        """The next version of an account, or the one that stands where it is so already."""
        name, standing = q["name"], self.known(book, "account", q["name"])
        parts = q["update_mask"]["paths"] if method == "UpdateAccount" else ()
        asked = {part: whole(q[part]) if part == "limits" else q[part] for part in parts}
        asked |= {"status": STATUSES[method]} if method in STATUSES else {}
        if asked.items() <= standing.items():
            return {"account": standing, "replayed": True}
        self.judge_open(standing, but_frozen=True)
        stale = q["version"] not in (0, standing["version"])
        refuse(stale, "VERSION_MISMATCH", account=name, version=standing["version"])
        self.judge_limits(book, name, q["limits"] if "limits" in parts else ())
        for limit in q["limits"] if "limits" in parts else ():
            self.known(book, "asset", limit["asset"])
        for asset in sorted(book["assets"]) if method == "CloseAccount" else ():
            left, facts = self.posted(book, name, asset), {"account": name, "asset": asset}
            refuse(left, "ACCOUNT_NOT_EMPTY", **facts, balance=left, sequence=book["head"])
        changed = standing | asked | {"version": standing["version"] + 1} | self.record(book)
        return {"account": self.stand(book, "account", changed), "replayed": False}

    def judge_open(self, account: Fields, *, but_frozen: bool = False) -> None:
        """Nothing is posted to what is frozen or closed, and what is closed never changes."""
        facts = {"account": account["name"]} | {name: account[name] for name in ("version", "sequence")}
        refuse(account["status"] == CLOSED, "ACCOUNT_CLOSED", **facts)
        refuse(account["status"] == FROZEN and not but_frozen, "ACCOUNT_FROZEN", **facts)

    def judge_preconditions(self, book: Fields, conditions: list[Fields]) -> None:
        """What must be so before a post, in order."""
        for index, (kind, said) in enumerate(next(iter(one.items())) for one in conditions):
            book = self.before(book, kind, said["account"])
            standing, facts = self.known(book, "account", said["account"]), {"precondition": index}
            facts |= {"account": said["account"], "sequence": book["head"]}
            if kind == "account_version":
                version, expected = standing["version"], said["version"]
                other = {"version": version, "expected_version": expected}
                refuse(version != expected, "PRECONDITION_FAILED", **facts, **other)
                continue
            self.known(book, "asset", said["asset"])
            balance = self.posted(book, said["account"], said["asset"])
            low, high = int(said.get("min", balance)), int(said.get("max", balance))
            bounds = {end: said[end] for end in ("min", "max") if end in said}
            held = {"asset": said["asset"], "balance": balance}
            refuse(not low <= balance <= high, "PRECONDITION_FAILED", **facts, **held, **bounds)

    def judge_limits(self, book: Fields, account: str, limits: Iterable[Fields]) -> None:
        """An account may have limits in every asset."""

    def before(self, book: Fields, _kind: str, _account: str) -> Fields:
        """The book that a condition on an account looks at."""
        return book

    def accounts_at(self, book: Fields, at: int) -> list[Fields]:
        """Every account as it stood right after a record."""
        accounts = [one for one in book["versions"] if "name" in one and one["sequence"] <= at]
        return sorted({one["name"]: one for one in accounts}.values(), key=itemgetter("name"))

    def posted(self, book: Fields, account: str, asset: str) -> int:
        """A balance in the account's normal sense, from all its entries."""
        return sum(self.signed(book, line["entry"]) for line in self.lines(book, account, asset))

    def signed(self, book: Fields, entry: Fields) -> int:
        """An amount in its account's normal sense."""
        is_normal = entry["side"] == book["accounts"][entry["account"]]["normal_side"]
        return int(entry["amount"]) * (1 if is_normal else -1)

    def lines(self, book: Fields, account: str, asset: str) -> list[Fields]:
        """An account's entries in one asset or in all, oldest first."""
        self.known(book, "account", account)
        if asset:
            self.known(book, "asset", asset)
        fields = ("sequence", "kind", "effective_time", "record_time", "description")
        return [
            {field: one[field] for field in fields} | {"index": index, "entry": entry}
            for one in book["journal"].values()
            for index, entry in enumerate(one["entries"])
            if entry["account"] == account and asset in ("", entry["asset"])
        ]


def whole(limits: list[Fields]) -> list[Fields]:
    """Limits as they are shown: each with both bounds, by asset."""
    shown = [{"balance_min": None, "balance_max": None} | limit for limit in limits]
    return sorted(shown, key=itemgetter("asset"))
