"""Who may call what: roles × methods against a table written by hand, and what is denied by default."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from callers import Refused, Teller, answer_of, refusal_of
from clusters import Database
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import api_key_service_pb2 as keys_pb
from ledger.v1 import audit_service_pb2 as audit_pb
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import dev_service_pb2 as dev_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import member_service_pb2 as members_pb
from ledger.v1 import report_service_pb2 as report_pb
from society import ROOT, Person, Society, society
from sound_calls import requests

from ledger_server import config
from ledger_server.domain.callers import ANONYMOUS, Caller, Means
from ledger_server.domain.members import Role
from ledger_server.domain.permissions import Permission
from ledger_server.domain.refusals import LedgerNotFound, RoleRequired, ledger_not_found
from ledger_server.rpc import contract
from ledger_server.rpc.authorising import Authoriser, OnlyOpen, service_of
from ledger_server.rpc.ledger_servicer import LedgerServicer
from ledger_server.rpc.permissions import RULES
from ledger_server.service.denials import Denials
from ledger_server.service.memberships import Memberships
from ledger_server.store.database import Database as OpenedDatabase

# x: may call; a dot: PERMISSION_DENIED; ?: NOT_FOUND, as if there were no such ledger;
# n: NOT_A_MEMBER. Columns: reader, poster, reverser, force-reverser, accountant, auditor,
# tenant-admin, somebody without a role, platform-admin.
EXPECTED = """
    method                               R  P  V  F  C  A  T  -  *
    LedgerService.Post                   .  x  .  .  .  .  .  ?  n
    LedgerService.PostBatch              .  x  x  x  x  .  .  ?  n
    LedgerService.Reverse                .  .  x  x  .  .  .  ?  n
    LedgerService.Reverse with force     .  .  .  x  .  .  .  ?  n
    LedgerService.GetTransaction         x  .  .  .  .  x  .  ?  n
    LedgerService.ListTransactions       x  .  .  .  .  x  .  ?  n
    LedgerService.ListEntries            x  .  .  .  .  x  .  ?  n
    LedgerService.GetBalance             x  .  .  .  .  x  .  ?  n
    LedgerService.BatchGetBalances       x  .  .  .  .  x  .  ?  n
    LedgerService.GetAggregateBalance    x  .  .  .  .  x  .  ?  n
    LedgerService.TrialBalance           x  .  .  .  .  x  .  ?  n
    LedgerService.RunTrialBalance        .  .  .  .  x  .  .  ?  n
    LedgerService.ListTrialBalanceRuns   x  .  .  .  .  x  .  ?  n
    AccountService.CreateAccount         .  .  .  .  x  .  .  ?  n
    AccountService.BatchCreateAccounts   .  .  .  .  x  .  .  ?  n
    AccountService.UpdateAccount         .  .  .  .  x  .  .  ?  n
    AccountService.FreezeAccount         .  .  .  .  x  .  .  ?  n
    AccountService.UnfreezeAccount       .  .  .  .  x  .  .  ?  n
    AccountService.CloseAccount          .  .  .  .  x  .  .  ?  n
    AccountService.GetAccount            x  .  .  .  x  x  .  ?  n
    AccountService.ListAccounts          x  .  .  .  x  x  .  ?  n
    LedgerAdminService.CreateLedger      .  .  .  .  .  .  .  .  x
    LedgerAdminService.GetLedger         x  x  x  x  x  x  x  ?  n
    LedgerAdminService.ListLedgers       .  .  .  .  .  .  .  .  x
    LedgerAdminService.CreateAsset       .  .  .  .  x  .  .  ?  n
    LedgerAdminService.ListAssets        x  x  x  x  x  x  x  ?  n
    LedgerAdminService.GetServerInfo     x  x  x  x  x  x  x  x  x
    ChartService.ApplyChart              .  .  .  .  x  .  .  ?  n
    ChartService.GetChart                x  x  x  x  x  x  x  ?  n
    ReportService.ListOverdueBalances    x  .  .  .  .  x  .  ?  n
    ReportService.ListCharges            x  .  .  .  .  x  .  ?  n
    DevService.TopUp                     .  .  .  .  .  .  .  ?  n
    DevService.Charge                    .  .  .  .  .  .  .  ?  n
    DevService.Bonus                     .  .  .  .  .  .  .  ?  n
    DevService.Reversal                  .  .  .  .  .  .  .  ?  n
    MemberService.AddMember              .  .  .  .  .  .  x  ?  n
    MemberService.RemoveMember           .  .  .  .  .  .  x  ?  n
    MemberService.ListMembers            .  .  .  .  .  x  x  ?  n
    APIKeyService.CreateAPIKey           .  .  .  .  .  .  x  ?  n
    APIKeyService.RevokeAPIKey           .  .  .  .  .  .  x  ?  n
    APIKeyService.ListAPIKeys            .  .  .  .  .  .  x  ?  n
    AuditService.ListAuditEvents         .  .  .  .  .  x  x  ?  n
    AuditService.ListAuditEvents of none .  .  .  .  .  .  .  .  x
