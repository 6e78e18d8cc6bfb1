"""A chart as a YAML file: what may stand in it, and on which line a fault is.

    assets:
      USD: {scale: 2}
    families:
      "2000:{user_id}":
        parameters: {user_id: uuid}
        type: LIABILITY
        assets: [USD]
        balance_min: 0
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
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ledger_client import Violation
from ledger_client.contract import (
    AccountFamily,
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

# Far more than the largest chart.
BYTES_MAX = 4 * 1024 * 1024
_BOUNDS = ("balance_min", "balance_max")
# "sale 2"
_VERSIONED = re.compile(r"(\S+?)(?: ([0-9]{1,9}))?")
_PLACE = re.compile(r"chart\.(\w+)\[(\d+)\](.*)", re.DOTALL)


class ChartFault(Exception):
    """What is wrong with the file, with the line where it is."""

    def __init__(self, line: int, description: str) -> None:
        super().__init__(f"line {line}: {description}")


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
    makers = {"assets": _asset, "families": _family, "kinds": _kind, "templates": _template}
    parts = _fields(root, "the chart", *makers) if root is not None else {}
    for name, make in makers.items():
        for index, (key, value) in enumerate(_items(parts.get(name), name)):
            places[name, index] = key.start_mark.line + 1, key.value
            getattr(chart, name).append(make(key.value, value, key))
    return ChartFile(chart, places)


def _asset(code: str, value: Node, at: Node) -> ChartAsset:
    fields = _fields(value, f"asset {code!r}", "scale")
    if "scale" not in fields:
        raise _fault(at, f"asset {code!r} needs a scale")
    return ChartAsset(code=code, scale=_integer(fields["scale"], "scale", 10**6))


def _family(pattern: str, value: Node, at: Node) -> AccountFamily:
    where = f"family {pattern!r}"
    fields = _fields(
        value, where, "parameters", "type", "assets", *_BOUNDS, "opens_on_first_posting", "description"
    )
    if "type" not in fields:
        raise _fault(at, f"{where} needs a type")
    assets = [_text(one, "an asset") for one in _list(fields.get("assets"), "assets")]
    limits: dict[str, BalanceLimit] = {}
    for name in _BOUNDS:
        for code, bound in _bounds(fields.get(name), name, assets, where):
            setattr(limits.setdefault(code, BalanceLimit(asset=code)), name, bound)
    return AccountFamily(
        pattern=pattern,
        parameters=_types(fields.get("parameters")),
        type=_enum(fields["type"], "type", AccountType, "ACCOUNT_TYPE_"),
        assets=assets,
        limits=limits.values(),
        opens_on_first_posting=_truth(fields.get("opens_on_first_posting"), "opens_on_first_posting"),
        description=_text(fields["description"], "description") if "description" in fields else "",
    )


def _kind(name: str, value: Node, at: Node) -> Kind:
    fields = _fields(value, f"kind {name!r}", "idempotency", "required_metadata", "numbering", "role")
    rule = IdempotencyRule.Value("IDEMPOTENCY_RULE_OPTIONAL")
    if "idempotency" in fields:
        rule = _enum(fields["idempotency"], "idempotency", IdempotencyRule, "IDEMPOTENCY_RULE_")
    numbering = None
    if "numbering" in fields:
        given = _fields(fields["numbering"], "numbering", "name", "per")
        if "name" not in given:
            raise _fault(fields["numbering"], "numbering needs a name")
        per = _text(given["per"], "per") if "per" in given else ""
        numbering = Numbering(name=_text(given["name"], "name"), per=per)
    metadata = [
        _text(one, "a metadata key") for one in _list(fields.get("required_metadata"), "required_metadata")
    ]
    role = _enum(fields["role"], "role", Role, "ROLE_") if "role" in fields else Role.ROLE_UNSPECIFIED
    return Kind(name=name, idempotency=rule, required_metadata=metadata, numbering=numbering, role=role)


def _template(title: str, value: Node, at: Node) -> Template:
    named = _VERSIONED.fullmatch(title)
    if named is None:
        raise _fault(
            at, f"{title!r} is no template's name, with its version behind a space where it is not 1"
        )
    fields = _fields(value, f"template {title!r}", "kind", "parameters", "groups", "entries", "metadata")
    return Template(
        name=named[1],
        version=int(named[2] or 1),
        kind=_text(fields["kind"], "kind") if "kind" in fields else "",
        parameters=_types(fields.get("parameters")),
        groups=[_group(key.value, one) for key, one in _items(fields.get("groups"), "groups")],
        entries=[_entry(one) for one in _list(fields.get("entries"), "entries")],
        metadata={
            key.value: _text(one, "a value") for key, one in _items(fields.get("metadata"), "metadata")
        },
    )


def _types(node: Node | None) -> dict[str, Any]:
    return {
        key.value: _enum(kind, "a parameter's type", ParameterType, "PARAMETER_TYPE_")
        for key, kind in _items(node, "parameters")
    }


def _group(name: str, value: Node) -> TemplateGroup:
    fields = _fields(value, f"group {name!r}", "parameters", "min_items")
    least = _integer(fields["min_items"], "min_items", 10**6) if "min_items" in fields else None
    return TemplateGroup(name=name, parameters=_types(fields.get("parameters")), min_items=least)


def _entry(node: Node) -> TemplateEntry:
    fields = _fields(node, "an entry", "debit", "credit", "amount", "asset", "for_each", "weight")
    side = "credit" if "credit" in fields else "debit"
    if ("debit" in fields) is ("credit" in fields) or not {"amount", "asset"} <= fields.keys():
        raise _fault(node, "an entry needs debit or credit with its account, an amount and an asset")
    entry = TemplateEntry(
        account=_text(fields[side], side),
        side=Side.Value(f"SIDE_{side.upper()}"),
        factors=[factor.strip() for factor in _text(fields["amount"], "amount").split("*")],
        asset=_text(fields["asset"], "asset"),
        group=_text(fields["for_each"], "for_each") if "for_each" in fields else "",
    )
    if "weight" in fields and _text(fields["weight"], "weight")[:1].isdigit():
        entry.weight = _integer(fields["weight"], "weight", 10**18 - 1)
    elif "weight" in fields:
        entry.weight_parameter = _text(fields["weight"], "weight")
    return entry


# nodes ----------------------------------------------------------------------------------------


def _fault(node: Node, description: str) -> ChartFault:
    return ChartFault(node.start_mark.line + 1, description)


def _items(node: Node | None, what: str) -> Iterator[tuple[ScalarNode, Node]]:
    """The pairs of a mapping, each key once; none where nothing is given."""
    if node is None or (isinstance(node, ScalarNode) and node.tag.endswith(":null")):
        return
    if not isinstance(node, MappingNode):
        raise _fault(node, f"{what} must be a mapping")
    seen = set()
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise _fault(key, f"a name in {what} must be a text")
        if key.value in seen:
            raise _fault(key, f"{key.value!r} stands twice in {what}")
        seen.add(key.value)
        yield key, value


def _fields(node: Node, what: str, *names: str) -> dict[str, Node]:
    found = {}
    for key, value in _items(node, what):
        if key.value not in names:
            raise _fault(key, f"{what} has no field {key.value!r}; it has {', '.join(names)}")
        found[key.value] = value
    return found


def _list(node: Node | None, what: str) -> list[Node]:
    if node is None:
        return []
    if not isinstance(node, SequenceNode):
        raise _fault(node, f"{what} must be a list")
    return list(node.value)


def _text(node: Node, what: str) -> str:
    if not isinstance(node, ScalarNode):
        raise _fault(node, f"{what} must be a text")
    return str(node.value)


def _integer(node: Node, what: str, most: int) -> int:
    text = _text(node, what)
    if re.fullmatch(r"-?[0-9]{1,40}", text) is None or abs(int(text)) > most:
        raise _fault(node, f"{what} must be a whole number, not {text!r}")
    return int(text)


def _truth(node: Node | None, what: str) -> bool:
    text = _text(node, what) if node is not None else "false"
    if text not in ("true", "false"):
        raise ChartFault(
            node.start_mark.line + 1 if node else 1, f"{what} must be true or false, not {text!r}"
        )
    return text == "true"


def _enum(node: Node, what: str, kinds: Any, prefix: str) -> Any:
    text = _text(node, what)
    names = [
        name.removeprefix(prefix)
        for name in kinds.DESCRIPTOR.values_by_name
        if not name.endswith("_UNSPECIFIED")
    ]
    if text.upper() not in names:
        raise _fault(node, f"{what} must be one of {', '.join(names)}, not {text!r}")
    return kinds.Value(prefix + text.upper())


def _bounds(node: Node | None, what: str, assets: list[str], where: str) -> Iterator[tuple[str, str]]:
    if node is None:
        return
    if isinstance(node, ScalarNode):
        if not assets:
            raise _fault(node, f"{what} of {where} needs its assets, or one bound by asset")
        bound = str(_integer(node, what, 10**38))
        yield from ((code, bound) for code in assets)
        return
    for key, value in _items(node, what):
        yield key.value, str(_integer(value, what, 10**38))
