"""The trial balance that the service runs by itself: one for each ledger and UTC day, whatever happens."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from callers import Teller
from clusters import Database
from ledger.v1 import ledger_service_pb2 as pb
from psycopg import sql
from serving import Serving, serving

from ledger_server.service import daily_runs
from ledger_server.store import trial_balance_runs as store_module

PATIENCE_S = 30.0
THREAD = "daily-runs"


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often, and two ledgers at a time."""
    monkeypatch.setattr(daily_runs, "LOOK_S", 0.02)
    monkeypatch.setattr(daily_runs, "LEDGERS_PER_LOOK", 2)


@pytest.fixture
def idle(database: Database) -> Iterator[Serving]:
    """A server that runs none by itself."""
    with serving(database.app_url) as server:
        yield server


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def daily(database: Database) -> list[tuple[str, date, str]]:
    """The ledger, the day and the maker of every daily run, in the order of their making."""
    with psycopg.connect(database.owner_url) as owner:
        return owner.execute(
            "select name, day, created_by from ledger.trial_balance_runs"
            " join ledger.directory using (ledger_id) where daily order by record_time"
        ).fetchall()


def names(database: Database) -> list[str]:
    """The ledgers of the daily runs, in bytewise order."""
    return sorted(name for name, _, _ in daily(database))


