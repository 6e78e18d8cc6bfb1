"""What every method needs: one table, and what is not in it is denied.

Methods are named as their descriptors are, `package.Service.Method`. A rule of a ledger
says which field of the request names it; any one of its permissions opens the method,
which then judges what it is asked to do by the others. Open methods have no rule behind
the door: whoever can reach the server may call them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ledger_server.domain.permissions import Permission


@dataclass(frozen=True, slots=True)
class InLedger:
    """Needs a membership of the ledger that the request names, with any one of the permissions."""

    any_of: tuple[Permission, ...]
    field: str = "ledger"
    # Of an empty name: what is asked is the platform's own.
    or_platform: Permission | None = None
    # Only where the server offers it; elsewhere it is denied to everybody.
    is_dev_endpoint: bool = False


@dataclass(frozen=True, slots=True)
class OutsideLedgers:
    """Needs a platform-admin."""

    permission: Permission


@dataclass(frozen=True, slots=True)
class Anybody:
    """Needs no permission; `behind_door` where the caller must be known all the same."""

    behind_door: bool


Rule: TypeAlias = InLedger | OutsideLedgers | Anybody

_READ = InLedger((Permission.READ,))
_READ_ACCOUNTS = InLedger((Permission.READ_ACCOUNTS,))
_KEEP_CHART = InLedger((Permission.KEEP_CHART,))
_MANAGE_MEMBERS = InLedger((Permission.MANAGE_MEMBERS,))
_MANAGE_KEYS = InLedger((Permission.MANAGE_KEYS,))
# What it records needs the permission of its verb as well.
_TRY_OUT = InLedger((Permission.TRY_OUT,), is_dev_endpoint=True)
_OPEN = Anybody(behind_door=False)

RULES: dict[str, Rule] = {
    "ledger.v1.LedgerService.Post": InLedger((Permission.POST,)),
    # Each operation is judged by its own.
    "ledger.v1.LedgerService.PostBatch": InLedger(
        (Permission.POST, Permission.REVERSE, Permission.KEEP_CHART)
    ),
    "ledger.v1.LedgerService.Reverse": InLedger((Permission.REVERSE,)),
    "ledger.v1.LedgerService.GetTransaction": _READ,
    "ledger.v1.LedgerService.ListTransactions": _READ,
    "ledger.v1.LedgerService.ListEntries": _READ,
    "ledger.v1.LedgerService.GetBalance": _READ,
    "ledger.v1.LedgerService.BatchGetBalances": _READ,
    "ledger.v1.LedgerService.GetAggregateBalance": _READ,
    "ledger.v1.LedgerService.TrialBalance": _READ,
    "ledger.v1.LedgerService.RunTrialBalance": InLedger((Permission.RUN_TRIAL_BALANCE,)),
    "ledger.v1.LedgerService.ListTrialBalanceRuns": _READ,
    "ledger.v1.AccountService.CreateAccount": _KEEP_CHART,
    "ledger.v1.AccountService.BatchCreateAccounts": _KEEP_CHART,
    "ledger.v1.AccountService.UpdateAccount": _KEEP_CHART,
    "ledger.v1.AccountService.FreezeAccount": _KEEP_CHART,
    "ledger.v1.AccountService.UnfreezeAccount": _KEEP_CHART,
    "ledger.v1.AccountService.CloseAccount": _KEEP_CHART,
    "ledger.v1.AccountService.GetAccount": _READ_ACCOUNTS,
    "ledger.v1.AccountService.ListAccounts": _READ_ACCOUNTS,
    "ledger.v1.LedgerAdminService.CreateLedger": OutsideLedgers(Permission.CREATE_LEDGERS),
    "ledger.v1.LedgerAdminService.ListLedgers": OutsideLedgers(Permission.LIST_LEDGERS),
    "ledger.v1.LedgerAdminService.GetLedger": InLedger((Permission.SEE_LEDGER,), "name"),
    "ledger.v1.LedgerAdminService.CreateAsset": _KEEP_CHART,
    "ledger.v1.LedgerAdminService.ListAssets": InLedger((Permission.SEE_LEDGER,)),
    "ledger.v1.LedgerAdminService.GetServerInfo": Anybody(behind_door=True),
    "ledger.v1.ChartService.ApplyChart": _KEEP_CHART,
    "ledger.v1.ChartService.GetChart": InLedger((Permission.SEE_LEDGER,)),
    "ledger.v1.ReportService.ListOverdueBalances": _READ,
    "ledger.v1.ReportService.ListCharges": _READ,
    "ledger.v1.MemberService.AddMember": _MANAGE_MEMBERS,
    "ledger.v1.MemberService.RemoveMember": _MANAGE_MEMBERS,
    "ledger.v1.MemberService.ListMembers": InLedger((Permission.LIST_MEMBERS,)),
    "ledger.v1.APIKeyService.CreateAPIKey": _MANAGE_KEYS,
    "ledger.v1.APIKeyService.RevokeAPIKey": _MANAGE_KEYS,
    "ledger.v1.APIKeyService.ListAPIKeys": _MANAGE_KEYS,
    "ledger.v1.AuditService.ListAuditEvents": InLedger(
        (Permission.READ_AUDIT,), or_platform=Permission.READ_PLATFORM_AUDIT
    ),
    "ledger.v1.DevService.TopUp": _TRY_OUT,
    "ledger.v1.DevService.Charge": _TRY_OUT,
    "ledger.v1.DevService.Bonus": _TRY_OUT,
    "ledger.v1.DevService.Reversal": _TRY_OUT,
    # They tell nothing of any ledger.
    "grpc.health.v1.Health.Check": _OPEN,
    "grpc.health.v1.Health.List": _OPEN,
    "grpc.health.v1.Health.Watch": _OPEN,
    "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo": _OPEN,
    "grpc.reflection.v1.ServerReflection.ServerReflectionInfo": _OPEN,
}