"""
SERVICES: tuple[ServiceDescriptor, ...] = (
    pb.DESCRIPTOR.services_by_name["LedgerService"],
    accounts_pb.DESCRIPTOR.services_by_name["AccountService"],
    admin_pb.DESCRIPTOR.services_by_name["LedgerAdminService"],
    charts_pb.DESCRIPTOR.services_by_name["ChartService"],
    report_pb.DESCRIPTOR.services_by_name["ReportService"],
    members_pb.DESCRIPTOR.services_by_name["MemberService"],
    keys_pb.DESCRIPTOR.services_by_name["APIKeyService"],
    audit_pb.DESCRIPTOR.services_by_name["AuditService"],
    dev_pb.DESCRIPTOR.services_by_name["DevService"],
)
BESIDE = (
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)
COLUMNS = [*Role, None, ROOT]
METHODS: dict[str, list[str]] = {}
for _line in EXPECTED.strip().splitlines()[1:]:
    _cells = _line.rsplit(maxsplit=len(COLUMNS))
    METHODS[_cells[0].strip()] = _cells[1:]


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    folder = tmp_path_factory.mktemp("jwks")
    with society(shared_database.app_url, folder, enabled=True, dev_endpoints_enabled=True) as people:
        yield people


def filled(people: Society) -> tuple[str, Person]:
    """A ledger with USD, cash, sales and one post, and its tenant-admin."""
    ledger, admin = people.ledger()
    clerk = Teller(people.member(ledger, admin, Role.ACCOUNTANT, Role.POSTER), ledger)
    clerk.create_asset("USD", 2)
    clerk.open_account("cash", nouns.ACCOUNT_TYPE_ASSET)
    clerk.open_account("sales", nouns.ACCOUNT_TYPE_REVENUE)
    clerk.post("cash", "sales", 5, "first")
    kind = charts_pb.Kind(name="*", idempotency=charts_pb.IDEMPOTENCY_RULE_OPTIONAL)
    clerk.apply_chart(charts_pb.Chart(kinds=[kind]))
    return ledger, admin


def outcome(answer: object) -> str:
    """How a call ended, as the table has it."""
    if not isinstance(answer, Refused):
        return "x"
    if answer.reason == "NOT_A_MEMBER":
        return "n"
    if answer.code is grpc.StatusCode.PERMISSION_DENIED:
        assert answer.reason == "ROLE_REQUIRED", answer
        return "."
    return "?" if answer.reason == "LEDGER_NOT_FOUND" else "x"


@pytest.mark.criterion("S000-7")
@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=[str(column) for column in COLUMNS])
def test_each_role_may_call_what_the_table_says(people: Society, column: int) -> None:
    ledger, admin = filled(people)
    role = COLUMNS[column]
    if isinstance(role, Role):
        person = people.member(ledger, admin, role)
    else:
        person = people.person(role or "stranger")

    found = {
        name: outcome(answer_of(lambda call=call: call(person))) for name, call in requests(ledger).items()
    }

    assert found == {name: cells[column] for name, cells in METHODS.items()}


def test_the_table_has_every_method_of_every_service() -> None:
    methods = {f"{service.name}.{method.name}" for service in SERVICES for method in service.methods}

    assert {name.partition(" ")[0] for name in METHODS} == methods


def test_every_method_of_every_service_has_a_rule_and_every_rule_a_method() -> None:
    methods = {method.full_name for service in (*SERVICES, *BESIDE) for method in service.methods}
    # The same under its later name.
    later = {name.replace("v1alpha", "v1") for name in methods if "reflection" in name}

    assert set(RULES) == methods | later


def test_every_served_service_is_in_the_table() -> None:
    assert {service.full_name for service in SERVICES} == set(contract.SERVICES)


@pytest.mark.parametrize("means", list(Means))
def test_a_method_without_a_rule_is_denied_to_everybody(shared_database: Database, means: Means) -> None:
    database = OpenedDatabase(shared_database.app_url, committers=1, readers=1)
    authorise = Authoriser(Memberships(database), Denials(database), frozenset({ANONYMOUS}))
    request = pb.PostRequest(ledger="any")

    for judge in (authorise, OnlyOpen()):
        with pytest.raises(RoleRequired) as refusal:
            judge(Caller(ANONYMOUS, means, ""), "ledger.v1.LedgerService.Invented", request)
        assert "Invented" in refusal.value.message


def test_a_ledgers_key_is_good_in_that_ledger_only(people: Society, shared_database: Database) -> None:
    one, admin = people.ledger()
    other, its_admin = people.ledger()
    for ledger, grantor in ((one, admin), (other, its_admin)):
        grantor.add(ledger, "svc:till", Role.READER)
    database = OpenedDatabase(shared_database.app_url, committers=1, readers=1)
    database.open()
    authorise = Authoriser(Memberships(database), Denials(database), frozenset({"svc:till"}))
    by_key = Caller("svc:till", Means.API_KEY, "", key_ledger=one)
    any_key = Caller("svc:till", Means.API_KEY, "")
    read = "ledger.v1.LedgerService.GetBalance"

    assert authorise(by_key, read, pb.GetBalanceRequest(ledger=one)).allows(Permission.READ)
    for ledger in (other, "no:such"):
        with pytest.raises(LedgerNotFound) as refusal:
            authorise(by_key, read, pb.GetBalanceRequest(ledger=ledger))
        assert refusal.value.message == ledger_not_found(ledger).message
    assert authorise(any_key, read, pb.GetBalanceRequest(ledger=other)).allows(Permission.READ)
    # Nor does it do what a platform-admin does.
    creating = "ledger.v1.LedgerAdminService.CreateLedger"
    with pytest.raises(RoleRequired):
        authorise(by_key, creating, admin_pb.CreateLedgerRequest(name="any"))
    assert authorise(any_key, creating, admin_pb.CreateLedgerRequest(name="any"))
    database.close()


def test_a_ledger_without_a_sound_name_is_refused_before_it_is_looked_up(people: Society) -> None:
    person = people.person("anybody")
    for name in ("", "a::b", "\x00", "x" * 256):
        told = refusal_of(
            lambda name=name: person.ledgers.GetBalance(pb.GetBalanceRequest(ledger=name, account="cash"))
        )
        assert (told.reason, told.message.partition(":")[0]) == ("VALIDATION_FAILED", "ledger")


def test_nobody_but_the_open_caller_enters_where_no_memberships_are_at_hand() -> None:
    request = pb.PostRequest(ledger="any")

    OnlyOpen()(Caller(ANONYMOUS, Means.OPEN, ""), "ledger.v1.LedgerService.Post", request)
    for means in set(Means) - {Means.OPEN}:
        with pytest.raises(RoleRequired):
            OnlyOpen()(Caller(ANONYMOUS, means, ""), "ledger.v1.LedgerService.Post", request)


def test_a_servicer_is_known_by_its_service() -> None:
    assert service_of(LedgerServicer) == "ledger.v1.LedgerService"
    with pytest.raises(TypeError):
        service_of(dict)


def test_who_is_denied_is_told_who_may(people: Society) -> None:
    ledger, admin = filled(people)

    told = refusal_of(lambda: Teller(admin, ledger).post("cash", "sales", 1))

    assert told.facts == {"permission": "POST", "roles": "POSTER"}
    assert told.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.criterion("S003-31")
def test_a_trial_balance_is_run_by_an_accountant_only_who_is_told_what_it_found(people: Society) -> None:
    ledger, admin = filled(people)
    reader = people.member(ledger, admin, Role.READER)
    for role in set(Role) - {Role.ACCOUNTANT}:
        person = people.member(ledger, admin, role)
        told = refusal_of(lambda person=person: Teller(person, ledger).run_trial_balance())
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED"), role
        assert told.facts == {"permission": "RUN_TRIAL_BALANCE", "roles": "ACCOUNTANT"}
    assert Teller(reader, ledger).runs().runs == []

    accountant = people.member(ledger, admin, Role.ACCOUNTANT)
    made = Teller(accountant, ledger).run_trial_balance()

    assert (made.created_by, made.totals[0].total_debits) == (accountant.principal, "5")
    assert list(Teller(reader, ledger).runs().runs) == [made]
    assert refusal_of(Teller(accountant, ledger).runs).reason == "ROLE_REQUIRED"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("jwt:ann", ("jwt:ann",)),
        (" spiffe://prod/ops ,, jwt:ann,", ("spiffe://prod/ops", "jwt:ann")),
    ],
)
def test_platform_admins_are_named_in_the_environment(text: str, names: tuple[str, ...]) -> None:
    loaded = config.load(environ={"LEDGER_PLATFORM_ADMINS": text})

    assert loaded.platform_admins == names
    # As the processes that share a port are told.
    assert tuple(json.loads(json.dumps(loaded.platform_admins))) == names


def test_platform_admins_see_names_and_nothing_of_what_is_in_a_ledger(people: Society) -> None:
    ledger, _ = filled(people)

    page = people.person(ROOT).admin.ListLedgers(admin_pb.ListLedgersRequest(page_size=1_000))

    (found,) = [one for one in page.ledgers if one.name == ledger]
    assert (found.description, found.sequence, found.hash, found.epoch) == ("", 0, b"", 0)
    assert found.created_by == f"jwt:{ROOT}"
