"""Wire to domain: a chart, judged as a whole, all violations at once."""

from __future__ import annotations

from ledger.v1 import chart_service_pb2 as pb

from ledger_server.domain.accounts import NORMAL_SIGN, AccountType, Limit
from ledger_server.domain.chart_form import parts_faults
from ledger_server.domain.charts import (
    ASSETS_MAX,
    FAMILIES_MAX,
    FAMILY_ASSETS_MAX,
    KINDS_MAX,
    Chart,
    ChartAsset,
    Family,
    Idempotency,
    Kind,
    Numbering,
    ParameterType,
    chart_of,
)
from ledger_server.domain.members import Role
from ledger_server.domain.sets import SET_MEMBERS_MAX, SETS_MAX, AccountSet
from ledger_server.domain.templates import TEMPLATES_MAX
from ledger_server.rpc import template_requests
from ledger_server.rpc.account_requests import balance_limit
from ledger_server.rpc.requests import Form

_PARAMETERS = frozenset(int(kind) for kind in ParameterType)
_RULES = frozenset(int(rule) for rule in Idempotency)
_ROLES = frozenset(int(role) for role in Role)


def chart(given: pb.Chart, form: Form) -> Chart:
    """A chart in its one order. Faults go to the form, with the caller's indices."""
    counted = (
        ("assets", len(given.assets), ASSETS_MAX),
        ("families", len(given.families), FAMILIES_MAX),
        ("kinds", len(given.kinds), KINDS_MAX),
        ("templates", len(given.templates), TEMPLATES_MAX),
        ("sets", len(given.sets), SETS_MAX),
    )
    if any(count > most for _, count, most in counted):
        # A message holds a million of them: what is far too much is counted, not judged.
        for name, count, most in counted:
            if count > most:
                form.fault(f"chart.{name}", f"has {count}; at most {most} are allowed")
        return Chart()
    before = len(form.violations)
    assets = [ChartAsset(one.code, one.scale) for one in given.assets]
    families = [_family(one, form, f"chart.families[{index}]") for index, one in enumerate(given.families)]
    kinds = [_kind(one, form, f"chart.kinds[{index}]") for index, one in enumerate(given.kinds)]
    templates = template_requests.templates(given.templates, form, "chart.templates")
    sets = [_set(one, form, f"chart.sets[{index}]") for index, one in enumerate(given.sets)]
    if len(form.violations) > before:
        return Chart()
    for field, fault in parts_faults(assets, families, kinds, templates, sets):
        form.fault(f"chart.{field}", fault)
    return chart_of(assets, families, kinds, templates, sets)


def _family(given: pb.AccountFamily, form: Form, field: str) -> Family:
    parameters = {}
    for name, kind in given.parameters.items():
        if int(kind) in _PARAMETERS:
            parameters[name] = ParameterType(kind)
        else:
            form.fault(f"{field}.parameters[{name[:64]!r}]", "must be one of UUID, INT, SLUG")
    if int(given.type) not in NORMAL_SIGN:
        form.fault(f"{field}.type", "must be one of ASSET, LIABILITY, EQUITY, REVENUE, EXPENSE")
    bounds: dict[str, Limit] = {}
    if len(given.limits) > ASSETS_MAX:
        form.fault(f"{field}.limits", f"has {len(given.limits)}; at most {ASSETS_MAX} are allowed")
    elif len(given.assets) > FAMILY_ASSETS_MAX:
        form.fault(f"{field}.assets", f"has {len(given.assets)}; at most {FAMILY_ASSETS_MAX} are allowed")
    else:
        for index, limit in enumerate(given.limits):
            balance_limit(limit, bounds, form, f"{field}.limits[{index}]")
    return Family(
        given.pattern,
        parameters,
        AccountType(given.type) if int(given.type) in NORMAL_SIGN else AccountType.ASSET,
        tuple(given.assets),
        bounds,
        given.opens_on_first_posting,
        given.description,
        given.limits_include_zero,
    )


def _kind(given: pb.Kind, form: Form, field: str) -> Kind:
    if int(given.idempotency) not in _RULES:
        form.fault(f"{field}.idempotency", "must be one of REQUIRED, OPTIONAL, NONE")
    if given.role and int(given.role) not in _ROLES:
        form.fault(f"{field}.role", f"{int(given.role)} is no Role that can be held")
    numbering = Numbering(given.numbering.name, given.numbering.per) if given.HasField("numbering") else None
    return Kind(
        given.name,
        Idempotency(given.idempotency) if int(given.idempotency) in _RULES else Idempotency.OPTIONAL,
        tuple(given.required_metadata),
        numbering,
        Role(given.role) if int(given.role) in _ROLES else None,
    )


def _set(given: pb.AccountSet, form: Form, field: str) -> AccountSet:
    count = len(given.accounts) + len(given.prefixes) + len(given.sets)
    if count > SET_MEMBERS_MAX:
        form.fault(field, f"has {count} members; 1 to {SET_MEMBERS_MAX} are allowed")
        return AccountSet(given.name)
    return AccountSet(
        given.name, tuple(given.accounts), tuple(given.prefixes), tuple(given.sets), given.description
    )
