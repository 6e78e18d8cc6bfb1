"""Templates, and what they were given, to JSON as the tables keep them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger_server.domain.parameters import Item, Parameter, Parameters, ParameterType
from ledger_server.domain.templates import EntryPattern, Group, Template
from ledger_server.domain.transactions import TemplateUse
from ledger_server.store.json_texts import pairs, quoted


def template_json(template: Template) -> dict[str, Any]:
    """A template of a chart."""
    return {
        "name": template.name,
        "version": template.version,
        "kind": template.kind,
        "parameters": [[one.name, int(one.type)] for one in template.parameters],
        "groups": [
            [group.name, group.min_items, [[one.name, int(one.type)] for one in group.parameters]]
            for group in template.groups
        ],
        "entries": [
            {
                "account": entry.account,
                "side": 1 if entry.is_debit else 2,
                "factors": list(entry.factors),
                "asset": entry.asset,
                "group": entry.group,
                # A number, or a parameter's name as text.
                "weight": entry.weight,
            }
            for entry in template.entries
        ],
        "metadata": dict(template.metadata or {}),
    }


def template_from(content: Mapping[str, Any]) -> Template:
    """The template that was kept. Raises ValueError, KeyError and their like for what nobody wrote so."""
    return Template(
        content["name"],
        content["version"],
        _declared(content["parameters"]),
        tuple(_entry(entry) for entry in content["entries"]),
        tuple(Group(name, _declared(taken), least) for name, least, taken in content["groups"]),
        content["kind"],
        content["metadata"],
    )


def parameters_json(given: Parameters) -> str:
    """What a template was given, as text."""
    items = ""
    if given.items:
        items = ",".join([f"[{quoted(item.group)},{pairs(item.values)}]" for item in given.items])
    return f'{{"values":{pairs(given.values)},"items":[{items}]}}'


def parameters_from(content: Mapping[str, Any]) -> Parameters:
    """What a template was given, from its JSON. Raises as `template_from`."""
    if set(content) != {"values", "items"}:
        raise ValueError(f"parameters of {sorted(content)}")
    return Parameters(
        _texts(content["values"]), tuple(Item(group, _texts(values)) for group, values in content["items"])
    )


def template_use(
    name: str | None, version: int | None, given: Mapping[str, Any] | None
) -> TemplateUse | None:
    """The template that made a transaction, from its columns; None where none did."""
    if name is None or version is None:
        return None
    return TemplateUse(name, version, None if given is None else parameters_from(given))


def _declared(parameters: Any) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, ParameterType(kind)) for name, kind in parameters)


def _entry(content: Mapping[str, Any]) -> EntryPattern:
    side, weight = content["side"], content["weight"]
    if side not in (1, 2) or not isinstance(weight, int | str | None) or isinstance(weight, bool):
        raise ValueError(f"an entry with side {side} and weight {weight}")
    return EntryPattern(
        content["account"], side == 1, tuple(content["factors"]), content["asset"], content["group"], weight
    )


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError(f"parameters {values!r:.200}")
    return dict(values)
