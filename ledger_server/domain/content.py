"""Same content: what of a draft must equal the recorded for a retry to be a replay.

Compared is what the caller sent, never server defaults, field by field in the
order of the request, so that a conflict can name each field that differs. A
redacted field is compared by its salted digest.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger_server.domain import chain
from ledger_server.domain.accounts import AccountDraft, AccountVersion
from ledger_server.domain.transactions import PostDraft, ReverseDraft, Transaction


def post_differences(draft: PostDraft, recorded: Transaction) -> list[str]:
    """The fields in which a post differs from the recorded transaction; empty for a replay."""
    if recorded.reverses:
        return ["verb"]
    differing = []
    if len(draft.entries) != len(recorded.entries) or any(
        asked.amount != entry.amount
        or asked.is_debit is not entry.is_debit
        or asked.account != entry.account.name
        or asked.asset != entry.asset.code
        for asked, entry in zip(draft.entries, recorded.entries, strict=True)
    ):
        differing.append("entries")
    if draft.kind != recorded.kind:
        differing.append("kind")
    if _time_differs(draft.effective_time, recorded):
        differing.append("effective_time")
    return differing + _details_differences(draft.description, draft.metadata, draft.external_ref, recorded)


def reverse_differences(draft: ReverseDraft, origin_sequence: int, recorded: Transaction) -> list[str]:
    """The fields in which a reversal differs from the recorded transaction; empty for a replay."""
    if not recorded.reverses:
        return ["verb"]
    differing = []
    if origin_sequence != recorded.reverses:
        differing.append("transaction")
    if draft.force is not recorded.forced:
        differing.append("force")
    if _time_differs(draft.effective_time, recorded):
        differing.append("effective_time")
    return differing + _details_differences(draft.description, draft.metadata, "", recorded)


def account_differences(draft: AccountDraft, recorded: AccountVersion) -> list[str]:
    """The fields in which an account to open differs from the one that stands; empty for a replay."""
    differing = []
    if draft.type != recorded.account.type:
        differing.append("type")
    if dict(draft.limits) != dict(recorded.limits):
        differing.append("limits")
    if recorded.metadata is None:
        same = chain.details_digest(recorded.salt, "", draft.metadata, "") == recorded.details_digest
    else:
        same = dict(draft.metadata) == dict(recorded.metadata)
    if not same:
        differing.append("metadata")
    return differing


def _time_differs(asked: int | None, recorded: Transaction) -> bool:
    if asked is None:
        return recorded.effective_time_given
    return not recorded.effective_time_given or asked != recorded.effective_time


def _details_differences(
    description: str, metadata: Mapping[str, str], external_ref: str, recorded: Transaction
) -> list[str]:
    if recorded.description is None or recorded.metadata is None or recorded.external_ref is None:
        digest = chain.details_digest(recorded.salt, description, metadata, external_ref)
        return (
            [] if digest == recorded.details_digest else ["description, metadata or external_ref (redacted)"]
        )
    differing = []
    if description != recorded.description:
        differing.append("description")
    if metadata != recorded.metadata:
        differing.append("metadata")
    if external_ref != recorded.external_ref:
        differing.append("external_ref")
    return differing
