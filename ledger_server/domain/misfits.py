"""Accounts that contradict a chart: what keeps it from being applied. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from ledger_server.domain.accounts import AccountStatus, AccountType, AccountVersion
from ledger_server.domain.charts import Chart
from ledger_server.domain.families import Families

# How many offenders a refusal names.
OFFENDERS_MAX = 20


class Misfits(NamedTuple):
    """Accounts that contradict a chart: how many, and what is wrong with the first of them."""

    total: int
    first: tuple[tuple[str, str], ...]


NO_MISFITS = Misfits(0, ())


class AccountUse(NamedTuple):
    """An account: the assets that it has entries in, and those of its limits that exclude zero.

    Limits of a closed account bind nothing.
    """

    name: str
    type: AccountType
    assets: Collection[str]
    past_zero: Collection[str]


def use_of(standing: AccountVersion, assets: Collection[str]) -> AccountUse:
    """An account as it stands, with the assets that it has entries in."""
    is_closed = standing.status is AccountStatus.CLOSED
    past_zero = [code for code, limit in standing.limits.items() if limit.bound_past_zero() and not is_closed]
    return AccountUse(standing.account.name, standing.account.type, assets, past_zero)


def needs_accounts(chart: Chart, newest: Chart) -> bool:
    """Whether accounts have to be looked at before a chart may follow another one."""
    return chart.families != newest.families


def misfits(chart: Chart, accounts: Iterable[AccountUse]) -> Misfits:
    """The accounts that a chart contradicts, the first of them in the given order."""
    families = Families(chart.families)
    total = 0
    first: list[tuple[str, str]] = []
    for account in accounts:
        fault = _misfit(families, account)
        if fault is None:
            continue
        total += 1
        if len(first) < OFFENDERS_MAX:
            first.append((account.name, fault))
    return Misfits(total, tuple(first))


def _misfit(families: Families, account: AccountUse) -> str | None:
    family = families.of(account.name)
    if family is None:
        return "matches no family"
    if family.type != account.type:
        return f"is of type {account.type.name}; {family.pattern!r} is {family.type.name}"
    foreign = sorted(set(account.assets) - set(family.assets)) if family.assets else []
    if foreign:
        return f"has entries in {', '.join(foreign[:10])}, which {family.pattern!r} may not have"
    if family.limits_include_zero and account.past_zero:
        codes = ", ".join(sorted(account.past_zero)[:10])
        return f"has limits in {codes} that exclude zero, which {family.pattern!r} may not have"
    return None
