"""Deciding what gives a ledger its chart; the chart is its own idempotency key.

The version guards it, as a membership's does: who changes a chart has seen the one that
stands. Accounts that contradict the new chart are looked for before, by whoever reads the
books: there may be a million.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from ledger_server.domain import chain, templates
from ledger_server.domain.accounts import Head
from ledger_server.domain.books import Books
from ledger_server.domain.charts import (
    NO_CHART,
    Chart,
    ChartAsset,
    ChartDraft,
    ChartVersion,
    Family,
    Kind,
)
from ledger_server.domain.decisions import Decision, Moment, Recorded
from ledger_server.domain.governing import Rules
from ledger_server.domain.misfits import OFFENDERS_MAX
from ledger_server.domain.refusals import ChartConflict, Refusal, VersionMismatch, Violation
from ledger_server.domain.sets import AccountSet
from ledger_server.domain.templates import Template

# What a family says of its accounts.
_OPENS_ON_FIRST_POSTING, _LIMITS_INCLUDE_ZERO = 1, 2
# What a kind's bytes go on with.
_NUMBERED, _ASKS_FOR_A_ROLE = 1, 2


def decide_chart(draft: ChartDraft, books: Books, moment: Moment) -> Decision:
    """Records the next version of the chart, or answers the one that is so already."""
    newest = books.rules.version if books.rules is not None else None
    if newest is not None and newest.chart == draft.chart:
        return Recorded(newest, True)
    standing = newest.version if newest is not None else 0
    if draft.version != standing:
        return VersionMismatch(
            f"the chart of ledger {books.ledger!r} is at version {standing}, not {draft.version};"
            " look at it again, then apply the chart that is still wanted",
            version=standing,
        )
    refusal = _conflict(draft.chart, books)
    if refusal is not None:
        return refusal
    replaced = newest.chart if newest is not None else NO_CHART
    if draft.validate_only:
        trial = ChartVersion(
            standing + 1, draft.chart, 0, moment.record_time, draft.created_by, b"", replaced
        )
        return Recorded(trial, False)
    sequence = books.head.sequence + 1
    record_hash = chain.record_hash(
        books.framed,
        sequence,
        books.head.hash,
        chart_canonical(moment.record_time, draft.created_by, standing + 1, draft.chart),
    )
    record = ChartVersion(
        standing + 1, draft.chart, sequence, moment.record_time, draft.created_by, record_hash, replaced
    )
    books.put_rules(Rules(record))
    books.head = Head(sequence, record_hash, moment.record_time, books.head.epoch)
    return Recorded(record, False)


def _conflict(chart: Chart, books: Books) -> Refusal | None:
    offenders = [
        (f"assets[{asset.code!r}]", f"exists with scale {present.scale}; a scale never changes")
        for asset in chart.assets
        if (present := books.assets[asset.code]) is not None and present.scale != asset.scale
    ]
    offenders += _changed_templates(chart, books)
    count = len(offenders) + books.misfits.total
    if not count:
        return None
    offenders += [(f"accounts[{name!r}]", fault) for name, fault in books.misfits.first]
    field, fault = offenders[0]
    more = f" (and {count - 1} more)" if count > 1 else ""
    return ChartConflict(
        f"what is recorded contradicts the chart: {field} {fault}{more}",
        violations=tuple(Violation(*offender) for offender in offenders[:OFFENDERS_MAX]),
        offenders=count,
    )


def _changed_templates(chart: Chart, books: Books) -> list[tuple[str, str]]:
    """A version of a template says the same for as long as charts have it."""
    standing = {(one.name, one.version): one for one in books.rules.chart.templates} if books.rules else {}
    return [
        (
            f"templates[{one.name!r}]",
            f"has version {one.version} with other content; give it the next version",
        )
        for one in chart.templates
        if standing.get((one.name, one.version), one) != one
    ]


# what the hash covers -----------------------------------------------------------------


def chart_canonical(record_time: int, created_by: str, version: int, chart: Chart) -> bytes:
    """A version of the chart, whole: each list in its one order."""
    return chain.chart_canonical(
        record_time,
        created_by,
        version,
        [
            [chain.framed(asset.code) + bytes((asset.scale,)) for asset in chart.assets],
            [_family_frame(family) for family in chart.families],
            [_kind_frame(kind) for kind in chart.kinds],
            map(templates.canonical, chart.templates),
            map(_set_frame, chart.sets),
        ],
    )


def _family_frame(family: Family) -> bytes:
    parameters = sorted(family.parameters.items(), key=lambda parameter: parameter[0].encode())
    flags = _OPENS_ON_FIRST_POSTING if family.opens_on_first_posting else 0
    flags |= _LIMITS_INCLUDE_ZERO if family.limits_include_zero else 0
    return b"".join(
        (
            chain.framed(family.pattern),
            chain.frames(chain.framed(name) + bytes((kind,)) for name, kind in parameters),
            bytes((family.type, flags)),
            chain.frames(map(chain.framed, family.assets)),
            chain.limits_frame((code, *limit) for code, limit in family.limits.items()),
            chain.framed(family.description),
        )
    )


def _kind_frame(kind: Kind) -> bytes:
    numbering, role = kind.numbering, kind.role
    flags = (_NUMBERED if numbering is not None else 0) | (_ASKS_FOR_A_ROLE if role is not None else 0)
    return b"".join(
        (
            chain.framed(kind.name),
            bytes((kind.idempotency,)),
            chain.frames(map(chain.framed, kind.required_metadata)),
            bytes((flags,)),
            chain.framed(numbering.name) + chain.framed(numbering.per) if numbering is not None else b"",
            bytes((role,)) if role is not None else b"",
        )
    )


def _set_frame(one: AccountSet) -> bytes:
    members = (chain.frames(map(chain.framed, names)) for names in (one.accounts, one.prefixes, one.sets))
    return b"".join((chain.framed(one.name), *members, chain.framed(one.description)))


# the difference -----------------------------------------------------------------------

PartT = TypeVar("PartT", ChartAsset, Family, Kind, Template, AccountSet)


class Changes(NamedTuple):
    """Names of what one chart has and the other has not, or has otherwise; in bytewise order."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class ChartChanges(NamedTuple):
    """From one chart to the next, list by list."""

    assets: Changes
    families: Changes
    kinds: Changes
    templates: Changes
    sets: Changes


def changes(before: Chart, after: Chart) -> ChartChanges:
    """What applying a chart changes."""
    return ChartChanges(
        _changes(before.assets, after.assets, lambda asset: asset.code),
        _changes(before.families, after.families, lambda family: family.pattern),
        _changes(before.kinds, after.kinds, lambda kind: kind.name),
        _changes(before.templates, after.templates, lambda each: f"{each.name} {each.version}"),
        _changes(before.sets, after.sets, lambda one: one.name),
    )


def _changes(before: Sequence[PartT], after: Sequence[PartT], name: Callable[[PartT], str]) -> Changes:
    old, new = ({name(part): part for part in parts} for parts in (before, after))
    return Changes(
        [one for one in new if one not in old],
        [one for one, part in new.items() if one in old and old[one] != part],
        [one for one in old if one not in new],
    )
