"""Every request of the contract but a coalesced post: the method, the message, and how its answer is read.

Both faces of the client make their calls from these, so that they cannot differ.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb

from ledger_client import reading
from ledger_client.drafts import Draft, ReversalDraft, checked, operations, transaction_name
from ledger_client.lane import Posted
from ledger_client.limits import MESSAGE_BYTES_MAX, check_size
from ledger_client.refusals import Refused
from ledger_client.refused import refused_from_operation
from ledger_client.values import (
    AccountEntry,
    Asset,
    Balance,
    Ledger,
    Recorded,
    Transaction,
    TrialBalance,
    TrialBalanceRow,
)

AnswerT_co = TypeVar("AnswerT_co", covariant=True)
# As many as a page may hold: an iterator reads on anyway.
PAGE_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Ask(Generic[AnswerT_co]):
    """One call: `read` makes the answer, or for a list each page's items; `sequence` is what it reflects.

    A read of a ledger waits for what the client has seen of it (`min_sequence`).
    """

    service: str
    method: str
    request: Message
    read: Callable[[Any], AnswerT_co]
    ledger: str = ""
    sequence: Callable[[Any], int] = lambda answer: answer.sequence


def create_ledger(name: str, description: str, tenant_admin: str) -> Ask[Ledger]:
    """LedgerAdminService.CreateLedger."""
    request = admin_pb.CreateLedgerRequest(name=name, description=description, tenant_admin=tenant_admin)
    return Ask(
        "admin",
        "CreateLedger",
        request,
        lambda answer: reading.ledger(answer.ledger),
        name,
        lambda answer: answer.ledger.sequence,
    )


def get_ledger(name: str) -> Ask[Ledger]:
    """LedgerAdminService.GetLedger."""
    return Ask(
        "admin",
        "GetLedger",
        admin_pb.GetLedgerRequest(name=name),
        lambda answer: reading.ledger(answer.ledger),
        name,
        lambda answer: answer.ledger.sequence,
    )


def list_ledgers() -> Ask[Iterable[Ledger]]:
    """LedgerAdminService.ListLedgers."""
    request = admin_pb.ListLedgersRequest(page_size=PAGE_SIZE)
    return Ask("admin", "ListLedgers", request, lambda page: map(reading.ledger, page.ledgers))


def create_asset(ledger: str, code: str, scale: int) -> Ask[Asset]:
    """LedgerAdminService.CreateAsset."""
    request = admin_pb.CreateAssetRequest(ledger=ledger, code=code, scale=scale)
    return Ask(
        "admin",
        "CreateAsset",
        request,
        lambda answer: reading.asset(answer.asset),
        ledger,
        lambda answer: answer.asset.sequence,
    )


def list_assets(ledger: str) -> Ask[Iterable[Asset]]:
    """LedgerAdminService.ListAssets."""
    request = admin_pb.ListAssetsRequest(ledger=ledger, page_size=PAGE_SIZE)
    return Ask("admin", "ListAssets", request, lambda page: map(reading.asset, page.assets), ledger)


def post_whole(ledger: str, draft: Draft, key: str, *, validate_only: bool) -> Ask[Recorded]:
    """LedgerService.Post; a draft without a key gets the one that is given."""
    request = pb.PostRequest(ledger=ledger, validate_only=validate_only)
    checked(draft, Draft).fill(request, draft.idempotency_key.strip() or key)
    check_size(request.ByteSize(), MESSAGE_BYTES_MAX)
    return Ask(
        "ledger",
        "Post",
        request,
        lambda answer: Recorded(reading.transaction(answer.transaction), answer.replayed),
        ledger,
        lambda answer: answer.transaction.sequence,
    )


def post_batch(
    ledger: str, drafts: Sequence[Draft | ReversalDraft], keys: Iterable[str], *, atomic: bool
) -> Ask[list[Posted | Refused]]:
    """LedgerService.PostBatch; each draft without a key gets the one in its place of `keys`."""
    request = pb.PostBatchRequest(ledger=ledger, operations=operations(drafts, keys), atomic=atomic)
    check_size(request.ByteSize(), MESSAGE_BYTES_MAX)
    sent = [(one.post if one.HasField("post") else one.reverse).idempotency_key for one in request.operations]

    def result(one: pb.OperationResult, key: str) -> Posted | Refused:
        if one.HasField("status") and one.status.code:
            return refused_from_operation(one.status).of_key(key)
        return Posted(one.sequence, one.hash, one.replayed, key)

    return Ask(
        "ledger",
        "PostBatch",
        request,
        lambda answer: [result(one, key) for one, key in zip(answer.results, sent, strict=True)],
        ledger,
        lambda answer: max((one.sequence for one in answer.results), default=0),
    )


def all_recorded(results: Sequence[Posted | Refused]) -> list[Posted]:
    """The records of an atomic batch; raises what its culprit was refused for."""
    refused = [one for one in results if isinstance(one, Refused)]
    for one in refused:
        if one.reason != "ATOMIC_GROUP_REFUSED":
            raise one
    if refused:
        raise refused[0]
    return [one for one in results if isinstance(one, Posted)]


def get_transaction(ledger: str, name: int | str) -> Ask[Transaction]:
    """LedgerService.GetTransaction."""
    request = pb.GetTransactionRequest(ledger=ledger, transaction=transaction_name(name))
    return Ask(
        "ledger", "GetTransaction", request, lambda answer: reading.transaction(answer.transaction), ledger
    )


def list_transactions(
    ledger: str, only: pb.TransactionFilter | None, *, oldest_first: bool
) -> Ask[Iterable[Transaction]]:
    """LedgerService.ListTransactions."""
    request = pb.ListTransactionsRequest(
        ledger=ledger, filter=only, order=_order(oldest_first), page_size=PAGE_SIZE
    )
    return Ask(
        "ledger",
        "ListTransactions",
        request,
        lambda page: map(reading.transaction, page.transactions),
        ledger,
    )


def list_entries(ledger: str, account: str, asset: str, *, oldest_first: bool) -> Ask[Iterable[AccountEntry]]:
    """LedgerService.ListEntries."""
    request = pb.ListEntriesRequest(
        ledger=ledger, account=account, asset=asset, order=_order(oldest_first), page_size=PAGE_SIZE
    )
    return Ask(
        "ledger", "ListEntries", request, lambda page: map(reading.account_entry, page.entries), ledger
    )


def get_balance(ledger: str, account: str, asset: str, at_sequence: int) -> Ask[Balance]:
    """LedgerService.GetBalance of one asset. Raises ValueError where none is named."""
    if not asset:
        raise ValueError("get_balance needs an asset; get_balances answers every asset's for an empty one")
    request = pb.GetBalanceRequest(ledger=ledger, account=account, asset=asset, at_sequence=at_sequence)
    return Ask(
        "ledger",
        "GetBalance",
        request,
        lambda answer: reading.balances(answer, answer.sequence)[0],
        ledger,
    )


def get_balances_of(
    ledger: str, names: Iterable[tuple[str, str]], at_sequence: int
) -> Ask[list[tuple[Balance, ...]]]:
    """LedgerService.BatchGetBalances."""
    request = pb.BatchGetBalancesRequest(
        ledger=ledger,
        names=[pb.BalanceName(account=account, asset=asset) for account, asset in names],
        at_sequence=at_sequence,
    )
    return Ask(
        "ledger",
        "BatchGetBalances",
        request,
        lambda answer: [reading.balances(one, answer.sequence) for one in answer.accounts],
        ledger,
    )


def trial_balance(ledger: str, at_sequence: int, *, digest: bool, from_checkpoint: bool) -> Ask[TrialBalance]:
    """LedgerService.TrialBalance, totals only."""
    basis = pb.TRIAL_BALANCE_BASIS_CHECKPOINTED if from_checkpoint else pb.TRIAL_BALANCE_BASIS_RECOMPUTED
    request = pb.TrialBalanceRequest(ledger=ledger, at_sequence=at_sequence, digest=digest, basis=basis)
    return Ask("ledger", "TrialBalance", request, reading.trial_balance, ledger)


def trial_balance_rows(ledger: str, at_sequence: int, *, by_type: bool) -> Ask[Iterable[TrialBalanceRow]]:
    """LedgerService.TrialBalance, its rows."""
    rows = pb.TRIAL_BALANCE_ROWS_BY_TYPE if by_type else pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT
    request = pb.TrialBalanceRequest(ledger=ledger, at_sequence=at_sequence, rows=rows, page_size=PAGE_SIZE)
    return Ask(
        "ledger", "TrialBalance", request, lambda page: map(reading.trial_balance_row, page.rows), ledger
    )


def _order(oldest_first: bool) -> nouns.Order.ValueType:
    return nouns.ORDER_OLDEST_FIRST if oldest_first else nouns.ORDER_NEWEST_FIRST
