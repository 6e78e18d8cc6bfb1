"""The reference ledger with members: who calls, what their roles allow, and the roles that kinds ask for.

Written from docs/operations.md ("Who may") and the contract's words. Roles only: that members may be
narrowed to accounts is tried elsewhere.
"""

from __future__ import annotations

from typing import Any

from oracle.aggregated import Aggregated
from oracle.forms import Fields, refuse

READER, POSTER, REVERSER, FORCE_REVERSER, ACCOUNTANT, AUDITOR, TENANT_ADMIN = range(1, 8)
NAMES = ["READER", "POSTER", "REVERSER", "FORCE_REVERSER", "ACCOUNTANT", "AUDITOR", "TENANT_ADMIN"]
POSTS, REVERSES = frozenset({POSTER}), frozenset({REVERSER, FORCE_REVERSER})
FORCES, KEEPS, READS = frozenset({FORCE_REVERSER}), frozenset({ACCOUNTANT}), frozenset({READER, AUDITOR})
# Who may call what; whatever is not here is every member's.
MAY = {
    **dict.fromkeys(("Post", "post"), POSTS),
    **dict.fromkeys(("Reverse", "reverse"), REVERSES),
    "PostBatch": POSTS | REVERSES | KEEPS,
    **dict.fromkeys(("CreateAccount", "UpdateAccount", "FreezeAccount", "UnfreezeAccount"), KEEPS),
    **dict.fromkeys(("CloseAccount", "open_account", "CreateAsset", "ApplyChart"), KEEPS),
    **dict.fromkeys(("GetTransaction", "ListTransactions", "GetBalance", "TrialBalance"), READS),
    **dict.fromkeys(("ListEntries", "BatchGetBalances", "GetAggregateBalance"), READS),
    **dict.fromkeys(("ListOverdueBalances", "ListCharges"), READS),
    "GetAccount": READS | KEEPS,
    "AddMember": frozenset({TENANT_ADMIN}),
}


class Peopled(Aggregated):
    """All ledgers of one service. `caller` is a member's principal, empty while nobody is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.caller = ""
        self.roles: frozenset[int] = frozenset()

    def answer(self, method: str, q: Fields) -> Any:
        """The answer to a call. Raises Refused."""
        if self.caller:
            book = self.ledgers.get(q["ledger"], {})
            refuse(self.caller not in book.get("members", {}), "LEDGER_NOT_FOUND", ledger=q["ledger"])
            self.roles = frozenset(book["members"][self.caller])
            self.judge_roles(MAY.get(method, self.roles))
            if method == "Reverse" and q.get("force"):
                self.judge_roles(FORCES)
        if method == "AddMember":
            return self.add_member(self.book(q["ledger"]), q)
        return super().answer(method, q)

    def add_member(self, book: Fields, q: Fields) -> Fields:
        """A member with these roles, who was none before."""
        members = book.setdefault("members", {})
        known = q["principal"] in members
        refuse(known and members[q["principal"]] != q["roles"], "VERSION_MISMATCH", version=1)
        if not known:
            members[q["principal"]] = q["roles"]
            self.record(book)
        return {"replayed": known}

    def judge_operation(self, verb: str, q: Fields) -> None:
        super().judge_operation(verb, q)
        if self.caller:
            self.judge_roles(FORCES if q.get("force") else MAY[verb])

    def judge_who(self, book: Fields, kind: str) -> None:
        kinds = {one["name"]: one for one in self.chart(book)["kinds"]}
        asked = kinds.get(kind, kinds.get("*", {"role": 0}))["role"]
        if self.caller and asked:
            refuse(asked not in self.roles, "ROLE_REQUIRED", roles=NAMES[asked - 1], kind=kind)

    def judge_roles(self, may: frozenset[int]) -> None:
        """Somebody with one of these roles."""
        refuse(not may & self.roles, "ROLE_REQUIRED", roles=",".join(NAMES[role - 1] for role in sorted(may)))