def change(database: Database, statement: str, *parameters: Any) -> None:
    """Does what nobody may."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("set session_replication_role = replica")
        owner.execute(statement.encode(), parameters or None)


def is_one_day(database: Database) -> bool:
    """Whether no midnight came between: then a test that counts runs has nothing to say."""
    return len({day for _, day, _ in daily(database)}) == 1


@pytest.mark.criterion("S003-27")
def test_every_ledger_has_one_run_a_day_by_the_service_itself(database: Database, idle: Serving) -> None:
    tellers = {name: Teller.open(idle, name) for name in ("a", "b", "c", "d", "e")}
    tellers["c"].post("cash", "sales", 5)

    with serving(database.app_url, daily_trial_balance=True):
        wait_until(lambda: set(names(database)) == set(tellers))
        # New ledgers are found on later looks, which pass over those that have theirs.
        Teller.open(idle, "new")
        wait_until(lambda: "new" in names(database))

    if is_one_day(database):
        assert names(database) == sorted([*tellers, "new"])
    (run,) = tellers["c"].runs(page_size=1).runs
    assert (run.daily, run.created_by, run.status) == (True, "service", pb.TRIAL_BALANCE_STATUS_OK)
    assert (run.sequence, run.totals[0].total_debits) == (tellers["c"].head(), "5")
    assert {by for _, _, by in daily(database)} == {"service"}


def test_a_run_that_somebody_asked_for_is_not_the_days(database: Database, idle: Serving) -> None:
    teller = Teller.open(idle, "a")
    asked = teller.run_trial_balance()

    with serving(database.app_url, daily_trial_balance=True):
        wait_until(lambda: names(database) != [])

    newest = teller.runs().runs[0]
    assert (newest.daily, newest.number) == (True, asked.number + 1)


def test_several_servers_make_one_run_of_each_ledger_a_day(
    database: Database, idle: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    ledgers = sorted(Teller.open(idle, f"l{number:02}").ledger for number in range(12))

    with (
        serving(database.app_url, daily_trial_balance=True),
        serving(database.app_url, daily_trial_balance=True),
        serving(database.app_url, daily_trial_balance=True),
    ):
        wait_until(lambda: set(names(database)) == set(ledgers))
        # Whoever has passed all of them finds this one too, and the others are behind it.
        Teller.open(idle, "last")
        wait_until(lambda: "last" in names(database))

    if is_one_day(database):
        assert names(database) == sorted([*ledgers, "last"])
    # Who comes second finds it there, and has nothing to tell of.
    assert not caplog.records


def test_another_day_has_another_run(database: Database, idle: Serving) -> None:
    for name in ("a", "b", "c"):
        Teller.open(idle, name)
    with serving(database.app_url, daily_trial_balance=True):
        wait_until(lambda: len(daily(database)) >= 3)

        # A running server takes yesterday's for what they are.
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            owner.execute("set session_replication_role = replica")
            owner.execute(
                "update ledger.trial_balance_runs"
                " set day = day - 1, record_time = record_time - interval '1 day'"
            )
        Teller.open(idle, "d")
        wait_until(lambda: "d" in names(database))
    with serving(database.app_url, daily_trial_balance=True):
        wait_until(lambda: len(daily(database)) >= 7)

    days = {name: [day for each, day, _ in daily(database) if each == name] for name in "abc"}
    for found in days.values():
        assert found[1] - found[0] >= timedelta(days=1)


def test_a_server_that_runs_on_begins_anew_at_midnight(
    database: Database, idle: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [date(2026, 11, 21)]
    look = daily_runs.today_and_ledgers
    monkeypatch.setattr(daily_runs, "today_and_ledgers", lambda *asked: (days[-1], look(*asked)[1]))
    for name in ("a", "b", "c"):
        Teller.open(idle, name)
    with serving(database.app_url, daily_trial_balance=True):
        wait_until(lambda: len(daily(database)) >= 3)
        change(database, "delete from ledger.trial_balance_runs")
        Teller.open(idle, "d")
        wait_until(lambda: names(database) == ["d"])

        days.append(date(2026, 11, 22))

        wait_until(lambda: names(database) == ["a", "b", "c", "d"])


def test_a_mismatch_is_logged_as_an_error_with_its_ledger_and_sequences(
    database: Database, idle: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    Teller.open(idle, "sound").post("cash", "sales", 5)
    teller = Teller.open(idle, "damaged")
    sequence = teller.post("cash", "sales", 5).transaction.sequence
    change(
        database,
        "update ledger.entries set amount = 6 where index = 0 and ledger_id ="
        " (select ledger_id from ledger.directory where name = 'damaged')",
    )

    with serving(database.app_url, daily_trial_balance=True):
        wait_until(lambda: len(daily(database)) >= 2)
        wait_until(lambda: bool(caplog.records))

    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told
    assert all("'damaged'" in each and str(sequence) in each for each in told)
    (run,) = teller.runs(page_size=1).runs
    assert (run.status, list(run.offending_sequences)) == (pb.TRIAL_BALANCE_STATUS_MISMATCH, [sequence])


def test_what_fails_is_told_of_passed_over_and_made_later(
    database: Database, idle: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(daily_runs, "FAILED_S", 0.1)
    for name in ("a", "b", "c", "d"):
        Teller.open(idle, name)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        row = owner.execute("select ledger_id from ledger.directory where name = 'b'").fetchone()
        assert row is not None
        owner.execute(
            sql.SQL(
                "alter table ledger.trial_balance_runs add constraint broken"
                " check (ledger_id <> {}) not valid"
            ).format(row[0])
        )
        with serving(database.app_url, daily_trial_balance=True):
            wait_until(lambda: set(names(database)) == {"a", "c", "d"})
            wait_until(lambda: "the daily trial balance of ledger 'b' failed" in caplog.text)

            owner.execute("alter table ledger.trial_balance_runs drop constraint broken")

            wait_until(lambda: "b" in names(database))
    if is_one_day(database):
        assert names(database) == ["a", "b", "c", "d"]


def test_a_run_under_way_is_waited_for_and_tried_again(
    database: Database, idle: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(daily_runs, "FAILED_S", 0.1)
    monkeypatch.setattr(store_module, "LOCK_S_MAX", 0.1)
    for name in ("a", "b"):
        Teller.open(idle, name)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        _hold(owner, "a")
        with serving(database.app_url, daily_trial_balance=True):
            wait_until(lambda: names(database) == ["b"])
            owner.execute("select pg_advisory_unlock_all()")

            wait_until(lambda: "a" in names(database))

    assert not caplog.records


def test_a_server_that_stops_does_not_wait_for_its_run(
    database: Database, idle: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "LOCK_S_MAX", 300)
    Teller.open(idle, "a")
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        _hold(owner, "a")
        with serving(database.app_url, daily_trial_balance=True):
            wait_until(lambda: _waits(owner))
            began = time.monotonic()
        assert time.monotonic() - began < 10
        assert not _waits(owner)

    assert THREAD not in {thread.name for thread in threading.enumerate()}
    assert (names(database), caplog.records) == ([], [])


def _hold(owner: psycopg.Connection[Any], name: str) -> None:
    """Holds what a run of the ledger holds."""
    owner.execute(
        "select pg_advisory_lock(x'7462'::integer, ledger_id::integer) from ledger.directory where name = %s",
        [name],
    )


def _waits(owner: psycopg.Connection[Any]) -> bool:
    """Whether a run waits for what is held."""
    row = owner.execute(
        "select exists (select from pg_locks where not granted and classid = x'7462'::integer and database ="
        " (select oid from pg_database where datname = current_database()))"
    ).fetchone()
    return row == (True,)


def test_it_can_be_switched_off(database: Database) -> None:
    with serving(database.app_url, daily_trial_balance=False):
        assert THREAD not in {thread.name for thread in threading.enumerate()}
    with serving(database.app_url, daily_trial_balance=True):
        assert THREAD in {thread.name for thread in threading.enumerate()}
