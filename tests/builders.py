"""Small makers of drafts and books for tests without a database, and of requests for those with a server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from ledger.v1 import ledger_pb2 as nouns

from ledger_server.domain.accounts import (
    AccountChangeDraft,
    AccountDraft,
    AccountStatus,
    AccountType,
    AssetDraft,
    Head,
    Limit,
)
from ledger_server.domain.books import Books
from ledger_server.domain.charts import Chart, ChartDraft
from ledger_server.domain.decisions import Decision, Draft, Moment, Recorded
from ledger_server.domain.members import MemberDraft, Role
from ledger_server.domain.misfits import NO_MISFITS, AccountUse, misfits, use_of
from ledger_server.domain.parameters import Parameters
from ledger_server.domain.posting import decide
from ledger_server.domain.transactions import (
    EntryDraft,
    PostDraft,
    ReverseDraft,
    TemplateDraft,
    TemplateUse,
    Transaction,
)

DEBIT, CREDIT = nouns.SIDE_DEBIT, nouns.SIDE_CREDIT
# A moment in 2026, in microseconds.
NOON = 1_790_000_000_000_000


def debit(account: str, amount: int, asset: str = "USD") -> EntryDraft:
    """A debit line of a draft."""
    return EntryDraft(account, True, amount, asset)


def credit(account: str, amount: int, asset: str = "USD") -> EntryDraft:
    """A credit line of a draft."""
    return EntryDraft(account, False, amount, asset)


def post_draft(*entries: EntryDraft, key: str = "", **changes: Any) -> PostDraft:
    """A post of these lines; by default 100 USD from cash to sales."""
    fields: dict[str, Any] = {
        "kind": "",
        "effective_time": None,
        "description": "",
        "metadata": {},
        "external_ref": "",
        "created_by": "test",
    }
    lines = entries or (debit("cash", 100), credit("sales", 100))
    return PostDraft(entries=lines, idempotency_key=key, **(fields | changes))


def template_draft(
    name: str, given: Parameters, key: str = "", *, version: int = 0, **changes: Any
) -> TemplateDraft:
    """A transaction that a template is asked to make."""
    fields: dict[str, Any] = {
        "effective_time": None,
        "description": "",
        "external_ref": "",
        "created_by": "test",
    }
    return TemplateDraft(TemplateUse(name, version, given), key, **(fields | changes))


def reverse_draft(origin: int | str, key: str = "", **changes: Any) -> ReverseDraft:
    """A reversal of a transaction."""
    fields: dict[str, Any] = {"effective_time": None, "description": "", "metadata": {}, "created_by": "test"}
    return ReverseDraft(origin, key, **(fields | changes))


def account_draft(
    name: str,
    kind: AccountType = AccountType.ASSET,
    limits: Mapping[str, Limit] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> AccountDraft:
    """An account to open."""
    return AccountDraft(name, kind, limits or {}, metadata or {}, "test")


def change_draft(name: str, version: int = 0, **changes: Any) -> AccountChangeDraft:
    """A change of an account's limits, metadata or status."""
    return AccountChangeDraft(name, version, "test", **changes)


def freeze_draft(name: str, version: int = 0) -> AccountChangeDraft:
    """An account to freeze."""
    return change_draft(name, version, status=AccountStatus.FROZEN)


def close_draft(name: str, version: int = 0) -> AccountChangeDraft:
    """An account to close."""
    return change_draft(name, version, status=AccountStatus.CLOSED)


def member_draft(principal: str, *roles: Role, prefixes: Sequence[str] = (), version: int = 0) -> MemberDraft:
    """A membership to begin or to change; without roles, to end."""
    return MemberDraft(principal, tuple(sorted(roles)), tuple(sorted(prefixes)), version, "test")


def chart_draft(chart: Chart, version: int = 0, *, validate_only: bool = False) -> ChartDraft:
    """A chart to apply."""
    return ChartDraft(chart, version, "test", validate_only)


