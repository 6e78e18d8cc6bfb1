"""The reference ledger with reports: what is owed, by the bookkeeper of `fifo`.

Written from the words of ReportService. The moment is always named: what the database's
clock says is not the reference's to know.
"""

from __future__ import annotations

from typing import Any

from oracle import fifo
from oracle.forms import ABSENT, FORMS, RULES, TIMES, Fields, faults, micros, refuse, under
from oracle.templated import Templated

OLDEST_FIRST = 2
NAMES = ("account", "account_prefix")


def overdue(q: Fields) -> list[str]:
    """An account or a prefix, whichever; not both, not none."""
    given = [name for name in NAMES if q.get(name)]
    return faults("ledger asset", q) + [".account_prefix"] * (len(given) == 2) + [".account"] * (not given)


RULES |= {"days": range(3_651), "as_of": RULES[TIMES[0]]}
FORMS |= {"ListOverdueBalances": overdue, "ListCharges": "ledger account asset"}
ABSENT |= {"as_of": "", "unpaid_only": False}


class Reported(Templated):
    """All ledgers of one service, with what is owed in them."""

    def read(self, method: str, q: Fields) -> Fields:
        """A page of a report is one of a list."""
        if method != "ListOverdueBalances":
            return super().read(method, q)
        shown = super().read(method, {"days": 30} | q)
        shown["balances"] = shown.pop("overduebalances")
        return shown

    def shown(self, method: str, book: Fields, q: Fields, at: int) -> Fields:
        """What one ledger showed right after a record."""
        if method not in ("ListOverdueBalances", "ListCharges"):
            return super().shown(method, book, q, at)
        self.reached(book, at_sequence=at)
        as_of = micros(q["as_of"])
        assert as_of is not None
        accounts = {one["name"]: one for one in self.accounts_at(book, at)}
        refuse(q["account"] and q["account"] not in accounts, "ACCOUNT_NOT_FOUND", account=q["account"])
        asset = book["assets"].get(q["asset"])
        refuse(not asset or asset["sequence"] > at, "ASSET_NOT_FOUND", asset=q["asset"])
        if method == "ListCharges":
            opened = fifo.charges(self.owed(book, q["account"], q["asset"]), at, as_of)
            wanted = [one for one in opened if one.remaining or not q["unpaid_only"]]
            return {"charges": [charge(one) for one in wanted], "as_of": as_of}
        rows = [
            self.overdue(book, name, q, at, as_of)
            for name in accounts
            if name == q["account"] or (q["account_prefix"] and under(name, q["account_prefix"]))
        ]
        rows = [one for one in rows if one["overdue"] != "0"]
        if q["order"] == OLDEST_FIRST:
            rows.sort(key=lambda one: (one["oldest_unpaid"]["effective_time"], one["account"]))
        return {"overduebalances": rows, "as_of": as_of}

    def owed(self, book: Fields, account: str, asset: str) -> list[fifo.Line]:
        """The account's entries, as charges and payments."""
        return [
            fifo.Line(
                line["sequence"],
                line["index"],
                line["effective_time"],
                self.signed(book, line["entry"]) > 0,
                int(line["entry"]["amount"]),
                book["journal"][line["sequence"]]["reverses"],
            )
            for line in self.lines(book, account, asset)
        ]

    def overdue(self, book: Fields, account: str, q: Fields, at: int, as_of: int) -> Fields:
        """An account, whether anything of it is overdue or not."""
        lines = self.owed(book, account, q["asset"])
        unpaid = [one for one in fifo.charges(lines, at, as_of) if one.remaining]
        late = fifo.overdue(lines, at, as_of, q["days"])
        shown: dict[str, Any] = {"account": account, "overdue": str(late)}
        shown |= {"balance": str(fifo.balance(lines, at, as_of))}
        return shown | {"oldest_unpaid": charge(unpaid[0]) if unpaid else None}


def charge(one: fifo.Open) -> Fields:
    """A charge as a report shows it."""
    shown = {name: getattr(one, name) for name in ("sequence", "index", "effective_time", "settled_at")}
    return shown | {"amount": str(one.amount), "remaining": str(one.remaining)}
