"""Domain to wire."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import audit_service_pb2 as audit_pb
from ledger.v1 import ledger_pb2 as nouns_pb
from ledger.v1 import ledger_service_pb2 as ledger_pb
from ledger.v1 import member_service_pb2 as member_pb

from ledger_server.domain.accounts import (
    NORMAL_SIGN,
    AccountVersion,
    AssetRecord,
    Head,
    LedgerRecord,
    Limit,
    normal_side,
)
from ledger_server.domain.audit import AuditEvent
from ledger_server.domain.members import MemberVersion
from ledger_server.domain.reads import AccountEntry, AssetTotal, Balance, SummedRow
from ledger_server.domain.transactions import Transaction
from ledger_server.rpc.template_responses import template_use

_OK = ledger_pb.TRIAL_BALANCE_STATUS_OK
_MISMATCH = ledger_pb.TRIAL_BALANCE_STATUS_MISMATCH


def timestamp(microseconds: int) -> Timestamp:
    """Microseconds since 1970 as a Timestamp."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def transaction(ledger: str, recorded: Transaction, *, with_balances: bool = True) -> nouns_pb.Transaction:
    """A recorded transaction; balances in each account's normal sense."""
    return nouns_pb.Transaction(
        ledger=ledger,
        sequence=recorded.sequence,
        kind=recorded.kind,
        idempotency_key=recorded.idempotency_key,
        entries=[
            nouns_pb.Entry(
                account=account.name,
                side=nouns_pb.SIDE_DEBIT if is_debit else nouns_pb.SIDE_CREDIT,
                amount=str(amount),
                asset=asset.code,
                balance_after=str(balance_after * account.sign) if with_balances else "",
            )
            for account, is_debit, amount, asset, balance_after in recorded.entries
        ],
        effective_time=timestamp(recorded.effective_time),
        record_time=timestamp(recorded.record_time),
        created_by=recorded.created_by,
        description=recorded.description or "",
        metadata=recorded.metadata or {},
        external_ref=recorded.external_ref or "",
        reverses=recorded.reverses,
        reversed_by=recorded.reversed_by,
        hash=recorded.hash,
        forced=recorded.forced,
        series=recorded.series,
        number=recorded.number,
        template=template_use(recorded.template),
    )


def account(version: AccountVersion) -> nouns_pb.Account:
    """An account version."""
    return nouns_pb.Account(
        name=version.account.name,
        type=int(version.account.type),  # type: ignore[arg-type]
        normal_side=int(normal_side(version.account.type)),  # type: ignore[arg-type]
        limits=limits(version.limits),
        metadata=version.metadata or {},
        version=version.version,
        sequence=version.sequence,
        record_time=timestamp(version.record_time),
        created_by=version.created_by,
        status=int(version.status),  # type: ignore[arg-type]
    )


def limits(given: Mapping[str, Limit]) -> list[nouns_pb.BalanceLimit]:
    """Bounds by asset code."""
    return [
        nouns_pb.BalanceLimit(
            asset=code,
            balance_min=None if limit.balance_min is None else str(limit.balance_min),
            balance_max=None if limit.balance_max is None else str(limit.balance_max),
        )
        for code, limit in given.items()
    ]


def member(version: MemberVersion) -> member_pb.Member:
    """A membership."""
    return member_pb.Member(
        principal=version.principal,
        roles=[int(role) for role in version.roles],  # type: ignore[misc]
        account_prefixes=version.account_prefixes,
        version=version.version,
        sequence=version.sequence,
        record_time=timestamp(version.record_time),
        created_by=version.created_by,
    )


def audit_event(ledger: str, event: AuditEvent) -> audit_pb.AuditEvent:
    """An audit event."""
    return audit_pb.AuditEvent(
        ledger=ledger,
        occurred_at=timestamp(event.occurred_at),
        actor=event.actor,
        means=event.means,
        peer=event.peer,
        action=event.action,
        subject=event.subject,
        sequence=event.sequence,
        count=event.times,
        refused=event.refused,
    )


def asset(record: AssetRecord) -> nouns_pb.Asset:
    """An asset."""
    return nouns_pb.Asset(
        code=record.asset.code,
        scale=record.asset.scale,
        sequence=record.sequence,
        record_time=timestamp(record.record_time),
        created_by=record.created_by,
    )


def ledger(record: LedgerRecord, head: Head) -> nouns_pb.Ledger:
    """A ledger with its head."""
    return nouns_pb.Ledger(
        name=record.name,
        description=record.description or "",
        sequence=head.sequence,
        hash=head.hash,
        epoch=head.epoch,
        record_time=timestamp(record.record_time),
        created_by=record.created_by,
    )


def ledger_name(record: LedgerRecord) -> nouns_pb.Ledger:
    """A ledger as who is no member may know it."""
    return nouns_pb.Ledger(
        name=record.name, record_time=timestamp(record.record_time), created_by=record.created_by
    )


def balance(found: Balance) -> nouns_pb.Balance:
    """A balance."""
    return nouns_pb.Balance(
        asset=found.asset,
        posted=str(found.posted),
        last_sequence=found.last_sequence,
        last_record_time=timestamp(found.last_record_time) if found.last_sequence else None,
    )


def account_entry(name: str, sign: int, found: AccountEntry) -> ledger_pb.AccountEntry:
    """An entry seen from its account."""
    return ledger_pb.AccountEntry(
        sequence=found.sequence,
        index=found.line,
        entry=nouns_pb.Entry(
            account=name,
            side=nouns_pb.SIDE_DEBIT if found.is_debit else nouns_pb.SIDE_CREDIT,
            amount=str(found.amount),
            asset=found.asset,
            balance_after=str(found.balance_after * sign),
        ),
        kind=found.kind,
        effective_time=timestamp(found.effective_time),
        record_time=timestamp(found.record_time),
        description=found.description or "",
    )


def asset_total(total: AssetTotal) -> ledger_pb.AssetTotal:
    """One asset's totals, and whether they agree."""
    return ledger_pb.AssetTotal(
        asset=total.asset,
        scale=total.scale,
        total_debits=str(total.debits),
        total_credits=str(total.credits),
        difference=str(total.debits - total.credits),
        status=_OK if total.debits == total.credits else _MISMATCH,
    )


def trial_balance_row(row: SummedRow) -> ledger_pb.TrialBalanceRow:
    """One row of a trial balance."""
    return ledger_pb.TrialBalanceRow(
        account=row.account,
        type=int(row.type),  # type: ignore[arg-type]
        asset=row.asset,
        debits=str(row.debits),
        credits=str(row.credits),
        net=str(row.debits - row.credits),
    )


def account_sign(version: AccountVersion) -> int:
    """+1 for a debit normal side, -1 for a credit one."""
    return NORMAL_SIGN[version.account.type]
