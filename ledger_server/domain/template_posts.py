"""Deciding what a template is asked for: recorded before, or a post to be judged as any other."""

from __future__ import annotations

from collections.abc import Mapping

from ledger_server.domain.books import Books
from ledger_server.domain.content import replayed, template_differences
from ledger_server.domain.decisions import Decision
from ledger_server.domain.expanders import Expanders
from ledger_server.domain.governing import role_refusal
from ledger_server.domain.names import is_covered
from ledger_server.domain.refusals import Refusal, account_not_found, key_reused
from ledger_server.domain.transactions import PostDraft, TemplateDraft, Transaction


def found_or_made(draft: TemplateDraft, books: Books) -> PostDraft | Decision:
    """The post that the newest chart's template makes, unless the draft's key was used or it makes none."""
    recorded = books.keys[draft.idempotency_key] if draft.idempotency_key else None
    if recorded is not None:
        if not recorded.is_within(draft.within):
            return key_reused(draft.idempotency_key)
        refusal = role_refusal(recorded.kind, draft.roles, books.rules)
        if refusal is not None:
            return refusal
        metadata = _remade_metadata(draft, recorded, books.expanders)
        return replayed(draft.idempotency_key, recorded, template_differences(draft, recorded, metadata))
    post = books.post_of(draft)
    if not isinstance(post, PostDraft):
        return post
    refusal = role_refusal(post.kind, draft.roles, books.rules)
    if refusal is not None:
        return refusal
    for line in post.entries if draft.within else ():
        if not is_covered(line.account, draft.within):
            return account_not_found(books.ledger, line.account)
    return post


def _remade_metadata(
    draft: TemplateDraft, recorded: Transaction, expanders: Expanders | None
) -> Mapping[str, str] | None:
    """The metadata that the recorded template makes of the draft, needed where the record's is redacted.

    None where it is not needed, or the chart has that version no more.
    """
    used, asked = recorded.template, draft.template
    if recorded.metadata is not None or used is None or expanders is None or asked.parameters is None:
        return None
    expander = expanders.of(used.name, used.version)
    if expander is None:
        return None
    try:
        return expander.expand(asked.parameters)[1]
    except Refusal:
        return None
