"""Judging a transaction's entries against the books, and recording it. Pure.

The last step of `decide`, the same for posts and reversals: accounts, assets, overflow,
whether the accounts are open, bounds; then the hash, and the books are moved on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger_server.domain import chain, parameters
from ledger_server.domain.accounts import AccountStatus, AccountVersion, Head
from ledger_server.domain.amounts import AMOUNT_MAX, AMOUNT_MIN
from ledger_server.domain.books import Books
from ledger_server.domain.bounding import bound_refusal
from ledger_server.domain.changing import shut_refusal
from ledger_server.domain.decisions import Decision, Moment, Recorded
from ledger_server.domain.first_postings import opened_frames, opening, opens, put_opened
from ledger_server.domain.refusals import AmountOverflow, AssetNotFound, Refusal, account_not_found
from ledger_server.domain.transactions import Entry, EntryDraft, TemplateUse, Transaction, recorded_entry


def record(
    books: Books,
    moment: Moment,
    lines: Sequence[EntryDraft],
    *,
    idempotency_key: str,
    kind: str,
    effective_time: int | None,
    description: str,
    metadata: Mapping[str, str],
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
    is_doubtful = False
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
        account = version.account
        place = (account.account_id, asset.asset_id)
        balance = moved.get(place)
        if balance is None:
            balance = balances[place]
        balance = balance + amount if is_debit else balance - amount
        if not AMOUNT_MIN <= balance <= AMOUNT_MAX:
            return _unusable_name(books, lines) or AmountOverflow(
                f"the balance of {name!r} would need more than 38 digits of {code}", account=name, asset=code
            )
        moved[place] = balance
        if version.bounds is not None and not is_doubtful:
            bounds = version.bounds.get(code)
            if bounds is not None:
                is_doubtful = not bounds[0] <= balance <= bounds[1]
            else:
                is_doubtful = version.status is not AccountStatus.OPEN
        entries.append(recorded_entry((account, is_debit, amount, asset, balance)))
        frames.append(chain.entry_frame(account.framed, is_debit, amount, asset.framed))
    if is_doubtful:
        refusal = _guard_refusal(books, opened or {}, moved, entries, forced=forced)
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
                chain.details_digest(salt, description, metadata, external_ref, given_parameters),
                frames,
                forced,
                more_flags,
                more,
            ),
        )
    opened_here: tuple[AccountVersion, ...] = ()
    if opened is not None and not validate_only:
        opened_here = put_opened(opened.values(), salt, record_hash, books)
    # By place: by name it takes twice as long.
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
        metadata,
        external_ref,
        reverses,
        salt,
        record_hash,
        0,
        None,
        forced,
        opened_here,
        series if number else "",
        number,
        template,
    )
    if validate_only:
        return Recorded(transaction, False)
    if number:
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
    opened: Mapping[str, AccountVersion],
    moved: Mapping[tuple[int, int], int],
    entries: Sequence[Entry],
    *,
    forced: bool,
) -> Refusal | None:
    """What keeps the transaction from accounts that are shut, or whose bounds it passes without force."""
    passed = None
    judged: set[tuple[int, int]] = set()
    for entry in entries:
        place = (entry.account.account_id, entry.asset.asset_id)
        if place in judged:
            continue
        judged.add(place)
        version = books.accounts[entry.account.name] or opened[entry.account.name]
        # No force passes over this, and no bound comes before it.
        if version.status is not AccountStatus.OPEN:
            return shut_refusal(version)
        if passed is None and not forced:
            passed = bound_refusal(books, version, entry, moved[place])
    return passed


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
