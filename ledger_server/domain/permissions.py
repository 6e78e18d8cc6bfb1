"""What callers may do: permissions, the roles that have them, and one caller's access. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ledger_server.domain.members import Role
from ledger_server.domain.names import is_at_or_below, is_covered

PLATFORM_ADMIN = "platform-admin"


class Permission(Enum):
    """What a method needs; the value is what callers are told."""

    # In a ledger.
    SEE_LEDGER = "see the ledger and its assets"
    READ = "read transactions and balances"
    READ_ACCOUNTS = "read accounts"
    POST = "post"
    REVERSE = "reverse"
    FORCE_REVERSE = "reverse with force"
    KEEP_CHART = "apply a chart, open and change accounts, and create assets"
    RUN_TRIAL_BALANCE = "run trial balances"
    TRY_OUT = "try out operations with DevService"
    LIST_MEMBERS = "list members"
    MANAGE_MEMBERS = "add and remove members"
    MANAGE_KEYS = "manage API keys"
    READ_AUDIT = "read audit events"
    # Outside ledgers.
    CREATE_LEDGERS = "create ledgers"
    LIST_LEDGERS = "list ledgers"
    READ_PLATFORM_AUDIT = "read the platform's audit events"


GRANTS: dict[Role, frozenset[Permission]] = {
    Role.READER: frozenset({Permission.SEE_LEDGER, Permission.READ, Permission.READ_ACCOUNTS}),
    Role.POSTER: frozenset({Permission.SEE_LEDGER, Permission.POST}),
    Role.REVERSER: frozenset({Permission.SEE_LEDGER, Permission.REVERSE}),
    Role.FORCE_REVERSER: frozenset(
        {Permission.SEE_LEDGER, Permission.REVERSE, Permission.FORCE_REVERSE},
    ),
    Role.ACCOUNTANT: frozenset(
        {
            Permission.SEE_LEDGER,
            Permission.READ_ACCOUNTS,
            Permission.KEEP_CHART,
            Permission.RUN_TRIAL_BALANCE,
            Permission.TRY_OUT,
        }
    ),
    Role.AUDITOR: frozenset(
        {
            Permission.SEE_LEDGER,
            Permission.READ,
            Permission.READ_ACCOUNTS,
            Permission.LIST_MEMBERS,
            Permission.READ_AUDIT,
        }
    ),
    Role.TENANT_ADMIN: frozenset(
        {
            Permission.SEE_LEDGER,
            Permission.LIST_MEMBERS,
            Permission.MANAGE_MEMBERS,
            Permission.MANAGE_KEYS,
            Permission.READ_AUDIT,
        }
    ),
}
OF_THE_PLATFORM = frozenset(
    {Permission.CREATE_LEDGERS, Permission.LIST_LEDGERS, Permission.READ_PLATFORM_AUDIT}
)


@dataclass(frozen=True, slots=True)
class Access:
    """What one caller may in the ledger of its call, and in which accounts: no prefixes mean all.

    `roles` are those that a kind of transactions may ask for; None has every one.
    """

    permissions: frozenset[Permission]
    account_prefixes: tuple[str, ...] = ()
    roles: frozenset[Role] | None = frozenset()

    def allows(self, permission: Permission) -> bool:
        """Whether the permission is had."""
        return permission in self.permissions

    @property
    def is_narrowed(self) -> bool:
        """Whether there are accounts that are out of reach."""
        return bool(self.account_prefixes)

    def covers(self, account: str) -> bool:
        """Whether an account is within reach."""
        return not self.account_prefixes or is_covered(account, self.account_prefixes)

    def covers_all_below(self, prefix: str) -> bool:
        """Whether every account at or below a path is within reach; the empty path is that of all."""
        return not self.account_prefixes or any(is_at_or_below(prefix, one) for one in self.account_prefixes)


# Of who is not asked who it is.
EVERYTHING = Access(frozenset(Permission), roles=None)
NOTHING = Access(frozenset())


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """The permissions of all the roles."""
    return frozenset().union(*(GRANTS[role] for role in roles))


def roles_with(permission: Permission) -> list[str]:
    """The names of the roles that have a permission, in the order of their numbers."""
    if permission in OF_THE_PLATFORM:
        return [PLATFORM_ADMIN]
    return [role.name for role in Role if permission in GRANTS[role]]
