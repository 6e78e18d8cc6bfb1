"""Memberships as calls need them: remembered for a second, and never what they were before a change here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from callers import Teller
from clusters import Database

from ledger_server.domain.callers import ANONYMOUS, Caller, Means
from ledger_server.domain.members import MemberDraft, MemberVersion, Role
from ledger_server.domain.refusals import DatabaseUnavailable
from ledger_server.service import denials, remembered
from ledger_server.service.denials import Denials
from ledger_server.service.ledger import Ledgers
from ledger_server.service.memberships import Memberships
from ledger_server.service.remembered import ASKED_AGAIN_S, REMEMBERED_S
from ledger_server.store.database import Database as OpenedDatabase

BY = Caller(ANONYMOUS, Means.OPEN, "")


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def opened(shared_database: Database) -> Iterator[OpenedDatabase]:
    """The database, as the service has it."""
    opened = OpenedDatabase(shared_database.app_url, committers=1, readers=2)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def ledgers(opened: OpenedDatabase) -> Iterator[Ledgers]:
    """The verbs, on another server than the teller's."""
    ledgers = Ledgers(opened, committers=1, ahead_from=1, waiting_max=8)
    ledgers.start()
    yield ledgers
    ledgers.stop()


def change(ledgers: Ledgers, ledger: str, *roles: Role) -> MemberVersion:
    """Adds bob with these roles, or removes him."""
    member, _ = ledgers.change_member(ledger, MemberDraft("bob", roles, (), 0, "test"), BY)
    return member


class Slow(Memberships):
    """Something happens while its next read is under way."""

    during: Callable[[], object] | None = None
    reads = 0

    def _read(self, ledger: str, principal: str) -> MemberVersion | None:
        self.reads += 1
        member = super()._read(ledger, principal)
        during, self.during = self.during, None
        if during is not None:
            during()
        return member


def test_a_membership_is_remembered_for_a_second_and_no_longer(
    teller: Teller, ledgers: Ledgers, opened: OpenedDatabase
) -> None:
    clock = Clock()
    remembering = Slow(opened, clock)
    assert remembering.of(teller.ledger, "bob") is None
    # Another server's change: this memory was not told.
    added = change(ledgers, teller.ledger, Role.READER)
    clock.now = ASKED_AGAIN_S * 0.99
    assert remembering.of(teller.ledger, "bob") is None
    assert remembering.reads == 1

    # One asks again, and the others go on meanwhile, but not for longer than a second.
    told: list[MemberVersion | None] = []

    def meanwhile() -> None:
        for clock.now in (ASKED_AGAIN_S, REMEMBERED_S * 0.99, REMEMBERED_S):
            told.append(remembering.of(teller.ledger, "bob"))

    remembering.during = meanwhile
    clock.now = ASKED_AGAIN_S
    assert remembering.of(teller.ledger, "bob") == added

    assert told == [None, None, added]
    assert remembering.reads == 3


def test_a_change_here_is_known_at_once(teller: Teller, ledgers: Ledgers) -> None:
    for _ in range(20):
        assert ledgers.memberships.of(teller.ledger, "bob") is None
        added = change(ledgers, teller.ledger, Role.READER)
        assert ledgers.memberships.of(teller.ledger, "bob") == added
        change(ledgers, teller.ledger)


def test_what_was_read_before_a_change_is_not_remembered_after_it(
    teller: Teller, ledgers: Ledgers, opened: OpenedDatabase
) -> None:
    slow = ledgers.memberships = Slow(opened)
    change(ledgers, teller.ledger, Role.READER)
    slow.during = lambda: change(ledgers, teller.ledger)

    before = slow.of(teller.ledger, "bob")

    assert before is not None
    assert slow.of(teller.ledger, "bob") is None


def test_ledgers_that_are_not_there_have_no_members(teller: Teller, ledgers: Ledgers) -> None:
    assert ledgers.memberships.of("no:such", "bob") is None
    assert not ledgers.memberships.exists("no:such")
    assert ledgers.memberships.exists(teller.ledger)


def test_the_memory_is_bounded(
    teller: Teller, opened: OpenedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "REMEMBERED_MAX", 10)
    remembering = Memberships(opened)
    for number in range(50):
        remembering.of(teller.ledger, f"p{number}")

    assert len(remembering._remembered) == 10


def test_who_cannot_be_asked_about_is_let_in_nowhere(cluster_gone: OpenedDatabase) -> None:
    remembering = Memberships(cluster_gone)

    with pytest.raises(DatabaseUnavailable):
        remembering.of("any", "bob")
    with pytest.raises(DatabaseUnavailable):
        remembering.exists("any")


@pytest.fixture
def cluster_gone(shared_database: Database) -> OpenedDatabase:
    """A database whose connections cannot be had any more."""
    opened = OpenedDatabase(shared_database.app_url, committers=1, readers=1)
    opened.open()
    opened.close()
    return opened


# denials --------------------------------------------------------------------------------------------


def test_denials_of_many_callers_are_counted_and_bounded(
    teller: Teller, opened: OpenedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials, "PLACES_MAX", 5)
    noting = Denials(opened, every_s=3_600)
    callers = [Caller(f"p{number}", Means.TOKEN, "ipv4:1.2.3.4:5") for number in range(8)]
    threads = [
        threading.Thread(
            target=lambda caller=caller: [
                noting.note(caller, teller.ledger, "m", "ROLE_REQUIRED") for _ in range(100)
            ]
        )
        for caller in callers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(noting._noted) == 5
    noting.start()

    # What was noted is written before it stops.
    noting.stop(30.0)

    ledger_id = opened.ledger_id(teller.ledger)
    with opened.reading() as connection, connection.transaction():
        connection.execute("select set_config('ledger.id', %s, true)", [str(ledger_id)])
        rows = connection.execute(
            "select actor, count from ledger.audit_events where action = 'DENIED'"
        ).fetchall()
    assert len(rows) == 5
    assert {count for _, count in rows} == {100}


def test_ledgers_that_do_not_exist_are_told_of_together(opened: OpenedDatabase) -> None:
    noting = Denials(opened, every_s=3_600)
    caller = Caller("prober", Means.API_KEY, "unix:")
    for number in range(30):
        noting.note(caller, f"guess:{number}", "m", "LEDGER_NOT_FOUND")
    noting.start()
    noting.stop(30.0)

    with opened.reading() as connection, connection.transaction():
        connection.execute("select set_config('ledger.platform', 'on', true)")
        rows = connection.execute(
            "select count, means, peer, refused from ledger.audit_events where actor = 'prober'"
        ).fetchall()
    assert rows == [(30, "api_key", "unix:", "LEDGER_NOT_FOUND")]
