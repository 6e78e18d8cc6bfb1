"""The audit: every act that it is for is told of once, with the act or not at all, to whom it concerns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from callers import Refused, Teller, answer_of, refusal_of, reverse_operation, unsound
from clusters import Database
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import audit_service_pb2 as pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1.audit_service_pb2_grpc import AuditServiceStub
from society import ROOT, Person, Society, society

from ledger_server.domain.members import Role
from ledger_server.rpc.page_tokens import page_token

CLERK = (Role.ACCOUNTANT, Role.POSTER, Role.READER, Role.FORCE_REVERSER)
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks")) as people:
        yield people


def opened(people: Society) -> tuple[str, Person, Teller]:
    """A ledger, its tenant-admin, and a clerk who opened USD, cash and a wallet that stays at 0 or above."""
    ledger, admin = people.ledger()
    clerk = Teller(people.member(ledger, admin, *CLERK), ledger)
    clerk.create_asset("USD", 2)
    clerk.open_account("cash", nouns.ACCOUNT_TYPE_ASSET)
    clerk.open_account("wallet", balance_min="0")
    return ledger, admin, clerk


def told(events: list[pb.AuditEvent]) -> list[tuple[str, str, int, int]]:
    """What was done to what, oldest first."""
    return [(event.action, event.subject, event.sequence, event.count) for event in reversed(events)]


def once(events: Callable[[], list[pb.AuditEvent]], count: int) -> list[pb.AuditEvent]:
    """The events, as soon as there are as many."""
    deadline = time.monotonic() + PATIENCE_S
    while len(found := events()) < count:
        assert time.monotonic() < deadline, f"still only {found}"
        time.sleep(0.02)
    return found


@pytest.mark.criterion("S000-42")
def test_every_act_is_told_of_with_who_did_it_and_from_where(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    assert isinstance(clerk.server, Person)
    name = clerk.server.principal
    many = [accounts_pb.AccountDraft(name=f"a{n}", type=nouns.ACCOUNT_TYPE_ASSET) for n in range(9)]
    clerk.server.accounts.BatchCreateAccounts(
        accounts_pb.BatchCreateAccountsRequest(ledger=ledger, accounts=many)
    )
    clerk.post("cash", "wallet", 5, "fund")
    clerk.post("wallet", "cash", 5, "spend")
    clerk.reverse("fund", "forced", force=True)
    clerk.batch([reverse_operation("spend", "undone", force=True)])
    clerk.run_trial_balance()
    admin.add(ledger, name, Role.READER, version=1)
    admin.remove(ledger, name)
    # Replays and refusals change nothing.
    admin.add(ledger, admin.principal, Role.TENANT_ADMIN)
    assert isinstance(answer_of(lambda: admin.remove(ledger, name)), Refused)

    events = admin.events(ledger)

    assert told(events) == [
        ("MEMBER_ADDED", admin.principal, 2, 1),
        ("MEMBER_ADDED", name, 3, 1),
        ("ASSETS_CREATED", "USD", 4, 1),
        ("ACCOUNTS_OPENED", "cash", 5, 1),
        ("ACCOUNTS_OPENED", "wallet", 6, 1),
        ("ACCOUNTS_OPENED", "a0", 7, 9),
        ("REVERSED_WITH_FORCE", "16", 18, 1),
        ("REVERSED_WITH_FORCE", "17", 19, 1),
        ("TRIAL_BALANCE_RUN", "1", 0, 1),
        ("MEMBER_CHANGED", name, 20, 1),
        ("MEMBER_REMOVED", name, 21, 1),
    ]
    who = [f"jwt:{ROOT}", admin.principal, *[name] * 7, *[admin.principal] * 2]
    assert [event.actor for event in reversed(events)] == who
    for event in events:
        assert event.ledger == ledger
        assert event.means == "token"
        assert event.peer.startswith("ipv4:127.0.0.1:"), event.peer
        assert event.refused == ""
        assert abs(event.occurred_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=5)


def test_the_open_service_is_audited_too(teller: Teller) -> None:
    events = AuditServiceStub(teller.server.channel).ListAuditEvents(
        pb.ListAuditEventsRequest(ledger=teller.ledger)
    )

    assert told(list(events.events))[0][:2] == ("ASSETS_CREATED", "USD")
    assert {(event.actor, event.means) for event in events.events} == {("anonymous", "open")}


@pytest.mark.criterion("S002-35")
def test_neither_the_act_nor_its_event_stands_without_the_other(
    people: Society, shared_database: Database
) -> None:
    ledger, admin, clerk = opened(people)
    clerk.post("cash", "wallet", 5, "fund")
    head, before = clerk.head(), told(admin.events(ledger))
    acts: list[Callable[[], object]] = [
        lambda: admin.add(ledger, "jwt:new", Role.READER),
        lambda: clerk.open_account("new"),
        lambda: clerk.create_asset("EUR", 2),
        lambda: clerk.reverse("fund", force=True),
        clerk.run_trial_balance,
        lambda: people.person(ROOT).admin.CreateLedger(
            admin_pb.CreateLedgerRequest(name=f"{ledger}:new", tenant_admin="jwt:new")
        ),
    ]
    with psycopg.connect(shared_database.owner_url, autocommit=True) as session:
        # The audit's table breaks.
        session.execute("alter table ledger.audit_events add constraint broken check (false) not valid")
        try:
            for act in acts:
                assert refusal_of(act).reason == "LEDGER_INVARIANT_BROKEN"
        finally:
            session.execute("alter table ledger.audit_events drop constraint broken")
    assert clerk.head() == head
    assert told(admin.events(ledger)) == before
    assert clerk.runs().runs == []
    assert unsound(shared_database.owner_url, ledger) == []

    for act in acts:
        act()

    assert clerk.head() == head + 4
    assert len(clerk.runs().runs) == 1
    assert len(admin.events(ledger)) == len(before) + 5


@pytest.mark.criterion("S000-42")
def test_events_are_listed_by_actor_and_time_in_pages(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    assert isinstance(clerk.server, Person)
    for number in range(12):
        clerk.open_account(f"b{number}")
    every = admin.events(ledger)
    assert len(every) == 17
    assert [event.occurred_at.ToNanoseconds() for event in every] == sorted(
        (event.occurred_at.ToNanoseconds() for event in every), reverse=True
    )

    request = pb.ListAuditEventsRequest(ledger=ledger, page_size=5)
    found: list[pb.AuditEvent] = []
    while True:
        page = admin.audits.ListAuditEvents(request)
        found += page.events
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == every
    assert admin.events(ledger, actor=admin.principal) == [e for e in every if e.actor == admin.principal]
    assert admin.events(ledger, actor="jwt:nobody") == []
    # After `since`, and not at it; up to `until`, and at it.
    newest, oldest = every[3].occurred_at, every[8].occurred_at
    assert admin.events(ledger, since=oldest, until=newest) == every[3:8]
    assert admin.events(ledger, since=oldest, until=newest, actor=clerk.server.principal) == every[3:8]
    assert admin.events(ledger, until=Timestamp(seconds=1)) == []


def test_a_page_has_a_hundred_events_unless_more_are_asked_for(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    for number in range(110):
        clerk.open_account(f"c{number}")

    assert len(admin.events(ledger)) == 100
    assert len(admin.events(ledger, page_size=5_000)) == 115
    assert refusal_of(lambda: admin.events(ledger, page_size=-1)).reason == "VALIDATION_FAILED"
    assert refusal_of(lambda: admin.events(ledger, actor="\n")).reason == "VALIDATION_FAILED"


@pytest.mark.parametrize("moment", [253_402_300_800_000_000, 2**63 - 1])
def test_a_page_token_of_a_time_that_never_comes_is_none_of_ours(people: Society, moment: int) -> None:
    ledger, admin, _ = opened(people)
    request = pb.ListAuditEventsRequest(ledger=ledger)

    forged = page_token(request, moment, 1)
    latest = page_token(request, 253_402_300_799_999_999, 1)

    assert refusal_of(lambda: admin.events(ledger, page_token=forged)).reason == "PAGE_TOKEN_INVALID"
    assert len(admin.events(ledger, page_token=latest)) == len(admin.events(ledger))


# what was denied ------------------------------------------------------------------------------------


def denials(admin: Person, ledger: str, actor: str) -> list[pb.AuditEvent]:
    """What somebody was not let do."""
    return [event for event in admin.events(ledger, actor=actor) if event.action == "DENIED"]


def counted(admin: Person, ledger: str, actor: str, count: int) -> list[pb.AuditEvent]:
    """What somebody was not let do, as soon as so many attempts are told of."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = denials(admin, ledger, actor)
        if sum(event.count for event in found) >= count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


