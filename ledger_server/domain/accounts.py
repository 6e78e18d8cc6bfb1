"""Assets, accounts and the bounds on their balances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from ledger_server.domain.amounts import AMOUNT_MAX, AMOUNT_MIN
from ledger_server.domain.chain import framed

# Accounts are numbered from 1 on without a gap, and their numbers take four bytes in each entry.
ACCOUNTS_PER_LEDGER_MAX = 2**31 - 1


class Side(IntEnum):
    """The two sides of an account; the numbers are the wire's and the database's."""

    DEBIT = 1
    CREDIT = 2


class AccountType(IntEnum):
    """What an account stands for; the numbers are the wire's and the database's."""

    ASSET = 1
    LIABILITY = 2
    EQUITY = 3
    REVENUE = 4
    EXPENSE = 5


class AccountStatus(IntEnum):
    """Whether an account may be posted to; the numbers are the wire's and the database's."""

    OPEN = 1
    FROZEN = 2
    # For good.
    CLOSED = 3


# +1 where a debit-positive balance is shown as it is, -1 where it is turned.
NORMAL_SIGN = {
    AccountType.ASSET: 1,
    AccountType.LIABILITY: -1,
    AccountType.EQUITY: -1,
    AccountType.REVENUE: -1,
    AccountType.EXPENSE: 1,
}


def normal_side(account_type: AccountType) -> Side:
    """The side on which accounts of this type grow."""
    return Side.DEBIT if NORMAL_SIGN[account_type] > 0 else Side.CREDIT


class Asset(NamedTuple):
    """An asset of a ledger: what never changes about it."""

    asset_id: int
    code: str
    scale: int
    framed: bytes

    @staticmethod
    def of(asset_id: int, code: str, scale: int) -> Asset:
        """An asset with its code framed for the chain."""
        return Asset(asset_id, code, scale, framed(code))


class Account(NamedTuple):
    """An account of a ledger: what never changes about it."""

    account_id: int
    name: str
    type: AccountType
    # +1 for a debit normal side, -1 for a credit one.
    sign: int
    framed: bytes

    @staticmethod
    def of(account_id: int, name: str, account_type: int) -> Account:
        """An account with its normal sign and its name framed for the chain."""
        kind = AccountType(account_type)
        return Account(account_id, name, kind, NORMAL_SIGN[kind], framed(name))


class Limit(NamedTuple):
    """Bounds on one asset's balance, in minor units and in the account's normal sense."""

    balance_min: int | None
    balance_max: int | None

    def bound_past_zero(self) -> str:
        """The name of the bound that keeps zero out; empty where zero lies within both."""
        if (self.balance_min or 0) > 0:
            return "balance_min"
        return "balance_max" if (self.balance_max or 0) < 0 else ""

    def bounds(self, sign: int) -> tuple[int, int]:
        """The least and the most that the debit-positive balance of an account of this sign may be."""
        least = AMOUNT_MIN if self.balance_min is None else self.balance_min
        most = AMOUNT_MAX if self.balance_max is None else self.balance_max
        return (least, most) if sign > 0 else (-most, -least)


# The least and the most that a debit-positive balance may be, by asset code.
Bounds: TypeAlias = Mapping[str, tuple[int, int]]
_NOTHING_ALLOWED: Bounds = {}


def _bounds(limits: tuple[tuple[str, Limit], ...], sign: int) -> Bounds:
    return {code: limit.bounds(sign) for code, limit in limits}


# Accounts with the same few limits share one mapping, which stays at hand.
_bounds_again = lru_cache(maxsize=1024)(_bounds)
_LIMITS_SHARED_MAX = 8


@dataclass(frozen=True, slots=True)
class AccountVersion:
    """An account as one record left it. Metadata is None once redacted."""

    account: Account
    version: int
    limits: Mapping[str, Limit]
    metadata: Mapping[str, str] | None
    sequence: int
    record_time: int
    created_by: str
    salt: bytes = b""
    hash: bytes = b""
    details_digest: bytes | None = None
    status: AccountStatus = AccountStatus.OPEN
    # Within these no post is refused for what the account is; where it is shut there are none, and
    # None where nothing holds it: one look for the hot path.
    bounds: Bounds | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bounds: Bounds | None = None
        if self.status is not AccountStatus.OPEN:
            bounds = _NOTHING_ALLOWED
        elif self.limits:
            limits = tuple(self.limits.items())
            bounds_of = _bounds_again if len(limits) <= _LIMITS_SHARED_MAX else _bounds
            bounds = bounds_of(limits, self.account.sign)
        object.__setattr__(self, "bounds", bounds)


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """An asset with the record that created it."""

    asset: Asset
    sequence: int
    record_time: int
    created_by: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """A ledger as its first record created it. Description is None once redacted."""

    name: str
    description: str | None
    record_time: int
    created_by: str
    salt: bytes
    hash: bytes
    details_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class AccountDraft:
    """What a caller asks to open."""

    name: str
    type: AccountType
    limits: Mapping[str, Limit]
    metadata: Mapping[str, str]
    created_by: str


@dataclass(frozen=True, slots=True)
class AccountChangeDraft:
    """What a caller asks to change of an account that stands; None leaves a part as it is.

    `version` is the one that is to be changed, 0 for whichever stands.
    """

    name: str
    version: int
    created_by: str
    limits: Mapping[str, Limit] | None = None
    metadata: Mapping[str, str] | None = None
    status: AccountStatus | None = None


@dataclass(frozen=True, slots=True)
class AssetDraft:
    """What a caller asks to create."""

    code: str
    scale: int
    created_by: str


@dataclass(frozen=True, slots=True)
class LedgerDraft:
    """The ledger a caller asks to create, with its first member where one is named."""

    name: str
    description: str
    created_by: str
    tenant_admin: str = ""


class Head(NamedTuple):
    """Where a ledger's journal stands: its newest record."""

    sequence: int
    hash: bytes
    record_time: int
    epoch: int = 1
