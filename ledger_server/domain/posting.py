"""The heart: `decide(unit, books)` says what becomes of drafts. Pure.

A unit is one draft or one atomic group. Drafts are judged in order, each seeing
the ones before it, so a batch of N gives what N single posts in order give. The
order of judgement within a draft is: key, chart, preconditions, accounts, assets, whether
the accounts are open, overflow, bounds; form was judged when the draft was made. What is
decided changes the books at once; what is refused leaves them as they were. Nothing is
written here: a refusal never has rows to undo.

The same function serves one Post, a batch of 8,192, and `verify`, which replays a
whole journal with the recorded times and salts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from ledger_server.domain import chain, parameters
from ledger_server.domain.accounts import (
    AccountChangeDraft,
    AccountDraft,
    AccountStatus,
    AccountVersion,
    AssetDraft,
    Head,
)
from ledger_server.domain.amounts import AMOUNT_MAX, AMOUNT_MIN
from ledger_server.domain.books import Books
from ledger_server.domain.bounding import bound_refusal
from ledger_server.domain.changing import decide_change, shut_refusal
from ledger_server.domain.charting import decide_chart
from ledger_server.domain.charts import ChartDraft
from ledger_server.domain.conditions import condition_refusal
from ledger_server.domain.content import post_differences, replayed, reverse_differences
from ledger_server.domain.decisions import Decision, Draft, Moment, Recorded
from ledger_server.domain.first_postings import judge_by_chart, opened_frames, opening, opens, put_opened
from ledger_server.domain.members import MemberDraft
from ledger_server.domain.membership import decide_member
from ledger_server.domain.mirroring import mirror_fault, mirrored
from ledger_server.domain.opening import decide_account, decide_asset
from ledger_server.domain.refusals import (
    AmountOverflow,
    AssetNotFound,
    AtomicGroupRefused,
    InvariantBroken,
    Refusal,
    ReversalAlreadyExists,
    ReversalForbiddenType,
    account_not_found,
    key_reused,
    transaction_not_found,
)
from ledger_server.domain.template_posts import found_or_made
from ledger_server.domain.transactions import (
    Entry,
    EntryDraft,
    PostDraft,
    ReverseDraft,
    TemplateDraft,
    TemplateUse,
    Transaction,
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
    return _record(
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
    return _record(
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


def _record(
    books: Books,
    moment: Moment,
    lines: Sequence[EntryDraft],
    *,
    idempotency_key: str,
    kind: str,
    effective_time: int | None,
    description: str,
    metadata: object,
    external_ref: str,
    created_by: str,
    reverses: int = 0,
    forced: bool = False,
    validate_only: bool = False,
    series: str = "",
    template: TemplateUse | None = None,
) -> Decision:
    """Judges a transaction against accounts and balances, and records it."""
    accounts, assets, balances = books.accounts, books.assets, books.balances
    moved: dict[tuple[int, int], int] = {}
    guarded: dict[tuple[int, int], AccountVersion] = {}
    entries: list[Entry] = []
    frames: list[bytes] = []
    opened: dict[str, AccountVersion] | None = None
    record_time = moment.record_time
    for name, is_debit, amount, code in lines:
        version, asset = accounts[name], assets[code]
        if version is None or asset is None:
            if opened is None:
                opened = {}
            if version is None:
                version = opened.get(name) or opening(name, books, len(opened), record_time, created_by)
            if version is None or asset is None:
                refusal = _unusable_name(books, lines)
                assert refusal is not None
                return refusal
            opened[name] = version
            fresh = (version.account.account_id, asset.asset_id)
            if fresh not in moved:
                moved[fresh] = 0
                if version.is_guarded:
                    guarded[fresh] = version
        account = version.account
        place = (account.account_id, asset.asset_id)
        balance = moved.get(place)
        if balance is None:
            balance = balances[place]
            if version.is_guarded:
                guarded[place] = version
        balance = balance + amount if is_debit else balance - amount
        if not AMOUNT_MIN <= balance <= AMOUNT_MAX:
            return _unusable_name(books, lines) or AmountOverflow(
                f"the balance of {name!r} would need more than 38 digits of {code}", account=name, asset=code
            )
        moved[place] = balance
        entries.append(Entry(account, is_debit, amount, asset, balance))
        frames.append(chain.entry_frame(account.framed, is_debit, amount, asset.framed))
    if guarded:
        refusal = _guard_refusal(books, guarded, moved, entries, forced=forced)
        if refusal is not None:
            return refusal

    sequence = books.head.sequence + 1
    given = effective_time is not None
    when = record_time if effective_time is None else effective_time
    salt = moment.salt()
    number, more_flags, more, given_parameters = 0, 0, b"", b""
    if validate_only:
        sequence, record_hash = 0, b""
    else:
        if opened is not None:
            more_flags, more = chain.OPENS_ACCOUNTS, opened_frames(opened.values())
        if template is not None:
            more_flags |= chain.MADE_BY_TEMPLATE
            more += chain.template_frame(template.name, template.version)
            given_parameters = parameters.canonical(template.parameters or parameters.NOTHING)
        if series:
            number = books.series[series] + 1
            more_flags, more = more_flags | chain.NUMBERED, more + chain.number_frame(series, number)
        record_hash = chain.record_hash(
            books.framed,
            sequence,
            books.head.hash,
            chain.transaction_canonical(
                record_time,
                created_by,
                idempotency_key,
                kind,
                when,
                given,
                reverses,
                chain.details_digest(salt, description, metadata, external_ref, given_parameters),  # type: ignore[arg-type]
                frames,
                forced,
                more_flags,
                more,
            ),
        )
    transaction = Transaction(
        sequence,
        kind,
        idempotency_key,
        tuple(entries),
        when,
        given,
        record_time,
        created_by,
        description,
        metadata,  # type: ignore[arg-type]
        external_ref,
        reverses,
        salt,
        record_hash,
        forced=forced,
        template=template,
    )
    if validate_only:
        return Recorded(transaction, False)
    if opened is not None:
        opened_here = put_opened(opened.values(), salt, record_hash, books)
        transaction = transaction._replace(opened=opened_here)
    if number:
        transaction = transaction._replace(series=series, number=number)
        books.put(books.series, series, number)
    books.put_all(balances, moved)
    if idempotency_key:
        books.put(books.keys, idempotency_key, transaction)
    books.put(books.transactions, sequence, transaction)
    if reverses:
        books.put(books.reversals, reverses, sequence)
    books.head = Head(sequence, record_hash, record_time, books.head.epoch)
    return Recorded(transaction, False)


def _guard_refusal(
    books: Books,
    guarded: Mapping[tuple[int, int], AccountVersion],
    moved: Mapping[tuple[int, int], int],
    entries: Sequence[Entry],
    *,
    forced: bool,
) -> Refusal | None:
    """What keeps the transaction from accounts that are shut, or whose bounds it passes without force."""
    for version in guarded.values():
        # No force passes over this.
        if version.status is not AccountStatus.OPEN:
            return shut_refusal(version)
    for place, version in () if forced else guarded.items():
        refusal = bound_refusal(books, version, place, moved[place], entries)
        if refusal is not None:
            return refusal
    return None


def _unusable_name(books: Books, lines: Sequence[EntryDraft]) -> Refusal | None:
    """The first account that is not there, else the first asset, else the first account that is not open.

    In this order whatever the lines' order.
    """
    for line in lines:
        if books.accounts[line.account] is None and not opens(books, line.account):
            return account_not_found(books.ledger, line.account)
    for line in lines:
        if books.assets[line.asset] is None:
            return AssetNotFound(
                f"no asset {line.asset!r} in ledger {books.ledger!r}; create it first", asset=line.asset
            )
    for line in lines:
        version = books.accounts[line.account]
        if version is not None and version.status is not AccountStatus.OPEN:
            return shut_refusal(version)
    return None
