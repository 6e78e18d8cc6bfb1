"""What drafts name: what must be in the books before they are decided."""

from __future__ import annotations

from collections.abc import Iterable

from ledger_server.domain.accounts import AccountChangeDraft, AccountDraft, AccountStatus, AssetDraft
from ledger_server.domain.charts import ChartDraft
from ledger_server.domain.decisions import Draft
from ledger_server.domain.members import MemberDraft
from ledger_server.domain.transactions import PostDraft, TemplateDraft
from ledger_server.store.wanted import Wanted


def wanted(drafts: Iterable[Draft]) -> Wanted:
    """Everything that the drafts name."""
    wanted = Wanted()
    accounts, assets, keys = wanted.accounts, wanted.assets, wanted.keys
    posts = []
    for draft in drafts:
        if isinstance(draft, PostDraft):
            posts.append(draft)
            if draft.idempotency_key:
                keys.add(draft.idempotency_key)
        elif isinstance(draft, TemplateDraft):
            wanted.templates.append(draft)
            if draft.idempotency_key:
                keys.add(draft.idempotency_key)
        elif isinstance(draft, AccountDraft):
            accounts.add(draft.name)
            assets.update(draft.limits)
            wanted.opened.add(draft.name)
        elif isinstance(draft, AccountChangeDraft):
            accounts.add(draft.name)
            assets.update(draft.limits or ())
            wanted.changed.add(draft.name)
            if draft.status is AccountStatus.CLOSED:
                wanted.closed.add(draft.name)
        elif isinstance(draft, AssetDraft):
            assets.add(draft.code)
            wanted.creates_assets = True
        elif isinstance(draft, MemberDraft):
            wanted.members.add(draft.principal)
        elif isinstance(draft, ChartDraft):
            assets.update(asset.code for asset in draft.chart.assets)
            wanted.chart = draft.chart
        else:
            if draft.idempotency_key:
                keys.add(draft.idempotency_key)
            if isinstance(draft.origin, str):
                keys.add(draft.origin)
            else:
                wanted.origins.add(draft.origin)
    wanted.add_posts(posts)
    return wanted
