"""Deciding what changes accounts that stand: their limits and metadata, and whether they may be posted to.

    open ◄──► frozen        nothing is posted to what is frozen, not even with force
      │          │
      └──► closed ◄──┘      from zero in every asset, and for good

A change is the account's next version, a record as the opening is. What would change
nothing is answered with the version that stands, whichever version it names: so a
change that is sent again is a replay. The version guards all others: two accountants
who change the same account do not undo each other unseen. A new limit may lie where
the balance has passed it already; it refuses only what leads further away.
"""

from __future__ import annotations

from ledger_server.domain import chain
from ledger_server.domain.accounts import AccountChangeDraft, AccountStatus, AccountVersion
from ledger_server.domain.amounts import decimal_text
from ledger_server.domain.books import Books
from ledger_server.domain.decisions import Decision, Moment, Recorded
from ledger_server.domain.governing import limits_refusal
from ledger_server.domain.opening import record_version
from ledger_server.domain.refusals import (
    AccountClosed,
    AccountFrozen,
    AccountNotEmpty,
    AccountNotFound,
    AssetNotFound,
    Refusal,
    VersionMismatch,
)


def decide_change(draft: AccountChangeDraft, books: Books, moment: Moment) -> Decision:
    """Records the account's next version, or answers the one that stands where it is so already."""
    standing = books.accounts[draft.name]
    if standing is None:
        return AccountNotFound(f"no account {draft.name!r} in ledger {books.ledger!r}", account=draft.name)
    if not _changes(draft, standing):
        return Recorded(standing, True)
    refusal = _refusal(draft, standing, books)
    if refusal is not None:
        return refusal
    if standing.version == 1:
        books.put(books.openings, draft.name, standing)
    # Of what was redacted nothing is left to go on with.
    metadata = (standing.metadata or {}) if draft.metadata is None else draft.metadata
    changed = record_version(
        books,
        moment,
        standing.account,
        standing.version + 1,
        standing.limits if draft.limits is None else draft.limits,
        metadata,
        draft.created_by,
        draft.status or standing.status,
    )
    return Recorded(changed, False)


def shut_refusal(version: AccountVersion) -> Refusal:
    """Why nothing may be posted to an account that is frozen or closed."""
    if version.status is AccountStatus.CLOSED:
        return _closed(version)
    return AccountFrozen(
        f"account {version.account.name!r} is frozen; have an accountant unfreeze it, or post elsewhere",
        account=version.account.name,
        version=version.version,
        sequence=version.sequence,
    )


def _changes(draft: AccountChangeDraft, standing: AccountVersion) -> bool:
    """Whether anything would be otherwise."""
    if draft.status is not None and draft.status is not standing.status:
        return True
    if draft.limits is not None and dict(draft.limits) != dict(standing.limits):
        return True
    if draft.metadata is None:
        return False
    if standing.metadata is None:
        return chain.details_digest(standing.salt, "", draft.metadata, "") != standing.details_digest
    return dict(draft.metadata) != dict(standing.metadata)


def _refusal(draft: AccountChangeDraft, standing: AccountVersion, books: Books) -> Refusal | None:
    """Why the account may not be changed so: closed, then the version, the chart, what is asked."""
    if standing.status is AccountStatus.CLOSED:
        return _closed(standing)
    if draft.version not in (0, standing.version):
        return VersionMismatch(
            f"account {draft.name!r} is at version {standing.version}, not {draft.version};"
            " look at it again, then ask for the change that is still wanted",
            account=draft.name,
            version=standing.version,
        )
    if draft.limits and books.rules is not None:
        refusal = limits_refusal("limits", draft.name, draft.limits, books.rules)
        if refusal is not None:
            return refusal
    for code in draft.limits or ():
        if books.assets[code] is None:
            return AssetNotFound(f"no asset {code!r} in ledger {books.ledger!r}; create it first", asset=code)
    if draft.status is AccountStatus.CLOSED:
        return _balance_refusal(standing, books)
    return None


def _balance_refusal(standing: AccountVersion, books: Books) -> Refusal | None:
    """What is left in an account that is to be closed: the first asset of it in bytewise order."""
    account = standing.account
    assets = [asset for asset in books.assets.values() if asset is not None]
    for asset in sorted(assets, key=lambda one: one.code.encode()):
        balance = books.balances[account.account_id, asset.asset_id] * account.sign
        if balance:
            return AccountNotEmpty(
                f"account {account.name!r} holds {decimal_text(balance, asset.scale)} {asset.code};"
                " post that elsewhere before it is closed",
                account=account.name,
                asset=asset.code,
                balance=balance,
                sequence=books.head.sequence,
            )
    return None


def _closed(version: AccountVersion) -> AccountClosed:
    return AccountClosed(
        f"account {version.account.name!r} was closed for good; open another one",
        account=version.account.name,
        version=version.version,
        sequence=version.sequence,
    )
