"""Work that nobody called for names each ledger in turn: none is left out, and none is seen from another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from callers import Teller, post_operation
from clusters import Database
from serving import serving

from ledger_server.service import checkpointer, verify
from ledger_server.service.verify import BadRecord, prove, prove_checkpoints, rebuild_checkpoints
from ledger_server.store.replaying import Journal, reading_journals

# A ledger's name, and how many posts it has: of each another number.
POSTS = {"first": 30, "second": 20, "third": 10, "idle": 0}
ENTRIES_PER_CHECKPOINT = 20
PATIENCE_S = 30.0


@pytest.fixture
def filled(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Ledgers of every size, checkpointed by the service itself, which has ended."""
    monkeypatch.setattr(checkpointer, "LOOK_S", 0.02)
    for module in (checkpointer, verify):
        monkeypatch.setattr(module, "ENTRIES_PER_CHECKPOINT", ENTRIES_PER_CHECKPOINT)
    with serving(database.app_url) as server:
        for name, posts in POSTS.items():
            teller = Teller.open(server, name)
            for _ in range(posts // 10):
                teller.batch([post_operation("cash", "sales", 1) for _ in range(10)])
        wait_until(lambda: checkpoints(database) == {"first": 3, "second": 2, "third": 1})
    return database


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def checkpoints(database: Database) -> dict[str, int]:
    """How many checkpoints each ledger has that has any, for whoever sees all of them."""
    with psycopg.connect(database.owner_url) as connection:
        rows = connection.execute(
            "select name, count(*) from ledger.checkpoints join ledger.directory using (ledger_id) group by 1"
        )
        return dict(rows.fetchall())


def test_checkpointer_and_verify_go_through_every_ledger_under_its_own_name(filled: Database) -> None:
    with reading_journals(filled.app_url, None) as journals:
        proven = {
            journal.name: (prove(journal).sequence, prove_checkpoints(journal.checkpoints))
            for journal in journals
        }

    assert proven == {"first": (36, 3), "second": (26, 2), "third": (16, 1), "idle": (6, 0)}


def test_a_rebuild_of_one_ledgers_checkpoints_leaves_the_others(filled: Database) -> None:
    before = _checkpoints_of_others(filled, "second")

    with reading_journals(filled.app_url, "second") as journals:
        assert rebuild_checkpoints(next(journals).checkpoints) == 2

    assert checkpoints(filled) == {"first": 3, "second": 2, "third": 1}
    assert _checkpoints_of_others(filled, "second") == before


def _checkpoints_of_others(database: Database, name: str) -> list[Any]:
    with psycopg.connect(database.owner_url) as owner:
        return owner.execute(
            "select * from ledger.checkpoints join ledger.directory using (ledger_id)"
            " where name <> %s order by 1, 2",
            [name],
        ).fetchall()


def test_a_proof_under_another_ledgers_name_fails_rather_than_pass_over_rows(filled: Database) -> None:
    """What a forgotten context would do: row security hides the journal, and that is not a sound one."""
    with reading_journals(filled.app_url, None) as journals, pytest.raises(BadRecord):
        prove(_Elsewhere(next(journals)))  # type: ignore[arg-type]


class _Elsewhere:
    """A journal whose session names another ledger once its head is read."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.name = journal.name

    def head(self) -> Any:
        head = self._journal.head()
        self._journal._connection.execute("select set_config('ledger.id', '0', false)")
        return head

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)
