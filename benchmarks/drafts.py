"""The load's shape: two-entry transactions between random accounts, each under a fresh key."""

from __future__ import annotations

import os
import random

from ledger.v1.ledger_pb2 import SIDE_CREDIT, SIDE_DEBIT, EntryDraft
from ledger.v1.ledger_service_pb2 import (
    GetBalanceRequest,
    Operation,
    PostBatchRequest,
    PostOperation,
    PostRequest,
)

ASSET = "USD"
KIND = "transfer"


def account_name(number: int) -> str:
    """The name of the number's account."""
    return f"users:{number}"


class Drafts:
    """Requests for one ledger with so many accounts."""

    def __init__(self, ledger: str, accounts: int) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._random = random.Random(os.urandom(16))

    def post(self) -> PostRequest:
        """A Post."""
        return PostRequest(
            ledger=self._ledger,
            idempotency_key=self._key(),
            entries=self._entries(),
            kind=KIND,
            metadata={"order": "1234"},
        )

    def batch(self, size: int) -> PostBatchRequest:
        """A PostBatch of independent posts."""
        return PostBatchRequest(
            ledger=self._ledger,
            operations=[
                Operation(
                    post=PostOperation(
                        idempotency_key=self._key(),
                        entries=self._entries(),
                        kind=KIND,
                        metadata={"order": "1234"},
                    )
                )
                for _ in range(size)
            ],
        )

    def balance(self) -> GetBalanceRequest:
        """A GetBalance."""
        return GetBalanceRequest(ledger=self._ledger, account=self._account(), asset=ASSET)

    def _key(self) -> str:
        # As callers make them: random, not in order.
        return f"{self._random.getrandbits(128):032x}"

    def _account(self) -> str:
        return account_name(self._random.randrange(self._accounts))

    def _entries(self) -> tuple[EntryDraft, EntryDraft]:
        debited, credited = self._random.sample(range(self._accounts), 2)
        amount = str(self._random.randint(1, 99_999))
        return (
            EntryDraft(account=account_name(debited), side=SIDE_DEBIT, amount=amount, asset=ASSET),
            EntryDraft(account=account_name(credited), side=SIDE_CREDIT, amount=amount, asset=ASSET),
        )
