"""Batches: well-formed and malformed operations side by side, and the size of the answer."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns_pb
from ledger.v1 import ledger_service_pb2 as pb

from ledger_server.domain.accounts import AccountDraft, AccountVersion
from ledger_server.domain.callers import Caller
from ledger_server.domain.charts import SERIES_NAME_LENGTH_MAX
from ledger_server.domain.decisions import Decision, Draft
from ledger_server.domain.names import ASSET_CODE_LENGTH_MAX, METADATA_BYTES_MAX, NAME_LENGTH_MAX
from ledger_server.domain.permissions import Access, Permission
from ledger_server.domain.posting import refuse_all
from ledger_server.domain.refusals import BatchTooLarge, NotFound, Refusal
from ledger_server.domain.templates import PATTERNS_MAX
from ledger_server.domain.transactions import ENTRIES_MAX, PostDraft, ReverseDraft, Transaction
from ledger_server.rpc import limits, responses
from ledger_server.rpc.confiding import confided
from ledger_server.rpc.status import short_status, status
from ledger_server.service.ledger import Ledgers

# What a whole transaction adds to its request's bytes: times, hash, sequence,
# created_by; and to each entry: its running balance.
_TRANSACTION_BYTES = 256
_ENTRY_BYTES = 48
# What a number adds: its series has a name and an account prefix.
_NUMBER_BYTES = 4 * (SERIES_NAME_LENGTH_MAX + 1 + NAME_LENGTH_MAX) + 16
# An entry that a template makes: an account's name and an asset's code of four bytes a
# character, an amount, a side.
_MADE_ENTRY_BYTES = 4 * (NAME_LENGTH_MAX + ASSET_CODE_LENGTH_MAX) + 64
# What an account adds to its draft's bytes: times, hash, sequence, created_by.
_ACCOUNT_BYTES = 200
# Tags and lengths around a status in its result in its answer.
_FRAME_BYTES = 8


def room_for_details(
    ledgers: Ledgers, request: pb.PostBatchRequest, drafts: Sequence[Draft | Refusal], *, is_full: bool
) -> int:
    """The bytes of the answer that refusals may fill beyond RESULT_BYTES_MAX each.

    Refuses, before anything is decided, a batch whose answer could be too large for a plain client.
    """
    count = len(request.operations)
    size_bytes = count * limits.RESULT_BYTES_MAX
    if is_full:
        size_bytes += request.ByteSize() + count * (_TRANSACTION_BYTES + len(request.ledger.encode()))
        _check(size_bytes)
        size_bytes += _entries_bytes(ledgers, request, drafts)
        size_bytes += _series_bytes(ledgers, request.ledger, count, size_bytes)
    _check(size_bytes)
    return limits.ANSWER_BYTES_MAX - size_bytes


def check_accounts(request: accounts_pb.BatchCreateAccountsRequest) -> None:
    """Refuses, before anything is decided, accounts whose answer could be too large for a plain client."""
    _check(request.ByteSize() + len(request.accounts) * _ACCOUNT_BYTES)


def check_balances(
    answer: pb.GetBalanceResponse | pb.BatchGetBalancesResponse | pb.GetAggregateBalanceResponse,
) -> None:
    """Refuses an answer that is too large for a plain client."""
    size_bytes = answer.ByteSize()
    if size_bytes > limits.ANSWER_BYTES_MAX:
        raise _too_large(size_bytes, "ask for fewer balances, or for named assets")


def _check(size_bytes: int) -> None:
    if size_bytes > limits.ANSWER_BYTES_MAX:
        raise _too_large(size_bytes, "split the batch, or ask for BATCH_VIEW_BASIC")


def _too_large(size_bytes: int, what_to_do: str) -> BatchTooLarge:
    return BatchTooLarge(
        f"the answer could need {size_bytes} bytes; at most {limits.ANSWER_BYTES_MAX} are allowed:"
        f" {what_to_do}",
        answer_bytes=size_bytes,
        answer_bytes_max=limits.ANSWER_BYTES_MAX,
    )


def _entries_bytes(ledgers: Ledgers, request: pb.PostBatchRequest, drafts: Sequence[Draft | Refusal]) -> int:
    """What entries add to whole transactions; a reversal has its origin's, of this batch or recorded."""
    size_bytes = 0
    by_key: dict[str, int] = {}
    for operation in request.operations:
        if operation.HasField("post"):
            post = operation.post
            added = len(post.entries) * _ENTRY_BYTES
            if post.HasField("template"):
                added += _made_bytes(post.template)
            size_bytes += added
            if key := post.idempotency_key.strip():
                by_key[key] = max(by_key.get(key, 0), post.ByteSize() + added)
    origins: dict[int | str, int] = {}
    for draft in drafts:
        # Only of what is well-formed: any other name is refused in its place, and may be none to look up.
        if not isinstance(draft, ReverseDraft):
            continue
        name = draft.origin
        if name not in origins:
            posted_here = by_key.get(name, 0) if isinstance(name, str) else 0
            origins[name] = max(posted_here, _recorded_bytes(ledgers, request.ledger, draft))
        size_bytes += origins[name]
        if size_bytes > limits.ANSWER_BYTES_MAX:
            break
    return size_bytes


