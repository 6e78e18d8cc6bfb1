"""A chart.yaml as the fields of a chart in the contract: read apart from the command line's own reader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from scenarios.sides import Fields

PARAMETERS = {"uuid": 1, "int": 2, "slug": 3, "text": 4, "amount": 5}
TYPES = {"ASSET": 1, "LIABILITY": 2, "EQUITY": 3, "REVENUE": 4, "EXPENSE": 5}
IDEMPOTENCY = {"REQUIRED": 1, "OPTIONAL": 2, "NONE": 3}
SIDES = {"debit": 1, "credit": 2}
ROLES = ["", "READER", "POSTER", "REVERSER", "FORCE_REVERSER", "ACCOUNTANT", "AUDITOR", "TENANT_ADMIN"]


def read_chart(path: Path) -> Fields:
    """What the file says; every scalar in it is text."""
    said = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader) or {}
    return {
        "assets": [{"code": code, "scale": int(one["scale"])} for code, one in of(said, "assets")],
        "families": [family(pattern, one) for pattern, one in of(said, "families")],
        "kinds": [kind(name, one) for name, one in of(said, "kinds")],
        "templates": [template(title, one) for title, one in of(said, "templates")],
    }


def of(said: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    """The pairs of a part that may be absent, or empty."""
    return list((said.get(name) or {}).items())


def family(pattern: str, said: Mapping[str, Any]) -> Fields:
    """Accounts whose names match a pattern. One bound is that of every asset."""
    assets = list(said.get("assets", ()))
    limits: dict[str, Fields] = {}
    for end in ("balance_min", "balance_max"):
        bound = said.get(end, {})
        for asset, value in (bound if isinstance(bound, dict) else dict.fromkeys(assets, bound)).items():
            limits.setdefault(asset, {"asset": asset})[end] = value
    return {
        "pattern": pattern,
        "parameters": types(said),
        "type": TYPES[said["type"].upper()],
        "assets": assets,
        "limits": list(limits.values()),
        **{word: said.get(word) == "true" for word in ("opens_on_first_posting", "limits_include_zero")},
        "description": said.get("description", ""),
    }


def kind(name: str, said: Mapping[str, Any] | str) -> Fields:
    """What posts of a kind must bring; nothing, where nothing is said."""
    said = said or {}
    assert not isinstance(said, str)
    numbering = said.get("numbering")
    return {
        "name": name,
        "idempotency": IDEMPOTENCY[said.get("idempotency", "OPTIONAL").upper()],
        "required_metadata": list(said.get("required_metadata", ())),
        "numbering": {"name": numbering["name"], "per": numbering.get("per", "")} if numbering else None,
        "role": ROLES.index(said["role"].upper()) if "role" in said else 0,
    }


def template(title: str, said: Mapping[str, Any]) -> Fields:
    """Parameters and the entries that they become; version 1 unless its title says otherwise."""
    name, _, version = title.partition(" ")
    groups = [
        {"name": group, "parameters": types(one), "min_items": int(one.get("min_items", 1))}
        for group, one in of(said, "groups")
    ]
    return {
        "name": name,
        "version": int(version or 1),
        "kind": said.get("kind", ""),
        "parameters": types(said),
        "groups": groups,
        "entries": [entry(one) for one in said["entries"]],
        "metadata": dict(of(said, "metadata")),
    }


def entry(said: Mapping[str, Any]) -> Fields:
    """What becomes an entry."""
    (side,) = SIDES.keys() & said.keys()
    weight = said.get("weight", "")
    shown: Fields = {
        "account": said[side],
        "side": SIDES[side],
        "factors": said["amount"].replace("*", " ").split(),
        "asset": said["asset"],
        "group": said.get("for_each", ""),
    }
    if weight:
        shown |= {"weight": int(weight)} if weight[0].isdigit() else {"weight_parameter": weight}
    return shown


def types(said: Mapping[str, Any]) -> dict[str, int]:
    """The type of each parameter."""
    return {name: PARAMETERS[one.lower()] for name, one in of(said, "parameters")}