class PaperBooks:
    """A ledger in memory: looks up what drafts name, as a lane would, and decides them.

    It starts with the assets USD and EUR and the accounts cash (ASSET), sales
    (REVENUE) and wallet (LIABILITY, never below 0 USD). Times and salts are
    counted, so the same drafts give the same hashes.
    """

    def __init__(self) -> None:
        self.books = Books("paper", Head(1, bytes(32), NOON))
        self.books.series = defaultdict(int)
        self._salts = count(1)
        self.recorded(
            AssetDraft("USD", 2, "test"),
            AssetDraft("EUR", 2, "test"),
            account_draft("cash"),
            account_draft("sales", AccountType.REVENUE),
            account_draft("wallet", AccountType.LIABILITY, {"USD": Limit(0, None)}),
        )

    def decide(self, *drafts: Draft, atomic: bool = False) -> list[Decision]:
        """One decision for each draft."""
        self._look_up(drafts)
        moment = Moment(NOON, lambda: next(self._salts).to_bytes(16, "big"))
        return decide(drafts, self.books, moment, atomic=atomic)

    def recorded(self, *drafts: Draft) -> list[Any]:
        """The records of drafts that are not refused."""
        decisions = self.decide(*drafts)
        assert all(isinstance(decision, Recorded) for decision in decisions), decisions
        return [decision.record for decision in decisions if isinstance(decision, Recorded)]

    def post(self, *entries: EntryDraft, key: str = "", **changes: Any) -> Transaction:
        """The transaction of a post that is not refused."""
        (record,) = self.recorded(post_draft(*entries, key=key, **changes))
        assert isinstance(record, Transaction)
        return record

    def balance(self, account: str, asset: str = "USD") -> int:
        """A debit-positive balance."""
        version, known = self.books.accounts[account], self.books.assets[asset]
        assert version is not None
        assert known is not None
        return self.books.balances[version.account.account_id, known.asset_id]

    def snapshot(self) -> tuple[Any, ...]:
        """Everything that a decision could change."""
        books = self.books
        return (
            books.head,
            books.next_account_id,
            books.next_asset_id,
            dict(books.assets),
            dict(books.accounts),
            dict(books.balances),
            dict(books.keys),
            dict(books.transactions),
            dict(books.reversals),
            dict(books.openings),
            books.rules,
            dict(books.series),
            dict(books.members),
        )

    def _uses(self) -> list[AccountUse]:
        """Every account with the assets that it has moved in."""
        known = [version for version in self.books.accounts.values() if version is not None]
        return [
            use_of(
                version,
                {
                    entry.asset.code
                    for recorded in self.books.transactions.values()
                    if recorded is not None
                    for entry in recorded.entries
                    if entry.account == version.account
                },
            )
            for version in known
        ]

    def _look_up(self, drafts: Sequence[Draft]) -> None:
        books = self.books
        for draft in drafts:
            if isinstance(draft, PostDraft):
                for entry in draft.entries:
                    books.accounts.setdefault(entry.account, None)
                    books.assets.setdefault(entry.asset, None)
            elif isinstance(draft, TemplateDraft):
                made = books.post_of(draft)
                for entry in made.entries if isinstance(made, PostDraft) else ():
                    books.accounts.setdefault(entry.account, None)
                    books.assets.setdefault(entry.asset, None)
            elif isinstance(draft, AccountDraft):
                books.accounts.setdefault(draft.name, None)
                for code in draft.limits:
                    books.assets.setdefault(code, None)
            elif isinstance(draft, AccountChangeDraft):
                books.accounts.setdefault(draft.name, None)
                for code in draft.limits or ():
                    books.assets.setdefault(code, None)
            elif isinstance(draft, AssetDraft):
                books.assets.setdefault(draft.code, None)
            elif isinstance(draft, MemberDraft):
                books.members.setdefault(draft.principal, None)
            elif isinstance(draft, ChartDraft):
                for asset in draft.chart.assets:
                    books.assets.setdefault(asset.code, None)
                books.misfits = misfits(draft.chart, self._uses()) if draft.chart.families else NO_MISFITS
            elif isinstance(draft.origin, str):
                books.keys.setdefault(draft.origin, None)
            else:
                books.transactions.setdefault(draft.origin, None)
            if isinstance(draft, PostDraft | TemplateDraft | ReverseDraft) and draft.idempotency_key:
                books.keys.setdefault(draft.idempotency_key, None)


def entry(
    account: str = "cash", side: int = DEBIT, amount: str = "100", asset: str = "USD"
) -> nouns.EntryDraft:
    """A line of a request, as it is given: nothing is checked."""
    return nouns.EntryDraft(account=account, side=side, amount=amount, asset=asset)  # type: ignore[arg-type]
