"""What a chart may look like: every fault of its form, each with the field it is in. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ledger_server.domain import names
from ledger_server.domain.accounts import Limit
from ledger_server.domain.charts import (
    ASSETS_MAX,
    FAMILIES_MAX,
    FAMILY_ASSETS_MAX,
    KINDS_MAX,
    REQUIRED_METADATA_MAX,
    SERIES_NAME_LENGTH_MAX,
    WILDCARD,
    Chart,
    ChartAsset,
    Family,
    Kind,
    Numbering,
)
from ledger_server.domain.families import meeting, parameter_names, pattern_fault
from ledger_server.domain.members import Role, roles_fault
from ledger_server.domain.set_faults import sets_faults
from ledger_server.domain.sets import SETS_MAX, AccountSet
from ledger_server.domain.template_faults import template_faults
from ledger_server.domain.templates import TEMPLATES_MAX, Template

Faults = list[tuple[str, str]]


def chart_faults(chart: Chart) -> Faults:
    """What is wrong with a chart, as (field, fault), in the order of its lists."""
    return parts_faults(chart.assets, chart.families, chart.kinds, chart.templates, chart.sets)


def parts_faults(
    assets: Sequence[ChartAsset],
    families: Sequence[Family],
    kinds: Sequence[Kind],
    templates: Sequence[Template] = (),
    sets: Sequence[AccountSet] = (),
) -> Faults:
    """The same of a chart's parts as they were sent: fields have the caller's indices."""
    counted: Faults = [
        (field, f"has {len(given)}; at most {most} are allowed")
        for field, given, most in (
            ("assets", assets, ASSETS_MAX),
            ("families", families, FAMILIES_MAX),
            ("kinds", kinds, KINDS_MAX),
            ("templates", templates, TEMPLATES_MAX),
            ("sets", sets, SETS_MAX),
        )
        if len(given) > most
    ]
    # What is far too much is counted, not judged.
    if counted:
        return counted
    return [
        *_assets_faults(assets),
        *_families_faults(families, assets),
        *_kinds_faults(kinds),
        *_templates_faults(templates, kinds),
        *sets_faults(sets),
    ]


def _assets_faults(assets: Sequence[ChartAsset]) -> Faults:
    faults: Faults = []
    seen: set[str] = set()
    for index, asset in enumerate(assets):
        field = f"assets[{index}]"
        _note(faults, f"{field}.code", names.asset_code_fault(asset.code))
        if asset.code in seen:
            faults.append((f"{field}.code", f"{asset.code[:64]!r} is named twice"))
        seen.add(asset.code)
        if not 0 <= asset.scale <= names.ASSET_SCALE_MAX:
            faults.append((f"{field}.scale", f"is {asset.scale}; 0 to {names.ASSET_SCALE_MAX} are allowed"))
    return faults


def _families_faults(families: Sequence[Family], assets: Sequence[ChartAsset]) -> Faults:
    known = frozenset(asset.code for asset in assets)
    faults: Faults = []
    sound: list[tuple[int, Family]] = []
    for index, family in enumerate(families):
        found = _family_faults(family, f"families[{index}]", known)
        faults += found
        if found:
            continue
        for other_index, other in sound:
            if meeting(family, other):
                faults.append(
                    (
                        f"families[{index}].pattern",
                        f"{family.pattern!r} and families[{other_index}], {other.pattern!r}, may match the"
                        " same account",
                    )
                )
        sound.append((index, family))
    return faults


def _family_faults(family: Family, field: str, known: frozenset[str]) -> Faults:
    faults: Faults = []
    fault = pattern_fault(family.pattern)
    _note(faults, f"{field}.pattern", fault)
    if fault is None and set(parameter_names(family.pattern)) != set(family.parameters):
        named = ", ".join(parameter_names(family.pattern)) or "none"
        faults.append(
            (f"{field}.parameters", f"must give the type of each parameter of its pattern: {named}")
        )
    if len(family.assets) > FAMILY_ASSETS_MAX:
        faults.append(
            (f"{field}.assets", f"has {len(family.assets)}; at most {FAMILY_ASSETS_MAX} are allowed")
        )
        return faults
    for code in family.assets:
        if code not in known:
            faults.append((f"{field}.assets", f"{code[:64]!r} is no asset of the chart"))
    if len(set(family.assets)) < len(family.assets):
        faults.append((f"{field}.assets", "names one twice"))
    for code, limit in family.limits.items():
        if code not in (family.assets or known):
            faults.append((f"{field}.limits", f"{code[:64]!r} is no asset that the family may have"))
        _note(faults, f"{field}.limits", limit_fault(limit))
    _note(faults, f"{field}.description", names.text_fault(family.description))
    return faults


def limit_fault(limit: Limit) -> str | None:
    """What keeps a new account, which stands at zero, from having these bounds."""
    low, high = limit
    if low is None and high is None:
        return "must give balance_min, balance_max or both"
    if low is not None and high is not None and low > high:
        return f"balance_min {low} is above balance_max {high}"
    if limit.bound_past_zero():
        return "excludes zero, where a new account stands"
    return None


def _kinds_faults(kinds: Sequence[Kind]) -> Faults:
    faults: Faults = []
    seen: set[str] = set()
    series: dict[str, str] = {}
    for index, kind in enumerate(kinds):
        field = f"kinds[{index}]"
        if not kind.name:
            faults.append((f"{field}.name", f"must be given; {WILDCARD!r} stands for every other kind"))
        _note(faults, f"{field}.name", names.text_fault(kind.name, names.KIND_LENGTH_MAX))
        if kind.name in seen:
            faults.append((f"{field}.name", f"{kind.name[:64]!r} is named twice"))
        seen.add(kind.name)
        faults += _metadata_faults(kind.required_metadata, f"{field}.required_metadata")
        if kind.numbering is not None:
            faults += _numbering_faults(kind.numbering, f"{field}.numbering", series)
        if kind.role is not None:
            fault = roles_fault(tuple(sorted({Role.POSTER, kind.role})), ())
            _note(faults, f"{field}.role", fault and f"nobody could post it: {fault}")
    return faults


def _metadata_faults(keys: Sequence[str], field: str) -> Faults:
    if len(keys) > REQUIRED_METADATA_MAX:
        return [(field, f"has {len(keys)}; at most {REQUIRED_METADATA_MAX} are allowed")]
    faults: Faults = []
    for index, key in enumerate(keys):
        fault = "must not be empty" if not key else names.text_fault(key, names.METADATA_KEY_LENGTH_MAX)
        _note(faults, f"{field}[{index}]", fault)
    if len(set(keys)) < len(keys):
        faults.append((field, "names one twice"))
    return faults


def _numbering_faults(numbering: Numbering, field: str, series: dict[str, str]) -> Faults:
    faults: Faults = []
    fault = names.path_fault(numbering.name)
    if fault is None and (":" in numbering.name or len(numbering.name) > SERIES_NAME_LENGTH_MAX):
        fault = f"is not one segment of at most {SERIES_NAME_LENGTH_MAX} characters"
    _note(faults, f"{field}.name", fault)
    if numbering.per:
        _note(faults, f"{field}.per", pattern_fault(numbering.per))
    if series.setdefault(numbering.name, numbering.per) != numbering.per:
        faults.append((f"{field}.per", f"another kind numbers {numbering.name[:64]!r} per something else"))
    return faults


def _templates_faults(templates: Sequence[Template], kinds: Sequence[Kind]) -> Faults:
    faults: Faults = []
    handled = {kind.name for kind in kinds}
    seen: set[tuple[str, int]] = set()
    for index, template in enumerate(templates):
        field = f"templates[{index}]"
        faults += [(f"{field}.{one.field}", one.description) for one in template_faults(template)]
        if handled and WILDCARD not in handled and template.kind not in handled:
            faults.append((f"{field}.kind", f"{template.kind[:64]!r} is no kind of the chart"))
        if (template.name, template.version) in seen:
            faults.append((field, f"{template.name[:64]!r} has version {template.version} twice"))
        seen.add((template.name, template.version))
    return faults


def _note(faults: Faults, field: str, fault: str | None) -> None:
    if fault is not None:
        faults.append((field, fault))
