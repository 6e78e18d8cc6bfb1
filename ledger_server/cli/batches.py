"""Posting a stream of transactions in order, in batches, one being made while another is under way.

One call at a time keeps the file's order in the journal; making a batch while the
server commits the one before it is where the speed comes from. Every operation has
its key, so a batch whose answer was lost is sent again and answered from the
journal.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from ledger_client import Client, Refused
from ledger_client.contract import (
    SIDE_CREDIT,
    SIDE_DEBIT,
    EntryDraft,
    Operation,
    OperationResult,
    PostBatchRequest,
    PostOperation,
)
from ledger_client.decimals import to_minor_units
from ledger_client.refused import refused_from_operation
from ledger_server.cli.content_keys import ContentKeys
from ledger_server.cli.journal_csv import CsvTransaction

BATCH_SIZE_MAX = 1_000
# With names of 255 four-byte characters such a batch stays under the 8 MiB of a message.
_BATCH_ENTRIES_MAX = 4_096
_WAITING_MAX = 2
_DEADLINE_S = 60.0
_ATTEMPTS_MAX = 3
_EPOCH_ORDINAL = 719_163
_DAY_S = 86_400


class RefusedTransaction(Exception):
    """The ledger refused one transaction of the file; the ones before it stay recorded."""

    def __init__(self, transaction: CsvTransaction, refused: Refused) -> None:
        super().__init__(str(refused))
        self.transaction = transaction
        self.refused = refused


@dataclass(slots=True)
class Tally:
    """How many transactions the ledger has answered for."""

    new: int = 0
    replayed: int = 0

    @property
    def total(self) -> int:
        return self.new + self.replayed


@dataclass(frozen=True, slots=True)
class _Batch:
    transactions: Sequence[CsvTransaction]
    request: PostBatchRequest


def post_in_batches(
    client: Client,
    ledger: str,
    transactions: Iterable[CsvTransaction],
    scales: Mapping[str, int],
    *,
    tally: Tally,
    progress: Callable[[int], None],
) -> None:
    """Posts every transaction in order; raises RefusedTransaction at the first that the ledger refuses.

    `tally` is kept up to date also then; `progress` is told the size of each batch
    that is durable.
    """
    waiting: deque[tuple[_Batch, Future[Sequence[OperationResult]]]] = deque()

    def settle() -> None:
        batch, answer = waiting.popleft()
        _count(batch, answer.result(), tally)
        progress(len(batch.transactions))

    with ThreadPoolExecutor(max_workers=1) as sender:
        try:
            for batch in _batches(ledger, transactions, scales):
                waiting.append((batch, sender.submit(_send, client, batch.request)))
                if len(waiting) >= _WAITING_MAX:
                    settle()
            while waiting:
                settle()
        except BaseException:
            sender.shutdown(wait=False, cancel_futures=True)
            raise


def _send(client: Client, request: PostBatchRequest) -> Sequence[OperationResult]:
    """The results of one batch, sent again while an operation in it was refused only for now."""
    for _ in range(_ATTEMPTS_MAX):
        results = client.call(client.ledger.PostBatch, request, deadline_s=_DEADLINE_S).results
        if not any(
            result.HasField("status") and refused_from_operation(result.status).is_transient
            for result in results
        ):
            break
    return results


def _count(batch: _Batch, results: Sequence[OperationResult], tally: Tally) -> None:
    first_refused: RefusedTransaction | None = None
    for transaction, result in zip(batch.transactions, results, strict=True):
        if result.HasField("status") and result.status.code:
            first_refused = first_refused or RefusedTransaction(
                transaction, refused_from_operation(result.status)
            )
        elif result.replayed:
            tally.replayed += 1
        else:
            tally.new += 1
    if first_refused:
        raise first_refused


def _batches(
    ledger: str, transactions: Iterable[CsvTransaction], scales: Mapping[str, int]
) -> Iterator[_Batch]:
    keys = ContentKeys()
    batch: list[CsvTransaction] = []
    operations: list[Operation] = []
    entries = 0
    for transaction in transactions:
        if not transaction.entries:
            continue
        if len(batch) >= BATCH_SIZE_MAX or (
            batch and entries + len(transaction.entries) > _BATCH_ENTRIES_MAX
        ):
            yield _Batch(batch, PostBatchRequest(ledger=ledger, operations=operations))
            batch, operations, entries = [], [], 0
        batch.append(transaction)
        operations.append(_operation(transaction, keys.key(transaction), scales))
        entries += len(transaction.entries)
    if batch:
        yield _Batch(batch, PostBatchRequest(ledger=ledger, operations=operations))


def _operation(transaction: CsvTransaction, key: str, scales: Mapping[str, int]) -> Operation:
    entries: list[EntryDraft] = []
    for entry in transaction.entries:
        units = to_minor_units(entry.amount, scales[entry.commodity])
        entries.append(
            EntryDraft(
                account=entry.account,
                side=SIDE_DEBIT if units > 0 else SIDE_CREDIT,
                amount=str(abs(units)),
                asset=entry.commodity,
            )
        )
    day_start_s = (transaction.date.toordinal() - _EPOCH_ORDINAL) * _DAY_S
    return Operation(
        post=PostOperation(
            idempotency_key=key,
            entries=entries,
            effective_time=Timestamp(seconds=day_start_s),
            description=transaction.description,
        )
    )
