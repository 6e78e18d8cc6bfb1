"""Charts as reads need them: what accounts are that nobody has opened yet."""

from __future__ import annotations

import threading
from collections import OrderedDict

from ledger_server.domain.governing import Rules
from ledger_server.domain.reads import Balance, BalanceAnswer, BalanceAsk
from ledger_server.domain.refusals import AccountNotFound, AssetNotFound
from ledger_server.store.reading import LAST, Reading

# Charts made ready to judge by: a large one is some hundred kilobytes.
_REMEMBERED_MAX = 64


class Charts:
    """The newest chart of each ledger, made ready once. Safe to share between threads."""

    def __init__(self) -> None:
        self._rules: OrderedDict[str, Rules] = OrderedDict()
        self._lock = threading.Lock()

    def rules(self, ledger: str, reading: Reading) -> Rules | None:
        """What the ledger's newest chart says; None where it has none."""
        record_hash = reading.newest_chart_hash()
        if record_hash is None:
            return None
        with self._lock:
            known = self._rules.get(ledger)
        if known is not None and known.version.hash == record_hash:
            return known
        newest = reading.chart(0, LAST)
        assert newest is not None
        made = Rules(newest)
        with self._lock:
            self._rules[ledger] = made
            self._rules.move_to_end(ledger)
            if len(self._rules) > _REMEMBERED_MAX:
                self._rules.popitem(last=False)
        return made

    def unopened(self, ledger: str, reading: Reading, ask: BalanceAsk, at: int) -> BalanceAnswer:
        """Zero, of an account that nobody has opened but that matches a family of the chart.

        Raises AccountNotFound, AssetNotFound.
        """
        rules = self.rules(ledger, reading)
        family = rules.family_of(ask.account) if rules is not None else None
        if family is None:
            raise AccountNotFound(f"no account {ask.account!r} in ledger {ledger!r}", account=ask.account)
        if not ask.asset:
            return BalanceAnswer(family.type, True, ())
        if all(record.asset.code != ask.asset for record in reading.assets(at)):
            raise AssetNotFound(f"no asset {ask.asset!r} in ledger {ledger!r}", asset=ask.asset)
        return BalanceAnswer(family.type, True, (Balance(ask.asset, 0, 0, 0),))
