"""Sums of balances: of a prefix, or of an account set as the chart of the asked sequence has it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from ledger_server.domain.reads import AGGREGATED_MAX, AggregateAnswer, AggregateAsk
from ledger_server.domain.refusals import AccountSetNotFound, AssetNotFound, BatchTooLarge
from ledger_server.domain.sets import Reach, reach_of
from ledger_server.service.reads import Reads, check_reached
from ledger_server.store.aggregating import Aggregating


class Aggregates:
    """Answers sums of balances, each at the sequence it says."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def balances(
        self, ledger: str, ask: AggregateAsk, covers: Callable[[str], bool], min_sequence: int = 0
    ) -> AggregateAnswer:
        """The sums, the accounts found first and then all their balances by one statement.

        A set of which `covers` denies any part is as if it were not there. Raises
        LedgerNotFound, SequenceNotReached, AccountSetNotFound, AssetNotFound,
        BatchTooLarge, DatabaseUnavailable.
        """
        with self._reads.reading(ledger, min_sequence) as reading:
            head = reading.head().sequence
            check_reached(ledger, head, ask.at)
            at = ask.at or head
            aggregating = Aggregating(reading.connection, reading.ledger_id)
            version, reach = 0, Reach((), (ask.prefix,))
            if ask.set_name:
                version, sets = aggregating.sets(at)
                found = reach_of(sets, ask.set_name)
                if found is None or not all(map(covers, chain(*found))):
                    raise AccountSetNotFound(
                        f"no account set {ask.set_name!r} in the chart of ledger {ledger!r} at sequence {at}",
                        account_set=ask.set_name,
                    )
                reach = found
            made = aggregating.aggregate(reach, ask.asset, at, AGGREGATED_MAX)
        if ask.asset and not made.assets:
            raise AssetNotFound(f"no asset {ask.asset!r} in ledger {ledger!r}", asset=ask.asset)
        if made.accounts * max(made.assets, 1) > AGGREGATED_MAX:
            raise BatchTooLarge(
                f"balances in {made.assets} assets of at least {made.accounts} accounts are more than"
                f" {AGGREGATED_MAX}: name an asset, or ask for fewer accounts",
                accounts=made.accounts,
                assets=made.assets,
                balances_max=AGGREGATED_MAX,
            )
        return AggregateAnswer(tuple(made.balances), made.accounts, version, at)
