"""Audit: which decisions are told of, and how. Pure.

What only the journal needs to tell (a post, a reversal) has no event: the record says
who made it. An event is for what changes who may do what, what there is to post to, or
what passes over a bound; and for what was denied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ledger_server.domain.accounts import AccountChangeDraft, AccountStatus, AccountVersion, AssetRecord
from ledger_server.domain.callers import Caller
from ledger_server.domain.charts import ChartVersion
from ledger_server.domain.decisions import Decision, Draft, Recorded
from ledger_server.domain.members import MemberDraft, MemberVersion
from ledger_server.domain.transactions import Transaction


class Act(NamedTuple):
    """What a caller did in a ledger, with the sequence of the first record of it."""

    caller: Caller
    action: str
    subject: str
    sequence: int
    times: int = 1


class AuditEvent(NamedTuple):
    """An event as it was kept; `event_id` numbers all events, `occurred_at` is in microseconds."""

    event_id: int
    occurred_at: int
    actor: str
    means: str
    peer: str
    action: str
    subject: str
    sequence: int
    times: int
    refused: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events a list shows: after `since` up to `until`, in microseconds; None matches all."""

    actor: str | None = None
    since: int | None = None
    until: int | None = None


def acts_of(caller: Caller | None, drafts: Sequence[Draft], decisions: Sequence[Decision]) -> list[Act]:
    """What there is to tell of a named caller's decisions; accounts and assets are told of together."""
    if caller is None:
        return []
    accounts: list[AccountVersion] = []
    assets: list[AssetRecord] = []
    acts = []
    for draft, decision in zip(drafts, decisions, strict=True):
        if not isinstance(decision, Recorded) or decision.replayed:
            continue
        record = decision.record
        if isinstance(record, MemberVersion):
            assert isinstance(draft, MemberDraft)
            acts.append(Act(caller, _member_action(draft), record.principal, record.sequence))
        elif isinstance(draft, AccountChangeDraft):
            assert isinstance(record, AccountVersion)
            acts.append(Act(caller, _ACCOUNT_ACTIONS[draft.status], record.account.name, record.sequence))
        elif isinstance(record, ChartVersion):
            acts.append(Act(caller, "CHART_APPLIED", str(record.version), record.sequence))
        elif isinstance(record, AccountVersion):
            accounts.append(record)
        elif isinstance(record, AssetRecord):
            assets.append(record)
        elif isinstance(record, Transaction) and record.forced:
            acts.append(Act(caller, "REVERSED_WITH_FORCE", str(record.reverses), record.sequence))
    if accounts:
        first = accounts[0]
        acts.append(Act(caller, "ACCOUNTS_OPENED", first.account.name, first.sequence, len(accounts)))
    if assets:
        acts.append(Act(caller, "ASSETS_CREATED", assets[0].asset.code, assets[0].sequence, len(assets)))
    return acts


_ACCOUNT_ACTIONS = {
    None: "ACCOUNT_UPDATED",
    AccountStatus.OPEN: "ACCOUNT_UNFROZEN",
    AccountStatus.FROZEN: "ACCOUNT_FROZEN",
    AccountStatus.CLOSED: "ACCOUNT_CLOSED",
}


def _member_action(draft: MemberDraft) -> str:
    if not draft.roles:
        return "MEMBER_REMOVED"
    return "MEMBER_CHANGED" if draft.version else "MEMBER_ADDED"
