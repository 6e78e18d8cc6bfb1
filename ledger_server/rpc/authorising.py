"""Authorisation: what a caller who is known may, before its method begins.

    the method has no rule            denied, whoever asks
    a dev endpoint that is off        FORBIDDEN_DEV_ENDPOINT, whoever asks
    nobody is asked who it is         everything
    no such ledger, or no member      LEDGER_NOT_FOUND, the same in every byte
    a platform-admin, no member       NOT_A_MEMBER
    a member without the permission   ROLE_REQUIRED, and who has it

It stands before the request's form is judged: who may not call learns nothing of it,
and costs little.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, Protocol

from ledger_server.domain import names
from ledger_server.domain.callers import Caller
from ledger_server.domain.permissions import (
    EVERYTHING,
    NOTHING,
    OF_THE_PLATFORM,
    PLATFORM_ADMIN,
    Access,
    Permission,
    permissions_of,
    roles_with,
)
from ledger_server.domain.refusals import (
    ForbiddenDevEndpoint,
    NotAMember,
    Refusal,
    RoleRequired,
    ValidationFailed,
    Violation,
    ledger_not_found,
)
from ledger_server.rpc.permissions import RULES, Anybody, InLedger, OutsideLedgers, Rule
from ledger_server.service.denials import Denials
from ledger_server.service.memberships import Memberships

# Dev endpoints are denied unless somebody says otherwise.
ALL_OFF = ("LEDGER_ENABLED", "LEDGER_DEV_ENDPOINTS_ENABLED")


class Authorise(Protocol):
    """Says what a caller may in one call, and is told where that was not enough."""

    def __call__(self, caller: Caller, method: str, request: Any) -> Access:
        """What the caller may. Raises refusals."""

    def denied(self, caller: Caller, method: str, request: Any, refusal: Refusal) -> None:
        """The call was denied, here or by its method."""


class OnlyOpen:
    """Where no memberships are at hand: everything for who is not asked who it is, nothing for others."""

    def __init__(self, dev_endpoints_off_by: tuple[str, ...] = ALL_OFF) -> None:
        self._dev_endpoints_off_by = dev_endpoints_off_by

    def __call__(self, caller: Caller, method: str, request: Any) -> Access:
        """What the caller may. Raises RoleRequired and ForbiddenDevEndpoint."""
        _offered(method, self._dev_endpoints_off_by)
        if caller.is_open:
            return EVERYTHING
        raise not_listed(method)

    def denied(self, caller: Caller, method: str, request: Any, refusal: Refusal) -> None:
        """Nobody is told."""


class Authoriser:
    """Judges calls by the rules, the memberships and the platform-admins, and tells of what was denied.

    Dev endpoints are off where there are settings that keep them off.
    """

    def __init__(
        self,
        memberships: Memberships,
        denials: Denials,
        platform_admins: frozenset[str],
        dev_endpoints_off_by: tuple[str, ...] = ALL_OFF,
    ) -> None:
        self._memberships = memberships
        self._denials = denials
        self._platform_admins = platform_admins
        self._dev_endpoints_off_by = dev_endpoints_off_by

    def __call__(self, caller: Caller, method: str, request: Any) -> Access:
        """What the caller may within this call. Raises refusals."""
        rule = _offered(method, self._dev_endpoints_off_by)
        if caller.is_open:
            return EVERYTHING
        if isinstance(rule, Anybody):
            return NOTHING
        ledger = getattr(request, rule.field) if isinstance(rule, InLedger) else ""
        if isinstance(rule, OutsideLedgers):
            return self._outside(caller, rule.permission)
        if not ledger and rule.or_platform is not None:
            return self._outside(caller, rule.or_platform)
        return self._inside(caller, ledger, rule)

    def denied(self, caller: Caller, method: str, request: Any, refusal: Refusal) -> None:
        """The audit tells of it."""
        rule = RULES.get(method)
        ledger = getattr(request, rule.field) if isinstance(rule, InLedger) else ""
        self._denials.note(caller, ledger, method, refusal.reason)

    def _outside(self, caller: Caller, permission: Permission) -> Access:
        # A ledger's key is good in its ledger only.
        if caller.principal not in self._platform_admins or caller.key_ledger is not None:
            raise role_required(permission)
        return Access(OF_THE_PLATFORM)

    def _inside(self, caller: Caller, ledger: str, rule: InLedger) -> Access:
        fault = names.path_fault(ledger)
        if fault is not None:
            violation = Violation(rule.field, fault)
            raise ValidationFailed(f"{rule.field}: {fault}", violations=(violation,))
        if caller.key_ledger not in (None, ledger):
            raise ledger_not_found(ledger)
        member = self._memberships.of(ledger, caller.principal)
        if member is None:
            if caller.principal in self._platform_admins and self._memberships.exists(ledger):
                raise NotAMember(
                    f"a {PLATFORM_ADMIN} creates and lists ledgers; {caller.principal!r} is no member of"
                    f" ledger {ledger!r}",
                    ledger=ledger,
                    principal=caller.principal,
                )
            raise ledger_not_found(ledger)
        permissions = permissions_of(member.roles)
        if permissions.isdisjoint(rule.any_of):
            raise role_required(*rule.any_of)
        return Access(permissions, member.account_prefixes, frozenset(member.roles))


def _offered(method: str, dev_endpoints_off_by: tuple[str, ...]) -> Rule:
    """The rule of a method that this server offers. Raises RoleRequired and ForbiddenDevEndpoint."""
    rule = RULES.get(method)
    if rule is None:
        raise not_listed(method)
    if isinstance(rule, InLedger) and rule.is_dev_endpoint and dev_endpoints_off_by:
        raise ForbiddenDevEndpoint(
            f"{method} is for trying things out, and this server does not offer it; it takes"
            f" {' and '.join(f'{name}=on' for name in dev_endpoints_off_by)}",
            settings=",".join(dev_endpoints_off_by),
        )
    return rule


def role_required(*any_of: Permission) -> RoleRequired:
    """None of these permissions is had; who has them is no secret."""
    roles = list(dict.fromkeys(role for permission in any_of for role in roles_with(permission)))
    wanted = " or ".join(permission.value for permission in any_of)
    return RoleRequired(
        f"the caller may not {wanted}; roles that may: {', '.join(roles)}",
        permission=",".join(permission.name for permission in any_of),
        roles=",".join(roles),
    )


def not_listed(method: str) -> RoleRequired:
    """The table of permissions has no row for the method, so nobody may call it."""
    return RoleRequired(f"no role may call {method}", permission="", roles="")


@cache
def service_of(servicer: Hashable) -> str:
    """The full name of the service that a servicer's class implements."""
    assert isinstance(servicer, type)
    for base in servicer.__mro__:
        if base.__module__.endswith("_pb2_grpc"):
            package = base.__module__.rpartition(".")[0]
            return f"{package}.{base.__name__.removesuffix('Servicer')}"
    raise TypeError(f"{servicer.__name__} implements no service")
