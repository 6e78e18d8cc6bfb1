"""Drafts, entries and transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

from ledger_server.domain.accounts import Account, AccountVersion, Asset, Side
from ledger_server.domain.members import Role
from ledger_server.domain.names import is_covered
from ledger_server.domain.parameters import Parameters
from ledger_server.domain.refusals import AssetMismatch, UnbalancedTransaction

ENTRIES_MAX = 1000
PRECONDITIONS_MAX = 64
# What a template is taken to make of each item, and without any, before it is known.
ENTRIES_PER_ITEM = 8


class EntryDraft(NamedTuple):
    """One line of what a caller asks: names, a positive amount in minor units."""

    account: str
    is_debit: bool
    amount: int
    asset: str


# The same from a tuple of the four: a named tuple's own constructor takes twice as long, which
# counts where there are two for every transaction of a batch.
entry_draft: Callable[[tuple[str, bool, int, str]], EntryDraft] = partial(tuple.__new__, EntryDraft)


class TemplateUse(NamedTuple):
    """A template with what it is given: in a draft version 0 is the newest, once recorded the one used.

    `parameters` are None once redacted.
    """

    name: str
    version: int
    parameters: Parameters | None


# The same from a tuple of the three; see `entry_draft`.
template_used: Callable[[tuple[str, int, Parameters | None]], TemplateUse] = partial(
    tuple.__new__, TemplateUse
)


class Entry(NamedTuple):
    """One line of a recorded transaction; `balance_after` is debit-positive."""

    account: Account
    is_debit: bool
    amount: int
    asset: Asset
    balance_after: int

    @property
    def side(self) -> Side:
        """The side as an enum."""
        return Side.DEBIT if self.is_debit else Side.CREDIT


# The same from a tuple of the five; see `entry_draft`.
recorded_entry: Callable[[tuple[Account, bool, int, Asset, int]], Entry] = partial(tuple.__new__, Entry)


class AccountVersionCondition(NamedTuple):
    """That an account stands at a version."""

    account: str
    version: int


class BalanceCondition(NamedTuple):
    """That a posted balance lies within bounds, in minor units and in the account's normal sense."""

    account: str
    asset: str
    low: int | None
    high: int | None


Condition: TypeAlias = AccountVersionCondition | BalanceCondition


# Never changed. Frozen, as the others are, it would take five times as long to make.
@dataclass(slots=True)
class PostDraft:
    """A transaction that a caller asks to record. It is balanced: an unbalanced one cannot exist.

    Times are microseconds since 1970 in UTC; `effective_time` is None where the
    caller gave none. `preconditions` are no content: they say when the post may be made.
    `template` is what made the entries, kind and metadata, where the caller did not give
    them. `roles` are those of who asks, None where nobody asks who that is. Raises
    UnbalancedTransaction or AssetMismatch.
    """

    entries: tuple[EntryDraft, ...]
    idempotency_key: str
    kind: str
    effective_time: int | None
    description: str
    metadata: Mapping[str, str]
    external_ref: str
    created_by: str
    validate_only: bool = False
    preconditions: tuple[Condition, ...] = ()
    template: TemplateUse | None = None
    roles: frozenset[Role] | None = None

    def __post_init__(self) -> None:
        if len(self.entries) == 2:
            # Nearly every transaction: two lines, one asset.
            first, second = self.entries
            if (
                first.amount == second.amount
                and first.asset == second.asset
                and first.is_debit is not second.is_debit
            ):
                return
        _balance(self.entries)


# Never changed, as a PostDraft.
@dataclass(slots=True, eq=False)
class TemplateDraft:
    """A transaction that a caller asks a template of the ledger's chart to make.

    `within` are the account prefixes that the caller may post to, empty for all; `roles` are
    the caller's, None where nobody asks who that is.
    """

    template: TemplateUse
    idempotency_key: str
    effective_time: int | None
    description: str
    external_ref: str
    created_by: str
    validate_only: bool = False
    within: tuple[str, ...] = ()
    preconditions: tuple[Condition, ...] = ()
    roles: frozenset[Role] | None = None

    @property
    def entries_expected(self) -> int:
        """How many entries it counts as where entries are bounded: they are known in the lane only."""
        items = self.template.parameters.items if self.template.parameters is not None else ()
        return ENTRIES_PER_ITEM * (1 + len(items))


@dataclass(frozen=True, slots=True)
class ReverseDraft:
    """A reversal that a caller asks to record, of a transaction named by sequence or by key.

    With `force` it passes over balance bounds. `within` are the account prefixes that the
    caller may know of, empty for all: what touches any other account is not there.
    """

    origin: int | str
    idempotency_key: str
    effective_time: int | None
    description: str
    metadata: Mapping[str, str]
    created_by: str
    force: bool = False
    within: tuple[str, ...] = ()


class Transaction(NamedTuple):
    """A recorded transaction: balanced, immutable.

    `description`, `metadata` and `external_ref` are None once redacted, and then
    `details_digest` stands in their place. `reversed_by` and `reverses` are 0
    where there is none. `sequence` is 0 and `hash` empty in the answer to a
    validate_only draft. `forced` is true of a reversal that passed over balance bounds
    by right. `opened` are the accounts that its entries opened, where it was decided here;
    `number` is its number in `series`, 0 where it has none. `template` is what made it.
    """

    sequence: int
    kind: str
    idempotency_key: str
    entries: tuple[Entry, ...]
    effective_time: int
    effective_time_given: bool
    record_time: int
    created_by: str
    description: str | None
    metadata: Mapping[str, str] | None
    external_ref: str | None
    reverses: int
    salt: bytes
    hash: bytes
    reversed_by: int = 0
    details_digest: bytes | None = None
    forced: bool = False
    opened: tuple[AccountVersion, ...] = ()
    series: str = ""
    number: int = 0
    template: TemplateUse | None = None

    def is_within(self, prefixes: Sequence[str]) -> bool:
        """Whether each of its accounts is at or below one of the prefixes; no prefixes mean all."""
        return not prefixes or all(is_covered(entry.account.name, prefixes) for entry in self.entries)


def _balance(entries: tuple[EntryDraft, ...]) -> None:
    totals: dict[str, list[int]] = {}
    for entry in entries:
        total = totals.setdefault(entry.asset, [0, 0])
        total[0 if entry.is_debit else 1] += entry.amount
    unequal = {asset: total for asset, total in totals.items() if total[0] != total[1]}
    if not unequal:
        return
    only_debited = [asset for asset, total in unequal.items() if total[1] == 0]
    only_credited = [asset for asset, total in unequal.items() if total[0] == 0]
    if only_debited and only_credited and len(only_debited) + len(only_credited) == len(unequal):
        raise AssetMismatch(
            f"{only_debited[0]} is only debited and {only_credited[0]} only credited;"
            " an exchange needs an entry on the other side in each asset",
            debited=",".join(only_debited[:10]),
            credited=",".join(only_credited[:10]),
        )
    asset, (debits, credits) = next(iter(unequal.items()))
    raise UnbalancedTransaction(
        f"debits and credits of {asset} differ: {debits} debited, {credits} credited;"
        " they must be equal in every asset",
        asset=asset,
        debits=debits,
        credits=credits,
        difference=debits - credits,
    )
