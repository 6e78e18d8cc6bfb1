"""Wire to domain: accounts to open and to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns_pb

from ledger_server.domain.accounts import (
    NORMAL_SIGN,
    AccountChangeDraft,
    AccountDraft,
    AccountStatus,
    AccountType,
    Limit,
)
from ledger_server.rpc import limits
from ledger_server.rpc.requests import Form

StatusRequest: TypeAlias = (
    accounts_pb.FreezeAccountRequest | accounts_pb.UnfreezeAccountRequest | accounts_pb.CloseAccountRequest
)
# What update_mask may name.
_PARTS = frozenset({"limits", "metadata"})


def account_draft(
    given: accounts_pb.AccountDraft, created_by: str, form: Form, prefix: str = ""
) -> AccountDraft | None:
    """An account's draft, its fields told behind the prefix; None where the form has faults."""
    before = len(form.violations)
    form.account(given.name, f"{prefix}name")
    if int(given.type) not in NORMAL_SIGN:
        form.fault(f"{prefix}type", "must be one of ASSET, LIABILITY, EQUITY, REVENUE, EXPENSE")
    bounds = _limits(given.limits, form, f"{prefix}limits", is_of_an_opening=True)
    metadata = form.metadata(given.metadata, f"{prefix}metadata")
    if len(form.violations) > before:
        return None
    return AccountDraft(given.name, AccountType(given.type), bounds, metadata, created_by)


def update_draft(
    request: accounts_pb.UpdateAccountRequest, created_by: str, form: Form
) -> AccountChangeDraft:
    """What UpdateAccount asks for. Raises InvalidRequest."""
    name = form.account(request.name, "name")
    if request.version < 1:
        form.fault("version", f"is {request.version}; give the version of the account that is to be changed")
    paths = list(request.update_mask.paths[: len(_PARTS) + 1])
    if not paths or len(set(paths)) < len(paths) or not _PARTS.issuperset(paths):
        form.fault("update_mask", f"must name parts to replace, each once: {' or '.join(sorted(_PARTS))}")
    for part, given in (("limits", request.limits), ("metadata", request.metadata)):
        if given and part not in paths:
            form.fault(part, "is given, and update_mask does not name it")
    bounds = _limits(request.limits, form, "limits", is_of_an_opening=False)
    metadata = form.metadata(request.metadata)
    form.judge()
    return AccountChangeDraft(
        name,
        request.version,
        created_by,
        bounds if "limits" in paths else None,
        metadata if "metadata" in paths else None,
    )


def status_draft(
    request: StatusRequest, status: AccountStatus, created_by: str, form: Form
) -> AccountChangeDraft:
    """What freezes, unfreezes or closes an account. Raises InvalidRequest."""
    name = form.account(request.name, "name")
    if request.version < 0:
        form.fault("version", f"is {request.version}; a version is not negative")
    form.judge()
    return AccountChangeDraft(name, request.version, created_by, status=status)


def _limits(
    given: Sequence[nouns_pb.BalanceLimit], form: Form, field: str, *, is_of_an_opening: bool
) -> dict[str, Limit]:
    """Limits by asset code; none where there are too many to judge."""
    if len(given) > limits.LIMITS_PER_ACCOUNT_MAX:
        form.fault(field, f"has {len(given)}; at most {limits.LIMITS_PER_ACCOUNT_MAX} are allowed")
        return {}
    bounds: dict[str, Limit] = {}
    for index, limit in enumerate(given):
        balance_limit(limit, bounds, form, f"{field}[{index}]", is_of_an_opening=is_of_an_opening)
    return bounds


def balance_limit(
    given: nouns_pb.BalanceLimit,
    bounds: dict[str, Limit],
    form: Form,
    field: str,
    *,
    is_of_an_opening: bool = True,
) -> None:
    """Adds the limit in one asset to the bounds of an account."""
    form.asset(given.asset, f"{field}.asset")
    if given.asset in bounds:
        form.fault(f"{field}.asset", f"{given.asset!r} has a limit already")
    low = form.bound(given.balance_min, f"{field}.balance_min") if given.HasField("balance_min") else None
    high = form.bound(given.balance_max, f"{field}.balance_max") if given.HasField("balance_max") else None
    if not given.HasField("balance_min") and not given.HasField("balance_max"):
        form.fault(field, "must give balance_min, balance_max or both")
    elif low is not None and high is not None and low > high:
        form.fault(field, f"balance_min {low} is above balance_max {high}")
    elif is_of_an_opening and ((low or 0) > 0 or (high or 0) < 0):
        form.fault(field, "excludes zero, where a new account stands")
    bounds[given.asset] = Limit(low, high)
