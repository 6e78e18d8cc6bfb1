"""The writing verbs: every draft goes to its ledger's lane. The reads stand beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledger_server.domain.accounts import (
    AccountChangeDraft,
    AccountDraft,
    AccountVersion,
    AssetDraft,
    AssetRecord,
    Head,
    LedgerDraft,
    LedgerRecord,
)
from ledger_server.domain.callers import Caller
from ledger_server.domain.charts import ChartDraft, ChartVersion
from ledger_server.domain.decisions import Decision, Draft, Recorded
from ledger_server.domain.members import MemberDraft, MemberVersion
from ledger_server.domain.refusals import (
    AtomicGroupRefused,
    Contention,
    DatabaseUnavailable,
    LedgerAlreadyExists,
    Refusal,
    Unavailable,
    ledger_not_found,
)
from ledger_server.domain.transactions import PostDraft, ReverseDraft, TemplateDraft, Transaction
from ledger_server.service.aggregates import Aggregates
from ledger_server.service.at_once import AtOnce
from ledger_server.service.attempts import ATTEMPTS_MAX, back_off
from ledger_server.service.books_cache import BooksCache
from ledger_server.service.checkpointer import Checkpointer
from ledger_server.service.daily_runs import DailyRuns
from ledger_server.service.denials import Denials
from ledger_server.service.group_commit import Committer, PostingPlace
from ledger_server.service.lanes import Lanes
from ledger_server.service.memberships import Memberships
from ledger_server.service.overdue import OverdueReads
from ledger_server.service.reads import Reads
from ledger_server.service.tenures import Tenures
from ledger_server.service.trial_balance_runs import TrialBalanceRuns
from ledger_server.service.trial_balances import TrialBalances
from ledger_server.store.database import Database
from ledger_server.store.opening import open_ledger
from ledger_server.store.outcomes import DatabaseLost, NotCommitted

DRAFTS_PER_TURN_MAX = 2_048


class Ledgers:
    """Every verb of the service. `clock` maps the database's time to record_time.

    With `daily_trial_balance` it runs one for each ledger and UTC day.
    """

    def __init__(
        self,
        database: Database,
        *,
        committers: int,
        ahead_from: int,
        waiting_max: int,
        daily_trial_balance: bool = False,
        clock: Callable[[int], int] = lambda database_time: database_time,
    ) -> None:
        self.database = database
        cache, tenures = BooksCache(), Tenures()
        at_once = AtOnce(cache, tenures, ahead_from)
        self._posting: Lanes[PostingPlace] = Lanes(
            "committer",
            lambda: Committer(database, cache, tenures, at_once, clock),
            workers=committers,
            weight_max=DRAFTS_PER_TURN_MAX,
            waiting_max=waiting_max,
            ahead_from=ahead_from,
        )
        self.reads = Reads(database, waiting_max=waiting_max)
        self.aggregates = Aggregates(self.reads)
        self._checkpointer = Checkpointer(database)
        self.memberships = Memberships(database)
        self.denials = Denials(database)
        self.trial_balances = TrialBalances(self.reads, self._checkpointer.note)
        self.trial_balance_runs = TrialBalanceRuns(self.reads)
        self.overdue = OverdueReads(self.reads)
        self._daily_runs = DailyRuns(database) if daily_trial_balance else None

    def start(self) -> None:
        """Starts the lanes' workers."""
        self._posting.start()
        self.reads.start()
        self._checkpointer.start()
        self.denials.start()
        if self._daily_runs is not None:
            self._daily_runs.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Commits who waits, answers who waits, and stops."""
        self._posting.stop(timeout_s)
        self.reads.stop(timeout_s)
        self._checkpointer.stop(timeout_s)
        self.denials.stop(timeout_s)
        self.trial_balance_runs.stop()
        if self._daily_runs is not None:
            self._daily_runs.stop(timeout_s)

    # writes --------------------------------------------------------------------------

    def decide(
        self,
        ledger: str,
        drafts: Sequence[Draft],
        *,
        atomic: bool = False,
        caller: Caller | None = None,
        is_alone: bool = False,
    ) -> list[Decision]:
        """Submits drafts to the ledger's lane and answers one decision each, durable when answered.

        Where the caller is named, the audit tells of what it did beside the journal. Alone, they
        have a database transaction of their own. Raises where none of them was decided:
        Overloaded, Unavailable, Contention, LedgerNotFound.
        """
        self._look_up(ledger)
        place = PostingPlace(drafts, atomic=atomic, caller=caller, is_alone=is_alone)
        self._posting.submit(ledger, place)
        decisions = place.wait()
        first = decisions[0]
        if isinstance(first, Unavailable | Contention) and all(decision is first for decision in decisions):
            raise first
        self._checkpointer.note(ledger)
        return decisions

    def _look_up(self, ledger: str) -> None:
        """Finds the ledger's id on the caller's thread: no committer waits for a reader's connection."""
        try:
            found = self.database.ledger_id(ledger)
        except DatabaseLost as error:
            raise DatabaseUnavailable(
                "the database does not answer; nothing was recorded, try again"
            ) from error
        if found is None:
            raise ledger_not_found(ledger)

    def post(
        self, ledger: str, draft: PostDraft | TemplateDraft | ReverseDraft, caller: Caller | None = None
    ) -> tuple[Transaction, bool]:
        """Records one transaction or reversal; answers it and whether it is a replay. Raises refusals."""
        recorded = _recorded(self.decide(ledger, [draft], caller=caller)[0])
        assert isinstance(recorded.record, Transaction)
        return recorded.record, recorded.replayed

    def open_accounts(
        self, ledger: str, drafts: Sequence[AccountDraft], caller: Caller | None = None
    ) -> list[tuple[AccountVersion, bool]]:
        """Opens accounts, all or none. Raises the refusal of the one at fault."""
        decisions = self.decide(ledger, drafts, atomic=len(drafts) > 1, caller=caller)
        for decision in decisions:
            if isinstance(decision, Refusal) and not isinstance(decision, AtomicGroupRefused):
                raise decision
        opened = [_recorded(decision) for decision in decisions]
        return [(one.record, one.replayed) for one in opened if isinstance(one.record, AccountVersion)]

    def change_account(
        self, ledger: str, draft: AccountChangeDraft, caller: Caller | None = None
    ) -> tuple[AccountVersion, bool]:
        """Changes an account; answers its newest version and whether it was so already. Raises refusals."""
        recorded = _recorded(self.decide(ledger, [draft], caller=caller)[0])
        assert isinstance(recorded.record, AccountVersion)
        return recorded.record, recorded.replayed

    def create_asset(
        self, ledger: str, draft: AssetDraft, caller: Caller | None = None
    ) -> tuple[AssetRecord, bool]:
        """Creates an asset; answers it and whether it is a replay. Raises refusals."""
        recorded = _recorded(self.decide(ledger, [draft], caller=caller)[0])
        assert isinstance(recorded.record, AssetRecord)
        return recorded.record, recorded.replayed

    def apply_chart(
        self, ledger: str, draft: ChartDraft, caller: Caller | None = None
    ) -> tuple[ChartVersion, bool]:
        """Applies a chart and creates its new assets, all or nothing.

        Answers the chart and whether it was so already. Raises refusals.
        """
        drafts: list[Draft] = [draft]
        if not draft.validate_only:
            drafts += [AssetDraft(asset.code, asset.scale, draft.created_by) for asset in draft.chart.assets]
        decisions = self.decide(ledger, drafts, atomic=True, caller=caller, is_alone=True)
        recorded = _recorded(decisions[0])
        assert isinstance(recorded.record, ChartVersion)
        return recorded.record, recorded.replayed

    def change_member(self, ledger: str, draft: MemberDraft, caller: Caller) -> tuple[MemberVersion, bool]:
        """Adds, changes or removes a member; answers it and whether it was so already. Raises refusals."""
        try:
            recorded = _recorded(self.decide(ledger, [draft], caller=caller)[0])
        finally:
            # Also where it is not known what became of it.
            self.memberships.forget(ledger, draft.principal)
        assert isinstance(recorded.record, MemberVersion)
        return recorded.record, recorded.replayed

    def _open_ledger(self, draft: LedgerDraft, caller: Caller | None) -> LedgerRecord | None:
        """Opens a ledger, again where others won; None where the name is taken."""
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                back_off(attempt)
            try:
                return open_ledger(self.database, draft, caller)
            except NotCommitted as error:
                if not error.retryable:
                    raise
            except DatabaseLost as error:
                raise DatabaseUnavailable("the database does not answer; try again") from error
        raise Contention("another CreateLedger kept winning; try again")

    def create_ledger(
        self, draft: LedgerDraft, caller: Caller | None = None
    ) -> tuple[LedgerRecord, Head, bool]:
        """Creates a ledger; answers its first record, its head then, and whether it is a replay."""
        created = self._open_ledger(draft, caller)
        replayed = created is None
        if created is None:
            with self.reads.reading(draft.name) as reading:
                created = reading.ledger(draft.name)
                differing = [] if created.description == draft.description else ["description"]
                if reading.first_tenant_admin() != draft.tenant_admin:
                    differing.append("tenant_admin")
            if differing:
                raise LedgerAlreadyExists(
                    f"ledger {draft.name!r} exists with another {' and '.join(differing)}",
                    ledger=draft.name,
                    differing_fields=",".join(differing),
                )
        elif draft.tenant_admin:
            self.memberships.forget(draft.name, draft.tenant_admin)
        return created, Head(1, created.hash, created.record_time), replayed


def _recorded(decision: Decision) -> Recorded:
    if isinstance(decision, Refusal):
        raise decision
    return decision
