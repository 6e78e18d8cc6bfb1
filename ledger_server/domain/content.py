"""Same content: what of a draft must equal the recorded for a retry to be a replay.

Compared is what the caller sent, never server defaults, field by field in the
order of the request, so that a conflict can name each field that differs. A
redacted field is compared by its salted digest.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger_server.domain import chain, parameters
from ledger_server.domain.accounts import AccountDraft, AccountVersion
from ledger_server.domain.decisions import Decision, Recorded
from ledger_server.domain.parameters import NOTHING
from ledger_server.domain.refusals import IdempotencyKeyReused
from ledger_server.domain.transactions import PostDraft, ReverseDraft, TemplateDraft, Transaction


def post_differences(draft: PostDraft, recorded: Transaction) -> list[str]:
    """The fields in which a post differs from the recorded transaction; empty for a replay."""
    if recorded.reverses:
        return ["verb"]
    if recorded.template is not None:
        return ["template"]
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


def template_differences(
    draft: TemplateDraft, recorded: Transaction, metadata: Mapping[str, str] | None
) -> list[str]:
    """The fields in which a post by a template differs from the recorded transaction; empty for a replay.

    Version 0 asks for no version. `metadata` is what the recorded version makes of the
    draft, None where that is not known: only redacted details are compared by it.
    """
    if recorded.reverses:
        return ["verb"]
    used, asked = recorded.template, draft.template
    if used is None or asked.name != used.name:
        return ["template"]
    differing = []
    if asked.version not in (0, used.version):
        differing.append("template.version")
    if _time_differs(draft.effective_time, recorded):
        differing.append("effective_time")
    if recorded.description is None or used.parameters is None:
        # No metadata were made of parameters that nobody has judged, or that do not fit.
        if metadata is None or recorded.details_digest != chain.details_digest(
            recorded.salt,
            draft.description,
            metadata,
            draft.external_ref,
            parameters.canonical(asked.parameters or NOTHING),
        ):
            differing.append("template.parameters, description or external_ref (redacted)")
        return differing
    if asked.parameters is None or dict(asked.parameters.values) != dict(used.parameters.values):
        differing.append("template.parameters")
    if asked.parameters is None or list(asked.parameters.items) != list(used.parameters.items):
        differing.append("template.items")
    if draft.description != recorded.description:
        differing.append("description")
    if draft.external_ref != recorded.external_ref:
        differing.append("external_ref")
    return differing


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


def replayed(key: str, recorded: Transaction, differing: list[str]) -> Decision:
    """The recorded transaction, or the refusal that names each field in which the draft differs."""
    if not differing:
        return Recorded(recorded, True)
    return IdempotencyKeyReused(
        f"idempotency key {key!r} was used for transaction {recorded.sequence} with another"
        f" {', '.join(differing)}; use a new key for a new intention",
        idempotency_key=key,
        sequence=recorded.sequence,
        differing_fields=",".join(differing),
    )


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
