"""The load's shape: two-entry transactions between random accounts, each under a fresh key."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass

from ledger.v1.ledger_pb2 import SIDE_CREDIT, SIDE_DEBIT, EntryDraft, TemplateUse
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
# What templates are given: an amount, and the numbers of two accounts.
AMOUNT, DEBITED, CREDITED = "amount", "debited", "credited"
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
    template: str = ""
    """The chart's template that makes the posts of a batch; empty where they have their entries."""


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
            operations=[Operation(post=self._operation()) for _ in range(size)],
        )

    def _operation(self) -> PostOperation:
        if not self._shape.template:
            return PostOperation(
                idempotency_key=self.key(), entries=self.entries(), kind=KIND, metadata=self.metadata
            )
        debited, credited = self._places()
        given = {AMOUNT: self._amount(), DEBITED: debited, CREDITED: credited}
        use = TemplateUse(
            name=self._shape.template, parameters={name: str(number) for name, number in given.items()}
        )
        return PostOperation(idempotency_key=self.key(), template=use)

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
        debited, credited = self._places()
        prefix = self._shape.prefix
        return f"{prefix}{debited}", f"{prefix}{credited}", self._amount()

    def entries(self) -> tuple[EntryDraft, EntryDraft]:
        """A debit and a credit."""
        debited, credited, number = self.pair()
        amount, asset = str(number), self._shape.asset
        return (
            EntryDraft(account=debited, side=SIDE_DEBIT, amount=amount, asset=asset),
            EntryDraft(account=credited, side=SIDE_CREDIT, amount=amount, asset=asset),
        )

    def _amount(self) -> int:
        return self._random.randint(1, 99_999)

    def _places(self) -> tuple[int, int]:
        """The numbers of the debited account and of the credited one."""
        accounts = self._shape.accounts
        if self._shape.is_hot:
            return self._number(0), self._number(self._random.randrange(1, accounts))
        debited, credited = self._random.sample(range(accounts), 2)
        return self._number(debited), self._number(credited)

    def _account(self) -> str:
        return f"{self._shape.prefix}{self._number(self._random.randrange(self._shape.accounts))}"

    def _number(self, place: int) -> int:
        return self._shape.first + place * self._shape.stride
