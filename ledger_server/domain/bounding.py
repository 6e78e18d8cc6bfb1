"""Bounds: whether a transaction's net effect on an account's balance is allowed."""

from __future__ import annotations

from ledger_server.domain.accounts import AccountVersion
from ledger_server.domain.amounts import decimal_text
from ledger_server.domain.books import Books
from ledger_server.domain.refusals import BalanceLimitExceeded, InsufficientFunds, Refusal
from ledger_server.domain.transactions import Entry


def bound_refusal(books: Books, version: AccountVersion, entry: Entry, balance_after: int) -> Refusal | None:
    """Judges the net effect on an entry's account, in the entry's asset, against the account's bounds.

    Only a move toward a bound can be refused: what improves an account never is.
    """
    asset = entry.asset
    limit = version.limits.get(asset.code)
    if limit is None:
        return None
    account = version.account
    # An account that this transaction opens stands at zero.
    before = books.balances.get((account.account_id, asset.asset_id), 0) * account.sign
    after = balance_after * account.sign
    # Facts are in minor units, for machines; a sentence that said -3000 EUR for 30 euros would mislead.
    scale = asset.scale
    if after < before and limit.balance_min is not None and after < limit.balance_min:
        return InsufficientFunds(
            f"{account.name} would fall to {decimal_text(after, scale)} {asset.code};"
            f" it has {decimal_text(before, scale)}"
            f" and its minimum is {decimal_text(limit.balance_min, scale)}",
            account=account.name,
            asset=asset.code,
            balance=before,
            balance_min=limit.balance_min,
            balance_after=after,
            shortfall=limit.balance_min - after,
            sequence=books.head.sequence,
        )
    if after > before and limit.balance_max is not None and after > limit.balance_max:
        return BalanceLimitExceeded(
            f"{account.name} would rise to {decimal_text(after, scale)} {asset.code};"
            f" it has {decimal_text(before, scale)}"
            f" and its maximum is {decimal_text(limit.balance_max, scale)}",
            account=account.name,
            asset=asset.code,
            balance=before,
            balance_max=limit.balance_max,
            balance_after=after,
            shortfall=after - limit.balance_max,
            sequence=books.head.sequence,
        )
    return None
