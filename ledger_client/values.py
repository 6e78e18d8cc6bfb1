"""What the ledger answers, as plain values: amounts are ints in minor units, times have a time zone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Side(IntEnum):
    """The two sides of an account, as the contract numbers them."""

    DEBIT = 1
    CREDIT = 2


class AccountType(IntEnum):
    """What an account stands for, as the contract numbers them."""

    ASSET = 1
    LIABILITY = 2
    EQUITY = 3
    REVENUE = 4
    EXPENSE = 5


class AccountStatus(IntEnum):
    """Whether an account may be posted to, as the contract numbers them."""

    OPEN = 1
    FROZEN = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger with its head at the moment of the answer; see the contract's Ledger."""

    name: str
    description: str
    sequence: int
    hash: bytes
    epoch: int
    record_time: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Asset:
    """A currency, a share, a unit of stock; `scale` is the decimals of its minor unit."""

    code: str
    scale: int
    sequence: int
    record_time: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds on one asset's balance in the account's normal sense; None is no bound."""

    asset: str
    balance_min: int | None = None
    balance_max: int | None = None


@dataclass(frozen=True, slots=True)
class AccountDraft:
    """An account to open."""

    name: str
    type: AccountType
    limits: tuple[Limit, ...] = ()
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account in its newest version."""

    name: str
    type: AccountType
    normal_side: Side
    limits: tuple[Limit, ...]
    metadata: Mapping[str, str]
    version: int
    sequence: int
    record_time: datetime
    created_by: str
    status: AccountStatus


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a recorded transaction; `balance_after` is in the account's normal sense.

    It is None where the caller may not read balances.
    """

    account: str
    side: Side
    amount: int
    asset: str
    balance_after: int | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A recorded transaction; `reverses` and `reversed_by` are sequences, 0 for none."""

    ledger: str
    sequence: int
    kind: str
    idempotency_key: str
    entries: tuple[Entry, ...]
    effective_time: datetime
    record_time: datetime
    created_by: str
    description: str
    metadata: Mapping[str, str]
    external_ref: str
    reverses: int
    reversed_by: int
    hash: bytes
    forced: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """A whole transaction as a write answers it; `replayed` where it had been recorded before."""

    transaction: Transaction
    replayed: bool


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An entry seen from its account; `index` is its place among its transaction's entries."""

    sequence: int
    index: int
    entry: Entry
    kind: str
    effective_time: datetime
    record_time: datetime
    description: str


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's posted balance in one asset, in the account's normal sense, at `sequence`.

    `last_sequence` is of the transaction that changed it last, 0 for none.
    """

    account: str
    asset: str
    posted: int
    sequence: int
    last_sequence: int
    last_record_time: datetime | None


@dataclass(frozen=True, slots=True)
class AssetTotal:
    """One asset's gross sums; the difference is 0 in sound books."""

    asset: str
    scale: int
    debits: int
    credits: int
    difference: int


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """Whether debits equal credits in every asset, at `sequence`; the digest where it was asked for.

    `checkpoint_sequence`: the checkpoint that the totals go on from, 0 where every entry was added up.
    """

    is_balanced: bool
    totals: tuple[AssetTotal, ...]
    sequence: int
    digest: bytes
    checkpoint_sequence: int


@dataclass(frozen=True, slots=True)
class TrialBalanceRow:
    """One account's, or one type's, gross sums in one asset; `net` is debits minus credits."""

    account: str
    type: AccountType
    asset: str
    debits: int
    credits: int
    net: int
