"""Deciding a journal again, record by record, and naming the first one that is wrong."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ledger_server.domain import chain
from ledger_server.domain.accounts import (
    Account,
    AccountDraft,
    AccountStatus,
    AccountVersion,
    Asset,
    AssetDraft,
    AssetRecord,
    Head,
)
from ledger_server.domain.books import Books
from ledger_server.domain.charts import ChartVersion
from ledger_server.domain.decisions import Draft, Moment, Record
from ledger_server.domain.members import MemberVersion
from ledger_server.domain.posting import decide
from ledger_server.domain.refusals import AssetMismatch, Refusal, UnbalancedTransaction
from ledger_server.domain.transactions import EntryDraft, PostDraft, ReverseDraft, TemplateDraft, Transaction
from ledger_server.service.bad_records import BadRecord, compare_mirror
from ledger_server.service.replayed_charts import (
    chart_canonical_of,
    chart_draft_of,
    compare_chart,
    compare_opened,
    misfits_of,
    more_of,
    required_metadata,
)
from ledger_server.service.replayed_templates import compare_made, template_draft_of, template_of
from ledger_server.service.stored_values import (
    account_canonical_of,
    account_draft_of,
    digest_of,
    limits_of,
    member_canonical_of,
    member_draft_of,
    metadata_of,
    origin_of,
)
from ledger_server.store.replaying import Page
from ledger_server.store.stored import (
    StoredAccount,
    StoredAsset,
    StoredChart,
    StoredEntry,
    StoredHead,
    StoredLedger,
    StoredMember,
    StoredRecord,
    StoredTransaction,
)

# What damage can make of a row on the way to a draft.
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error)


class _Balances(dict[tuple[int, int], int]):
    """Balances that start at zero."""

    def __missing__(self, place: tuple[int, int]) -> int:
        return 0


class _Books(Books):
    """Books that need not be told what stands at zero."""

    __slots__ = ()

    def stand_at_zero(self, account_id: int) -> None:
        """It does already."""


class Replay:
    """Fresh books, into which a journal is decided again."""

    def __init__(self, ledger: str) -> None:
        self.transactions = 0
        self._books = _Books(ledger, Head(0, chain.GENESIS, -(2**63)))
        self._books.balances = _Balances()
        self._books.series = defaultdict(int)
        self._accounts: dict[int, Account] = {}
        self._assets: dict[int, Asset] = {}
        # The running balances from the entries alone, apart from what `decide` keeps.
        self._totals: dict[tuple[int, int], int] = {}
        self._page: Page = Page(0, 0, [], {}, {}, {}, {}, {})

    def take(self, page: Page) -> None:
        """Replays the page that follows. Raises BadRecord."""
        self._page = page
        records: dict[int, StoredRecord] = {}
        doubled: set[int] = set()
        for record in page.records:
            if record[0] in records:
                doubled.add(record[0])
            records[record[0]] = record
        if page.after == 0:
            below = [sequence for sequence in (*records, *page.entries) if sequence < 1]
            if below:
                raise BadRecord(min(below), "stands before the first one")
        for sequence in range(page.after + 1, page.until + 1):
            stored = records.get(sequence)
            if stored is None:
                raise BadRecord(sequence, "is missing")
            if sequence in page.opened and not isinstance(stored, StoredTransaction):
                raise BadRecord(sequence, "is no transaction, and opens accounts")
            if sequence in doubled:
                raise BadRecord(sequence, "stands there more than once")
            try:
                self._replay(sequence, stored)
            except _UNREADABLE as error:
                raise BadRecord(sequence, f"cannot be read: {error!r}") from error
        self._books.forget_batch()

    def end(self, head: StoredHead) -> None:
        """Compares the head with the last record. Raises BadRecord."""
        last = self._books.head
        if head.hash != last.hash:
            raise BadRecord(head.sequence, "has another hash than the head")
        if head.record_time != last.record_time:
            raise BadRecord(head.sequence, "has another record_time than the head")
        if head.filled != head.sequence or head.owing_from is not None:
            raise BadRecord(
                head.sequence, "is not the one up to which the fences counted: filled, owing_from"
            )
        versions = [version for version in self._books.accounts.values() if version is not None]
        has_limits = any(version.limits for version in versions)
        has_shut = any(version.status is not AccountStatus.OPEN for version in versions)
        if (head.account_id_max, head.asset_id_max) != (len(self._accounts), len(self._assets)) or (
            (has_limits and not head.has_limits) or (has_shut and not head.has_shut)
        ):
            raise BadRecord(head.sequence, "is the head's, which misstates what accounts there are")
        rules = self._books.rules
        if head.chart_version != (rules.version.version if rules is not None else 0):
            raise BadRecord(head.sequence, "is the head's, which misstates the version of the chart")

    def compare_sum(self, account_id: int, asset_id: int, total: str, balance_after: str) -> None:
        """Compares what the database adds up with what was replayed. Raises BadRecord."""
        replayed = self._totals.pop((account_id, asset_id), None)
        if replayed is None or int(total) != replayed or int(balance_after) != replayed:
            account, asset = self._accounts.get(account_id), self._assets.get(asset_id)
            raise BadRecord(
                self._books.head.sequence,
                f"leaves {account.name if account else account_id} at {replayed}"
                f" {asset.code if asset else asset_id}, but its entries add up to {total} and the newest"
                f" says {balance_after}: an index of ledger.entries is damaged",
            )

    def all_compared(self) -> None:
        """Every balance was compared. Raises BadRecord."""
        if self._totals:
            raise BadRecord(
                self._books.head.sequence, f"leaves {len(self._totals)} balances that no sum was found for"
            )

    # one record --------------------------------------------------------------------------

    def _replay(self, sequence: int, stored: StoredRecord) -> None:
        before = self._books.head
        if stored.record_time < before.record_time:
            raise BadRecord(sequence, "has a record_time before that of the record before it")
        if isinstance(stored, StoredTransaction):
            self._transaction(stored, self._page.entries.get(sequence, ()))
        else:
            if sequence in self._page.entries:
                raise BadRecord(sequence, "is no transaction, and has entries")
            if (sequence == 1) is not isinstance(stored, StoredLedger):
                raise BadRecord(sequence, "is of a kind that cannot stand there")
            if isinstance(stored, StoredLedger):
                self._ledger(stored)
            elif isinstance(stored, StoredAsset):
                self._asset(stored)
            elif isinstance(stored, StoredMember):
                self._member(stored)
            elif isinstance(stored, StoredChart):
                self._chart(stored)
            else:
                self._account(stored)
        self._books.head = Head(sequence, stored.hash, stored.record_time)

    def _ledger(self, stored: StoredLedger) -> None:
        digest = digest_of(stored, stored.description, {}, "")
        self._chain(stored, chain.ledger_canonical(stored.record_time, stored.created_by, digest))

    def _asset(self, stored: StoredAsset) -> None:
        books = self._books
        self._chain(
            stored,
            chain.asset_canonical(
                stored.record_time, stored.created_by, chain.framed(stored.code), stored.scale
            ),
        )
        books.assets.setdefault(stored.code, None)
        record = self._decided(stored, b"", AssetDraft(stored.code, stored.scale, stored.created_by))
        assert isinstance(record, AssetRecord)
        if record.asset.asset_id != stored.asset_id:
            raise BadRecord(
                stored.sequence, f"has asset_id {stored.asset_id}; the next one is {record.asset.asset_id}"
            )
        self._assets[stored.asset_id] = record.asset

    def _account(self, stored: StoredAccount) -> None:
        limits = limits_of(stored, self._assets)
        metadata = metadata_of(stored.metadata)
        self._chain(stored, account_canonical_of(stored, limits, metadata))
        known = self._books.accounts.setdefault(stored.name, None)
        record = self._decided(stored, stored.salt, account_draft_of(stored, limits, metadata, known))
        assert isinstance(record, AccountVersion)
        account = record.account
        if account.account_id != stored.account_id:
            raise BadRecord(
                stored.sequence, f"has account_id {stored.account_id}; it should be {account.account_id}"
            )
        if (account.type, record.version) != (stored.type, stored.version):
            raise BadRecord(stored.sequence, "is of another type or version than the account's next one")
        self._accounts[stored.account_id] = account

    def _member(self, stored: StoredMember) -> None:
        draft = member_draft_of(stored, self._books.members.setdefault(stored.principal, None))
        self._chain(stored, member_canonical_of(stored, draft))
        record = self._decided(stored, b"", draft)
        assert isinstance(record, MemberVersion)
        if record.version != stored.version:
            raise BadRecord(stored.sequence, f"has version {stored.version}; the next is {record.version}")

    def _chart(self, stored: StoredChart) -> None:
        books = self._books
        draft = chart_draft_of(stored, books.rules)
        self._chain(stored, chart_canonical_of(stored, draft.chart))
        for asset in draft.chart.assets:
            books.assets.setdefault(asset.code, None)
        standing = [version for version in books.accounts.values() if version is not None]
        books.misfits = misfits_of(draft.chart, books.rules, standing, self._totals, self._assets)
        record = self._decided(stored, b"", draft)
        assert isinstance(record, ChartVersion)
        compare_chart(stored, record)

    def _transaction(self, stored: StoredTransaction, lines: Sequence[StoredEntry]) -> None:
        sequence = stored.sequence
        asked = self._lines(sequence, lines)
        metadata = metadata_of(stored.metadata)
        effective_time = stored.effective_time if stored.effective_time_given else None
        draft: PostDraft | TemplateDraft | ReverseDraft
        used = template_of(stored)
        try:
            draft = PostDraft(
                asked,
                stored.idempotency_key,
                stored.kind,
                effective_time,
                stored.description or "",
                required_metadata(stored.kind, self._books.rules) if metadata is None else metadata,
                stored.external_ref or "",
                stored.created_by,
                template=used,
            )
        except (UnbalancedTransaction, AssetMismatch) as error:
            raise BadRecord(sequence, f"is not balanced: {error}") from error
        if stored.forced and not stored.reverses:
            raise BadRecord(sequence, "is forced, and is no reversal")
        if used is not None and used.parameters is not None:
            draft = template_draft_of(stored, used, self._books)
        if stored.reverses:
            self._look_up_origin(stored)
            draft = ReverseDraft(
                stored.reverses,
                stored.idempotency_key,
                effective_time,
                stored.description or "",
                metadata or {},
                stored.created_by,
                stored.forced,
            )
        if stored.idempotency_key:
            self._books.keys[stored.idempotency_key] = None
        before = self._books.head
        record = self._decided(stored, stored.salt, draft)
        assert isinstance(record, Transaction)
        if record.hash != stored.hash:
            # Redacted, or wrong: only the record itself can tell.
            self._books.head = before
            self._chain(stored, self._canonical(stored, asked, metadata))
            if stored.details_digest is None:
                raise BadRecord(sequence, "is not what its draft gives")
        if record.effective_time != stored.effective_time:
            raise BadRecord(
                sequence, "has an effective_time that nobody gave and that is not its record_time"
            )
        if [entry.balance_after for entry in record.entries] != [int(line.balance_after) for line in lines]:
            raise BadRecord(sequence, "has entries that its draft does not give")
        if used is not None:
            compare_made(stored, record, asked, metadata)
        if stored.reverses:
            compare_mirror(stored, record, asked)
        compare_opened(stored, record, self._page.opened.get(sequence, ()), self._assets)
        for version in record.opened:
            self._accounts[version.account.account_id] = version.account
        self.transactions += 1

    def _lines(self, sequence: int, lines: Sequence[StoredEntry]) -> tuple[EntryDraft, ...]:
        """The entries as asked; their running balances are proven on the way."""
        if len(lines) < 2:
            raise BadRecord(sequence, f"has {len(lines)} entries; a transaction has at least two")
        totals, accounts, assets = self._totals, self._accounts, self._assets
        opened = {
            one.account_id: Account.of(one.account_id, one.name, one.type)
            for one in self._page.opened.get(sequence, ())
        }
        for one in opened.values():
            self._books.accounts.setdefault(one.name, None)
        asked = []
        for place, (_, index, account_id, asset_id, layer, side, amount_digits, after) in enumerate(lines):
            if index != place:
                raise BadRecord(sequence, f"lacks its entry {place}")
            account, asset = accounts.get(account_id) or opened.get(account_id), assets.get(asset_id)
            if account is None or asset is None:
                raise BadRecord(sequence, f"has an entry {place} of an account or asset that is not open yet")
            if layer:
                raise BadRecord(sequence, f"has an entry {place} in layer {layer}; nothing is held yet")
            amount = int(amount_digits)
            is_debit = side == 1
            key = (account_id, asset_id)
            total = totals.get(key, 0) + (amount if is_debit else -amount)
            if total != int(after):
                raise BadRecord(
                    sequence,
                    f"leaves {account.name} at {total} {asset.code} by its entries,"
                    f" and says {after} in entry {place}",
                )
            totals[key] = total
            asked.append(EntryDraft(account.name, is_debit, amount, asset.code))
        return tuple(asked)

    def _look_up_origin(self, stored: StoredTransaction) -> None:
        """Puts the origin of a reversal, and what reversed it before, where `decide` looks for them."""
        origin_sequence, page, books = stored.reverses, self._page, self._books
        origin = page.origins.get(origin_sequence)
        if origin is None or origin_sequence >= stored.sequence:
            raise BadRecord(stored.sequence, f"reverses {origin_sequence}, which is no transaction before it")
        first = page.reversals[origin_sequence][0]
        if first < stored.sequence:
            raise BadRecord(stored.sequence, f"reverses {origin_sequence} a second time, after {first}")
        books.transactions[origin_sequence] = origin_of(
            origin, page.origin_entries.get(origin_sequence, []), self._accounts, self._assets
        )

    def _canonical(
        self, stored: StoredTransaction, asked: Sequence[EntryDraft], metadata: Mapping[str, str] | None
    ) -> bytes:
        """What the hash covers, from the row and its entries alone."""
        return chain.transaction_canonical(
            stored.record_time,
            stored.created_by,
            stored.idempotency_key,
            stored.kind,
            stored.effective_time,
            stored.effective_time_given,
            stored.reverses,
            digest_of(stored, stored.description, metadata, stored.external_ref),
            [
                chain.entry_frame(chain.framed(account), is_debit, amount, chain.framed(asset))
                for account, is_debit, amount, asset in asked
            ],
            stored.forced,
            *more_of(stored, self._page.opened.get(stored.sequence, ()), self._assets),
        )

    def _decided(self, stored: StoredRecord, salt: bytes, draft: Draft) -> Record:
        """The record that `decide` makes of a draft at the recorded time."""
        books = self._books
        balances = books.balances
        if isinstance(draft, AccountDraft | AssetDraft):
            # It would write a zero for every account in every asset; here they are zero already.
            books.balances = {}
        decision = decide((draft,), books, Moment(stored.record_time, lambda: salt))[0]
        books.balances = balances
        if isinstance(decision, Refusal):
            raise BadRecord(stored.sequence, f"would be refused with {decision.reason}: {decision.message}")
        if decision.replayed:
            raise BadRecord(stored.sequence, "records again what is so already")
        return decision.record

    def _chain(self, stored: StoredRecord, canonical: bytes) -> None:
        books = self._books
        if chain.record_hash(books.framed, stored.sequence, books.head.hash, canonical) != stored.hash:
            raise BadRecord(
                stored.sequence, "is not what its hash was made of, or does not follow the record before it"
            )
