"""Ledgers side by side: they do not abort each other, and together they are no slower than one."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from statistics import median

import psycopg
import pytest
from callers import Refused, Teller, post_operation, together, unsound
from clusters import Cluster
from serving import serving

from ledger_server.config import AHEAD_FROM_DEFAULT
from ledger_server.store.outcomes import NotCommitted

SIZES = (1, 16, 200, 1000)
_numbers = count()


def fill(teller: Teller, transactions: int, size: int) -> None:
    """Records this many transactions in batches of one size, over a hundred accounts."""
    for _ in range(transactions // size):
        operations = [
            post_operation(
                f"a:{number % 100}", "wallet" if number % 5 == 0 else "sales", 1, f"k{next(_numbers)}"
            )
            for number in range(size)
        ]
        assert not [one.status for one in teller.batch(operations) if one.HasField("status")]


def rate(tellers: list[Teller], transactions: int, size: int) -> float:
    """Transactions a second of one caller for each teller, all together."""
    started = time.perf_counter()
    with ThreadPoolExecutor(len(tellers)) as pool:
        list(pool.map(lambda teller: fill(teller, transactions, size), tellers))
    return len(tellers) * transactions / (time.perf_counter() - started)


@pytest.fixture
def refused_states(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The SQLSTATE of every batch that the database refuses from here on, retried or not."""
    states: list[str | None] = []
    remember = NotCommitted.__init__

    def remember_too(refused: NotCommitted, error: psycopg.Error) -> None:
        remember(refused, error)
        states.append(error.sqlstate)

    monkeypatch.setattr(NotCommitted, "__init__", remember_too)
    return states


def open_accounts(teller: Teller) -> Teller:
    """A hundred accounts."""
    for number in range(100):
        teller.open_account(f"a:{number}")
    return teller


def test_four_ledgers_at_once_with_batches_of_every_size_abort_next_to_nothing(
    cluster: Cluster, refused_states: list[str | None]
) -> None:
    passed: list[str] = []
    with cluster.database() as database:
        with serving(database.app_url, failpoint=passed.append) as server:
            tellers = [open_accounts(Teller.open(server)) for _ in range(4)]
            passed.clear()
            refused_states.clear()

            calls: list[Callable[[], None]] = [
                lambda teller=teller, size=size: fill(
                    teller, {1: 60, 16: 640, 200: 2_000, 1000: 4_000}[size], size
                )  # type: ignore[misc]
                for teller in tellers
                for size in SIZES
            ]
            assert not [answer for answer in together(calls) if isinstance(answer, Refused)]

            for teller in tellers:
                assert unsound(database.owner_url, teller.ledger) == []
                assert len(teller.trial_balance().totals) == 1

        # Two thirds of them were, when the books were read inside the transaction.
        commits = passed.count("after_commit")
        assert commits > 50
        assert set(refused_states) <= {"40001"}
        assert len(refused_states) <= 1 + commits / 1000


@pytest.mark.slow
def test_four_ledgers_together_keep_up_with_one(cluster: Cluster) -> None:
    """Beside one ledger with one caller, and beside one whose four callers share its commits.

    Measured in turn, so that a busy machine slows all of them. Ledgers that abort each
    other reach a sixth of one ledger's rate; what they reach on a quiet machine is for
    `./ledger bench` to say. Four callers of one ledger share commits, which those of four
    ledgers cannot: in small batches that is what is lost there.
    """
    with (
        cluster.database() as database,
        serving(database.app_url, ahead_from=AHEAD_FROM_DEFAULT) as server,
    ):
        tellers = [open_accounts(Teller.open(server)) for _ in range(4)]
        for teller in tellers:
            fill(teller, 400, 200)
        for size, transactions in ((1, 160), (16, 480), (200, 1_600), (1000, 3_000)):
            beside_one, beside_sharing = [], []
            for turn in range(5):
                alone = tellers[turn % 4]
                four = rate(tellers, transactions, size)
                beside_one.append(four / rate([alone], transactions, size))
                beside_sharing.append(four / rate([alone] * 4, transactions, size))

            for name, ratios in (("one", beside_one), ("one with four callers", beside_sharing)):
                print(f"batches of {size}: four ledgers at {[round(each, 2) for each in ratios]} of {name}")
            assert min(median(beside_one), median(beside_sharing)) >= 0.5
        for teller in tellers:
            assert unsound(database.owner_url, teller.ledger) == []
