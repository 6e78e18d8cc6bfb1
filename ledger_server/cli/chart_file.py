"""A chart as a YAML file: what may stand in it, and on which line a fault is.

    assets:
      USD: {scale: 2}
    families:
      "2000:{user_id}":
        parameters: {user_id: uuid}
        type: LIABILITY
        assets: [USD]
        balance_min: 0
        limits_include_zero: true
        opens_on_first_posting: true
    kinds:
      bonus: {idempotency: REQUIRED, required_metadata: [reason], role: ACCOUNTANT}
      sale: {numbering: {name: receipts, per: "shops:{shop}"}}
    templates:
      sale 2:
        kind: sale
        parameters: {shop: slug}
        groups:
          lines: {parameters: {quantity: int, price: amount}, min_items: 1}
        entries:
          - {debit: "shops:{shop}:till", amount: quantity * price, asset: USD, for_each: lines}
          - {credit: sales, amount: quantity * price, asset: USD, for_each: lines}
    sets:
      tills: {prefixes: ["shops:12", "shops:13"], description: in the old town}
      money: {accounts: [bank], sets: [tills]}

Every scalar is taken as it is written, so that 1000 is an account's name and no number
is rounded. Bounds are in minor units: one for every asset of the family, or one by asset.
A template without a version is version 1; a share has a weight, a number or a parameter.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import Node, ScalarNode

from ledger_client import Violation
from ledger_client.contract import (
    AccountFamily,
    AccountSet,
    AccountType,
    BalanceLimit,
    Chart,
    ChartAsset,
    IdempotencyRule,
    Kind,
    Numbering,
    ParameterType,
    Role,
    Side,
    Template,
    TemplateEntry,
    TemplateGroup,
)
from ledger_server.cli import nodes
from ledger_server.cli.nodes import ChartFault

__all__ = ["ChartFault", "ChartFile", "read_chart"]

# Far more than the largest chart.
BYTES_MAX = 4 * 1024 * 1024
_BOUNDS = ("balance_min", "balance_max")
# "sale 2"
_VERSIONED = re.compile(r"(\S+?)(?: ([0-9]{1,9}))?")
_PLACE = re.compile(r"chart\.(\w+)\[(\d+)\](.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChartFile:
    """A chart in the order of its file, and where each part of it stands."""

    chart: Chart
    places: Mapping[tuple[str, int], tuple[int, str]] = field(default_factory=dict)

    def located(self, violation: Violation) -> str:
        """A violation of the request with its line, and the part by its name."""
        found = _PLACE.fullmatch(violation.field)
        place = self.places.get((found[1], int(found[2]))) if found else None
        if found is None or place is None:
            return f"{violation.field}: {violation.description}"
        line, name = place
        return f"line {line}: {found[1]} {name!r}{found[3]}: {violation.description}"


def read_chart(path: Path) -> ChartFile:
    """Reads a chart. Raises ChartFault, OSError."""
    if path.stat().st_size > BYTES_MAX:
        raise ChartFault(1, f"the file is larger than {BYTES_MAX} bytes")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ChartFault(1, "the file is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ChartFault(mark.line + 1 if mark else 1, error.problem or "is no YAML") from error
    except yaml.YAMLError as error:
        raise ChartFault(1, str(error).partition("\n")[0]) from error
    chart, places = Chart(), {}
    makers = {
        "assets": _asset,
        "families": _family,
        "kinds": _kind,
        "templates": _template,
        "sets": _set,
    }
    parts = nodes.fields(root, "the chart", *makers) if root is not None else {}
    for name, make in makers.items():
        for index, (key, value) in enumerate(nodes.items(parts.get(name), name)):
            places[name, index] = key.start_mark.line + 1, key.value
            getattr(chart, name).append(make(key.value, value, key))
    return ChartFile(chart, places)


def _asset(code: str, value: Node, at: Node) -> ChartAsset:
    fields = nodes.fields(value, f"asset {code!r}", "scale")
    if "scale" not in fields:
        raise nodes.fault_at(at, f"asset {code!r} needs a scale")
    return ChartAsset(code=code, scale=nodes.integer(fields["scale"], "scale", 10**6))


def _family(pattern: str, value: Node, at: Node) -> AccountFamily:
    where = f"family {pattern!r}"
    words = ("opens_on_first_posting", "limits_include_zero")
    fields = nodes.fields(value, where, "parameters", "type", "assets", *_BOUNDS, *words, "description")
    if "type" not in fields:
        raise nodes.fault_at(at, f"{where} needs a type")
    assets = [nodes.text(one, "an asset") for one in nodes.listed(fields.get("assets"), "assets")]
    limits: dict[str, BalanceLimit] = {}
    for name in _BOUNDS:
        for code, bound in _bounds(fields.get(name), name, assets, where):
            setattr(limits.setdefault(code, BalanceLimit(asset=code)), name, bound)
    return AccountFamily(
        pattern=pattern,
        parameters=_types(fields.get("parameters")),
        type=nodes.enum(fields["type"], "type", AccountType, "ACCOUNT_TYPE_"),
        assets=assets,
        limits=limits.values(),
        **{word: nodes.truth(fields.get(word), word) for word in words},
        description=nodes.text(fields["description"], "description") if "description" in fields else "",
    )


def _kind(name: str, value: Node, at: Node) -> Kind:
    fields = nodes.fields(value, f"kind {name!r}", "idempotency", "required_metadata", "numbering", "role")
    rule = IdempotencyRule.Value("IDEMPOTENCY_RULE_OPTIONAL")
    if "idempotency" in fields:
        rule = nodes.enum(fields["idempotency"], "idempotency", IdempotencyRule, "IDEMPOTENCY_RULE_")
    numbering = None
    if "numbering" in fields:
        given = nodes.fields(fields["numbering"], "numbering", "name", "per")
        if "name" not in given:
            raise nodes.fault_at(fields["numbering"], "numbering needs a name")
        per = nodes.text(given["per"], "per") if "per" in given else ""
        numbering = Numbering(name=nodes.text(given["name"], "name"), per=per)
    metadata = [
        nodes.text(one, "a metadata key")
        for one in nodes.listed(fields.get("required_metadata"), "required_metadata")
    ]
    role = nodes.enum(fields["role"], "role", Role, "ROLE_") if "role" in fields else Role.ROLE_UNSPECIFIED
    return Kind(name=name, idempotency=rule, required_metadata=metadata, numbering=numbering, role=role)


def _template(title: str, value: Node, at: Node) -> Template:
    named = _VERSIONED.fullmatch(title)
    if named is None:
        raise nodes.fault_at(
            at, f"{title!r} is no template's name, with its version behind a space where it is not 1"
        )
    fields = nodes.fields(value, f"template {title!r}", "kind", "parameters", "groups", "entries", "metadata")
    return Template(
        name=named[1],
        version=int(named[2] or 1),
        kind=nodes.text(fields["kind"], "kind") if "kind" in fields else "",
        parameters=_types(fields.get("parameters")),
        groups=[_group(key.value, one) for key, one in nodes.items(fields.get("groups"), "groups")],
        entries=[_entry(one) for one in nodes.listed(fields.get("entries"), "entries")],
        metadata={
            key.value: nodes.text(one, "a value")
            for key, one in nodes.items(fields.get("metadata"), "metadata")
        },
    )


def _types(node: Node | None) -> dict[str, Any]:
    return {
        key.value: nodes.enum(kind, "a parameter's type", ParameterType, "PARAMETER_TYPE_")
        for key, kind in nodes.items(node, "parameters")
    }


def _group(name: str, value: Node) -> TemplateGroup:
    fields = nodes.fields(value, f"group {name!r}", "parameters", "min_items")
    least = nodes.integer(fields["min_items"], "min_items", 10**6) if "min_items" in fields else None
    return TemplateGroup(name=name, parameters=_types(fields.get("parameters")), min_items=least)


def _entry(node: Node) -> TemplateEntry:
    fields = nodes.fields(node, "an entry", "debit", "credit", "amount", "asset", "for_each", "weight")
    side = "credit" if "credit" in fields else "debit"
    if ("debit" in fields) is ("credit" in fields) or not {"amount", "asset"} <= fields.keys():
        raise nodes.fault_at(node, "an entry needs debit or credit with its account, an amount and an asset")
    entry = TemplateEntry(
        account=nodes.text(fields[side], side),
        side=Side.Value(f"SIDE_{side.upper()}"),
        factors=[factor.strip() for factor in nodes.text(fields["amount"], "amount").split("*")],
        asset=nodes.text(fields["asset"], "asset"),
        group=nodes.text(fields["for_each"], "for_each") if "for_each" in fields else "",
    )
    if "weight" in fields and nodes.text(fields["weight"], "weight")[:1].isdigit():
        entry.weight = nodes.integer(fields["weight"], "weight", 10**18 - 1)
    elif "weight" in fields:
        entry.weight_parameter = nodes.text(fields["weight"], "weight")
    return entry


def _set(name: str, value: Node, at: Node) -> AccountSet:
    kinds = ("accounts", "prefixes", "sets")
    fields = nodes.fields(value, f"set {name!r}", *kinds, "description")
    members = {
        kind: [nodes.text(one, f"a name in {kind}") for one in nodes.listed(fields.get(kind), kind)]
        for kind in kinds
    }
    description = nodes.text(fields["description"], "description") if "description" in fields else ""
    return AccountSet(name=name, **members, description=description)


def _bounds(node: Node | None, what: str, assets: list[str], where: str) -> Iterator[tuple[str, str]]:
    if node is None:
        return
    if isinstance(node, ScalarNode):
        if not assets:
            raise nodes.fault_at(node, f"{what} of {where} needs its assets, or one bound by asset")
        bound = str(nodes.integer(node, what, 10**38))
        yield from ((code, bound) for code in assets)
        return
    for key, value in nodes.items(node, what):
        yield key.value, str(nodes.integer(value, what, 10**38))
