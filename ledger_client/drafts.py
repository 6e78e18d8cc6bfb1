"""What a caller asks to record, and its bytes on the wire."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1.ledger_pb2 import TransactionName
from ledger.v1.ledger_service_pb2 import (
    Operation,
    PostBatchRequest,
    PostOperation,
    PostRequest,
    ReverseOperation,
)

from ledger_client.limits import OPERATION_BYTES_MAX, check_size
from ledger_client.values import Side


class Line(NamedTuple):
    """One line of a transaction; the amount is positive, in the asset's minor units."""

    account: str
    side: Side
    amount: int
    asset: str


def debit(account: str, amount: int, asset: str) -> Line:
    """A line on the left side: 1250 of an asset with scale 2 is 12.50."""
    return Line(account, Side.DEBIT, amount, asset)


def credit(account: str, amount: int, asset: str) -> Line:
    """A line on the right side: 1250 of an asset with scale 2 is 12.50."""
    return Line(account, Side.CREDIT, amount, asset)


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction to post; its lines are equal in debits and credits for each asset.

    Without a key the client makes one. `effective_time` is when it happened in the
    world and needs a time zone; None means when it is recorded.
    """

    lines: Sequence[Line]
    idempotency_key: str = ""
    kind: str = ""
    effective_time: datetime | None = None
    description: str = ""
    metadata: Mapping[str, str] | None = None
    external_ref: str = ""

    def fill(self, message: PostOperation | PostRequest, key: str) -> None:
        """Writes the draft into a message. Raises TypeError for lines or amounts that are none."""
        fill_post(
            message,
            self.lines,
            key,
            self.kind,
            self.effective_time,
            self.description,
            self.metadata,
            self.external_ref,
        )


@dataclass(frozen=True, slots=True)
class ReversalDraft:
    """A transaction to reverse, named by its sequence or by its key; with `force` past balance bounds."""

    transaction: int | str
    idempotency_key: str = ""
    effective_time: datetime | None = None
    description: str = ""
    metadata: Mapping[str, str] | None = None
    force: bool = False

    def fill(self, message: ReverseOperation, key: str) -> None:
        """Writes the draft into a message."""
        message.idempotency_key = key
        message.transaction.CopyFrom(transaction_name(self.transaction))
        if self.effective_time is not None:
            message.effective_time.CopyFrom(timestamp(self.effective_time))
        if self.description:
            message.description = self.description
        if self.metadata:
            message.metadata.update(self.metadata)
        message.force = self.force


DraftT = TypeVar("DraftT", Draft, ReversalDraft, Draft | ReversalDraft)


def post_bytes(
    lines: Sequence[Line],
    key: str,
    kind: str,
    effective_time: datetime | None,
    description: str,
    metadata: Mapping[str, str] | None,
    external_ref: str,
) -> bytes:
    """A post as a PostBatchRequest of this one operation and no ledger: such bytes can be joined.

    Raises TypeError for lines or amounts that are none, BatchTooLarge where it fits into no message.
    """
    request = PostBatchRequest()
    message = request.operations.add().post
    fill_post(message, lines, key, kind, effective_time, description, metadata, external_ref)
    return _sized(request.SerializeToString())


def reversal_bytes(draft: ReversalDraft, key: str) -> bytes:
    """A reversal as a PostBatchRequest of this one operation and no ledger: such bytes can be joined."""
    request = PostBatchRequest()
    draft.fill(request.operations.add().reverse, key)
    return _sized(request.SerializeToString())


def fill_post(
    message: PostOperation | PostRequest,
    lines: Sequence[Line],
    key: str,
    kind: str,
    effective_time: datetime | None,
    description: str,
    metadata: Mapping[str, str] | None,
    external_ref: str,
) -> None:
    """Writes a post into a message. Raises TypeError for lines or amounts that are none."""
    if not isinstance(lines, Sequence):
        raise TypeError(
            f"lines are a list of debit(...) and credit(...), not a {type(lines).__name__};"
            " a Draft goes to post_whole or post_batch"
        )
    message.idempotency_key = key
    add = message.entries.add
    # Field by field, and only those that are given: half the time of keyword arguments.
    for account, side, amount, asset in lines:
        if type(amount) is not int:
            raise TypeError(f"an amount is an int of minor units, not {amount!r}; see ledger_client.decimals")
        entry = add()
        entry.account = account
        entry.side = side  # type: ignore[assignment]
        entry.amount = str(amount)
        entry.asset = asset
    if kind:
        message.kind = kind
    if effective_time is not None:
        message.effective_time.CopyFrom(timestamp(effective_time))
    if description:
        message.description = description
    if metadata:
        message.metadata.update(metadata)
    if external_ref:
        message.external_ref = external_ref


def operations(drafts: Iterable[Draft | ReversalDraft], keys: Iterable[str]) -> list[Operation]:
    """The drafts as operations, each under its own key or else the one that stands for it in `keys`."""
    found = []
    for draft, key in zip(drafts, keys, strict=False):
        operation = Operation()
        checked(draft, Draft, ReversalDraft)
        _fill(operation, draft, draft.idempotency_key.strip() or key)
        found.append(operation)
    return found


def checked(draft: DraftT, *kinds: type[Draft | ReversalDraft]) -> DraftT:
    """The draft; raises TypeError where it is of none of the kinds."""
    if not isinstance(draft, kinds):
        names = " or a ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"what is posted here is a {names}, not a {type(draft).__name__}")
    return draft


def _sized(operation: bytes) -> bytes:
    check_size(len(operation), OPERATION_BYTES_MAX)
    return operation


def _fill(operation: Operation, draft: Draft | ReversalDraft, key: str) -> None:
    if isinstance(draft, Draft):
        draft.fill(operation.post, key)
    else:
        draft.fill(operation.reverse, key)


def transaction_name(name: int | str) -> TransactionName:
    """An int is a sequence, a str an idempotency key."""
    if isinstance(name, int):
        return TransactionName(sequence=name)
    return TransactionName(idempotency_key=name)


def timestamp(moment: datetime) -> Timestamp:
    """A moment on the wire. Raises ValueError where it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; give one, such as datetime.UTC")
    message = Timestamp()
    message.FromDatetime(moment)
    return message
