"""DevService: loyalty credits by hand are what Post and Reverse record, under the same rules."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest
from callers import Teller, refusal_of, unsound
from clusters import Database
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hostile.methods import BY_NAME
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from loyalty import EXAMPLE, ON, Loyalty, loyalty_chart
from serving import Serving, serving
from statuses import told
from template_calls import use

from ledger_server import __version__, config
from ledger_server.domain.parameters import Parameters


@pytest.fixture(scope="module")
def offering(shared_database: Database) -> Iterator[Serving]:
    """A server that asks nobody, and offers DevService."""
    with serving(shared_database.app_url, **ON) as server:
        yield server


@pytest.fixture
def book(offering: Serving) -> Loyalty:
    """A fresh ledger with the example's chart."""
    book = Loyalty(offering, f"loyalty:{secrets.token_hex(6)}")
    offering.admin.CreateLedger(admin_pb.CreateLedgerRequest(name=book.ledger))
    book.apply_chart(loyalty_chart())
    return book


def moved(transaction: nouns.Transaction) -> list[tuple[str, int, str]]:
    """Account, side and amount of each entry."""
    return [(entry.account, entry.side, entry.amount) for entry in transaction.entries]


@pytest.mark.criterion("S003-3", "S003-6", "S003-8", "S003-10", "S003-23", "S003-27", "S003-30")
def test_the_credits_of_a_customer_from_nothing_to_1050(book: Loyalty, shared_database: Database) -> None:
    """The reversal of the charge gives 650 + 400: a mirror. The 1000 that a source text says is a slip."""
    assert book.credits() == 0

    top_up = book.top_up(1000, note="at the till").transaction
    charge = book.charge(400).transaction
    bonus = book.bonus(50, "welcome").transaction
    before = book.credits()
    mirror = book.reversal(charge.sequence).transaction

    debit, credit = nouns.SIDE_DEBIT, nouns.SIDE_CREDIT
    assert moved(top_up) == [("1000", debit, "1000"), (book.wallet, credit, "1000")]
    assert moved(charge) == [(book.wallet, debit, "400"), ("4000", credit, "400")]
    assert moved(bonus) == [("5000", debit, "50"), (book.wallet, credit, "50")]
    assert moved(mirror) == [(book.wallet, credit, "400"), ("4000", debit, "400")]
    assert [one.kind for one in (top_up, charge, bonus)] == ["topup", "charge", "bonus"]
    assert (top_up.description, dict(bonus.metadata)) == ("at the till", {"reason": "welcome"})
    assert (mirror.reverses, book.transaction(charge.sequence).reversed_by) == (
        charge.sequence,
        mirror.sequence,
    )
    (balance,) = book.balances(book.wallet, "CREDIT").balances
    assert (before, balance.posted) == (650, "1050")
    assert (balance.last_sequence, balance.last_record_time) == (mirror.sequence, mirror.record_time)
    run = book.run_trial_balance()
    assert run.status == pb.TRIAL_BALANCE_STATUS_OK
    assert [(one.total_debits, one.total_credits, one.difference) for one in run.totals] == [
        ("1850", "1850", "0")
    ]
    assert unsound(shared_database.owner_url, book.ledger) == []


def test_an_operation_is_the_post_of_its_template(book: Loyalty) -> None:
    """The same key with the same content is a replay whichever way it comes."""
    made = book.top_up(1000, "till-1", note="cash")
    posted = book.server.ledgers.Post(
        pb.PostRequest(
            ledger=book.ledger,
            idempotency_key="till-1",
            description="cash",
            template=use("topup", Parameters({"user": book.user, "amount": "1000"})),
        )
    )
    again = book.top_up(1000, "till-1", note="cash")
    other = refusal_of(lambda: book.top_up(1001, "till-1", note="cash"))

    assert (made.replayed, posted.replayed, again.replayed) == (False, True, True)
    assert made.transaction == posted.transaction == again.transaction == book.transaction("till-1")
    assert (other.reason, other.facts["sequence"]) == (
        "IDEMPOTENCY_KEY_REUSED",
        str(made.transaction.sequence),
    )
    assert not book.reversal("till-1", "off").replayed
    assert book.reverse("till-1", "off").replayed


def test_without_a_key_each_call_is_an_intention_of_its_own(book: Loyalty) -> None:
    made = [book.top_up(5).transaction for _ in range(3)]

    assert book.credits() == 15
    assert len({one.sequence for one in made}) == len({one.idempotency_key for one in made}) == 3
    assert all(one.idempotency_key.startswith("dev:") for one in made)


@pytest.mark.criterion("S003-6", "S003-9", "S003-46")
def test_everything_that_is_wrong_with_a_request_is_told_at_once(book: Loyalty) -> None:
    book.user = "Ann"
    head = book.head()

    wrong = told(lambda: book.bonus("-5", "  ", "x" * 129))
    amount = Loyalty(book.server, book.ledger)

    assert wrong.reason == "VALIDATION_FAILED"
    assert sorted(wrong.fields) == ["amount", "idempotency_key", "reason", "user_id"]
    for given in ("0", "-1", "1.5", "", "1" * 39):
        assert refusal_of(lambda given=given: amount.top_up(given)).reason == "AMOUNT_INVALID"
    assert told(lambda: amount.bonus(1, "")).violations == [("reason", "must be given")]
    assert told(lambda: amount.top_up(1, note="x" * 256)).fields == ["note"]
    assert book.head() == head


