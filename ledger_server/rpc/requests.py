"""Wire to domain: every request's form is judged here, all violations at once.

The two-line transaction is the hot path, so checks run first and sentences are
made only when one fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import ledger_pb2 as nouns_pb
from ledger.v1 import ledger_service_pb2 as ledger_pb

from ledger_server.domain import names
from ledger_server.domain.amounts import amount_fault, bound_fault
from ledger_server.domain.members import Role
from ledger_server.domain.reads import BalanceAsk, TransactionFilter
from ledger_server.domain.refusals import Violation, invalid
from ledger_server.domain.transactions import (
    ENTRIES_MAX,
    PRECONDITIONS_MAX,
    AccountVersionCondition,
    BalanceCondition,
    Condition,
    EntryDraft,
    PostDraft,
    ReverseDraft,
    entry_draft,
)
from ledger_server.rpc import limits

_DEBIT = nouns_pb.SIDE_DEBIT
_SIDES = frozenset({nouns_pb.SIDE_DEBIT, nouns_pb.SIDE_CREDIT})
# Years 1 to 9999 (google.protobuf.Timestamp).
_SECONDS_MIN = -62_135_596_800
_SECONDS_MAX = 253_402_300_799
MICROSECONDS_MIN = _SECONDS_MIN * 1_000_000
MICROSECONDS_MAX = _SECONDS_MAX * 1_000_000 + 999_999


class Form:
    """Gathers what is wrong with one request."""

    __slots__ = ("violations",)

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def fault(self, field: str, description: str | None) -> None:
        """Notes a fault, if there is one."""
        if description is not None:
            self.violations.append(Violation(field, description))

    def judge(self) -> None:
        """Raises every fault as one refusal."""
        if self.violations:
            raise invalid(self.violations)

    def ledger(self, name: str, field: str = "ledger") -> str:
        """A ledger's name."""
        self.fault(field, names.path_fault(name))
        return name

    def account(self, name: str, field: str = "account") -> str:
        """An account's name."""
        self.fault(field, names.path_fault(name))
        return name

    def asset(self, code: str, field: str = "asset", *, optional: bool = False) -> str:
        """An asset's code."""
        if code or not optional:
            self.fault(field, names.asset_code_fault(code))
        return code

    def sequence(self, value: int, field: str) -> int:
        """A sequence, 0 for none."""
        if value < 0:
            self.fault(field, f"is {value}; a sequence is not negative")
        return value

    def page_size(self, value: int) -> int:
        """A page's size: 0 means the default, too many means the most."""
        if value < 0:
            self.fault("page_size", f"is {value}; it must not be negative")
        return min(value or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)

    def key(self, key: str, field: str = "idempotency_key") -> str:
        """An idempotency key, trimmed."""
        key = key.strip()
        if key:
            self.fault(field, names.text_fault(key, names.KEY_LENGTH_MAX))
        return key

    def text(self, text: str, field: str, length_max: int = names.TEXT_LENGTH_MAX) -> str:
        """Free text."""
        if text:
            self.fault(field, names.text_fault(text, length_max))
        return text

    def metadata(self, given: Mapping[str, str], field: str = "metadata") -> dict[str, str]:
        """Free key-value pairs."""
        if not given:
            return {}
        # A message holds a million keys: as many as are far too many are counted, not judged.
        if len(given) > names.METADATA_KEYS_MAX:
            self.fault(field, f"has {len(given)} keys; at most {names.METADATA_KEYS_MAX} are allowed")
            return {}
        # Half as long as dict(given).
        metadata = {key: given[key] for key in given}
        for path, fault in names.metadata_faults(metadata):
            self.fault(field + path, fault)
        return metadata

    def time(self, message: Any, field: str) -> int | None:
        """A moment in microseconds, None where none was given; nanoseconds are cut off."""
        if not message.HasField(field):
            return None
        given: Timestamp = getattr(message, field)
        if not (_SECONDS_MIN <= given.seconds <= _SECONDS_MAX and 0 <= given.nanos < 1_000_000_000):
            self.fault(field, "is outside years 1 to 9999, or its nanos are outside 0 to 999,999,999")
            return None
        return given.seconds * 1_000_000 + given.nanos // 1000

    def transaction(self, name: nouns_pb.TransactionName, field: str = "transaction") -> int | str:
        """A transaction's name: its sequence or its key."""
        which = name.WhichOneof("name")
        if which == "sequence":
            if name.sequence <= 0:
                self.fault(f"{field}.sequence", f"is {name.sequence}; it must be positive")
            return name.sequence
        if which == "idempotency_key":
            key = self.key(name.idempotency_key, f"{field}.idempotency_key")
            if not key:
                self.fault(f"{field}.idempotency_key", "must not be empty")
            return key
        self.fault(field, "must be given, by sequence or by idempotency_key")
        return 0

    def entries(self, given: Sequence[nouns_pb.EntryDraft]) -> tuple[EntryDraft, ...]:
        """A transaction's lines: at least two, at most ENTRIES_MAX."""
        if not 2 <= len(given) <= ENTRIES_MAX:
            self.fault("entries", f"has {len(given)}; a transaction has 2 to {ENTRIES_MAX}")
            return ()
        lines: list[EntryDraft] = []
        path_fault, code_fault = names.path_fault, names.asset_code_fault
        for index, entry in enumerate(given):
            account, side, amount, asset = entry.account, entry.side, entry.amount, entry.asset
            if (
                amount_fault(amount) is None
                and side in _SIDES
                and path_fault(account) is None
                and code_fault(asset) is None
            ):
                lines.append(entry_draft((account, side == _DEBIT, int(amount), asset)))
                continue
            field = f"entries[{index}]"
            self.fault(f"{field}.account", path_fault(account))
            if side not in _SIDES:
                self.fault(f"{field}.side", "must be SIDE_DEBIT or SIDE_CREDIT")
            self.fault(f"{field}.amount", amount_fault(amount))
            self.fault(f"{field}.asset", code_fault(asset))
        return tuple(lines)

    def preconditions(self, given: Sequence[ledger_pb.Precondition]) -> tuple[Condition, ...]:
        """What must be so before a post; at most PRECONDITIONS_MAX."""
        if len(given) > PRECONDITIONS_MAX:
            self.fault("preconditions", f"has {len(given)}; at most {PRECONDITIONS_MAX} are allowed")
            return ()
        conditions: list[Condition] = []
        for index, one in enumerate(given):
            which = one.WhichOneof("condition")
            field = f"preconditions[{index}]"
            if which == "account_version":
                conditions.append(self._account_version(one.account_version, f"{field}.{which}"))
            elif which == "balance":
                conditions.append(self._balance(one.balance, f"{field}.{which}"))
            else:
                self.fault(field, "must be given: account_version or balance")
        return tuple(conditions)

    def _account_version(
        self, given: ledger_pb.AccountVersionCondition, field: str
    ) -> AccountVersionCondition:
        if given.version < 1:
            self.fault(f"{field}.version", f"is {given.version}; a version is positive")
        return AccountVersionCondition(self.account(given.account, f"{field}.account"), given.version)

    def _balance(self, given: ledger_pb.BalanceCondition, field: str) -> BalanceCondition:
        account = self.account(given.account, f"{field}.account")
        asset = self.asset(given.asset, f"{field}.asset")
        low = self.bound(given.min, f"{field}.min") if given.HasField("min") else None
        high = self.bound(given.max, f"{field}.max") if given.HasField("max") else None
        if not given.HasField("min") and not given.HasField("max"):
            self.fault(field, "must give min, max or both")
        elif low is not None and high is not None and low > high:
            self.fault(field, f"min {low} is above max {high}")
        return BalanceCondition(account, asset, low, high)

    def bound(self, text: str, field: str) -> int | None:
        """A bound on a balance; None where it is none."""
        fault = bound_fault(text)
        self.fault(field, fault)
        return None if fault is not None else int(text)


