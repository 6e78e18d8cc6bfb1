"""The heart: `decide(unit, books)` says what becomes of drafts. Pure.

A unit is one draft or one atomic group. Drafts are judged in order, each seeing
the ones before it, so a batch of N gives what N single posts in order give. The
order of judgement within a draft is: the role that its kind asks for, key, chart,
preconditions, accounts, assets, whether the accounts are open, overflow, bounds; form was
judged when the draft was made. What is decided changes the books at once; what is refused
leaves them as they were. Nothing is written here: a refusal never has rows to undo.

The same function serves one Post, a batch of 8,192, and `verify`, which replays a
whole journal with the recorded times and salts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from ledger_server.domain.accounts import (
    AccountChangeDraft,
    AccountDraft,
    AssetDraft,
)
from ledger_server.domain.books import Books
from ledger_server.domain.changing import decide_change
from ledger_server.domain.charting import decide_chart
from ledger_server.domain.charts import ChartDraft
from ledger_server.domain.conditions import condition_refusal
from ledger_server.domain.content import post_differences, replayed, reverse_differences
from ledger_server.domain.decisions import Decision, Draft, Moment
from ledger_server.domain.first_postings import judge_by_chart
from ledger_server.domain.governing import role_refusal
from ledger_server.domain.members import MemberDraft
from ledger_server.domain.membership import decide_member
from ledger_server.domain.mirroring import mirror_fault, mirrored
from ledger_server.domain.opening import decide_account, decide_asset
from ledger_server.domain.recording import record
from ledger_server.domain.refusals import (
    AtomicGroupRefused,
    InvariantBroken,
    Refusal,
    ReversalAlreadyExists,
    ReversalForbiddenType,
    key_reused,
    transaction_not_found,
)
from ledger_server.domain.template_posts import found_or_made
from ledger_server.domain.transactions import (
    PostDraft,
    ReverseDraft,
    TemplateDraft,
)


def decide(unit: Sequence[Draft], books: Books, moment: Moment, *, atomic: bool = False) -> list[Decision]:
    """Judges the drafts in order and changes the books by what is recorded.

    Atomic: a replay counts as success; one refusal refuses all, the others
    answer AtomicGroupRefused with the culprit's index.
    """
    if not atomic:
        return [_decide_one(draft, books, moment) for draft in unit]
    mark = books.begin()
    decisions: list[Decision] = []
    for index, draft in enumerate(unit):
        decision = _decide_one(draft, books, moment)
        if isinstance(decision, Refusal):
            books.undo(mark)
            return refuse_all(len(unit), index, decision)
        decisions.append(decision)
    books.keep()
    return decisions


def refuse_all(count: int, culprit: int, refusal: Refusal) -> list[Decision]:
    """The decisions of an atomic group of which one draft was refused."""
    others = AtomicGroupRefused(
        f"operation {culprit} of the atomic batch was refused with {refusal.reason}; nothing was recorded",
        culprit_index=culprit,
        culprit_reason=refusal.reason,
    )
    return [refusal if index == culprit else others for index in range(count)]


def _decide_one(draft: Draft, books: Books, moment: Moment) -> Decision:
    if isinstance(draft, PostDraft):
        return _post(draft, books, moment)
    if isinstance(draft, TemplateDraft):
        made = found_or_made(draft, books)
        return _judged(made, books, moment) if isinstance(made, PostDraft) else made
    if isinstance(draft, ReverseDraft):
        return _reverse(draft, books, moment)
    if isinstance(draft, AccountDraft):
        return decide_account(draft, books, moment)
    if isinstance(draft, AssetDraft):
        return decide_asset(draft, books, moment)
    if isinstance(draft, MemberDraft):
        return decide_member(draft, books, moment)
    if isinstance(draft, AccountChangeDraft):
        return decide_change(draft, books, moment)
    if isinstance(draft, ChartDraft):
        return decide_chart(draft, books, moment)
    assert_never(draft)


def _post(draft: PostDraft, books: Books, moment: Moment) -> Decision:
    refusal = role_refusal(draft.kind, draft.roles, books.rules)
    if refusal is not None:
        return refusal
    if draft.idempotency_key:
        recorded = books.keys[draft.idempotency_key]
        if recorded is not None:
            differing = post_differences(draft, recorded)
            return replayed(draft.idempotency_key, recorded, differing)
    return _judged(draft, books, moment)


def _judged(draft: PostDraft, books: Books, moment: Moment) -> Decision:
    """Judges a post by the chart, its preconditions and the books, and records it."""
    series = ""
    if books.rules is not None:
        judged = judge_by_chart(draft, books.rules, books)
        if isinstance(judged, Refusal):
            return judged
        series = judged
    if draft.preconditions:
        refusal = condition_refusal(draft.preconditions, books)
        if refusal is not None:
            return refusal
    return record(
        books,
        moment,
        draft.entries,
        idempotency_key=draft.idempotency_key,
        kind=draft.kind,
        effective_time=draft.effective_time,
        description=draft.description,
        metadata=draft.metadata,
        external_ref=draft.external_ref,
        created_by=draft.created_by,
        validate_only=draft.validate_only,
        series=series,
        template=draft.template,
    )


def _reverse(draft: ReverseDraft, books: Books, moment: Moment) -> Decision:
    origin = books.keys[draft.origin] if isinstance(draft.origin, str) else books.transactions[draft.origin]
    if draft.idempotency_key:
        recorded = books.keys[draft.idempotency_key]
        if recorded is not None and not recorded.is_within(draft.within):
            return key_reused(draft.idempotency_key)
        if recorded is not None:
            differing = reverse_differences(draft, origin.sequence if origin else 0, recorded)
            return replayed(draft.idempotency_key, recorded, differing)
    if origin is None or not origin.is_within(draft.within):
        return transaction_not_found(books.ledger, draft.origin)
    if origin.reverses:
        return ReversalForbiddenType(
            f"transaction {origin.sequence} is itself the reversal of {origin.reverses};"
            " post a new transaction instead",
            sequence=origin.sequence,
            reverses=origin.reverses,
        )
    reversed_by = books.reversals.get(origin.sequence)
    if reversed_by is not None:
        return ReversalAlreadyExists(
            f"transaction {origin.sequence} was reversed by {reversed_by}",
            sequence=origin.sequence,
            reversed_by=reversed_by,
        )
    mirror = mirrored(origin.entries)
    fault = mirror_fault(mirror, origin.entries)
    if fault is not None:
        return InvariantBroken(
            f"the reversal of transaction {origin.sequence} would be no mirror: {fault}",
            ledger=books.ledger,
            sequence=origin.sequence,
        )
    return record(
        books,
        moment,
        mirror,
        idempotency_key=draft.idempotency_key,
        kind=origin.kind,
        effective_time=draft.effective_time,
        description=draft.description,
        metadata=draft.metadata,
        external_ref="",
        created_by=draft.created_by,
        reverses=origin.sequence,
        forced=draft.force,
    )
