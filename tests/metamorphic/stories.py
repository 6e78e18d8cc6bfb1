"""Drafts from a seed: most are sound; the others replay, contradict, overdraw, or name what is not there."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from builders import NOON
from callers import lines, post_operation, reverse_operation
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb

ASSETS = {"USD": 2, "XAU": 0}
TYPES = {
    "bank": nouns.ACCOUNT_TYPE_ASSET,
    "cash": nouns.ACCOUNT_TYPE_ASSET,
    "customers": nouns.ACCOUNT_TYPE_LIABILITY,
    "customers:1": nouns.ACCOUNT_TYPE_LIABILITY,
    "customers:1:credit": nouns.ACCOUNT_TYPE_LIABILITY,
    "customers:2": nouns.ACCOUNT_TYPE_LIABILITY,
    "customers2": nouns.ACCOUNT_TYPE_LIABILITY,
    "equity": nouns.ACCOUNT_TYPE_EQUITY,
    "fees": nouns.ACCOUNT_TYPE_EXPENSE,
    "sales": nouns.ACCOUNT_TYPE_REVENUE,
}
LIMITS = {
    "customers:1": [nouns.BalanceLimit(asset="USD", balance_min="0")],
    "customers:2": [
        nouns.BalanceLimit(asset="USD", balance_min="-50", balance_max="100"),
        nouns.BalanceLimit(asset="XAU", balance_max="20"),
    ],
}
# Accounts that are opened within a story, where it opens any.
LATE = ("late:1", "late:2", "late:3")
ACCOUNTS = [
    accounts_pb.AccountDraft(name=name, type=kind, limits=LIMITS.get(name, []))
    for name, kind in TYPES.items()
]
# The first draft's, where it is not refused: the ledger's own record, assets and accounts come before.
FIRST_SEQUENCE = 2 + len(ASSETS) + len(ACCOUNTS)
KINDS = ("", "sale", "refund")
TEXTS = ("", "", "lunch", "é ü")
METADATA: tuple[dict[str, str], ...] = ({}, {}, {"order": "1"}, {"order": "1", "shop": "é"}, {"order": "2"})
EFFECTIVE_TIMES = tuple(Timestamp(seconds=NOON // 10**6 + hours * 3_600) for hours in (-48, -24, 0, 1))
HIGHEST = "9" * 38


class Story:
    """One seed's drafts, in order; each knows those before it. Asked to, it opens accounts beside them."""

    def __init__(self, seed: int | str, *, opens_accounts: bool = False) -> None:
        self.random = Random(f"story {seed}")
        self._openings = 12 if opens_accounts else 0
        self._told: list[pb.Operation] = []

    def drafts(self, count: int) -> list[pb.Operation]:
        """The next ones."""
        return [self._draft() for _ in range(count)]

    def cut(self, drafts: list[pb.Operation], size_max: int) -> list[list[pb.Operation]]:
        """The drafts in batches of any size up to this."""
        batches = []
        start = 0
        while start < len(drafts):
            size = self.random.randint(1, size_max)
            batches.append(drafts[start : start + size])
            start += size
        return batches

    def _draft(self) -> pb.Operation:
        ways = self._ways()
        (way,) = self.random.choices(list(ways), weights=list(ways.values()))
        has_to_follow = way in (self._reversal, self._again, self._contradiction)
        draft = way() if self._told or not has_to_follow else self._post()
        if key_of(draft):
            self._told.append(draft)
        return draft

    def _ways(self) -> dict[Callable[[], pb.Operation], int]:
        """What may come next, and how often."""
        return {
            self._post: 60,
            self._reversal: 14,
            self._again: 8,
            self._contradiction: 8,
            self._wrong: 10,
            self._opening: self._openings,
        }

    @property
    def _kinds(self) -> tuple[str, ...]:
        return KINDS

    def _post(self) -> pb.Operation:
        pick = self.random.choice
        entries = []
        for _ in range(pick((1, 1, 1, 2, 3))):
            debit, credit = self.random.sample([*TYPES, *LATE] if self._openings else list(TYPES), 2)
            asset = pick(list(ASSETS))
            amount = HIGHEST if self.random.randrange(60) == 0 else pick((1, 2, 30, 60, 250))
            entries += lines(debit, credit, amount, asset)
        self.random.shuffle(entries)
        post = pb.PostOperation(
            idempotency_key=self._new_key(),
            entries=entries,
            kind=pick(self._kinds),
            effective_time=pick((None, None, *EFFECTIVE_TIMES)),
            description=pick(TEXTS),
            metadata=pick(METADATA),
            external_ref=pick(TEXTS),
            preconditions=[self._condition()] if self.random.randrange(6) == 0 else [],
        )
        return pb.Operation(post=post)

    def _condition(self) -> pb.Precondition:
        """Of a balance or a version; it may hold or not."""
        name, pick = self.random.choice(list(TYPES)), self.random.choice
        if self.random.randrange(4) == 0:
            version = pb.AccountVersionCondition(account=name, version=pick((1, 1, 2)))
            return pb.Precondition(account_version=version)
        bounds = pick(({"min": "0"}, {"max": "0"}, {"min": "-500", "max": "500"}))
        return pb.Precondition(balance=pb.BalanceCondition(account=name, asset=pick(list(ASSETS)), **bounds))

    def _opening(self) -> pb.Operation:
        """One of a few accounts, with or without limits: new, the same again, or another of its name."""
        name = self.random.choice(LATE)
        limits = self.random.choice(([], [], [nouns.BalanceLimit(asset="USD", balance_min="-50")]))
        draft = accounts_pb.AccountDraft(name=name, type=nouns.ACCOUNT_TYPE_LIABILITY, limits=limits)
        return pb.Operation(open_account=draft)

    def _reversal(self) -> pb.Operation:
        by_key = self.random.randrange(3)
        last = FIRST_SEQUENCE + len(self._told)
        origin = key_of(self.random.choice(self._told)) if by_key else self.random.randint(1, last)
        description = self.random.choice(TEXTS)
        return reverse_operation(origin, self._new_key(), description=description)

    def _again(self) -> pb.Operation:
        return self.random.choice(self._told)

    def _contradiction(self) -> pb.Operation:
        """A key used before, with another content."""
        other = self._post() if self.random.randrange(3) else self._reversal()
        key = key_of(self.random.choice(self._told))
        (other.post if other.HasField("post") else other.reverse).idempotency_key = key
        return other

    def _wrong(self) -> pb.Operation:
        """Refused whatever the books say; its key is not burnt."""
        key = self._new_key()
        uneven = [*lines("cash", "sales", 5)[:1], *lines("cash", "sales", 6)[1:]]
        return self.random.choice(
            (
                pb.Operation(),
                pb.Operation(post=pb.PostOperation(idempotency_key=key, entries=uneven)),
                post_operation("cash", "nobody", 5, key),
                pb.Operation(
                    post=pb.PostOperation(idempotency_key=key, entries=lines("cash", "bank", 5, "EUR"))
                ),
                post_operation("cash", "a::b", "05", key),
                reverse_operation("never used", key),
            )
        )

    def _new_key(self) -> str:
        """Of its own, or none."""
        number = len(self._told)
        return f"key-{number}-{self.random.randrange(10**6)}" if self.random.randrange(5) else ""


def key_of(draft: pb.Operation) -> str:
    """A draft's idempotency key, or ""."""
    return draft.post.idempotency_key or draft.reverse.idempotency_key
