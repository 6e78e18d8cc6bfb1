"""What a replay proves of transactions that templates made: that the template makes just them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ledger_server.domain import chain, parameters
from ledger_server.domain.books import Books
from ledger_server.domain.refusals import Refusal
from ledger_server.domain.transactions import EntryDraft, TemplateDraft, TemplateUse, Transaction
from ledger_server.service.bad_records import BadRecord
from ledger_server.store.stored import StoredTransaction
from ledger_server.store.template_rows import parameters_from


def template_of(stored: StoredTransaction) -> TemplateUse | None:
    """The template that made a transaction; None where none did."""
    if not stored.template:
        if stored.template_version or stored.parameters is not None:
            raise ValueError("a template's version or parameters without a template")
        return None
    given = None if stored.parameters is None else parameters_from(json.loads(stored.parameters))
    if given is None and stored.details_digest is None:
        raise ValueError("a template without parameters and without digest")
    return TemplateUse(stored.template, stored.template_version, given)


def template_draft_of(stored: StoredTransaction, used: TemplateUse, books: Books) -> TemplateDraft:
    """What was asked for; what the chart's template makes of it is looked up in the books."""
    draft = TemplateDraft(
        used,
        stored.idempotency_key,
        stored.effective_time if stored.effective_time_given else None,
        stored.description or "",
        stored.external_ref or "",
        stored.created_by,
    )
    post = books.post_of(draft)
    for account, _, _, asset in () if isinstance(post, Refusal) else post.entries:
        books.accounts.setdefault(account, None)
        books.assets.setdefault(asset, None)
    return draft


def compare_made(
    stored: StoredTransaction,
    record: Transaction,
    asked: Sequence[EntryDraft],
    metadata: Mapping[str, str] | None,
) -> None:
    """Raises BadRecord where the rows say otherwise than the template, whose record has the right hash."""
    made = [EntryDraft(e.account.name, e.is_debit, e.amount, e.asset.code) for e in record.entries]
    if (record.kind, made) != (stored.kind, list(asked)) or metadata not in (None, record.metadata):
        raise BadRecord(
            stored.sequence, f"is not what version {stored.template_version} of {stored.template!r} makes"
        )


def template_frame_of(stored: StoredTransaction) -> tuple[int, bytes]:
    """What the hash covers of the template, with its flag."""
    if not stored.template:
        return 0, b""
    return chain.MADE_BY_TEMPLATE, chain.template_frame(stored.template, stored.template_version)


def given_of(used: TemplateUse | None) -> bytes:
    """What the details digest covers of what a template was given."""
    return b"" if used is None or used.parameters is None else parameters.canonical(used.parameters)
