"""Members of a ledger: a principal, its roles, and the accounts they are narrowed to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

ACCOUNT_PREFIXES_MAX = 100


class Role(IntEnum):
    """A set of permissions in one ledger; the numbers are the wire's, the chain's and the database's."""

    READER = 1
    POSTER = 2
    REVERSER = 3
    FORCE_REVERSER = 4
    ACCOUNTANT = 5
    AUDITOR = 6
    TENANT_ADMIN = 7


POSTING_ROLES = frozenset({Role.POSTER, Role.REVERSER, Role.FORCE_REVERSER})
# What they see is of the whole ledger.
UNNARROWED_ROLES = frozenset({Role.AUDITOR, Role.TENANT_ADMIN})


@dataclass(frozen=True, slots=True)
class MemberDraft:
    """What a caller asks a membership to become; no roles: that it ends.

    Roles in order of number, prefixes in bytewise order, each once; no prefixes
    mean every account. `version` is the membership's that the caller knows, 0 for
    none; see `membership.decide_member`.
    """

    principal: str
    roles: tuple[Role, ...]
    account_prefixes: tuple[str, ...]
    version: int
    created_by: str


@dataclass(frozen=True, slots=True)
class MemberVersion:
    """A membership as one record left it; without roles it has ended."""

    principal: str
    version: int
    roles: tuple[Role, ...]
    account_prefixes: tuple[str, ...]
    sequence: int
    record_time: int
    created_by: str
    hash: bytes

    @property
    def is_present(self) -> bool:
        """Whether the principal is a member."""
        return bool(self.roles)


def roles_fault(roles: tuple[Role, ...], account_prefixes: tuple[str, ...]) -> str | None:
    """What keeps roles from being held together, or None: who grants cannot post."""
    held = frozenset(roles)
    if not held:
        return "must be given, at least one"
    posting = sorted(held & POSTING_ROLES)
    if Role.TENANT_ADMIN in held and posting:
        return f"TENANT_ADMIN cannot be held together with {posting[0].name}: who grants cannot post"
    unnarrowed = sorted(held & UNNARROWED_ROLES)
    if unnarrowed and account_prefixes:
        return f"{unnarrowed[0].name} is of the whole ledger and cannot be narrowed to accounts"
    return None
