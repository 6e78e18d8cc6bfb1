"""Every no that a caller of the client can get, by status and by reason.

    Refused
    ├── InvalidRequest ─ the same request is never accepted
    │   ├── ValidationFailed        ├── AmountInvalid        ├── PageTokenInvalid
    │   ├── UnbalancedTransaction   ├── AssetMismatch        ├── UnhandledKind
    │   └── IdempotencyKeyRequired
    ├── NotFound
    │   ├── LedgerNotFound          ├── AccountNotFound
    │   ├── AssetNotFound           ├── TransactionNotFound  ├── TemplateNotFound
    │   ├── APIKeyNotFound          ├── MemberNotFound       ├── ChartNotFound
    │   └── AccountSetNotFound
    ├── AlreadyExists
    │   ├── IdempotencyKeyReused    ├── ReversalAlreadyExists
    │   ├── LedgerAlreadyExists     ├── AssetAlreadyExists   ├── AccountAlreadyExists
    │   └── MemberAlreadyExists
    ├── Precondition ─ the state of the books says no
    │   ├── BoundPassed             ├── InsufficientFunds    └── BalanceLimitExceeded
    │   ├── AccountFrozen           ├── AccountClosed        ├── AccountNotEmpty
    │   ├── PreconditionFailed
    │   ├── ReversalForbiddenType   ├── SequenceNotReached
    │   ├── ClientUpgradeRequired   ├── LastTenantAdmin      ├── ChartConflict
    │   └── TooManyEntries
    ├── AmountOverflow
    ├── NotPermitted ─ who asks may not, or is not known
    │   ├── CredentialsMissing      ├── CredentialsInvalid
    │   ├── RoleRequired            ├── NotAMember           ├── MembershipNarrowed
    │   └── ForbiddenDevEndpoint
    ├── Aborted ─ nothing was recorded; the same request may succeed
    │   ├── Contention              ├── AtomicGroupRefused   └── VersionMismatch
    ├── Exhausted
    │   ├── Overloaded              ├── BatchTooLarge        └── RateLimited
    ├── Unavailable
    │   ├── DatabaseUnavailable     ├── OutcomeUnknown       └── ShuttingDown
    ├── DeadlineExceeded ─ the caller's time was over
    └── InvariantBroken ─ a bug or damage on the server's side

A reason that this list does not know arrives as the class of its status, a status
that it does not know as Refused.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of the request that has a bad value: its path and what is wrong with it."""

    field: str
    description: str


