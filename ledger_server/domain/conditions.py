"""Conditions of a post: what must be so in the books before it, whatever the post itself is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger_server.domain.accounts import AccountVersion
from ledger_server.domain.amounts import decimal_text
from ledger_server.domain.books import Books
from ledger_server.domain.refusals import AssetNotFound, PreconditionFailed, Refusal, account_not_found
from ledger_server.domain.transactions import AccountVersionCondition, BalanceCondition, Condition


def condition_refusal(preconditions: Sequence[Condition], books: Books) -> Refusal | None:
    """The first condition that does not hold, or that names what is not there."""
    for index, condition in enumerate(preconditions):
        version = books.accounts[condition.account]
        if isinstance(condition, BalanceCondition):
            refusal = _balance_refusal(index, condition, version, books)
        elif version is None:
            refusal = account_not_found(books.ledger, condition.account)
        else:
            refusal = _version_refusal(index, condition, version, books)
        if refusal is not None:
            return refusal
    return None


def _version_refusal(
    index: int, condition: AccountVersionCondition, standing: AccountVersion, books: Books
) -> Refusal | None:
    if standing.version == condition.version:
        return None
    return PreconditionFailed(
        f"account {condition.account!r} is at version {standing.version}, not {condition.version}",
        precondition=index,
        account=condition.account,
        version=standing.version,
        expected_version=condition.version,
        sequence=books.head.sequence,
    )


def _balance_refusal(
    index: int, condition: BalanceCondition, standing: AccountVersion | None, books: Books
) -> Refusal | None:
    """Judges a balance; an account of the chart's families that nobody opened yet has 0, as in GetBalance."""
    if standing is None and (books.rules is None or books.rules.family_of(condition.account) is None):
        return account_not_found(books.ledger, condition.account)
    asset = books.assets[condition.asset]
    if asset is None:
        return AssetNotFound(
            f"no asset {condition.asset!r} in ledger {books.ledger!r}; create it first", asset=condition.asset
        )
    balance = 0
    if standing is not None:
        balance = books.balances[standing.account.account_id, asset.asset_id] * standing.account.sign
    is_below = condition.low is not None and balance < condition.low
    is_above = condition.high is not None and balance > condition.high
    if not is_below and not is_above:
        return None
    bounds = {"min": condition.low, "max": condition.high}
    given: dict[str, Any] = {name: bound for name, bound in bounds.items() if bound is not None}
    wanted = " and ".join(
        f"{'at least' if name == 'min' else 'at most'} {decimal_text(bound, asset.scale)}"
        for name, bound in given.items()
    )
    return PreconditionFailed(
        f"account {condition.account!r} has {decimal_text(balance, asset.scale)} {asset.code},"
        f" and not {wanted}",
        precondition=index,
        account=condition.account,
        asset=asset.code,
        balance=balance,
        sequence=books.head.sequence,
        **given,
    )
