"""What goes into a decision and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, TypeGuard

from ledger_server.domain.accounts import (
    AccountChangeDraft,
    AccountDraft,
    AccountVersion,
    AssetDraft,
    AssetRecord,
)
from ledger_server.domain.charts import ChartDraft, ChartVersion
from ledger_server.domain.members import MemberDraft, MemberVersion
from ledger_server.domain.refusals import Refusal
from ledger_server.domain.transactions import PostDraft, ReverseDraft, TemplateDraft, Transaction

Draft: TypeAlias = (
    PostDraft
    | TemplateDraft
    | ReverseDraft
    | AccountDraft
    | AccountChangeDraft
    | AssetDraft
    | MemberDraft
    | ChartDraft
)
Record: TypeAlias = Transaction | AccountVersion | AssetRecord | MemberVersion | ChartVersion


class Recorded(NamedTuple):
    """A yes: the record, and whether it had been recorded before."""

    record: Record
    replayed: bool


Decision: TypeAlias = Recorded | Refusal


class Moment(NamedTuple):
    """What a batch is stamped with: its record_time in microseconds, and a source of 16-byte salts."""

    record_time: int
    salt: Callable[[], bytes]


def new_records(decisions: Sequence[Sequence[Decision]]) -> list[Record]:
    """What the decisions add to the journal."""
    return [decision.record for decided in decisions for decision in decided if _is_new(decision)]


def are_all_new(decisions: Sequence[Sequence[Decision]]) -> bool:
    """Whether each of them adds a record."""
    return all(_is_new(decision) for decided in decisions for decision in decided)


def _is_new(decision: Decision) -> TypeGuard[Recorded]:
    # A validate_only draft has no hash.
    return isinstance(decision, Recorded) and not decision.replayed and bool(decision.record.hash)