class Refused(Exception):
    """The server, or the way to it, said no.

    `status` is the gRPC code's name ("NOT_FOUND"); `reason` is the stable word to
    branch on ("ACCOUNT_NOT_FOUND"), empty where the answer came from no handler:
    nobody listens, the deadline passed. `facts` belong to the reason, `violations`
    name each bad field, `retry_after_s` is the server's wish in seconds.
    `idempotency_keys` are those of the writes that were refused, in order, also
    where the client made them; empty for reads. It can be copied and pickled.
    """

    def __init__(
        self,
        status: str,
        message: str,
        *,
        reason: str = "",
        facts: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
        idempotency_key: str = "",
    ) -> None:
        # What copies and pickles are made from, beside the attributes.
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.reason = reason
        self.facts: Mapping[str, str] = dict(facts or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.idempotency_keys: tuple[str, ...] = (idempotency_key,) if idempotency_key else ()

    def __str__(self) -> str:
        return f"{self.reason or self.status}: {self.message}"

    @property
    def idempotency_key(self) -> str:
        """The key of the write that was refused, of several the first, also where the client made it."""
        return self.idempotency_keys[0] if self.idempotency_keys else ""

    def of_key(self, *idempotency_keys: str) -> Self:
        """The same refusal, of the write with this key, or of the writes with these."""
        keyed = copy.copy(self)
        keyed.idempotency_keys = idempotency_keys
        return keyed

    @property
    def is_transient(self) -> bool:
        """True where the same request may succeed later without anything else changing."""
        if self.status == "UNAVAILABLE":
            return True
        if self.status in ("ABORTED", "RESOURCE_EXHAUSTED"):
            return self.retry_after_s is not None or self.reason in NOTHING_DONE_REASONS or not self.reason
        return False

    @property
    def is_unanswered(self) -> bool:
        """True where no server answered at all: nobody listens at the target, or the way is broken."""
        return self.status == "UNAVAILABLE" and not self.reason

    @property
    def is_unknown(self) -> bool:
        """True where a write that was answered so may stand in the journal all the same."""
        return self.reason in ("OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED") or (
            not self.reason and self.status in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN")
        )

    @property
    def tells_nothing_of_earlier(self) -> bool:
        """True where an earlier attempt may stand all the same: the ledger judged nothing, or broke."""
        # A ledger is also not found by who is no member of it any more.
        return self.reason in ("", "LEDGER_NOT_FOUND") or self.status in (
            "INTERNAL",
            "PERMISSION_DENIED",
            "UNAUTHENTICATED",
            "DEADLINE_EXCEEDED",
        )


# Sent instead of doing anything: also safe to repeat where a request carries no idempotency key.
NOTHING_DONE_REASONS = frozenset({"CONTENTION", "OVERLOADED", "RATE_LIMITED", "SHUTTING_DOWN"})


class InvalidRequest(Refused):
    """The request is malformed."""


class ValidationFailed(InvalidRequest):
    """At least one field is outside its bounds; `violations` has them all."""


class AmountInvalid(InvalidRequest):
    """An amount is not positive, or has more than 38 digits."""


class UnhandledKind(InvalidRequest):
    """The ledger's chart has no such kind."""


class IdempotencyKeyRequired(InvalidRequest):
    """The ledger's chart wants an idempotency key of posts of this kind."""


class PageTokenInvalid(InvalidRequest):
    """The page token belongs to another request."""


class UnbalancedTransaction(InvalidRequest):
    """Debits and credits differ in an asset."""


class AssetMismatch(InvalidRequest):
    """One asset is only debited and another only credited."""


class NotFound(Refused):
    """What was named does not exist."""


class LedgerNotFound(NotFound):
    """No ledger has this name."""


class AccountNotFound(NotFound):
    """No account of the ledger has this name."""


class AssetNotFound(NotFound):
    """No asset of the ledger has this code."""


class TransactionNotFound(NotFound):
    """No transaction of the ledger has this sequence or key."""


class TemplateNotFound(NotFound):
    """The ledger's chart has no template of this name and version."""


class APIKeyNotFound(NotFound):
    """No API key of the ledger has this id."""


class ChartNotFound(NotFound):
    """The ledger has no chart, or none of this version."""


class AccountSetNotFound(NotFound):
    """The ledger's chart had no such account set at the sequence."""


class MemberNotFound(NotFound):
    """The principal is no member of the ledger."""


class AlreadyExists(Refused):
    """What was to be made is there already, and is not the same."""


class IdempotencyKeyReused(AlreadyExists):
    """The key was used for other content; the facts name the fields that differ."""


class ReversalAlreadyExists(AlreadyExists):
    """The transaction has been reversed."""


class LedgerAlreadyExists(AlreadyExists):
    """A ledger of this name exists with other content."""


class AssetAlreadyExists(AlreadyExists):
    """An asset of this code exists with another scale."""


class AccountAlreadyExists(AlreadyExists):
    """An account of this name exists with other content."""


class MemberAlreadyExists(AlreadyExists):
    """The principal is a member with other roles or prefixes; the facts have its version."""


class Precondition(Refused):
    """The state of the books says no; the same request may succeed after it has changed."""


class BoundPassed(Precondition):
    """A balance would leave its bounds. Amounts are in minor units."""

    @property
    def account(self) -> str:
        """Whose balance it is; empty where the caller may not know."""
        return self.facts.get("account", "")

    @property
    def asset(self) -> str:
        """The asset's code; empty where the caller may not know."""
        return self.facts.get("asset", "")

    @property
    def balance(self) -> int | None:
        """What the account has; None where the caller may not know."""
        return int(self.facts["balance"]) if "balance" in self.facts else None

    @property
    def shortfall(self) -> int | None:
        """By how much the bound would be passed; None where the caller may not know."""
        return int(self.facts["shortfall"]) if "shortfall" in self.facts else None


class InsufficientFunds(BoundPassed):
    """A balance would fall below its balance_min."""


class BalanceLimitExceeded(BoundPassed):
    """A balance would rise above its balance_max."""


class AccountFrozen(Precondition):
    """Nothing is posted to the account until it is unfrozen."""


class AccountClosed(Precondition):
    """Nothing is posted to the account, and nothing of it changes, ever again."""


class AccountNotEmpty(Precondition):
    """An account is closed at zero in every asset, and this one holds something."""


class PreconditionFailed(Precondition):
    """What the caller wanted to be so before its post is not so."""


class ReversalForbiddenType(Precondition):
    """The transaction is itself a reversal."""


class SequenceNotReached(Precondition):
    """The ledger has not reached the sequence that was asked for."""


class ClientUpgradeRequired(Precondition):
    """This client is older than the server takes; the facts have both versions."""


class ChartConflict(Precondition):
    """What is recorded contradicts the chart; the violations are the first of the offenders."""


class TooManyEntries(Precondition):
    """A report would have to examine more than one call may; the facts name the account or prefix."""


class LastTenantAdmin(Precondition):
    """The ledger would be left without a tenant-admin."""


class AmountOverflow(Refused):
    """A running balance would need more than 38 digits."""


class NotPermitted(Refused):
    """Who asks may not, or is not known."""


class CredentialsMissing(NotPermitted):
    """The server asks who calls, and the call did not say."""


class CredentialsInvalid(NotPermitted):
    """The certificate, token or API key is not accepted: expired, revoked, or not for this service."""


class RoleRequired(NotPermitted):
    """None of the caller's roles has the permission; the facts name those that have it."""


class NotAMember(NotPermitted):
    """A platform-admin asked for what is in a ledger."""


class MembershipNarrowed(NotPermitted):
    """The caller's membership is narrowed to accounts, and it asked for more than them."""


class ForbiddenDevEndpoint(NotPermitted):
    """The method is for trying things out, and the server does not offer it; the facts name the settings."""


class Aborted(Refused):
    """Nothing was recorded; the same request may succeed."""


class Contention(Aborted):
    """Other writers kept winning."""


class AtomicGroupRefused(Aborted):
    """Another operation of the same group was refused; `facts` has its index and reason."""


class VersionMismatch(Aborted):
    """What was to be changed has been changed since; the facts have the version that is there."""


class Exhausted(Refused):
    """More was asked than is given."""


class Overloaded(Exhausted):
    """Too many calls are in flight."""


class BatchTooLarge(Exhausted):
    """More operations, entries or bytes than a batch may have, or more balances than are added up."""


class RateLimited(Exhausted):
    """More in a second than the caller or the ledger is given; `retry_after_s` says when it passes."""


class Unavailable(Refused):
    """No server answered, or it could not work."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer; nothing was recorded."""


class OutcomeUnknown(Unavailable):
    """The write may have been recorded, or not: the same again, under its keys, is recorded once."""


class ShuttingDown(Unavailable):
    """The server is draining; nothing was recorded."""


class DeadlineExceeded(Refused):
    """The caller's time was over. A write with a reason may be recorded; without one it was never sent."""


class InvariantBroken(Refused):
    """A bug, or damage to the books; the server's log says more."""
