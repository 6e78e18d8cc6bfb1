"""Domain to wire: charts."""

from __future__ import annotations

from ledger.v1 import chart_service_pb2 as pb

from ledger_server.domain.charting import Changes, ChartChanges
from ledger_server.domain.charts import Chart, ChartVersion, Family, Kind
from ledger_server.domain.sets import AccountSet
from ledger_server.rpc import responses
from ledger_server.rpc.template_responses import template


def chart_version(version: ChartVersion) -> pb.ChartVersion:
    """A chart as it was applied."""
    return pb.ChartVersion(
        version=version.version,
        chart=chart(version.chart),
        sequence=version.sequence,
        record_time=responses.timestamp(version.record_time),
        created_by=version.created_by,
        hash=version.hash,
    )


def chart(given: Chart) -> pb.Chart:
    """A chart's content."""
    return pb.Chart(
        assets=[pb.ChartAsset(code=asset.code, scale=asset.scale) for asset in given.assets],
        families=[_family(family) for family in given.families],
        kinds=[_kind(kind) for kind in given.kinds],
        templates=[template(one) for one in given.templates],
        sets=[_set(one) for one in given.sets],
    )


def changes(made: ChartChanges) -> pb.ChartChanges:
    """From one chart to the next."""
    return pb.ChartChanges(
        assets=_difference(made.assets),
        families=_difference(made.families),
        kinds=_difference(made.kinds),
        templates=_difference(made.templates),
        sets=_difference(made.sets),
    )


def _difference(made: Changes) -> pb.Difference:
    return pb.Difference(added=made.added, changed=made.changed, removed=made.removed)


def _family(family: Family) -> pb.AccountFamily:
    return pb.AccountFamily(
        pattern=family.pattern,
        parameters={name: int(kind) for name, kind in family.parameters.items()},  # type: ignore[misc]
        type=int(family.type),  # type: ignore[arg-type]
        assets=family.assets,
        limits=responses.limits(family.limits),
        opens_on_first_posting=family.opens_on_first_posting,
        description=family.description,
        limits_include_zero=family.limits_include_zero,
    )


def _kind(kind: Kind) -> pb.Kind:
    numbering = kind.numbering
    return pb.Kind(
        name=kind.name,
        idempotency=int(kind.idempotency),  # type: ignore[arg-type]
        required_metadata=kind.required_metadata,
        numbering=None if numbering is None else pb.Numbering(name=numbering.name, per=numbering.per),
        role=int(kind.role or 0),  # type: ignore[arg-type]
    )


def _set(one: AccountSet) -> pb.AccountSet:
    return pb.AccountSet(
        name=one.name,
        accounts=one.accounts,
        prefixes=one.prefixes,
        sets=one.sets,
        description=one.description,
    )