@pytest.mark.criterion("S003-4", "S003-5")
def test_a_charge_takes_what_is_there_and_never_more(book: Loyalty) -> None:
    book.top_up(1000)
    head = book.head()

    refused = refusal_of(lambda: book.charge(1001, "too-much"))

    assert (refused.reason, refused.facts["shortfall"]) == ("INSUFFICIENT_FUNDS", "1")
    assert (book.head(), book.credits()) == (head, 1000)
    assert refusal_of(lambda: book.transaction("too-much")).reason == "TRANSACTION_NOT_FOUND"
    assert not book.charge(1000, "too-much").replayed
    assert book.credits() == 0


@pytest.mark.criterion("S003-14")
def test_a_top_up_that_is_spent_is_not_reversed(book: Loyalty) -> None:
    spent = book.top_up(1000).transaction.sequence
    book.charge(1)

    refused = refusal_of(lambda: book.reversal(spent))
    book.bonus(1, "so that it suffices")

    assert (refused.reason, refused.facts["shortfall"]) == ("INSUFFICIENT_FUNDS", "1")
    assert book.reversal(spent).transaction.reverses == spent
    assert book.credits() == 0


@pytest.mark.criterion("S003-12", "S003-13")
def test_a_transaction_is_reversed_once_and_a_reversal_never(book: Loyalty) -> None:
    made = book.top_up(10).transaction.sequence
    mirror = book.reversal(made).transaction.sequence

    assert refusal_of(lambda: book.reversal(made)).reason == "REVERSAL_ALREADY_EXISTS"
    assert refusal_of(lambda: book.reversal(mirror)).reason == "REVERSAL_FORBIDDEN_TYPE"
    assert refusal_of(lambda: book.reversal(mirror + 1)).reason == "TRANSACTION_NOT_FOUND"


@pytest.mark.criterion("S003-1", "S003-2")
def test_the_chart_has_four_accounts_of_which_one_is_a_customers(book: Loyalty) -> None:
    book.top_up(1000)
    book.charge(1)
    book.bonus(1, "welcome")

    assert {name: book.account(name).type for name in ("1000", book.wallet, "4000", "5000")} == {
        "1000": nouns.ACCOUNT_TYPE_ASSET,
        book.wallet: nouns.ACCOUNT_TYPE_LIABILITY,
        "4000": nouns.ACCOUNT_TYPE_REVENUE,
        "5000": nouns.ACCOUNT_TYPE_EXPENSE,
    }
    for name in ("2000", f"1000:{book.user}", f"4000:{book.user}", f"5000:{book.user}"):
        kinds = (nouns.ACCOUNT_TYPE_LIABILITY, nouns.ACCOUNT_TYPE_ASSET)
        for kind in kinds:
            opened = refusal_of(lambda name=name, kind=kind: book.open_account(name, kind, "CREDIT"))
            assert opened.reason == "VALIDATION_FAILED", name


def test_a_ledger_without_the_templates_is_told_what_to_do(offering: Serving) -> None:
    plain = Teller.open(offering)

    refused = refusal_of(lambda: Loyalty(offering, plain.ledger).top_up(1))

    assert (refused.reason, refused.facts) == ("TEMPLATE_NOT_FOUND", {"template": "topup"})
    assert refused.message.endswith("apply a chart that has it")


@pytest.mark.criterion("S003-26")
def test_the_server_says_how_it_is_and_what_it_offers(
    book: Loyalty, offering: Serving, shared_server: Serving
) -> None:
    def flags(server: Serving) -> dict[str, bool]:
        told = server.admin.GetServerInfo(admin_pb.GetServerInfoRequest()).flags
        return {name: told[name] for name in ("ledger_enabled", "dev_endpoints_enabled")}

    chart = charts_pb.GetChartRequest(ledger=book.ledger)
    health = health_pb2_grpc.HealthStub(offering.channel).Check(health_pb2.HealthCheckRequest())

    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert [family.pattern for family in book.charts.GetChart(chart).chart.chart.families] == [
        "1000",
        "2000:{user_id}",
        "4000",
        "5000",
    ]
    assert offering.admin.GetServerInfo(admin_pb.GetServerInfoRequest()).version == __version__
    assert flags(offering) == {"ledger_enabled": True, "dev_endpoints_enabled": True}
    assert flags(shared_server) == {"ledger_enabled": False, "dev_endpoints_enabled": False}


def test_what_the_readme_of_the_example_says_is_so(offering: Serving, book: Loyalty) -> None:
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    switches = re.findall(r"(LEDGER_\w+)=(\w+)", text)
    applied = re.findall(r"^\./ledger apply (\S+) --ledger (\S+) --create$", text, re.MULTILINE)
    calls = re.findall(r"^call \w+/(\w+) '(.*?)'$", text, re.MULTILINE | re.DOTALL)

    assert config.load(environ=dict(switches)).dev_endpoints_off_by == ()
    assert applied == [("examples/loyalty_credits/chart.yaml", "credits")]
    assert [name for name, _ in calls] == ["Post", "Charge", "GetBalance"]
    for name, body in calls:
        method = BY_NAME[name]
        request = json_format.Parse(body, method.request._concrete_class())
        request.ledger = book.ledger
        answer = offering.channel.unary_unary(method.path)(request.SerializeToString(), timeout=60)
    assert pb.GetBalanceResponse.FromString(answer).balances[0].posted == "600"
    assert len(text.splitlines()) <= 45
