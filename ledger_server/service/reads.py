"""The reading verbs: the head first, then everything at or below it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import NamedTuple

from ledger_server.domain.accounts import NORMAL_SIGN, AccountVersion, AssetRecord, Head, LedgerRecord
from ledger_server.domain.charts import ChartVersion
from ledger_server.domain.members import MemberVersion
from ledger_server.domain.reads import (
    AccountEntry,
    Balance,
    BalanceAnswer,
    BalanceAsk,
    TransactionFilter,
)
from ledger_server.domain.refusals import (
    AccountNotFound,
    AssetNotFound,
    ChartNotFound,
    DatabaseUnavailable,
    SequenceNotReached,
    ledger_not_found,
    transaction_not_found,
)
from ledger_server.domain.transactions import Transaction
from ledger_server.service.balance_reads import BalancePlace, BalanceReader
from ledger_server.service.charts import Charts
from ledger_server.service.lanes import Lanes
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.reading import LAST, Reading, ledger_page

BALANCES_PER_TURN_MAX = 4_096
# A read that asks for a sequence the ledger has not reached waits this long, and
# this many may wait at once: each holds a worker.
SEQUENCE_WAIT_S = 1.0
SEQUENCE_WAITERS_MAX = 8
# Read lanes: one query is on its way while the next group gathers.
_READ_WORKERS = 2
# One query for six callers costs little more than one for four.
_READ_MOMENTS_MAX = 8


class Page(NamedTuple):
    """A page of transactions: where to go on, None at the end, and the sequence it reflects."""

    transactions: list[Transaction]
    position: int | None
    at: int


class Reads:
    """Every read of the service, each at a sequence it answers."""

    def __init__(self, database: Database, *, waiting_max: int) -> None:
        self._database = database
        self._balances: Lanes[BalancePlace] = Lanes(
            "balance-reader",
            lambda: BalanceReader(database),
            workers=_READ_WORKERS,
            weight_max=BALANCES_PER_TURN_MAX,
            waiting_max=waiting_max,
            moments_max=_READ_MOMENTS_MAX,
        )
        self._sequence_waiters = BoundedSemaphore(SEQUENCE_WAITERS_MAX)
        self._charts = Charts()

    def start(self) -> None:
        """Starts the lanes' workers."""
        self._balances.start()

    def stop(self, timeout_s: float) -> None:
        """Answers who waits, and stops."""
        self._balances.stop(timeout_s)

    def is_serving(self) -> bool:
        """Whether the database answers now."""
        return self._database.is_serving()

    def database_version(self) -> str:
        """PostgreSQL's version. Raises DatabaseUnavailable."""
        try:
            return self._database.version()
        except DatabaseLost as error:
            raise DatabaseUnavailable("the database does not answer; try again") from error

    @contextmanager
    def reading(self, ledger: str, min_sequence: int = 0) -> Iterator[Reading]:
        """A way to read one ledger. Raises LedgerNotFound, SequenceNotReached, DatabaseUnavailable."""
        try:
            ledger_id = self._database.ledger_id(ledger)
            if ledger_id is None:
                raise ledger_not_found(ledger)
            if min_sequence:
                self._wait_for(ledger, ledger_id, min_sequence)
            with self._database.reading() as connection:
                yield Reading(connection, ledger_id)
        except DatabaseLost as error:
            raise DatabaseUnavailable("the database does not answer; try again") from error

    def _wait_for(self, ledger: str, ledger_id: int, sequence: int) -> None:
        """Waits until the ledger has reached the sequence. No connection is held while it sleeps."""
        deadline = time.monotonic() + SEQUENCE_WAIT_S
        pause_s = 0.002
        may_wait = self._sequence_waiters.acquire(blocking=False)
        try:
            while True:
                with self._database.reading() as connection:
                    head = Reading(connection, ledger_id).head()
                if head.sequence >= sequence:
                    return
                if not may_wait or time.monotonic() > deadline:
                    raise SequenceNotReached(
                        f"ledger {ledger!r} is at sequence {head.sequence}, not yet at {sequence};"
                        " try again later",
                        ledger=ledger,
                        head=head.sequence,
                        min_sequence=sequence,
                    )
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.05)
        finally:
            if may_wait:
                self._sequence_waiters.release()

    def balances(
        self, ledger: str, asks: Sequence[BalanceAsk], min_sequence: int = 0
    ) -> tuple[int, list[BalanceAnswer]]:
        """Balances at one sequence, coalesced with whoever asks at the same time. Raises refusals."""
        if min_sequence:
            with self.reading(ledger, min_sequence):
                pass
        place = BalancePlace(asks)
        self._balances.submit(ledger, place)
        answer = place.wait()
        answers = answer.answers
        for index, (ask, found) in enumerate(zip(asks, answers, strict=True)):
            if found.type is None:
                with self.reading(ledger) as reading:
                    answers[index] = self._charts.unopened(ledger, reading, ask, answer.sequence)
            elif ask.asset and not found.has_asset:
                raise AssetNotFound(f"no asset {ask.asset!r} in ledger {ledger!r}", asset=ask.asset)
            check_reached(ledger, answer.sequence, ask.at)
        return answer.sequence, answers

    def chart(self, ledger: str, version: int, min_sequence: int = 0) -> tuple[ChartVersion, int]:
        """A version of the chart, 0 for the newest, and the sequence the answer reflects."""
        with self.reading(ledger, min_sequence) as reading:
            at = reading.head().sequence
            found = reading.chart(version, at)
        if found is None:
            which = f"version {version} of a chart" if version else "chart"
            raise ChartNotFound(f"ledger {ledger!r} has no {which}", ledger=ledger, version=version)
        return found, at

    def is_numbering(self, ledger: str) -> bool:
        """Whether the ledger's chart numbers any kind of transactions. Raises LedgerNotFound."""
        with self.reading(ledger) as reading:
            rules = self._charts.rules(ledger, reading)
        return rules is not None and rules.is_numbering

    def recomputed_balances(
        self, ledger: str, ask: BalanceAsk, min_sequence: int = 0
    ) -> tuple[int, BalanceAnswer]:
        """The same balance from all entries."""
        head, (found,) = self.balances(ledger, [ask], min_sequence)
        assert found.type is not None
        with self.reading(ledger) as reading:
            sums = reading.recomputed(ask.account, ask.at or head)
        sign = NORMAL_SIGN[found.type]
        recomputed = tuple(
            Balance(
                balance.asset,
                sums.get(balance.asset, 0) * sign,
                balance.last_sequence,
                balance.last_record_time,
            )
            for balance in found.balances
        )
        return head, BalanceAnswer(found.type, found.has_asset, recomputed)

    def transaction(self, ledger: str, name: int | str, min_sequence: int = 0) -> tuple[Transaction, int]:
        """One transaction by sequence or key, and the sequence the answer reflects."""
        with self.reading(ledger, min_sequence) as reading:
            at = reading.head().sequence
            sequence = reading.sequence_of_key(name, at) if isinstance(name, str) else name
            found = reading.transactions([sequence], at) if sequence is not None and sequence <= at else []
        if not found:
            raise transaction_not_found(ledger, name)
        return found[0], at

    def transactions(
        self,
        ledger: str,
        wanted: TransactionFilter,
        *,
        newest_first: bool,
        position: int | None,
        at: int | None,
        count: int,
        min_sequence: int = 0,
    ) -> Page:
        """A page of transactions; the first page fixes the sequence all pages reflect."""
        with self.reading(ledger, min_sequence) as reading:
            reached = reading.head().sequence
            at = reached if at is None else min(at, reached)
            account_id = None
            if wanted.account is not None:
                version = reading.account(wanted.account, at)
                if version is None:
                    raise AccountNotFound(
                        f"no account {wanted.account!r} in ledger {ledger!r}", account=wanted.account
                    )
                account_id = version.account.account_id
            if position is None:
                position = LAST if newest_first else 0
            sequences, next_position = reading.transaction_sequences(
                wanted,
                account_id=account_id,
                newest_first=newest_first,
                position=position,
                at=at,
                count=count,
            )
            return Page(reading.transactions(sequences, at), next_position, at)

    def entries(
        self,
        ledger: str,
        account: str,
        *,
        asset: str,
        newest_first: bool,
        position: tuple[int, int] | None,
        at: int | None,
        count: int,
        min_sequence: int = 0,
    ) -> tuple[AccountVersion, list[AccountEntry], bool, int]:
        """A page of an account's entries: the account, the entries, whether more follow, the sequence."""
        with self.reading(ledger, min_sequence) as reading:
            reached = reading.head().sequence
            at = reached if at is None else min(at, reached)
            version = reading.account(account, at)
            if version is None:
                raise AccountNotFound(f"no account {account!r} in ledger {ledger!r}", account=account)
            if asset and all(record.asset.code != asset for record in reading.assets(at)):
                raise AssetNotFound(f"no asset {asset!r} in ledger {ledger!r}", asset=asset)
            if position is None:
                position = (LAST, 0) if newest_first else (0, 0)
            found = reading.account_entries(
                version.account.account_id,
                asset=asset,
                newest_first=newest_first,
                position=position,
                at=at,
                count=count + 1,
            )
            return version, found[:count], len(found) > count, at

    def account(self, ledger: str, name: str, min_sequence: int = 0) -> tuple[AccountVersion, int]:
        """One account, and the sequence the answer reflects."""
        with self.reading(ledger, min_sequence) as reading:
            at = reading.head().sequence
            version = reading.account(name, at)
        if version is None:
            raise AccountNotFound(f"no account {name!r} in ledger {ledger!r}", account=name)
        return version, at

    def account_page(
        self,
        ledger: str,
        *,
        prefix: str,
        account_type: int,
        after: str,
        at: int | None,
        count: int,
        min_sequence: int = 0,
    ) -> tuple[list[AccountVersion], bool, int]:
        """A page of accounts, whether more follow, and the sequence."""
        with self.reading(ledger, min_sequence) as reading:
            reached = reading.head().sequence
            at = reached if at is None else min(at, reached)
            found = reading.account_page(
                prefix=prefix, account_type=account_type, after=after, at=at, count=count + 1
            )
        return found[:count], len(found) > count, at

    def member_page(
        self, ledger: str, *, after: str, at: int | None, count: int, min_sequence: int = 0
    ) -> tuple[list[MemberVersion], bool, int]:
        """A page of members, whether more follow, and the sequence."""
        with self.reading(ledger, min_sequence) as reading:
            reached = reading.head().sequence
            at = reached if at is None else min(at, reached)
            found = reading.member_page(after, at, count + 1)
        return found[:count], len(found) > count, at

    def assets(self, ledger: str, min_sequence: int = 0) -> tuple[list[AssetRecord], int]:
        """Every asset, and the sequence."""
        with self.reading(ledger, min_sequence) as reading:
            at = reading.head().sequence
            return reading.assets(at), at

    def ledger(self, name: str, min_sequence: int = 0) -> tuple[LedgerRecord, Head]:
        """A ledger with its present head."""
        with self.reading(name, min_sequence) as reading:
            return reading.ledger(name), reading.head()

    def ledger_page(self, after: str, count: int) -> tuple[list[tuple[LedgerRecord, Head]], bool]:
        """A page of ledgers in order of name, and whether more follow."""
        try:
            with self._database.reading() as connection:
                found = ledger_page(connection, after, count + 1)
                page = []
                for name, ledger_id in found[:count]:
                    reading = Reading(connection, ledger_id)
                    page.append((reading.ledger(name), reading.head()))
        except DatabaseLost as error:
            raise DatabaseUnavailable("the database does not answer; try again") from error
        return page, len(found) > count


def check_reached(ledger: str, head: int, at: int) -> None:
    """Raises SequenceNotReached for a sequence beyond the head."""
    if at > head:
        raise SequenceNotReached(
            f"ledger {ledger!r} is at sequence {head}, not yet at {at}",
            ledger=ledger,
            head=head,
            at_sequence=at,
        )
