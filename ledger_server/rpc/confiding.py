"""Refusals as the caller may know them: facts of the books only for who may read the books.

Who may post but not read is told that a balance does not suffice, and of which account,
and not what it is.
"""

from __future__ import annotations

from typing import Any

from ledger_server.domain.permissions import Access, Permission
from ledger_server.domain.refusals import Refusal

# Reasons whose facts are of the books: the sentence without them, and what the caller gave itself.
_OF_THE_BOOKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "INSUFFICIENT_FUNDS": ("the account would fall below its minimum", ("account", "asset")),
    "BALANCE_LIMIT_EXCEEDED": ("the account would rise above its maximum", ("account", "asset")),
    "PRECONDITION_FAILED": ("a precondition of the post does not hold", ("precondition", "account")),
    "ACCOUNT_NOT_EMPTY": ("the account is not at zero in every asset", ("account",)),
    "REVERSAL_ALREADY_EXISTS": ("the transaction has been reversed", ()),
    "REVERSAL_FORBIDDEN_TYPE": ("the transaction is itself a reversal", ()),
}
# Facts of accounts.
_OF_ACCOUNTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ACCOUNT_FROZEN": ("the account is frozen", ("account",)),
    "ACCOUNT_CLOSED": ("the account was closed for good", ("account",)),
}
# Facts of a transaction that may touch accounts out of the caller's reach.
_OF_A_TRANSACTION: dict[str, tuple[str, tuple[str, ...]]] = {
    "IDEMPOTENCY_KEY_REUSED": (
        "the idempotency key was used for other content; use a new key for a new intention",
        ("idempotency_key",),
    ),
}


def confided(access: Access, refusal: Refusal) -> Refusal:
    """The refusal with the facts that the caller may know."""
    told = None
    if access.is_narrowed or not access.allows(Permission.READ):
        told = _OF_A_TRANSACTION.get(refusal.reason)
    if not access.allows(Permission.READ_ACCOUNTS):
        told = told or _OF_ACCOUNTS.get(refusal.reason)
    if told is None and not access.allows(Permission.READ):
        told = _OF_THE_BOOKS.get(refusal.reason)
    if told is None:
        return refusal
    sentence, names = told
    facts: dict[str, Any] = {name: refusal.facts[name] for name in names if name in refusal.facts}
    return type(refusal)(sentence, **facts)
