"""Kinds that ask for a role, over the wire: who is refused, in batches too; the audit hears of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
import pytest
from builders import post_draft, template_draft
from callers import Teller, post_operation, refusal_of
from charts import OPTIONAL, chart, kind
from clusters import Database
from ledger.v1 import audit_service_pb2 as audit_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import member_service_pb2 as members_pb
from society import Person, Society, another_server, society
from statuses import told, told_operation

from ledger_server.domain.members import Role
from ledger_server.domain.parameters import Parameters
from ledger_server.domain.permissions import Access, Permission
from ledger_server.domain.transactions import PostDraft, TemplateDraft
from ledger_server.rpc.narrowing import allowed_draft

ADJUST = kind("adjust", OPTIONAL, role=members_pb.ROLE_ACCOUNTANT)
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks")) as people:
        yield people


def opened(people: Society) -> tuple[str, Person, Teller, Teller]:
    """A ledger under a chart; its tenant-admin, an accountant who posts too, and somebody who only posts."""
    ledger, admin = people.ledger()
    accountant = Teller(people.member(ledger, admin, Role.ACCOUNTANT, Role.POSTER), ledger)
    accountant.apply_chart(chart(kinds=(ADJUST, kind("*"))))
    accountant.open_account("cash", nouns.ACCOUNT_TYPE_ASSET)
    accountant.open_account("wallet")
    return ledger, admin, accountant, Teller(people.member(ledger, admin, Role.POSTER), ledger)


def denied(admin: Person, ledger: str, actor: str) -> list[audit_pb.AuditEvent]:
    """What somebody was not let do, as soon as the audit tells of it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := [one for one in admin.events(ledger, actor=actor) if one.action == "DENIED"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.criterion("S004-4")
def test_who_has_not_the_role_is_refused_and_the_audit_hears_of_it(people: Society) -> None:
    ledger, admin, accountant, poster = opened(people)
    head = accountant.head()

    refusal = told(lambda: poster.post("cash", "wallet", 5, "k", kind="adjust"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")
    assert refusal.facts == {"permission": "POST", "roles": "ACCOUNTANT", "kind": "adjust"}
    assert accountant.head() == head
    assert isinstance(poster.server, Person)
    (event,) = denied(admin, ledger, poster.server.principal)
    assert (event.refused, event.subject) == ("ROLE_REQUIRED", "ledger.v1.LedgerService.Post")
    assert accountant.post("cash", "wallet", 5, "k", kind="adjust").transaction.kind == "adjust"
    assert poster.post("cash", "wallet", 5, "l", kind="sale").transaction.kind == "sale"


def test_a_batch_with_one_forbidden_post_is_told_of_once(people: Society) -> None:
    ledger, admin, accountant, poster = opened(people)
    operations = [
        post_operation("cash", "wallet", 1, f"k{number}", kind=one)
        for number, one in enumerate(("sale", "adjust", "adjust"))
    ]
    head = accountant.head()

    atomic = poster.batch(operations, atomic=True)
    assert [told_operation(one).reason for one in atomic] == [
        "ATOMIC_GROUP_REFUSED",
        "ROLE_REQUIRED",
        "ATOMIC_GROUP_REFUSED",
    ]
    assert accountant.head() == head

    each = poster.batch(operations)
    assert [bool(one.sequence) for one in each] == [True, False, False]
    assert isinstance(poster.server, Person)
    found = denied(admin, ledger, poster.server.principal)
    assert {event.subject for event in found} == {"ledger.v1.LedgerService.PostBatch"}


def test_a_chart_that_another_server_applied_is_the_one_that_counts(people: Society) -> None:
    """Judged where the chart is known: no server remembers one that is not true any more."""
    ledger, _, accountant, poster = opened(people)
    accountant.apply_chart(chart(kinds=(kind("*"),)), 1)
    assert poster.post("cash", "wallet", 1, kind="adjust").transaction.kind == "adjust"

    with another_server(people) as server:
        assert isinstance(accountant.server, Person)
        name = accountant.server.principal.removeprefix("jwt:")
        Teller(people.person(name, server), ledger).apply_chart(chart(kinds=(ADJUST, kind("*"))), 2)

    assert refusal_of(lambda: poster.post("cash", "wallet", 1, kind="adjust")).reason == "ROLE_REQUIRED"


@pytest.mark.parametrize("draft", [post_draft(), template_draft("t", Parameters({}))])
def test_a_draft_that_was_given_no_roles_has_its_callers(draft: PostDraft | TemplateDraft) -> None:
    """Whichever request it was made of: a draft without roles is one that nobody is asked about."""
    access = Access(frozenset({Permission.POST}), roles=frozenset({Role.POSTER}))

    allowed = allowed_draft(access, "book", draft)

    assert draft.roles is None
    assert isinstance(allowed, PostDraft | TemplateDraft)
    assert allowed.roles == {Role.POSTER}


def test_a_role_comes_back_with_its_chart(teller: Teller) -> None:
    applied = teller.apply_chart(chart(kinds=(ADJUST, kind("*"))))

    assert list(applied.chart.chart.kinds) == [kind("*"), ADJUST]
    # Nobody is asked who it is.
    assert teller.post("cash", "other", 1, kind="adjust").transaction.kind == "adjust"


@pytest.mark.parametrize("role", [members_pb.ROLE_TENANT_ADMIN, 99])
def test_a_role_that_nobody_can_have_who_posts_is_refused_with_its_field(teller: Teller, role: int) -> None:
    refusal = told(lambda: teller.apply_chart(chart(kinds=(kind("*"), kind("adjust", role=role)))))

    assert (refusal.reason, refusal.fields) == ("VALIDATION_FAILED", ["chart.kinds[1].role"])