def post_draft(
    request: ledger_pb.PostRequest | ledger_pb.PostOperation,
    created_by: str,
    form: Form,
    roles: frozenset[Role] | None = None,
) -> PostDraft:
    """A Post's draft, of a caller with these roles; None has every one. Raises InvalidRequest."""
    entries = form.entries(request.entries)
    key, kind = request.idempotency_key, request.kind
    description, external_ref = request.description, request.external_ref
    conditions = request.preconditions
    # The hot path: what is empty is not looked at.
    if key:
        key = form.key(key)
    if kind:
        form.text(kind, "kind", names.KIND_LENGTH_MAX)
    if description:
        form.text(description, "description")
    if external_ref:
        form.text(external_ref, "external_ref")
    effective_time = form.time(request, "effective_time") if request.HasField("effective_time") else None
    metadata = form.metadata(request.metadata)
    preconditions = form.preconditions(conditions) if conditions else ()
    if form.violations:
        form.judge()
    is_trial = isinstance(request, ledger_pb.PostRequest) and request.validate_only
    content = (entries, key, kind, effective_time, description, metadata, external_ref)
    return PostDraft(*content, created_by, is_trial, preconditions, roles=roles)


def reverse_draft(
    request: ledger_pb.ReverseRequest | ledger_pb.ReverseOperation, created_by: str, form: Form
) -> ReverseDraft:
    """A Reverse's draft. Raises InvalidRequest."""
    origin, key = form.transaction(request.transaction), form.key(request.idempotency_key)
    effective_time = form.time(request, "effective_time")
    description, metadata = form.text(request.description, "description"), form.metadata(request.metadata)
    form.judge()
    return ReverseDraft(origin, key, effective_time, description, metadata, created_by, request.force)


