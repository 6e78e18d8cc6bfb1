"""The books: what a decision reads, and what it leaves for the next one.

A lane keeps assets, accounts and balances from batch to batch while its head is
the ledger's; keys and transactions are looked up for each batch anew, and what the
batch before recorded is kept for the next one, which may be decided before those
records can be read. None as a value means "looked for, not there"; a name that was
never looked for is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ledger_server.domain.accounts import AccountVersion, Asset, AssetRecord, Head
from ledger_server.domain.chain import framed
from ledger_server.domain.charts import Family
from ledger_server.domain.expanders import Expanders, post_of
from ledger_server.domain.governing import Rules
from ledger_server.domain.members import MemberVersion
from ledger_server.domain.misfits import NO_MISFITS, Misfits
from ledger_server.domain.refusals import Refusal
from ledger_server.domain.transactions import PostDraft, TemplateDraft, Transaction

_MISSING = object()


class Books:
    """Accounts, balances and recorded keys of one ledger, as of its head."""

    __slots__ = (
        "_began_at",
        "_undo",
        "accounts",
        "asset_records",
        "assets",
        "balances",
        "bounded",
        "families",
        "framed",
        "head",
        "is_void",
        "keys",
        "ledger",
        "made",
        "members",
        "misfits",
        "next_account_id",
        "next_asset_id",
        "openings",
        "reversals",
        "rules",
        "series",
        "transactions",
        "unbounded",
    )

    def __init__(self, ledger: str, head: Head, *, next_account_id: int = 1, next_asset_id: int = 1) -> None:
        self.ledger = ledger
        self.framed = framed(ledger)
        self.head = head
        self.next_account_id = next_account_id
        self.next_asset_id = next_asset_id
        self.assets: dict[str, Asset | None] = {}
        self.asset_records: dict[str, AssetRecord] = {}
        self.accounts: dict[str, AccountVersion | None] = {}
        # The first versions of accounts that were changed since, where a draft opens them again.
        self.openings: dict[str, AccountVersion] = {}
        # Debit-positive posted balances by (account id, asset id); absent from
        # the database means 0 here.
        self.balances: dict[tuple[int, int], int] = {}
        # Places by account and asset code that need no second look, for their balance is here: those
        # of accounts that stand without limits, and of the others, with their ids.
        self.unbounded: set[tuple[str, str]] = set()
        self.bounded: dict[tuple[str, str], tuple[int, int]] = {}
        self.keys: dict[str, Transaction | None] = {}
        self.transactions: dict[int, Transaction | None] = {}
        # The reversal's sequence by the origin's.
        self.reversals: dict[int, int] = {}
        # Those that drafts name, and every tenant-admin where they name one at all.
        self.members: dict[str, MemberVersion | None] = {}
        # The newest chart, ready to judge by; None where there is none.
        self.rules: Rules | None = None
        # The family of each account that has one, by name, as far as they were asked for.
        self.families: dict[str, Family] = {}
        # Accounts that contradict the chart which this batch applies.
        self.misfits: Misfits = NO_MISFITS
        # The last number given, by series.
        self.series: dict[str, int] = {}
        # What templates of this chart make of the batch's drafts.
        self.made: dict[TemplateDraft, PostDraft | Refusal] = {}
        # A write that these books speak of did not come true: what was decided on them is void.
        self.is_void = False
        self._began_at = head.sequence
        self._undo: list[tuple[Any, Any, Any]] | None = None

    def put(self, mapping: dict[Any, Any], key: Any, value: Any) -> None:
        """Changes one place of the books, so that `undo` can change it back."""
        if self._undo is not None:
            self._undo.append((mapping, key, mapping.get(key, _MISSING)))
        mapping[key] = value

    def put_all(self, mapping: dict[Any, Any], changes: dict[Any, Any]) -> None:
        """Changes several places of the books."""
        if self._undo is None:
            mapping.update(changes)
        else:
            for key, value in changes.items():
                self.put(mapping, key, value)

    def put_rules(self, rules: Rules | None) -> None:
        """Judges by another chart from here on."""
        if self._undo is not None:
            self._undo.append((self, "rules", self.rules))
        self.rules = rules
        self.families = {}
        self.made = {}

    @property
    def expanders(self) -> Expanders | None:
        """The templates of the newest chart; None where there is no chart."""
        return self.rules.expanders if self.rules is not None else None

    def post_of(self, draft: TemplateDraft) -> PostDraft | Refusal:
        """What the newest chart's template makes of a draft; made once, as it is read for and decided."""
        made = self.made.get(draft)
        if made is None:
            made = self.made[draft] = post_of(draft, self.expanders)
        return made

    def stand_at_zero(self, account_id: int) -> None:
        """Notes that an account which was opened just now has nothing in any asset."""
        for asset in self.assets.values():
            if asset is not None and (account_id, asset.asset_id) not in self.balances:
                self.put(self.balances, (account_id, asset.asset_id), 0)

    def begin(self) -> tuple[Head, int, int]:
        """Starts to remember changes; the answer is for `undo`."""
        self._undo = []
        return self.head, self.next_account_id, self.next_asset_id

    def keep(self) -> None:
        """Forgets how to change back."""
        self._undo = None

    def undo(self, mark: tuple[Head, int, int]) -> None:
        """Changes everything back since `begin`: a refused unit leaves the books as they were."""
        for mapping, key, value in reversed(self._undo or ()):
            if mapping is self:
                self.rules, self.families, self.made = value, {}, {}
            elif value is _MISSING:
                del mapping[key]
            else:
                mapping[key] = value
        self._undo = None
        self.head, self.next_account_id, self.next_asset_id = mark

    def start_batch(self, keys: Iterable[str], origins: Iterable[int]) -> None:
        """Keeps of the last batch what it recorded and the next one asks for."""
        self.keys = {key: self.keys.get(key) for key in keys}
        self.transactions = {sequence: self.transactions.get(sequence) for sequence in origins}
        self.reversals = {
            origin: sequence for origin, sequence in self.reversals.items() if sequence > self._began_at
        }
        if self.members:
            self.members = {
                principal: member
                for principal, member in self.members.items()
                if member is not None and member.sequence > self._began_at
            }
        self.misfits = NO_MISFITS
        self.made = {}
        self._began_at = self.head.sequence

    def forget_batch(self) -> None:
        """Drops what was looked up or recorded for one batch only; members are few."""
        self.keys.clear()
        self.transactions.clear()
        self.reversals.clear()
        self.openings.clear()
        self.made.clear()

    def size(self) -> int:
        """How many places are held; a lane's memory is bounded by it."""
        return (
            len(self.accounts)
            + len(self.balances)
            + len(self.assets)
            + len(self.openings)
            + len(self.families)
            + len(self.series)
            + len(self.unbounded)
            + len(self.bounded)
        )
