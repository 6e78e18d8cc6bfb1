"""Posts under a chart: judged by it, and opening the accounts of its families. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ledger_server.domain import chain
from ledger_server.domain.accounts import Account, AccountVersion
from ledger_server.domain.books import Books
from ledger_server.domain.governing import Rules, asset_refusal, kind_refusal, series_of
from ledger_server.domain.refusals import Refusal
from ledger_server.domain.transactions import PostDraft


def judge_by_chart(draft: PostDraft, rules: Rules, books: Books) -> str | Refusal:
    """The series that gives the post its number, empty for none; or why the chart refuses it."""
    refusal = kind_refusal(draft, rules)
    if refusal is not None:
        return refusal
    if rules.families is not None:
        found = books.families
        for line in draft.entries:
            family = found.get(line.account)
            if family is None:
                family = rules.families.of(line.account)
                if family is None:
                    continue
                found[line.account] = family
            if family.assets:
                mismatch = asset_refusal(line, family)
                if mismatch is not None:
                    return mismatch
    return series_of(draft, rules) if rules.is_numbering else ""


def opens(books: Books, name: str) -> bool:
    """Whether a first posting opens the account."""
    family = books.rules.family_of(name) if books.rules is not None else None
    return family is not None and family.opens_on_first_posting


def opening(name: str, books: Books, count: int, record_time: int, created_by: str) -> AccountVersion | None:
    """The account that the next record opens, behind `count` others; None where the chart opens none.

    Its salt and hash are its transaction's: see `put_opened`.
    """
    family = books.rules.family_of(name) if books.rules is not None else None
    if family is None or not family.opens_on_first_posting:
        return None
    account = Account.of(books.next_account_id + count, name, family.type)
    limits = {code: family.limits[code] for code in sorted(family.limits, key=str.encode)}
    return AccountVersion(account, 1, limits, {}, books.head.sequence + 1, record_time, created_by)


def opened_frames(opened: Iterable[AccountVersion]) -> bytes:
    """What the transaction's hash covers of them: in the order in which its entries name them."""
    return chain.frames(
        chain.opened_frame(
            version.account.framed,
            version.account.type,
            [(code, *limit) for code, limit in version.limits.items()],
        )
        for version in opened
    )


def put_opened(
    opened: Iterable[AccountVersion], salt: bytes, record_hash: bytes, books: Books
) -> tuple[AccountVersion, ...]:
    """The accounts as their transaction recorded them, put into the books."""
    versions = tuple(replace(version, salt=salt, hash=record_hash) for version in opened)
    for version in versions:
        books.put(books.accounts, version.account.name, version)
        books.stand_at_zero(version.account.account_id)
    books.next_account_id += len(versions)
    return versions
