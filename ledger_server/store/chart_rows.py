"""Charts to JSON, as ledger.charts keeps them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger_server.domain.accounts import AccountType, Limit
from ledger_server.domain.charts import (
    Chart,
    ChartAsset,
    ChartVersion,
    Family,
    Idempotency,
    Kind,
    Numbering,
    ParameterType,
    chart_of,
)
from ledger_server.domain.members import Role
from ledger_server.domain.sets import AccountSet
from ledger_server.store.rows import micros
from ledger_server.store.template_rows import template_from, template_json


def chart_json(chart: Chart) -> dict[str, Any]:
    """A chart as JSON; bounds are strings of digits."""
    lists: dict[str, Any] = {
        "assets": [{"code": asset.code, "scale": asset.scale} for asset in chart.assets],
        "families": [_family_json(family) for family in chart.families],
        "kinds": [_kind_json(kind) for kind in chart.kinds],
    }
    if chart.templates:
        lists["templates"] = [template_json(template) for template in chart.templates]
    if chart.sets:
        lists["sets"] = [_set_json(one) for one in chart.sets]
    return lists


def chart_from(content: Mapping[str, Any]) -> Chart:
    """The chart that was kept. Raises ValueError, KeyError and their like for what nobody wrote so."""
    if set(content) - {"templates", "sets"} != {"assets", "families", "kinds"}:
        raise ValueError(f"a chart of {sorted(content)}")
    return chart_of(
        (ChartAsset(asset["code"], int(asset["scale"])) for asset in content["assets"]),
        map(_family, content["families"]),
        map(_kind, content["kinds"]),
        map(template_from, content.get("templates", ())),
        map(account_set, content.get("sets", ())),
    )


def chart_version(row: Any) -> ChartVersion:
    """A row of ledger.charts."""
    version, content, sequence, record_time, created_by, record_hash = row
    return ChartVersion(
        version, chart_from(content), sequence, micros(record_time), created_by, bytes(record_hash)
    )


def _family_json(family: Family) -> dict[str, Any]:
    return {
        "pattern": family.pattern,
        "parameters": {name: int(kind) for name, kind in family.parameters.items()},
        "type": int(family.type),
        "assets": list(family.assets),
        "limits": {
            code: [None if bound is None else str(bound) for bound in limit]
            for code, limit in family.limits.items()
        },
        "opens_on_first_posting": family.opens_on_first_posting,
        "description": family.description,
        "limits_include_zero": family.limits_include_zero,
    }


def _family(content: Mapping[str, Any]) -> Family:
    return Family(
        content["pattern"],
        {name: ParameterType(kind) for name, kind in content["parameters"].items()},
        AccountType(content["type"]),
        tuple(content["assets"]),
        {
            code: Limit(*(None if bound is None else int(bound) for bound in bounds))
            for code, bounds in content["limits"].items()
        },
        bool(content["opens_on_first_posting"]),
        content["description"],
        bool(content.get("limits_include_zero")),
    )


def _kind_json(kind: Kind) -> dict[str, Any]:
    numbering = kind.numbering
    return {
        "name": kind.name,
        "idempotency": int(kind.idempotency),
        "required_metadata": list(kind.required_metadata),
        "numbering": None if numbering is None else {"name": numbering.name, "per": numbering.per},
        "role": None if kind.role is None else int(kind.role),
    }


def _kind(content: Mapping[str, Any]) -> Kind:
    numbering = content["numbering"]
    return Kind(
        content["name"],
        Idempotency(content["idempotency"]),
        tuple(content["required_metadata"]),
        None if numbering is None else Numbering(numbering["name"], numbering["per"]),
        Role(role) if (role := content.get("role")) is not None else None,
    )


def _set_json(one: AccountSet) -> dict[str, Any]:
    return {
        "name": one.name,
        "accounts": list(one.accounts),
        "prefixes": list(one.prefixes),
        "sets": list(one.sets),
        "description": one.description,
    }


def account_set(content: Mapping[str, Any]) -> AccountSet:
    """An account set of a chart that was kept."""
    return AccountSet(
        content["name"],
        tuple(content["accounts"]),
        tuple(content["prefixes"]),
        tuple(content["sets"]),
        content["description"],
    )
