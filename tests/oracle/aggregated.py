"""The reference ledger with sums of balances, from all entries, each account asked for by itself."""

from __future__ import annotations

from typing import Any

from oracle.forms import ABSENT, Fields, judge, refuse, under
from oracle.reported import Reported


class Aggregated(Reported):
    """All ledgers of one service, with all that their charts say, and sums of balances."""

    def answer(self, method: str, q: Fields) -> Any:
        """The answer to a call. Raises Refused."""
        if method != "GetAggregateBalance":
            return super().answer(method, q)
        judge(method, q)
        return self.aggregate(ABSENT | q)

    def aggregate(self, q: Fields) -> Fields:
        book, of = self.book(q["ledger"], q["min_sequence"]), q["account_set"]
        self.reached(book, at_sequence=q["at_sequence"])
        at, version = q["at_sequence"] or book["head"], 0
        names = self.names_at(book, at)
        if of:
            charts = [one for one in self.charts(book) if one["sequence"] <= at]
            sets = {one["name"]: one for one in charts[-1]["chart"]["sets"]} if charts else {}
            refuse(of not in sets, "ACCOUNT_SET_NOT_FOUND", account_set=of)
            names, version = {name for name in names if is_in(name, of, sets)}, charts[-1]["version"]
        else:
            names = {name for name in names if under(name, q["account_prefix"])}
        if q["asset"]:
            self.known(book, "asset", q["asset"])
        balances = self.added_up(book, names, q["asset"], at)
        return {"balances": balances, "account_count": len(names), "chart_version": version, "sequence": at}

    def names_at(self, book: Fields, at: int) -> set[str]:
        """The accounts that were there: opened by themselves, or by their first posting."""
        posted = [one for sequence, one in book["journal"].items() if sequence <= at]
        names = {entry["account"] for one in posted for entry in one["entries"]}
        return names | {one["name"] for one in self.accounts_at(book, at)}

    def added_up(self, book: Fields, names: set[str], asset: str, at: int) -> list[Fields]:
        """Debits less credits of all the accounts, by asset."""
        nothing = {"posted": 0, "last_sequence": 0, "last_record_time": None, "account_count": frozenset()}
        sums: dict[str, Fields] = {asset: nothing} if asset else {}
        for sequence, one in sorted(book["journal"].items()):
            for entry in one["entries"] if sequence <= at else ():
                code, name = entry["asset"], entry["account"]
                if name in names and asset in ("", code):
                    found = sums.get(code, nothing)
                    sums[code] = {
                        "posted": found["posted"] + int(entry["amount"]) * (1 if entry["side"] == 1 else -1),
                        "last_sequence": sequence,
                        "last_record_time": one["record_time"],
                        "account_count": found["account_count"] | {name},
                    }
        return [
            {"asset": code} | one | {"posted": str(one["posted"]), "account_count": len(one["account_count"])}
            for code, one in sorted(sums.items())
        ]


def is_in(name: str, of: str, sets: dict[str, Fields]) -> bool:
    """Whether a set holds an account, on whichever way."""
    held = sets[of]
    return (
        name in held["accounts"]
        or any(under(name, prefix) for prefix in held["prefixes"])
        or any(is_in(name, inner, sets) for inner in held["sets"])
    )
