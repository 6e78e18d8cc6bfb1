"""Every expected no of the ledger, by reason.

    Refusal
    ├── InvalidRequest ─ bad input, judged before any state
    │   ├── ValidationFailed        ├── AmountInvalid        ├── PageTokenInvalid
    │   ├── UnbalancedTransaction   ├── AssetMismatch        ├── UnhandledKind
    │   └── IdempotencyKeyRequired
    ├── Unauthenticated ─ who calls is not known
    │   ├── CredentialsMissing      └── CredentialsInvalid
    ├── NotFound
    │   ├── LedgerNotFound          ├── AccountNotFound
    │   ├── AssetNotFound           ├── TransactionNotFound  ├── MemberNotFound
    │   ├── APIKeyNotFound          ├── ChartNotFound        ├── TemplateNotFound
    │   └── AccountSetNotFound
    ├── AlreadyExists
    │   ├── IdempotencyKeyReused    ├── ReversalAlreadyExists
    │   ├── LedgerAlreadyExists     ├── AssetAlreadyExists   ├── AccountAlreadyExists
    │   └── MemberAlreadyExists
    ├── Precondition ─ the state of the books says no
    │   ├── InsufficientFunds       ├── BalanceLimitExceeded
    │   ├── AccountFrozen           ├── AccountClosed        ├── AccountNotEmpty
    │   ├── PreconditionFailed
    │   ├── ReversalForbiddenType   ├── SequenceNotReached   ├── LastTenantAdmin
    │   ├── ClientUpgradeRequired   ├── ChartConflict        └── TooManyEntries
    ├── AmountOverflow
    ├── Aborted ─ nothing was recorded; the same request may succeed
    │   ├── Contention              ├── AtomicGroupRefused   └── VersionMismatch
    ├── NotPermitted ─ the caller is known, and may not
    │   ├── RoleRequired            ├── NotAMember           ├── MembershipNarrowed
    │   └── ForbiddenDevEndpoint
    ├── Exhausted
    │   ├── Overloaded              ├── BatchTooLarge        └── RateLimited
    ├── Unavailable
    │   ├── DatabaseUnavailable     ├── OutcomeUnknown       └── ShuttingDown
    ├── DeadlineExceeded
    └── InvariantBroken ─ a bug or damage: told without facts, logged with them

A refusal is a value: `decide` returns it, the verbs raise it, `rpc.status` alone
turns it into a status. Its message says what was asked, what stands and what to
do; its facts are for machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one field of a request."""

    field: str
    description: str


