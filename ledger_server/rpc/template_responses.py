"""Domain to wire: templates, and what they were given."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.v1 import ledger_pb2 as nouns_pb
from ledger.v1 import template_pb2 as pb

from ledger_server.domain.parameters import Parameter
from ledger_server.domain.templates import EntryPattern, Group, Template
from ledger_server.domain.transactions import TemplateUse


def template_use(used: TemplateUse | None) -> nouns_pb.TemplateUse | None:
    """The template that made a transaction; without what it was given once that is redacted."""
    if used is None:
        return None
    if used.parameters is None:
        return nouns_pb.TemplateUse(name=used.name, version=used.version)
    return nouns_pb.TemplateUse(
        name=used.name,
        version=used.version,
        parameters=used.parameters.values,
        items=[
            nouns_pb.TemplateItem(group=item.group, parameters=item.values) for item in used.parameters.items
        ],
    )


def template(given: Template) -> pb.Template:
    """A template of a chart."""
    return pb.Template(
        name=given.name,
        version=given.version,
        kind=given.kind,
        parameters=_types(given.parameters),
        groups=[_group(group) for group in given.groups],
        entries=[_entry(entry) for entry in given.entries],
        metadata=given.metadata or {},
    )


def _group(group: Group) -> pb.TemplateGroup:
    return pb.TemplateGroup(name=group.name, parameters=_types(group.parameters), min_items=group.min_items)


def _entry(entry: EntryPattern) -> pb.TemplateEntry:
    made = pb.TemplateEntry(
        account=entry.account,
        side=nouns_pb.SIDE_DEBIT if entry.is_debit else nouns_pb.SIDE_CREDIT,
        factors=entry.factors,
        asset=entry.asset,
        group=entry.group,
    )
    if isinstance(entry.weight, int):
        made.weight = entry.weight
    elif entry.weight is not None:
        made.weight_parameter = entry.weight
    return made


def _types(declared: Iterable[Parameter]) -> dict[str, pb.ParameterType.ValueType]:
    return {one.name: int(one.type) for one in declared}  # type: ignore[misc]
