"""Who may use DevService: nobody where it is off, and where it is on who may post anyway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product

import grpc
import pytest
from callers import refusal_of
from clusters import Database
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import member_service_pb2 as members_pb
from loyalty import ON, OPERATIONS, Loyalty, loyalty_chart
from serving import serving
from society import ROOT, Person, Society, society

from ledger_server.domain.members import Role

BOTH = (Role.ACCOUNTANT, Role.POSTER, Role.FORCE_REVERSER, Role.READER)
SWITCHES = ("LEDGER_ENABLED", "LEDGER_DEV_ENDPOINTS_ENABLED")
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls, and offers DevService."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks"), **ON) as people:
        yield people


def filled(people: Society) -> tuple[str, Person, Loyalty]:
    """A ledger with the example's chart and a top-up of 100 as `first`; its tenant-admin and its clerk."""
    ledger, admin = people.ledger()
    clerk = Loyalty(people.member(ledger, admin, *BOTH), ledger)
    clerk.apply_chart(loyalty_chart())
    clerk.top_up(100, "first")
    return ledger, admin, clerk


@pytest.mark.criterion("S003-30", "S003-32", "S003-33")
@pytest.mark.parametrize("is_on", [one for one in product((False, True), repeat=2) if not all(one)], ids=str)
def test_a_switch_that_is_off_keeps_them_from_everybody_and_all_else_works(
    is_on: tuple[bool, bool], database: Database
) -> None:
    with serving(database.app_url, **ON) as server:
        book = Loyalty(server, "loyalty")
        server.admin.CreateLedger(admin_pb.CreateLedgerRequest(name="loyalty"))
        book.apply_chart(loyalty_chart())
        book.top_up(100, "first")
        head, recorded = book.head(), book.walk()

    enabled, endpoints = is_on
    off = [name for name, one in zip(SWITCHES, is_on, strict=True) if not one]
    with serving(database.app_url, enabled=enabled, dev_endpoints_enabled=endpoints) as server:
        closed = Loyalty(server, "loyalty")
        closed.user = book.user
        for operation, call in closed.try_all().items():
            refused = refusal_of(call)
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "FORBIDDEN_DEV_ENDPOINT",
            )
            assert refused.facts == {"settings": ",".join(off)}
            assert operation in refused.message
        assert (closed.head(), closed.walk(), closed.credits()) == (head, recorded, 100)
        # The verbs proper know nothing of it.
        posted = closed.post("1000", closed.wallet, 5, "second", asset="CREDIT", kind="topup")
        closed.reverse("second", "second-off")
        assert closed.trial_balance().totals[0].difference == "0"

    with serving(database.app_url, **ON) as server:
        again = book.at(server)
        assert again.walk()[-1:] == recorded
        assert again.transaction("second").hash == posted.transaction.hash
        assert Loyalty(server, "loyalty").top_up(1).transaction.sequence == head + 3


@pytest.mark.criterion("S003-30", "S003-31")
def test_where_they_are_off_no_role_helps(shared_database: Database, people: Society) -> None:
    ledger, admin, clerk = filled(people)
    assert isinstance(clerk.server, Person)
    names = ("jwt_jwks", "jwt_issuer", "jwt_audience", "platform_admins")
    taken = {name: getattr(people.server.app.config, name) for name in names}
    with serving(shared_database.app_url, enabled=True, **taken) as server:
        name = clerk.server.principal.removeprefix("jwt:")
        callers = [people.person(one, server) for one in (name, ROOT, f"admin of {ledger}", "stranger")]
        for caller in callers:
            for call in Loyalty(caller, ledger).try_all().values():
                refused = refusal_of(call)
                assert (refused.reason, refused.facts) == (
                    "FORBIDDEN_DEV_ENDPOINT",
                    {"settings": "LEDGER_DEV_ENDPOINTS_ENABLED"},
                )
        until = time.monotonic() + PATIENCE_S
        while not (denied := [one for one in admin.events(ledger) if one.action == "DENIED"]):
            assert time.monotonic() < until
            time.sleep(0.02)
    assert {one.refused for one in denied} == {"FORBIDDEN_DEV_ENDPOINT"}
    assert clerk.credits() == 100


@pytest.mark.criterion("S003-31")
def test_it_takes_the_accountants_role_and_that_of_the_verb(people: Society) -> None:
    ledger, admin, clerk = filled(people)
    accountant = Loyalty(people.member(ledger, admin, Role.ACCOUNTANT), ledger)
    others = [role for role in Role if role not in (Role.ACCOUNTANT, Role.TENANT_ADMIN)]
    everything_else = Loyalty(people.member(ledger, admin, *others), ledger)
    poster = Loyalty(people.member(ledger, admin, Role.ACCOUNTANT, Role.POSTER), ledger)

    for call in everything_else.try_all().values():
        assert refusal_of(call).facts == {"permission": "TRY_OUT", "roles": "ACCOUNTANT"}
    for operation, call in accountant.try_all().items():
        needed = "REVERSE" if operation == "Reversal" else "POST"
        assert refusal_of(call).facts["permission"] == needed
    made = poster.top_up(7).transaction
    assert made.created_by == poster.server.principal  # type: ignore[attr-defined]
    # Who may not read is told no balances.
    assert [entry.balance_after for entry in made.entries] == ["", ""]
    assert refusal_of(lambda: poster.charge(8)).facts == {"account": poster.wallet, "asset": "CREDIT"}
    assert set(clerk.try_all()) == set(OPERATIONS)


def test_a_narrowed_caller_reaches_no_other_customer(people: Society) -> None:
    ledger, admin, clerk = filled(people)
    narrowed = Loyalty(
        people.member(ledger, admin, *BOTH, prefixes=("1000", "4000", "5000", clerk.wallet)), ledger
    )
    other = narrowed.user

    assert refusal_of(lambda: narrowed.top_up(1)).reason == "ACCOUNT_NOT_FOUND"
    narrowed.user = clerk.user
    assert narrowed.top_up(1).transaction.entries[1].account == clerk.wallet
    clerk.user = other
    hidden = clerk.top_up(3).transaction.sequence
    assert refusal_of(lambda: narrowed.reversal(hidden)).reason == "TRANSACTION_NOT_FOUND"


def test_an_operation_needs_the_role_that_its_kind_asks_for(people: Society) -> None:
    ledger, admin, clerk = filled(people)
    asked = loyalty_chart()
    for kind in asked.kinds:
        kind.role = members_pb.ROLE_READER
    clerk.apply_chart(asked, 1)
    other = Loyalty(people.member(ledger, admin, Role.ACCOUNTANT, Role.POSTER), ledger)
    other.user = clerk.user

    refused = refusal_of(lambda: other.top_up(1, "second"))

    assert refused.reason == "ROLE_REQUIRED"
    assert (refused.facts["kind"], refused.facts["roles"]) == ("topup", "READER")
    clerk.top_up(1, "second")
    assert clerk.credits() == 101