@pytest.mark.criterion("S000-42")
def test_denied_attempts_are_told_of_with_a_count(people: Society) -> None:
    ledger, admin, _ = opened(people)
    reader, stranger = people.member(ledger, admin, Role.READER), people.person("stranger at the door")
    for _ in range(50):
        assert refusal_of(lambda: Teller(reader, ledger).post("cash", "wallet", 1)).reason == "ROLE_REQUIRED"
        assert refusal_of(lambda: Teller(stranger, ledger).balance("cash")).reason == "LEDGER_NOT_FOUND"

    for person, reason, method in (
        (reader, "ROLE_REQUIRED", "ledger.v1.LedgerService.Post"),
        (stranger, "LEDGER_NOT_FOUND", "ledger.v1.LedgerService.GetBalance"),
    ):
        found = counted(admin, ledger, person.principal, 50)
        assert sum(event.count for event in found) == 50
        assert len(found) <= 5, "more than one event a second"
        assert {(event.refused, event.subject, event.sequence) for event in found} == {(reason, method, 0)}


def test_an_operation_of_a_batch_that_was_denied_is_told_of(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    clerk.post("cash", "wallet", 5, "fund")
    poster = people.member(ledger, admin, Role.POSTER)

    Teller(poster, ledger).batch([reverse_operation("fund")])

    (found,) = counted(admin, ledger, poster.principal, 1)
    assert (found.refused, found.subject) == ("ROLE_REQUIRED", "ledger.v1.LedgerService.PostBatch")


def test_what_a_narrowed_member_was_not_let_see_is_told_of(people: Society) -> None:
    ledger, admin, _ = opened(people)
    reader = people.member(ledger, admin, Role.READER, prefixes=["cash"])

    assert refusal_of(Teller(reader, ledger).trial_balance).reason == "MEMBERSHIP_NARROWED"

    (found,) = counted(admin, ledger, reader.principal, 1)
    assert (found.refused, found.subject) == (
        "MEMBERSHIP_NARROWED",
        "ledger.v1.LedgerService.TrialBalance",
    )


def test_what_is_denied_outside_ledgers_is_the_platforms_to_see(people: Society) -> None:
    person = people.person("curious")
    assert isinstance(answer_of(lambda: person.admin.ListLedgers(admin_pb.ListLedgersRequest())), Refused)
    assert isinstance(answer_of(lambda: Teller(person, "no:such").balance("cash")), Refused)

    found = once(lambda: people.person(ROOT).events(actor=person.principal), 1)

    assert {event.action for event in found} == {"DENIED"}
    assert {event.ledger for event in found} == {""}


def test_the_platform_is_told_of_ledgers_and_tenants_of_none(people: Society) -> None:
    ledger, admin, _ = opened(people)

    created = [event for event in people.person(ROOT).events(page_size=1_000) if event.subject == ledger]

    assert [(event.action, event.actor, event.sequence) for event in created] == [
        ("LEDGER_CREATED", f"jwt:{ROOT}", 1)
    ]
    assert "LEDGER_CREATED" not in {event.action for event in admin.events(ledger)}
    assert refusal_of(admin.events).reason == "ROLE_REQUIRED"