def _series_bytes(ledgers: Ledgers, ledger: str, count: int, size_bytes: int) -> int:
    """What numbers could add, where that could be too much and the ledger's chart gives any."""
    could_need = count * _NUMBER_BYTES
    if size_bytes + could_need <= limits.ANSWER_BYTES_MAX:
        return 0
    try:
        return could_need if ledgers.reads.is_numbering(ledger) else 0
    except NotFound:
        return 0


def _made_bytes(template: nouns_pb.TemplateUse) -> int:
    """What a template could add at the most: what it makes is known in the lane only."""
    entries = min(PATTERNS_MAX * (1 + len(template.items)), ENTRIES_MAX)
    return entries * (_MADE_ENTRY_BYTES + _ENTRY_BYTES) + METADATA_BYTES_MAX


def _recorded_bytes(ledgers: Ledgers, ledger: str, draft: ReverseDraft) -> int:
    try:
        recorded, _ = ledgers.reads.transaction(ledger, draft.origin)
    except NotFound:
        return 0
    # What is out of reach has no size either.
    return responses.transaction(ledger, recorded).ByteSize() if recorded.is_within(draft.within) else 0


def decide(
    ledgers: Ledgers, ledger: str, drafts: Sequence[Draft | Refusal], caller: Caller, *, atomic: bool
) -> list[Decision]:
    """One decision for each operation, in order; a malformed one is refused in its place."""
    sound = [draft for draft in drafts if not isinstance(draft, Refusal)]
    if atomic and len(sound) < len(drafts):
        culprit, refusal = next((at, draft) for at, draft in enumerate(drafts) if isinstance(draft, Refusal))
        return refuse_all(len(drafts), culprit, refusal)
    told = any(_is_told(draft) for draft in sound if not isinstance(draft, PostDraft))
    audited = caller if told else None
    decided = ledgers.decide(ledger, sound, atomic=atomic, caller=audited) if sound else []
    if len(sound) == len(drafts):
        return decided
    in_order = iter(decided)
    return [draft if isinstance(draft, Refusal) else next(in_order) for draft in drafts]


def _is_told(draft: Draft) -> bool:
    """Whether the audit tells of it: of accounts opened and reversals with force."""
    return (isinstance(draft, ReverseDraft) and draft.force) or isinstance(draft, AccountDraft)


def response(
    by: Access, ledger: str, decisions: Sequence[Decision], *, is_full: bool, room: int
) -> pb.PostBatchResponse:
    """Each operation's result. Refusals keep their details while there is room, then only their reason."""
    answer = pb.PostBatchResponse()
    add = answer.results.add
    shows_balances = by.allows(Permission.READ)
    for decision in decisions:
        if not isinstance(decision, Refusal):
            recorded, replayed = decision
            assert isinstance(recorded, (Transaction, AccountVersion))
            # Made in its place: one that is added later is copied.
            result = add(sequence=recorded.sequence, hash=recorded.hash, replayed=replayed)
            if is_full:
                _show(result, ledger, recorded, with_balances=shows_balances)
            continue
        refusal = confided(by, decision)
        told = status(refusal)
        beyond = told.ByteSize() + _FRAME_BYTES - limits.RESULT_BYTES_MAX
        if beyond > room:
            told = short_status(refusal)
        elif beyond > 0:
            room -= beyond
        add().status.ParseFromString(told.SerializeToString())
    return answer


def _show(
    result: pb.OperationResult, ledger: str, recorded: Transaction | AccountVersion, *, with_balances: bool
) -> None:
    """Puts the whole record beside its sequence."""
    if isinstance(recorded, AccountVersion):
        result.account.CopyFrom(responses.account(recorded))
    else:
        result.transaction.CopyFrom(responses.transaction(ledger, recorded, with_balances=with_balances))