class Refusal(Exception):
    """An expected no, with a stable reason, a sentence and facts."""

    reason: ClassVar[str] = "REFUSED"
    # Seconds after which a retry may succeed; None where a retry does not help.
    retry_after_s: float | None = None

    def __init__(self, message: str, /, *, violations: tuple[Violation, ...] = (), **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = {name: str(value) for name, value in facts.items()}
        self.violations = violations


class InvalidRequest(Refusal):
    """The request is malformed; the same request is never accepted."""


class ValidationFailed(InvalidRequest):
    """At least one field is outside its documented bounds."""

    reason = "VALIDATION_FAILED"


class AmountInvalid(InvalidRequest):
    """An amount is not a positive number of at most 38 digits."""

    reason = "AMOUNT_INVALID"


class UnbalancedTransaction(InvalidRequest):
    """Debits and credits differ in at least one asset."""

    reason = "UNBALANCED_TRANSACTION"


class AssetMismatch(InvalidRequest):
    """One asset is only debited and another only credited."""

    reason = "ASSET_MISMATCH"


class UnhandledKind(InvalidRequest):
    """The ledger's chart has no such kind, and none that stands for every other."""

    reason = "UNHANDLED_KIND"


class IdempotencyKeyRequired(InvalidRequest):
    """The ledger's chart wants an idempotency key of posts of this kind."""

    reason = "IDEMPOTENCY_KEY_REQUIRED"


class PageTokenInvalid(InvalidRequest):
    """The page token is not one of ours, or belongs to another request."""

    reason = "PAGE_TOKEN_INVALID"


class Unauthenticated(Refusal):
    """Who calls is not known, and nothing was looked at."""


class CredentialsMissing(Unauthenticated):
    """The call carries no credentials, and the server asks for them."""

    reason = "CREDENTIALS_MISSING"


class CredentialsInvalid(Unauthenticated):
    """The call's credentials are not accepted."""

    reason = "CREDENTIALS_INVALID"


class NotFound(Refusal):
    """What was named does not exist, or is not the caller's to see."""


class LedgerNotFound(NotFound):
    """No such ledger."""

    reason = "LEDGER_NOT_FOUND"


class AccountNotFound(NotFound):
    """No such account in this ledger."""

    reason = "ACCOUNT_NOT_FOUND"


class AssetNotFound(NotFound):
    """No such asset in this ledger."""

    reason = "ASSET_NOT_FOUND"


class TransactionNotFound(NotFound):
    """No such transaction in this ledger."""

    reason = "TRANSACTION_NOT_FOUND"


def ledger_not_found(ledger: str) -> LedgerNotFound:
    """No ledger of this name, also where it is another's."""
    return LedgerNotFound(f"no ledger {ledger!r}; create it first", ledger=ledger)


def account_not_found(ledger: str, account: str) -> AccountNotFound:
    """No account of this name, also where it is out of the caller's reach."""
    return AccountNotFound(f"no account {account!r} in ledger {ledger!r}; create it first", account=account)


class APIKeyNotFound(NotFound):
    """No such API key in this ledger."""

    reason = "API_KEY_NOT_FOUND"


class ChartNotFound(NotFound):
    """The ledger has no chart, or none of this version."""

    reason = "CHART_NOT_FOUND"


class TemplateNotFound(NotFound):
    """The ledger's chart has no such template, or none of this version."""

    reason = "TEMPLATE_NOT_FOUND"


class AccountSetNotFound(NotFound):
    """The ledger's chart had no such account set at the sequence."""

    reason = "ACCOUNT_SET_NOT_FOUND"


def transaction_not_found(ledger: str, name: int | str) -> TransactionNotFound:
    """No transaction of this sequence or idempotency key."""
    if isinstance(name, str):
        return TransactionNotFound(
            f"no transaction with idempotency key {name!r} in ledger {ledger!r}", idempotency_key=name
        )
    return TransactionNotFound(f"no transaction with sequence {name} in ledger {ledger!r}", sequence=name)


class MemberNotFound(NotFound):
    """No such member of this ledger."""

    reason = "MEMBER_NOT_FOUND"


class AlreadyExists(Refusal):
    """The name is taken by something else."""


class IdempotencyKeyReused(AlreadyExists):
    """The idempotency key was used for other content."""

    reason = "IDEMPOTENCY_KEY_REUSED"


def key_reused(key: str) -> IdempotencyKeyReused:
    """The same, for a caller who may not know what it was used for."""
    return IdempotencyKeyReused(
        f"idempotency key {key!r} was used for other content; use a new key for a new intention",
        idempotency_key=key,
    )


class ReversalAlreadyExists(AlreadyExists):
    """The transaction has been reversed."""

    reason = "REVERSAL_ALREADY_EXISTS"


class LedgerAlreadyExists(AlreadyExists):
    """A ledger of this name exists with other content."""

    reason = "LEDGER_ALREADY_EXISTS"


class AssetAlreadyExists(AlreadyExists):
    """An asset of this code exists with another scale."""

    reason = "ASSET_ALREADY_EXISTS"


class AccountAlreadyExists(AlreadyExists):
    """An account of this name exists with other content."""

    reason = "ACCOUNT_ALREADY_EXISTS"


class MemberAlreadyExists(AlreadyExists):
    """The principal is a member with other roles or account prefixes."""

    reason = "MEMBER_ALREADY_EXISTS"


class Precondition(Refusal):
    """The state of the books does not allow it."""


class InsufficientFunds(Precondition):
    """A balance would fall below its lower bound."""

    reason = "INSUFFICIENT_FUNDS"


class BalanceLimitExceeded(Precondition):
    """A balance would rise above its upper bound."""

    reason = "BALANCE_LIMIT_EXCEEDED"


class AccountFrozen(Precondition):
    """Nothing is posted to the account until it is unfrozen."""

    reason = "ACCOUNT_FROZEN"


class AccountClosed(Precondition):
    """Nothing is posted to the account, and nothing of it changes, ever again."""

    reason = "ACCOUNT_CLOSED"


class AccountNotEmpty(Precondition):
    """An account is closed at zero in every asset, and this one holds something."""

    reason = "ACCOUNT_NOT_EMPTY"


class PreconditionFailed(Precondition):
    """What the caller wanted to be so before its post is not so."""

    reason = "PRECONDITION_FAILED"


class ReversalForbiddenType(Precondition):
    """A reversal cannot be reversed."""

    reason = "REVERSAL_FORBIDDEN_TYPE"


class SequenceNotReached(Precondition):
    """The ledger has not reached the asked sequence."""

    reason = "SEQUENCE_NOT_REACHED"


class LastTenantAdmin(Precondition):
    """A ledger that has a tenant-admin keeps one."""

    reason = "LAST_TENANT_ADMIN"


class ClientUpgradeRequired(Precondition):
    """The client is older than this server takes."""

    reason = "CLIENT_UPGRADE_REQUIRED"


class ChartConflict(Precondition):
    """What is recorded contradicts the chart, or what is asked does."""

    reason = "CHART_CONFLICT"


class TooManyEntries(Precondition):
    """A report would have to examine more entries or accounts than one call may."""

    reason = "TOO_MANY_ENTRIES"


class AmountOverflow(Refusal):
    """A balance would need more than 38 digits."""

    reason = "AMOUNT_OVERFLOW"


class Aborted(Refusal):
    """Nothing was recorded; the same request may succeed when tried again."""


class Contention(Aborted):
    """Other writers kept winning after all internal retries."""

    reason = "CONTENTION"
    retry_after_s = 0.1


class AtomicGroupRefused(Aborted):
    """Another operation of the same atomic batch was refused."""

    reason = "ATOMIC_GROUP_REFUSED"


class VersionMismatch(Aborted):
    """What was to be changed has been changed since the caller looked."""

    reason = "VERSION_MISMATCH"


class NotPermitted(Refusal):
    """The caller is known, and may not."""


class RoleRequired(NotPermitted):
    """The caller's roles do not have the permission."""

    reason = "ROLE_REQUIRED"


class NotAMember(NotPermitted):
    """The caller may know the ledger, and is no member of it."""

    reason = "NOT_A_MEMBER"


class MembershipNarrowed(NotPermitted):
    """The caller's membership is narrowed to accounts, and this is about more than them."""

    reason = "MEMBERSHIP_NARROWED"


class ForbiddenDevEndpoint(NotPermitted):
    """The method is for trying things out, and this server does not offer it, to anybody."""

    reason = "FORBIDDEN_DEV_ENDPOINT"


class Exhausted(Refusal):
    """A bound on resources was reached."""


class Overloaded(Exhausted):
    """Too many calls wait already."""

    reason = "OVERLOADED"
    retry_after_s = 0.25


class BatchTooLarge(Exhausted):
    """The batch, the answer it could need, or what would have to be added up is larger than allowed."""

    reason = "BATCH_TOO_LARGE"


class RateLimited(Exhausted):
    """The caller, or the ledger, is given only so much a second; `retry_after_s` says when it passes."""

    reason = "RATE_LIMITED"


class Unavailable(Refusal):
    """The service cannot answer now."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer; nothing was recorded."""

    reason = "DATABASE_UNAVAILABLE"
    retry_after_s = 1.0


class OutcomeUnknown(Unavailable):
    """The commit may or may not have happened; ask again with the same key."""

    reason = "OUTCOME_UNKNOWN"
    retry_after_s = 1.0


class ShuttingDown(Unavailable):
    """The server is draining; another one, or this one restarted, will answer."""

    reason = "SHUTTING_DOWN"
    retry_after_s = 1.0


class DeadlineExceeded(Refusal):
    """The call's time was over before its answer; a write may be recorded all the same."""

    reason = "DEADLINE_EXCEEDED"


class InvariantBroken(Refusal):
    """Something that must never be was found; told to operators, not to callers."""

    reason = "LEDGER_INVARIANT_BROKEN"


def invalid(violations: list[Violation]) -> InvalidRequest:
    """All violations of a request as one refusal, AMOUNT_INVALID where every one of them is an amount's."""
    amounts_only = all(violation.field.rpartition(".")[2] == "amount" for violation in violations)
    kind = AmountInvalid if amounts_only else ValidationFailed
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return kind(f"{first.field}: {first.description}{more}", violations=tuple(violations))
