"""The load's shape: two-entry transactions between random accounts, each under a fresh key."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass

from ledger.v1.ledger_pb2 import SIDE_CREDIT, SIDE_DEBIT, EntryDraft
from ledger.v1.ledger_service_pb2 import (
    GetBalanceRequest,
    ListEntriesRequest,
    Operation,
    PostBatchRequest,
    PostOperation,
    PostRequest,
)

ASSET = "USD"
ACCOUNT_PREFIX = "users:"
KIND = "transfer"
_METADATA = {"order": "1234"}


def account_name(number: int) -> str:
    """The name of the number's account."""
    return f"{ACCOUNT_PREFIX}{number}"


@dataclass(frozen=True, slots=True)
class Shape:
    """What drafts are like."""

    accounts: int
    stride: int = 1
    """Every so-manieth account is used: `accounts` of them, spread over more."""
    is_hot: bool = False
    """Every transaction debits the first account."""
    has_ordered_keys: bool = False
    """Keys rise with time, as generated ones do; else they are random."""
    has_metadata: bool = True
    prefix: str = ACCOUNT_PREFIX
    """Names of accounts are this and a number, from `first` on."""
    first: int = 0
    asset: str = ASSET


class Drafts:
    """Requests for ledgers that all have these accounts."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._random = random.Random(os.urandom(16))
        self.metadata = _METADATA if shape.has_metadata else {}

    def post(self, ledger: str) -> PostRequest:
        """A Post."""
        return PostRequest(
            ledger=ledger,
            idempotency_key=self.key(),
            entries=self.entries(),
            kind=KIND,
            metadata=self.metadata,
        )

    def batch(self, ledger: str, size: int) -> PostBatchRequest:
        """A PostBatch of independent posts."""
        return PostBatchRequest(
            ledger=ledger,
            operations=[
                Operation(
                    post=PostOperation(
                        idempotency_key=self.key(),
                        entries=self.entries(),
                        kind=KIND,
                        metadata=self.metadata,
                    )
                )
                for _ in range(size)
            ],
        )

    def balance(self, ledger: str) -> GetBalanceRequest:
        """A GetBalance."""
        return GetBalanceRequest(ledger=ledger, account=self._account(), asset=self._shape.asset)

    def page(self, ledger: str) -> ListEntriesRequest:
        """The newest page of an account's entries."""
        return ListEntriesRequest(ledger=ledger, account=self._account())

    def key(self) -> str:
        """32 hexadecimal digits: random, or the time's microseconds and then random ones."""
        if self._shape.has_ordered_keys:
            return f"{time.time_ns() // 1_000:014x}{self._random.getrandbits(72):018x}"
        return f"{self._random.getrandbits(128):032x}"

    def pair(self) -> tuple[str, str, int]:
        """The debited account, the credited one, and an amount."""
        shape = self._shape
        if shape.is_hot:
            debited, credited = 0, self._random.randrange(1, shape.accounts)
        else:
            debited, credited = self._random.sample(range(shape.accounts), 2)
        return self._name(debited), self._name(credited), self._random.randint(1, 99_999)

    def entries(self) -> tuple[EntryDraft, EntryDraft]:
        """A debit and a credit."""
        debited, credited, number = self.pair()
        amount, asset = str(number), self._shape.asset
        return (
            EntryDraft(account=debited, side=SIDE_DEBIT, amount=amount, asset=asset),
            EntryDraft(account=credited, side=SIDE_CREDIT, amount=amount, asset=asset),
        )

    def _account(self) -> str:
        return self._name(self._random.randrange(self._shape.accounts))

    def _name(self, place: int) -> str:
        shape = self._shape
        return f"{shape.prefix}{shape.first + place * shape.stride}"
