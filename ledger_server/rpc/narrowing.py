"""Narrowed memberships: what lies outside the caller's accounts is as if it were not there.

A name that is not covered is answered as a name that does not exist, in the same words;
what would show more than the covered accounts is refused with MEMBERSHIP_NARROWED, which
tells nothing but the caller's own prefixes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from ledger_server.domain.accounts import AccountDraft
from ledger_server.domain.names import is_at_or_below
from ledger_server.domain.permissions import EVERYTHING, Access, Permission
from ledger_server.domain.refusals import (
    AccountNotFound,
    MembershipNarrowed,
    NotPermitted,
    Refusal,
    account_not_found,
)
from ledger_server.domain.transactions import (
    BalanceCondition,
    PostDraft,
    ReverseDraft,
    TemplateDraft,
    Transaction,
)
from ledger_server.rpc.authorising import role_required

_OPENING_OUTSIDE = "an account to open lies outside"


def refuse_uncovered(access: Access, ledger: str, accounts: Iterable[str]) -> None:
    """Raises AccountNotFound, as a read would for a name that is not there."""
    if access.is_narrowed:
        for account in accounts:
            if not access.covers(account):
                raise AccountNotFound(f"no account {account!r} in ledger {ledger!r}", account=account)


def refuse_whole(access: Access, what: str) -> None:
    """Raises MembershipNarrowed for what is of the whole ledger."""
    if access.is_narrowed:
        raise _narrowed(access, f"{what} is of the whole ledger")


def refuse_opening(access: Access, accounts: Iterable[str]) -> None:
    """Raises MembershipNarrowed for an account that is to be opened elsewhere."""
    if access.is_narrowed and not all(access.covers(account) for account in accounts):
        raise _narrowed(access, _OPENING_OUTSIDE)


def refuse_listing(access: Access, account: str | None, prefix: str | None) -> None:
    """Raises MembershipNarrowed for a list that is not of covered accounts only."""
    if not access.is_narrowed:
        return
    if account is not None:
        is_covered = access.covers(account)
    else:
        is_covered = bool(prefix) and access.covers_all_below(prefix or "")
    if not is_covered:
        raise _narrowed(access, "a list must name an account or a prefix that is covered")


# What an operation of a batch asks for.
OperationDraft: TypeAlias = PostDraft | TemplateDraft | ReverseDraft | AccountDraft
DraftT = TypeVar("DraftT", PostDraft | TemplateDraft, ReverseDraft)


def allowed(access: Access, ledger: str, draft: DraftT) -> DraftT:
    """The draft as it may be submitted. Raises refusals."""
    if access is EVERYTHING:
        return draft
    judged = allowed_draft(access, ledger, draft)
    if isinstance(judged, Refusal):
        raise judged
    return judged  # type: ignore[return-value]


def allowed_draft(access: Access, ledger: str, draft: OperationDraft) -> OperationDraft | Refusal:
    """The draft as it may be submitted, or why it may not."""
    if isinstance(draft, AccountDraft):
        if not access.allows(Permission.KEEP_CHART):
            return role_required(Permission.KEEP_CHART)
        is_outside = access.is_narrowed and not access.covers(draft.name)
        return _narrowed(access, _OPENING_OUTSIDE) if is_outside else draft
    if isinstance(draft, PostDraft | TemplateDraft):
        if not access.allows(Permission.POST):
            return role_required(Permission.POST)
        if draft.roles is None:
            # Without any it would be everybody's.
            draft = replace(draft, roles=access.roles)
        entries = draft.entries if isinstance(draft, PostDraft) else ()
        for named in (*draft.preconditions, *entries) if access.is_narrowed else ():
            if not access.covers(named.account):
                return account_not_found(ledger, named.account)
        if not access.allows(Permission.READ) and any(
            # Whether it holds tells of the balance, and who asks often enough knows it.
            isinstance(condition, BalanceCondition)
            for condition in draft.preconditions
        ):
            return role_required(Permission.READ)
        if isinstance(draft, TemplateDraft) and access.is_narrowed:
            # What it names is known in the lane only.
            return replace(draft, within=access.account_prefixes)
        return draft
    needed = Permission.FORCE_REVERSE if draft.force else Permission.REVERSE
    if not access.allows(needed):
        return role_required(needed)
    return replace(draft, within=access.account_prefixes) if access.is_narrowed else draft


def allowed_drafts(
    access: Access, ledger: str, drafts: Sequence[OperationDraft | Refusal]
) -> Sequence[OperationDraft | Refusal]:
    """A batch's drafts, a refusal in the place of each that may not be submitted."""
    if access is EVERYTHING:
        return drafts
    return [draft if isinstance(draft, Refusal) else allowed_draft(access, ledger, draft) for draft in drafts]


def first_denied(access: Access, judged: Sequence[object]) -> NotPermitted | None:
    """The refusal of the first of a batch's operations that the caller has no permission for."""
    if access is EVERYTHING:
        return None
    return next((one for one in judged if isinstance(one, NotPermitted)), None)


def shown(access: Access, recorded: Transaction) -> Transaction | None:
    """A transaction as the caller may see it: with covered entries only; None where there is none."""
    if not access.is_narrowed:
        return recorded
    entries = tuple(entry for entry in recorded.entries if access.covers(entry.account.name))
    if not entries:
        return None
    used = recorded.template
    if used is not None and len(entries) < len(recorded.entries):
        # What it was given is of the other entries too.
        used = used._replace(parameters=None)
    recorded = recorded._replace(entries=entries, template=used)
    _, _, prefix = recorded.series.partition(":")
    if prefix and not _is_near(access, prefix):
        return recorded._replace(series="", number=0)
    return recorded


def _is_near(access: Access, prefix: str) -> bool:
    """Whether a path is covered, or lies above what is."""
    return access.covers(prefix) or any(is_at_or_below(own, prefix) for own in access.account_prefixes)


def _narrowed(access: Access, why: str) -> MembershipNarrowed:
    prefixes = ", ".join(access.account_prefixes)
    return MembershipNarrowed(
        f"{why}, and the caller's membership is narrowed to {prefixes}",
        account_prefixes=",".join(access.account_prefixes),
    )
