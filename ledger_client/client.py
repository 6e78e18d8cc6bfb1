"""The client for threads: every verb of the contract, typed; posts of many threads share calls."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime

from ledger.v1.ledger_service_pb2 import TransactionFilter

from ledger_client import accounts, aggregates, asks, membership, trial_balance_runs
from ledger_client.aggregates import Aggregate, Of
from ledger_client.calls import Calls
from ledger_client.drafts import Draft, Line, ReversalDraft, post_bytes, reversal_bytes
from ledger_client.lane import Posted
from ledger_client.membership import AuditEvent, Member, Role
from ledger_client.refusals import Refused
from ledger_client.trial_balance_runs import TrialBalanceRun
from ledger_client.values import (
    Account,
    AccountDraft,
    AccountEntry,
    AccountStatus,
    AccountType,
    Asset,
    Balance,
    Ledger,
    Limit,
    Recorded,
    Transaction,
    TrialBalance,
    TrialBalanceRow,
)


class Client(Calls):
    """The ledger service, for any number of threads; closed by `close` or `with`.

    Every verb takes the ledger's name first, answers a value or raises a Refused,
    and ends within `deadline_s` seconds. Reads see what this client has written.
    Writes of several threads are recorded in no particular order; a thread's own
    come in its order, because it waits for each.

    Not to be carried over a fork: make one in each process.
    """

    # writing ----------------------------------------------------------------------------------

    def new_key(self) -> str:
        """A fresh idempotency key, later than those before it; for who wants to know it before the post."""
        self._lifetime.check_process()
        return self._keys.new()

    def post(
        self,
        ledger: str,
        lines: Sequence[Line],
        *,
        idempotency_key: str = "",
        kind: str = "",
        effective_time: datetime | None = None,
        description: str = "",
        metadata: Mapping[str, str] | None = None,
        external_ref: str = "",
        deadline_s: float | None = None,
    ) -> Posted:
        """Records one transaction: durable when answered. Waits for room while too many are on their way.

        Tried again under the same key until the deadline while it helps. Then raises
        OutcomeUnknown where it may have been recorded: its `idempotency_key` tells.
        """
        key = idempotency_key.strip() or self._keys.new()
        operation = post_bytes(lines, key, kind, effective_time, description, metadata, external_ref)
        wait_s = self._within(deadline_s)
        return self._posting.post(ledger, operation, len(lines), key, wait_s)

    def reverse(
        self,
        ledger: str,
        transaction: int | str,
        *,
        idempotency_key: str = "",
        effective_time: datetime | None = None,
        description: str = "",
        metadata: Mapping[str, str] | None = None,
        force: bool = False,
        deadline_s: float | None = None,
    ) -> Posted:
        """Records the mirror of a transaction, named by its sequence or its key; else as `post`.

        With `force` past balance bounds, for who may.
        """
        key = idempotency_key.strip() or self._keys.new()
        draft = ReversalDraft(transaction, key, effective_time, description, metadata, force)
        wait_s = self._within(deadline_s)
        return self._posting.post(ledger, reversal_bytes(draft, key), 0, key, wait_s)

    def post_whole(self, ledger: str, draft: Draft, *, deadline_s: float | None = None) -> Recorded:
        """Records one transaction in a call of its own, and answers it whole."""
        ask = asks.post_whole(ledger, draft, self._keys.new(), validate_only=False)
        return self.ask(ask, deadline_s)

    def validate(self, ledger: str, draft: Draft, *, deadline_s: float | None = None) -> Recorded:
        """Answers or refuses as `post_whole` would now, and records nothing; the sequence is 0."""
        ask = asks.post_whole(ledger, draft, "", validate_only=True)
        return self.ask(ask, deadline_s)

    def post_batch(
        self, ledger: str, drafts: Sequence[Draft | ReversalDraft], *, deadline_s: float | None = None
    ) -> list[Posted | Refused]:
        """Records several in order, each on its own; one answer for each, a Refused where it was refused."""
        keys = (self._keys.new() for _ in drafts)
        return self.ask(asks.post_batch(ledger, drafts, keys, atomic=False), deadline_s)

    def post_atomically(
        self, ledger: str, drafts: Sequence[Draft | ReversalDraft], *, deadline_s: float | None = None
    ) -> list[Posted]:
        """Records all in order or none; raises what the one at fault was refused for, with its key."""
        keys = (self._keys.new() for _ in drafts)
        answer = self.ask(asks.post_batch(ledger, drafts, keys, atomic=True), deadline_s)
        return asks.all_recorded(answer)

    # reading ----------------------------------------------------------------------------------

    def get_transaction(
        self, ledger: str, transaction: int | str, *, deadline_s: float | None = None
    ) -> Transaction:
        """A transaction by its sequence or its key."""
        return self.ask(asks.get_transaction(ledger, transaction), deadline_s)

    def list_transactions(
        self, ledger: str, *, only: TransactionFilter | None = None, oldest_first: bool = False
    ) -> Iterator[Transaction]:
        """Every transaction, or those that pass the filter, read page by page; all as of one sequence."""
        return self.each(asks.list_transactions(ledger, only, oldest_first=oldest_first))

    def list_entries(
        self, ledger: str, account: str, *, asset: str = "", oldest_first: bool = False
    ) -> Iterator[AccountEntry]:
        """Every entry of an account, with running balances, read page by page; all as of one sequence."""
        return self.each(asks.list_entries(ledger, account, asset, oldest_first=oldest_first))

    def get_balance(
        self,
        ledger: str,
        account: str,
        asset: str,
        *,
        at_sequence: int = 0,
        deadline_s: float | None = None,
    ) -> Balance:
        """An account's balance in one asset, now or right after a record."""
        return self.ask(asks.get_balance(ledger, account, asset, at_sequence), deadline_s)

    def get_balances(
        self,
        ledger: str,
        names: Iterable[tuple[str, str]],
        *,
        at_sequence: int = 0,
        deadline_s: float | None = None,
    ) -> list[tuple[Balance, ...]]:
        """Up to 1,000 balances at one sequence, by (account, asset); an empty asset means every one."""
        return self.ask(asks.get_balances_of(ledger, names, at_sequence), deadline_s)

    def get_aggregate_balance(
        self, ledger: str, of: Of, asset: str = "", *, at_sequence: int = 0, deadline_s: float | None = None
    ) -> Aggregate:
        """The sums of balances `Below` a path, or `InSet` of the chart, in one asset or in all."""
        return self.ask(aggregates.get_aggregate_balance(ledger, of, asset, at_sequence), deadline_s)

    def trial_balance(
        self,
        ledger: str,
        *,
        at_sequence: int = 0,
        digest: bool = False,
        from_checkpoint: bool = False,
        deadline_s: float | None = None,
    ) -> TrialBalance:
        """Whether debits equal credits, and each asset's totals: from every posted entry.

        Or from a checkpoint on, where there is one: milliseconds instead of seconds for
        millions of entries.
        """
        asked = asks.trial_balance(ledger, at_sequence, digest=digest, from_checkpoint=from_checkpoint)
        return self.ask(asked, deadline_s)

    def trial_balance_rows(
        self, ledger: str, *, at_sequence: int = 0, by_type: bool = False
    ) -> Iterator[TrialBalanceRow]:
        """The sums of each account and asset, or of each account type, read page by page."""
        return self.each(asks.trial_balance_rows(ledger, at_sequence, by_type=by_type))

    def run_trial_balance(self, ledger: str, *, deadline_s: float | None = None) -> TrialBalanceRun:
        """Adds up every entry, and keeps what it finds; a second or so for a million entries."""
        return self.ask(trial_balance_runs.run_trial_balance(ledger), deadline_s)

    def list_trial_balance_runs(self, ledger: str, *, day: date | None = None) -> Iterator[TrialBalanceRun]:
        """Runs, newest first; of one UTC day where it is given."""
        return self.each(trial_balance_runs.list_trial_balance_runs(ledger, day))

    # ledgers, assets, accounts ------------------------------------------------------------------

    def create_ledger(self, name: str, *, description: str = "", tenant_admin: str = "") -> Ledger:
        """Creates a ledger with its first member; the same again answers the one that is there."""
        return self.ask(asks.create_ledger(name, description, tenant_admin))

    def get_ledger(self, name: str) -> Ledger:
        """A ledger with its head."""
        return self.ask(asks.get_ledger(name))

    def list_ledgers(self) -> Iterator[Ledger]:
        """Every ledger, in bytewise order of names."""
        return self.each(asks.list_ledgers())

    def create_asset(self, ledger: str, code: str, scale: int) -> Asset:
        """Creates an asset with so many decimals; the same again answers the one that is there."""
        return self.ask(asks.create_asset(ledger, code, scale))

    def list_assets(self, ledger: str) -> Iterator[Asset]:
        """Every asset, in bytewise order of codes."""
        return self.each(asks.list_assets(ledger))

    def create_account(self, ledger: str, draft: AccountDraft) -> Account:
        """Opens an account; the same again answers it as it was opened."""
        (account,) = self.create_accounts(ledger, [draft])
        return account

    def create_accounts(self, ledger: str, drafts: Iterable[AccountDraft]) -> list[Account]:
        """Opens up to 1,000 accounts, all or none."""
        return self.ask(accounts.create_accounts(ledger, drafts))

    def get_account(self, ledger: str, name: str) -> Account:
        """An account in its newest version."""
        return self.ask(accounts.get_account(ledger, name))

    def list_accounts(
        self, ledger: str, *, prefix: str = "", account_type: AccountType | None = None
    ) -> Iterator[Account]:
        """Every account, or those at or below a path, or of a type, in bytewise order of names."""
        return self.each(accounts.list_accounts(ledger, prefix, account_type))

    def update_account(
        self,
        ledger: str,
        name: str,
        version: int,
        *,
        limits: Iterable[Limit] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Account:
        """Replaces an account's limits, its metadata or both, if it still is at this version."""
        return self.ask(accounts.update_account(ledger, name, version, limits, metadata))

    def freeze_account(self, ledger: str, name: str, *, version: int = 0) -> Account:
        """Lets nothing be posted to an account until it is unfrozen."""
        return self.ask(accounts.change_status(ledger, name, AccountStatus.FROZEN, version))

    def unfreeze_account(self, ledger: str, name: str, *, version: int = 0) -> Account:
        """Lets a frozen account be posted to again."""
        return self.ask(accounts.change_status(ledger, name, AccountStatus.OPEN, version))

    def close_account(self, ledger: str, name: str, *, version: int = 0) -> Account:
        """Closes an account that is at zero in every asset, for good."""
        return self.ask(accounts.change_status(ledger, name, AccountStatus.CLOSED, version))

    # members, audit events -----------------------------------------------------------------------

    def add_member(
        self,
        ledger: str,
        principal: str,
        roles: Iterable[Role],
        *,
        account_prefixes: Iterable[str] = (),
        version: int = 0,
    ) -> Member:
        """Makes a principal a member, or changes what it may: then with the membership's version."""
        return self.ask(membership.add_member(ledger, principal, roles, account_prefixes, version))

    def remove_member(self, ledger: str, principal: str, *, version: int = 0) -> int:
        """Ends a membership, of this version where one is given; answers the sequence of the record."""
        return self.ask(membership.remove_member(ledger, principal, version))

    def list_members(self, ledger: str) -> Iterator[Member]:
        """Every member, in bytewise order of principals."""
        return self.each(membership.list_members(ledger))

    def list_audit_events(
        self,
        ledger: str = "",
        *,
        actor: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEvent]:
        """Audit events after `since` up to `until`, newest first; without a ledger the platform's own."""
        return self.each(membership.list_audit_events(ledger, actor, since, until))
