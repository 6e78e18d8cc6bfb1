"""Deciding what opens accounts and creates assets; their names are their idempotency keys."""

from __future__ import annotations

from ledger_server.domain import chain
from ledger_server.domain.accounts import (
    Account,
    AccountDraft,
    AccountVersion,
    Asset,
    AssetDraft,
    AssetRecord,
    Head,
)
from ledger_server.domain.books import Books
from ledger_server.domain.content import account_differences
from ledger_server.domain.decisions import Decision, Moment, Recorded
from ledger_server.domain.governing import account_refusal
from ledger_server.domain.refusals import (
    AccountAlreadyExists,
    AssetAlreadyExists,
    AssetNotFound,
    ValidationFailed,
    Violation,
)


def decide_account(draft: AccountDraft, books: Books, moment: Moment) -> Decision:
    """Opens an account, or answers the one that stands under its name."""
    existing = books.accounts[draft.name]
    if existing is not None:
        differing = account_differences(draft, existing)
        if not differing:
            return Recorded(existing, True)
        return AccountAlreadyExists(
            f"account {draft.name!r} exists with another {', '.join(differing)}",
            account=draft.name,
            differing_fields=",".join(differing),
            sequence=existing.sequence,
        )
    refusal = account_refusal(draft, books.rules) if books.rules is not None else None
    if refusal is not None:
        return refusal
    for code, limit in draft.limits.items():
        if books.assets[code] is None:
            return AssetNotFound(f"no asset {code!r} in ledger {books.ledger!r}; create it first", asset=code)
        if (limit.balance_min or 0) > 0 or (limit.balance_max or 0) < 0:
            fault = "excludes zero, where a new account stands"
            return ValidationFailed(
                f"the limit of {draft.name!r} in {code} {fault}",
                violations=(Violation("account.limits", f"the limit in {code} {fault}"),),
            )
    sequence = books.head.sequence + 1
    salt = moment.salt()
    account = Account.of(books.next_account_id, draft.name, draft.type)
    limits = {code: draft.limits[code] for code in sorted(draft.limits, key=str.encode)}
    record_hash = chain.record_hash(
        books.framed,
        sequence,
        books.head.hash,
        chain.account_canonical(
            moment.record_time,
            draft.created_by,
            account.framed,
            draft.type,
            1,
            [(code, limit.balance_min, limit.balance_max) for code, limit in limits.items()],
            chain.details_digest(salt, "", draft.metadata, ""),
        ),
    )
    opened = AccountVersion(
        account, 1, limits, draft.metadata, sequence, moment.record_time, draft.created_by, salt, record_hash
    )
    books.put(books.accounts, draft.name, opened)
    for asset in books.assets.values():
        if asset is not None:
            books.put(books.balances, (account.account_id, asset.asset_id), 0)
    books.next_account_id += 1
    books.head = Head(sequence, record_hash, moment.record_time, books.head.epoch)
    return Recorded(opened, False)


def decide_asset(draft: AssetDraft, books: Books, moment: Moment) -> Decision:
    """Creates an asset, or answers the one that stands under its code."""
    existing = books.assets[draft.code]
    if existing is not None:
        if existing.scale == draft.scale:
            return Recorded(books.asset_records[draft.code], True)
        return AssetAlreadyExists(
            f"asset {draft.code!r} exists with scale {existing.scale}; a scale never changes",
            asset=draft.code,
            scale=existing.scale,
            differing_fields="scale",
        )
    sequence = books.head.sequence + 1
    asset = Asset.of(books.next_asset_id, draft.code, draft.scale)
    record_hash = chain.record_hash(
        books.framed,
        sequence,
        books.head.hash,
        chain.asset_canonical(moment.record_time, draft.created_by, asset.framed, draft.scale),
    )
    created = AssetRecord(asset, sequence, moment.record_time, draft.created_by, record_hash)
    books.put(books.assets, draft.code, asset)
    books.put(books.asset_records, draft.code, created)
    for version in books.accounts.values():
        if version is not None:
            books.put(books.balances, (version.account.account_id, asset.asset_id), 0)
    books.next_asset_id += 1
    books.head = Head(sequence, record_hash, moment.record_time, books.head.epoch)
    return Recorded(created, False)
