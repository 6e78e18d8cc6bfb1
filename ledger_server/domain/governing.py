"""What a chart says of a post: its kind, the accounts it may name, and its number. Pure.

A lane finds each account's family once, each kind by one lookup. Reversals are not
judged: they mirror what was right when it was recorded, and take no number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ledger_server.domain.accounts import AccountDraft, Limit
from ledger_server.domain.charts import WILDCARD, Chart, ChartVersion, Family, Idempotency, Kind, Numbering
from ledger_server.domain.expanders import Expanders
from ledger_server.domain.families import Families, parameter_name
from ledger_server.domain.members import Role
from ledger_server.domain.permissions import Permission
from ledger_server.domain.refusals import (
    AssetMismatch,
    IdempotencyKeyRequired,
    Refusal,
    RoleRequired,
    UnhandledKind,
    ValidationFailed,
    Violation,
)
from ledger_server.domain.transactions import EntryDraft, PostDraft


class Rules:
    """A chart made ready to judge by. Never changed."""

    __slots__ = (
        "_kinds",
        "_wildcard",
        "expanders",
        "families",
        "has_kinds",
        "has_roles",
        "is_numbering",
        "version",
    )

    def __init__(self, version: ChartVersion) -> None:
        chart = version.chart
        self.version = version
        self.families = Families(chart.families) if chart.families else None
        self._kinds = {kind.name: kind for kind in chart.kinds}
        self._wildcard = self._kinds.pop(WILDCARD, None)
        # Whether kinds are judged at all.
        self.has_kinds = bool(chart.kinds)
        self.expanders = Expanders(chart.templates)
        self.is_numbering = any(kind.numbering is not None for kind in chart.kinds)
        self.has_roles = any(kind.role is not None for kind in chart.kinds)

    @property
    def chart(self) -> Chart:
        """The chart that these are the rules of."""
        return self.version.chart

    def family_of(self, account: str) -> Family | None:
        """The family of an account's name; None also where the chart has no families."""
        return self.families.of(account) if self.families is not None else None

    def kind_of(self, name: str) -> Kind | None:
        """What is said of a kind, by its name or by the wildcard."""
        return self._kinds.get(name, self._wildcard)


def role_refusal(kind: str, roles: frozenset[Role] | None, rules: Rules | None) -> RoleRequired | None:
    """Judges who posts a kind: somebody with the role that it asks for. No roles (None) are everybody's."""
    if roles is None or rules is None or not rules.has_roles:
        return None
    asked = rules.kind_of(kind)
    if asked is None or asked.role is None or asked.role in roles:
        return None
    return RoleRequired(
        f"posts of kind {kind!r} need the role {asked.role.name}, besides that to post",
        permission=Permission.POST.name,
        roles=asked.role.name,
        kind=kind,
    )


def kind_refusal(draft: PostDraft, rules: Rules) -> Refusal | None:
    """Judges a post's kind: known, with a key or without one, and the metadata it must bring."""
    if not rules.has_kinds:
        return None
    kind = rules.kind_of(draft.kind)
    if kind is None:
        return UnhandledKind(
            f"the chart has no kind {draft.kind!r}, and none for every other kind", kind=draft.kind
        )
    if kind.idempotency is Idempotency.REQUIRED and not draft.idempotency_key:
        return IdempotencyKeyRequired(
            f"posts of kind {draft.kind!r} need an idempotency key", kind=draft.kind
        )
    is_keyed_wrongly = kind.idempotency is Idempotency.NONE and bool(draft.idempotency_key)
    if not is_keyed_wrongly and all(map(draft.metadata.get, kind.required_metadata)):
        return None
    violations = []
    if is_keyed_wrongly:
        violations.append(
            Violation("idempotency_key", f"must be empty: the chart says that kind {draft.kind!r} has none")
        )
    violations += [
        Violation(f"metadata[{key!r}]", f"must be given in posts of kind {draft.kind!r}")
        for key in kind.required_metadata
        if not draft.metadata.get(key)
    ]
    return _invalid(violations)


def series_of(draft: PostDraft, rules: Rules) -> str | Refusal:
    """The series that gives a post its number; empty where it gets none."""
    kind = rules.kind_of(draft.kind)
    if kind is None or kind.numbering is None:
        return ""
    numbering = kind.numbering
    if not numbering.per:
        return numbering.name
    prefixes = {prefix for line in draft.entries if (prefix := _prefix(line.account, numbering)) is not None}
    if len(prefixes) == 1:
        return f"{numbering.name}:{prefixes.pop()}"
    fault = f"posts of kind {draft.kind!r} touch exactly one prefix {numbering.per!r}, not {len(prefixes)}"
    return ValidationFailed(f"entries: {fault}", violations=(Violation("entries", fault),))


def _prefix(account: str, numbering: Numbering) -> str | None:
    """The beginning of an account's path that the numbering counts by."""
    asked, segments = numbering.per.split(":"), account.split(":")
    if len(segments) < len(asked):
        return None
    for wanted, segment in zip(asked, segments, strict=False):
        if parameter_name(wanted) is None and wanted != segment:
            return None
    return ":".join(segments[: len(asked)])


def account_refusal(draft: AccountDraft, rules: Rules) -> Refusal | None:
    """Judges an account to open: by its family, where the chart has any."""
    if rules.families is None:
        return None
    family = rules.families.of(draft.name)
    if family is None:
        return _account_fault("account.name", f"{draft.name!r} matches no family of the ledger's chart")
    if family.type != draft.type:
        fault = f"{draft.name!r} belongs to {family.pattern!r}, which is {family.type.name}"
        return _account_fault("account.type", fault)
    return limits_refusal("account.limits", draft.name, draft.limits, rules)


def limits_refusal(
    field: str, account: str, limits: Mapping[str, Limit], rules: Rules
) -> ValidationFailed | None:
    """Judges the limits that an account is to have by its family, where it has one: their assets, and zero.

    The limits are in the order in which they were asked for.
    """
    family = rules.family_of(account)
    if family is None:
        return None
    foreign = [code for code in limits if family.assets and code not in family.assets]
    if foreign:
        fault = f"{account!r} belongs to {family.pattern!r}, which may not have {foreign[0]}"
        return _account_fault(field, fault)
    if not family.limits_include_zero:
        return None
    return _invalid(
        Violation(
            f"{field}[{index}].{bound}",
            f"excludes zero; {account!r} belongs to {family.pattern!r}, whose limits include it",
        )
        for index, limit in enumerate(limits.values())
        if (bound := limit.bound_past_zero())
    )


def _account_fault(field: str, fault: str) -> ValidationFailed | None:
    return _invalid([Violation(field, fault)])


def _invalid(found: Iterable[Violation]) -> ValidationFailed | None:
    """The refusal for all of these; None for none."""
    violations = tuple(found)
    if not violations:
        return None
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return ValidationFailed(
        f"{violations[0].field}: {violations[0].description}{more}", violations=violations
    )


def asset_refusal(line: EntryDraft, family: Family) -> AssetMismatch | None:
    """Judges an entry's asset: one that the account's family may have."""
    if not family.assets or line.asset in family.assets:
        return None
    allowed = ", ".join(family.assets[:10])
    return AssetMismatch(
        f"{line.account!r} belongs to {family.pattern!r}, which may have {allowed}, not {line.asset}",
        account=line.account,
        asset=line.asset,
        family=family.pattern,
    )