def balance_asks(asked: Sequence[ledger_pb.BalanceName], at_sequence: int, form: Form) -> list[BalanceAsk]:
    """The balances a batch asks for."""
    if not 1 <= len(asked) <= limits.BALANCES_PER_BATCH_MAX:
        form.fault("names", f"has {len(asked)}; 1 to {limits.BALANCES_PER_BATCH_MAX} are allowed")
        return []
    return [
        BalanceAsk(
            form.account(name.account, f"names[{index}].account"),
            form.asset(name.asset, f"names[{index}].asset", optional=True),
            at_sequence,
        )
        for index, name in enumerate(asked)
    ]


def transaction_filter(given: ledger_pb.TransactionFilter, form: Form) -> TransactionFilter:
    """Which transactions a list shows."""
    prefix = "filter."
    if given.account and given.account_prefix:
        form.fault(f"{prefix}account_prefix", "excludes account; give one of them")
    if given.account:
        form.account(given.account, f"{prefix}account")
    if given.account_prefix:
        form.account(given.account_prefix, f"{prefix}account_prefix")
    times = {}
    for name in ("effective_time_from", "effective_time_until", "record_time_from", "record_time_until"):
        inner = Form()
        times[name] = inner.time(given, name)
        form.violations += [Violation(prefix + one.field, one.description) for one in inner.violations]
    return TransactionFilter(
        account=given.account or None,
        account_prefix=given.account_prefix or None,
        kind=form.text(given.kind, f"{prefix}kind", names.KIND_LENGTH_MAX) or None,
        external_ref=form.text(given.external_ref, f"{prefix}external_ref") or None,
        metadata=form.metadata(given.metadata, f"{prefix}metadata") or None,
        reversals=given.reversals if given.HasField("reversals") else None,
        **times,
    )


def is_newest_first(order: int, form: Form) -> bool:
    """A list's order; newest first unless said otherwise."""
    if order not in nouns_pb.Order.values():
        form.fault("order", f"{order} is not an Order")
    return order != nouns_pb.ORDER_OLDEST_FIRST
