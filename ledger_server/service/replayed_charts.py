"""What a replay proves of charts, of accounts that postings open, and of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from ledger_server.domain import chain
from ledger_server.domain.accounts import AccountVersion, Asset
from ledger_server.domain.chart_form import chart_faults
from ledger_server.domain.charting import chart_canonical
from ledger_server.domain.charts import NO_CHART, Chart, ChartDraft, ChartVersion
from ledger_server.domain.families import expressions_by_type
from ledger_server.domain.governing import Rules
from ledger_server.domain.misfits import NO_MISFITS, Misfits, misfits, needs_accounts, use_of
from ledger_server.domain.transactions import Transaction
from ledger_server.service.bad_records import BadRecord
from ledger_server.service.replayed_templates import template_frame_of
from ledger_server.service.stored_values import limits_of, metadata_of
from ledger_server.store.chart_rows import chart_from
from ledger_server.store.stored import StoredAccount, StoredChart, StoredTransaction


def chart_draft_of(stored: StoredChart, rules: Rules | None) -> ChartDraft:
    """What was asked for, by somebody who knew the chart as it stood. Raises BadRecord."""
    chart = chart_from(json.loads(stored.chart))
    faults = chart_faults(chart)
    if faults:
        raise BadRecord(stored.sequence, f"is a chart that nobody may apply: {': '.join(faults[0])}")
    if stored.name_patterns != (expressions_by_type(chart.families) if chart.families else []):
        raise BadRecord(stored.sequence, "has name_patterns that its chart does not give")
    return ChartDraft(chart, rules.version.version if rules is not None else 0, stored.created_by)


def chart_canonical_of(stored: StoredChart, chart: Chart) -> bytes:
    """What the hash covers."""
    return chart_canonical(stored.record_time, stored.created_by, stored.version, chart)


def compare_chart(stored: StoredChart, record: ChartVersion) -> None:
    """Raises BadRecord where another version stands."""
    if record.version != stored.version:
        raise BadRecord(stored.sequence, f"has version {stored.version}; the next is {record.version}")


def misfits_of(
    chart: Chart,
    rules: Rules | None,
    accounts: Iterable[AccountVersion],
    places: Iterable[tuple[int, int]],
    assets: Mapping[int, Asset],
) -> Misfits:
    """The accounts that contradict a chart; `places` are all accounts and assets that entries stand in."""
    if not needs_accounts(chart, rules.chart if rules is not None else NO_CHART):
        return NO_MISFITS
    used: dict[int, list[str]] = {}
    for account_id, asset_id in places:
        used.setdefault(account_id, []).append(assets[asset_id].code)
    return misfits(chart, (use_of(one, used.get(one.account.account_id, ())) for one in accounts))


def required_metadata(kind: str, rules: Rules | None) -> dict[str, str]:
    """What redacted metadata must have held, by its keys."""
    found = rules.kind_of(kind) if rules is not None else None
    return dict.fromkeys(found.required_metadata, "redacted") if found is not None else {}


def more_of(
    stored: StoredTransaction, opened: Sequence[StoredAccount], assets: Mapping[int, Asset]
) -> tuple[int, bytes]:
    """What the hash of a transaction covers behind its entries, with the flags of it."""
    flags, parts = 0, b""
    if opened:
        flags = chain.OPENS_ACCOUNTS
        parts = chain.frames(
            chain.opened_frame(
                chain.framed(account.name),
                account.type,
                [(code, *limit) for code, limit in limits_of(account, assets).items()],
            )
            for account in opened
        )
    flag, frame = template_frame_of(stored)
    flags, parts = flags | flag, parts + frame
    if stored.number:
        flags |= chain.NUMBERED
        parts += chain.number_frame(stored.series, stored.number)
    return flags, parts


def compare_opened(
    stored: StoredTransaction,
    record: Transaction,
    opened: Sequence[StoredAccount],
    assets: Mapping[int, Asset],
) -> None:
    """Raises BadRecord where other accounts were opened, or another number given, than its draft gives."""
    if (stored.series, stored.number) != (record.series, record.number):
        raise BadRecord(
            stored.sequence,
            f"has number {stored.number} of {stored.series!r}; its draft gives {record.number}",
        )
    found = [
        (one.account_id, one.version, one.status, one.name, one.type, limits_of(one, assets))
        for one in opened
    ]
    given = [
        (one.account.account_id, 1, 1, one.account.name, int(one.account.type), dict(one.limits))
        for one in record.opened
    ]
    if found != given:
        raise BadRecord(stored.sequence, "opens accounts that its draft does not open, or not those it does")
    for one in opened:
        own = (one.record_time, one.created_by, one.salt, one.hash, metadata_of(one.metadata))
        if own != (stored.record_time, stored.created_by, stored.salt, stored.hash, {}):
            raise BadRecord(stored.sequence, f"opens {one.name}, which says otherwise of its record")
