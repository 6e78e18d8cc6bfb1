"""A COMMIT whose way is cut, in this process: what the proxy does, and that its ledger goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from callers import Teller, post_operation, unsound
from clusters import Database
from serving import serving
from torture.cutting import CommitProxy

from ledger_server.service import resolving
from ledger_server.store import patience

BOUND_S = 10.0


@contextmanager
def served_through(database: Database) -> Iterator[tuple[CommitProxy, Teller]]:
    """A server whose every COMMIT can be cut, and a fresh ledger of it."""
    with CommitProxy(database.app_url) as proxy, serving(proxy.url) as server:
        yield proxy, Teller.open(server)
        proxy.let_go()


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("count", [1, 40], ids=["one", "staged"])
def test_a_commit_that_is_cut_is_resolved_and_recorded_once(database: Database, how: str, count: int) -> None:
    with served_through(database) as (proxy, teller):
        head = teller.head()
        proxy.arm(how)

        results = teller.batch([post_operation("cash", "wallet", 1, f"k{number}") for number in range(count)])

        assert not any(one.replayed or one.HasField("status") for one in results)
        assert proxy.has_struck()
        assert teller.head() == head + count
        assert teller.balance("wallet") == count
        assert unsound(database.owner_url, teller.ledger) == []


def test_a_ledger_goes_on_when_the_way_to_its_database_swallows_everything(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A committer waited for ever for the answer to its COMMIT, and with it everybody after it."""
    monkeypatch.setattr(patience, "SILENCE_MAX_S", 1.0)
    monkeypatch.setattr(resolving, "RESOLVE_WAIT_S", 0.5)
    with served_through(database) as (proxy, teller):
        proxy.arm("swallow")
        began = time.monotonic()
        neighbour = threading.Thread(
            target=teller.post, args=["cash", "wallet", 2, "other"], name="neighbour"
        )
        neighbour.start()

        answer = teller.post("cash", "wallet", 1, "k")
        neighbour.join()

        assert proxy.has_struck()
        assert time.monotonic() - began < BOUND_S
        assert not answer.replayed
        assert teller.balance("wallet") == 3
        assert unsound(database.owner_url, teller.ledger) == []


def test_a_lane_is_patient_for_longer_than_a_lock_may_take_and_shorter_than_callers_may_wait() -> None:
    # lock_timeout is 5 s; after the silence the ledger must be going on within BOUND_S.
    assert 5.0 < patience.SILENCE_MAX_S < BOUND_S - 1.0
    assert resolving.RESOLVE_WAIT_S < patience.SILENCE_MAX_S
