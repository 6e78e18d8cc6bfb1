"""What goes into a decision and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

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
