"""Wire to domain: templates, and what they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.v1 import ledger_pb2 as nouns_pb
from ledger.v1 import ledger_service_pb2 as ledger_pb
from ledger.v1 import template_pb2 as pb

from ledger_server.domain.members import Role
from ledger_server.domain.names import METADATA_KEYS_MAX
from ledger_server.domain.parameters import (
    BYTES_MAX,
    ITEMS_MAX,
    NOTHING,
    Item,
    Parameter,
    Parameters,
    ParameterType,
    size_faults,
)
from ledger_server.domain.templates import (
    GROUPS_MAX,
    PARAMETERS_MAX,
    PATTERNS_MAX,
    VERSION_MAX,
    EntryPattern,
    Group,
    Template,
    name_fault,
)
from ledger_server.domain.transactions import PostDraft, TemplateDraft, TemplateUse, template_used
from ledger_server.rpc.requests import Form, post_draft

_TYPES = {int(kind): kind for kind in ParameterType}
_SIDES = {nouns_pb.SIDE_DEBIT: True, nouns_pb.SIDE_CREDIT: False}


def posting_draft(
    request: ledger_pb.PostRequest | ledger_pb.PostOperation,
    created_by: str,
    form: Form,
    roles: frozenset[Role] | None = None,
) -> PostDraft | TemplateDraft:
    """A Post's draft: of its entries, or of a template. Raises InvalidRequest."""
    draft_of = template_draft if request.HasField("template") else post_draft
    return draft_of(request, created_by, form, roles)


def template_draft(
    request: ledger_pb.PostRequest | ledger_pb.PostOperation,
    created_by: str,
    form: Form,
    roles: frozenset[Role] | None = None,
) -> TemplateDraft:
    """The draft of a Post that names a template. Raises InvalidRequest."""
    if request.entries or request.kind or request.metadata:
        for field in ("entries", "kind", "metadata"):
            if getattr(request, field):
                form.fault(field, "must be empty where a template gives it")
    used = template_use(request.template, form)
    key, conditions = request.idempotency_key, request.preconditions
    description, external_ref = request.description, request.external_ref
    # The hot path: what is empty is not looked at.
    if key:
        key = form.key(key)
    if description:
        form.text(description, "description")
    if external_ref:
        form.text(external_ref, "external_ref")
    effective_time = form.time(request, "effective_time") if request.HasField("effective_time") else None
    preconditions = form.preconditions(conditions) if conditions else ()
    if form.violations:
        form.judge()
    is_trial = isinstance(request, ledger_pb.PostRequest) and request.validate_only
    content = (used, key, effective_time, description, external_ref, created_by, is_trial)
    return TemplateDraft(*content, (), preconditions, roles)


def template_use(given: nouns_pb.TemplateUse, form: Form, field: str = "template") -> TemplateUse:
    """A template by name and version, and what it is given; its chart judges the values."""
    name, version = given.name, given.version
    fault = name_fault(name)
    if fault is not None:
        form.fault(f"{field}.name", fault)
    if not 0 <= version <= VERSION_MAX:
        form.fault(f"{field}.version", f"is {version}; it must not be negative")
    parameters = NOTHING
    # A message holds a million of them: what is far too much is counted, not judged.
    if given.ByteSize() <= 2 * BYTES_MAX + 64 * ITEMS_MAX:
        items = given.items
        parameters = Parameters(_texts(given.parameters), tuple(map(_item, items)) if items else ())
        for part, fault in size_faults(parameters):
            form.fault(f"{field}.{part}", fault)
    else:
        form.fault(f"{field}.parameters", f"are larger than {BYTES_MAX} bytes with the items")
    return template_used((name, version, parameters))


def _item(given: nouns_pb.TemplateItem) -> Item:
    return Item(given.group, _texts(given.parameters))


def _texts(given: Mapping[str, str]) -> dict[str, str]:
    # Half as long as dict(given).
    return {name: given[name] for name in given}


def templates(given: Sequence[pb.Template], form: Form, field: str) -> list[Template]:
    """A chart's templates; what they say is `template_faults` to judge."""
    return [_template(one, form, f"{field}[{index}]") for index, one in enumerate(given)]


def _template(given: pb.Template, form: Form, field: str) -> Template:
    counted = (
        ("parameters", len(given.parameters), PARAMETERS_MAX),
        ("groups", len(given.groups), GROUPS_MAX),
        ("entries", len(given.entries), PATTERNS_MAX),
        ("metadata", len(given.metadata), METADATA_KEYS_MAX),
    )
    too_many = [(name, count, most) for name, count, most in counted if count > most]
    for name, count, most in too_many:
        form.fault(f"{field}.{name}", f"has {count}; at most {most} are allowed")
    if too_many:
        return Template(given.name, given.version, (), ())
    return Template(
        given.name,
        given.version,
        _declared(given.parameters, form, f"{field}.parameters"),
        tuple(_entry(one, form, f"{field}.entries[{index}]") for index, one in enumerate(given.entries)),
        tuple(_group(one, form, f"{field}.groups[{index}]") for index, one in enumerate(given.groups)),
        given.kind,
        dict(given.metadata),
    )


def _group(given: pb.TemplateGroup, form: Form, field: str) -> Group:
    if len(given.parameters) > PARAMETERS_MAX:
        most = PARAMETERS_MAX
        form.fault(f"{field}.parameters", f"has {len(given.parameters)}; at most {most} are allowed")
        return Group(given.name, ())
    declared = _declared(given.parameters, form, f"{field}.parameters")
    return Group(given.name, declared, given.min_items if given.HasField("min_items") else 1)


def _declared(
    given: Mapping[str, pb.ParameterType.ValueType], form: Form, field: str
) -> tuple[Parameter, ...]:
    for name, kind in given.items():
        if int(kind) not in _TYPES:
            form.fault(f"{field}[{name[:64]!r}]", "must be one of UUID, INT, SLUG, TEXT, AMOUNT")
    return tuple(
        Parameter(name, _TYPES.get(int(kind), ParameterType.TEXT)) for name, kind in sorted(given.items())
    )


def _entry(given: pb.TemplateEntry, form: Form, field: str) -> EntryPattern:
    if given.side not in _SIDES:
        form.fault(f"{field}.side", "must be SIDE_DEBIT or SIDE_CREDIT")
    which = given.WhichOneof("share")
    weight = None if which is None else getattr(given, which)
    # Two factors are the most; one more is enough to be told that there are too many.
    factors = tuple(given.factors[:3])
    return EntryPattern(
        given.account, _SIDES.get(given.side, True), factors, given.asset, given.group, weight
    )
