"""Messages of the contract as plain values."""

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb

from ledger_client.values import (
    Account,
    AccountEntry,
    AccountStatus,
    AccountType,
    Asset,
    AssetTotal,
    Balance,
    Entry,
    Ledger,
    Limit,
    Side,
    Transaction,
    TrialBalance,
    TrialBalanceRow,
)


def moment(message: Timestamp) -> datetime:
    """A moment in UTC, to the microsecond."""
    return message.ToDatetime(UTC)


def ledger(message: nouns.Ledger) -> Ledger:
    """A ledger."""
    return Ledger(
        name=message.name,
        description=message.description,
        sequence=message.sequence,
        hash=message.hash,
        epoch=message.epoch,
        record_time=moment(message.record_time),
        created_by=message.created_by,
    )


def asset(message: nouns.Asset) -> Asset:
    """An asset."""
    return Asset(
        code=message.code,
        scale=message.scale,
        sequence=message.sequence,
        record_time=moment(message.record_time),
        created_by=message.created_by,
    )


def account(message: nouns.Account) -> Account:
    """An account."""
    return Account(
        name=message.name,
        type=AccountType(message.type),
        normal_side=Side(message.normal_side),
        limits=tuple(limit(one) for one in message.limits),
        metadata=dict(message.metadata),
        version=message.version,
        sequence=message.sequence,
        record_time=moment(message.record_time),
        created_by=message.created_by,
        # A server of before there were statuses says none.
        status=AccountStatus(message.status or AccountStatus.OPEN),
    )


def limit(message: nouns.BalanceLimit) -> Limit:
    """A limit; an absent bound is None."""
    return Limit(
        message.asset,
        int(message.balance_min) if message.HasField("balance_min") else None,
        int(message.balance_max) if message.HasField("balance_max") else None,
    )


def entry(message: nouns.Entry) -> Entry:
    """An entry."""
    return Entry(
        account=message.account,
        side=Side(message.side),
        amount=int(message.amount),
        asset=message.asset,
        balance_after=int(message.balance_after) if message.balance_after else None,
    )


def transaction(message: nouns.Transaction) -> Transaction:
    """A transaction."""
    return Transaction(
        ledger=message.ledger,
        sequence=message.sequence,
        kind=message.kind,
        idempotency_key=message.idempotency_key,
        entries=tuple(entry(one) for one in message.entries),
        effective_time=moment(message.effective_time),
        record_time=moment(message.record_time),
        created_by=message.created_by,
        description=message.description,
        metadata=dict(message.metadata),
        external_ref=message.external_ref,
        reverses=message.reverses,
        reversed_by=message.reversed_by,
        hash=message.hash,
        forced=message.forced,
    )


def account_entry(message: pb.AccountEntry) -> AccountEntry:
    """An entry seen from its account."""
    return AccountEntry(
        sequence=message.sequence,
        index=message.index,
        entry=entry(message.entry),
        kind=message.kind,
        effective_time=moment(message.effective_time),
        record_time=moment(message.record_time),
        description=message.description,
    )


def balances(message: pb.GetBalanceResponse | pb.AccountBalances, sequence: int) -> tuple[Balance, ...]:
    """An account's balances, in order of asset code."""
    return tuple(
        Balance(
            account=message.account,
            asset=one.asset,
            posted=int(one.posted),
            sequence=sequence,
            last_sequence=one.last_sequence,
            last_record_time=moment(one.last_record_time) if one.HasField("last_record_time") else None,
        )
        for one in message.balances
    )


def trial_balance(message: pb.TrialBalanceResponse) -> TrialBalance:
    """The totals of a trial balance."""
    return TrialBalance(
        is_balanced=message.status == pb.TRIAL_BALANCE_STATUS_OK,
        totals=asset_totals(message.totals),
        sequence=message.sequence,
        digest=message.digest,
        checkpoint_sequence=message.checkpoint_sequence,
    )


def asset_totals(messages: Iterable[pb.AssetTotal]) -> tuple[AssetTotal, ...]:
    """The totals of a trial balance or of a run, one for each asset."""
    return tuple(
        AssetTotal(
            asset=one.asset,
            scale=one.scale,
            debits=int(one.total_debits),
            credits=int(one.total_credits),
            difference=int(one.difference),
        )
        for one in messages
    )


def trial_balance_row(message: pb.TrialBalanceRow) -> TrialBalanceRow:
    """A row of a trial balance."""
    return TrialBalanceRow(
        account=message.account,
        type=AccountType(message.type),
        asset=message.asset,
        debits=int(message.debits),
        credits=int(message.credits),
        net=int(message.net),
    )
