"""Posts that name a template, on the wire: their form, their answers, and the charts that have templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from callers import Teller, lines, post_operation, refusal_of, reverse_operation
from clusters import Database
from google.protobuf import json_format
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import template_pb2
from sample_templates import (
    BONUS,
    CUSTOMER,
    DIVISION,
    PURCHASE,
    RECORD_CREDIT,
    RECORD_PAYMENT,
    SAMPLES,
    SPLIT,
    moving,
    parameters,
    part,
)
from society import Society, society
from statuses import told, told_operation
from template_calls import chart_with, lines_of, operation_by, post_by, use

from ledger_server.domain.members import Role
from ledger_server.domain.parameters import BYTES_MAX, ITEMS_MAX, Item, Parameters
from ledger_server.domain.templates import GROUPS_MAX, PARAMETERS_MAX, PATTERNS_MAX, TEMPLATES_MAX, Template
from ledger_server.rpc.limits import ANSWER_BYTES_MAX

# Between two accounts that every teller's ledger has.
SALE = moving("sale", "cash", "sales")
GIVEN = parameters(amount=5)


@pytest.fixture
def counter(teller: Teller) -> Teller:
    """A ledger whose chart has sales, splits and divisions."""
    teller.apply_chart(chart_with(SALE, SPLIT, DIVISION, moving("spend", "wallet", "cash")))
    return teller


# requests --------------------------------------------------------------------------------


def test_a_template_is_easily_asked_for_in_json(counter: Teller) -> None:
    for name in ("a", "b"):
        counter.open_account(f"partners:{name}")
    asked = """{
        "ledger": "%s",
        "idempotencyKey": "d1",
        "template": {
            "name": "division",
            "parameters": {"amount": "100"},
            "items": [
                {"group": "partners", "parameters": {"partner": "a", "parts": "2"}},
                {"group": "partners", "parameters": {"partner": "b", "parts": "1"}}
            ]
        }
    }"""

    posted = counter.server.ledgers.Post(
        json_format.Parse(asked % counter.ledger, pb.PostRequest())
    ).transaction

    assert lines_of(posted) == [
        ("cash", "D", 100, "USD"),
        ("partners:a", "C", 67, "USD"),
        ("partners:b", "C", 33, "USD"),
    ]
    shown = json_format.MessageToDict(posted)["template"]
    assert (shown["name"], shown["version"], shown["parameters"]) == ("division", 1, {"amount": "100"})
    assert [item["parameters"]["partner"] for item in shown["items"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("request_of", "fields"),
    [
        (lambda: {"entries": lines("cash", "sales", 5)}, ["entries"]),
        (lambda: {"kind": "sale", "metadata": {"a": "b"}}, ["kind", "metadata"]),
        (lambda: {"template": use("", GIVEN)}, ["template.name"]),
        (lambda: {"template": use("no sale", GIVEN)}, ["template.name"]),
        (lambda: {"template": use("sale", GIVEN, -1)}, ["template.version"]),
        (lambda: {"template": nouns.TemplateUse()}, ["template.name"]),
        (
            lambda: {"description": "x" * 256, "idempotency_key": "x" * 129},
            ["idempotency_key", "description"],
        ),
        (
            lambda: {"template": use("sale", Parameters({}, (Item("x", {}),) * (ITEMS_MAX + 1)))},
            ["template.items"],
        ),
        (lambda: {"template": use("sale", Parameters({"x": "y" * BYTES_MAX}))}, ["template.parameters"]),
        (lambda: {"template": use("sale", Parameters({"x": "y" * 10**6}))}, ["template.parameters"]),
    ],
)
def test_a_wrong_form_is_told_before_any_chart_is_asked(
    teller: Teller, request_of: Callable[[], dict[str, Any]], fields: list[str]
) -> None:
    asked = {"template": use("sale", GIVEN), **request_of()}
    head = teller.head()

    alone = told(
        lambda: teller.post_entries(asked.pop("entries", []), asked.pop("idempotency_key", ""), **asked)
    )
    asked = {"template": use("sale", GIVEN), **request_of()}
    (within,) = teller.batch([pb.Operation(post=pb.PostOperation(**asked))])

    assert (alone.reason, alone.fields) == ("VALIDATION_FAILED", fields)
    assert told_operation(within).fields == fields
    assert teller.head() == head


def test_every_violation_of_parameters_is_one_answer(counter: Teller) -> None:
    given = parameters(part("A!", 1), Item("others", {}), part("b", -1), seller="x")

    refusal = told(lambda: post_by(counter, "division", given))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == [
        "template.parameters.amount",
        "template.parameters",
        "template.items[0].parameters.partner",
        "template.items[1].group",
        "template.items[2].parameters.parts",
    ]


def test_a_template_that_is_not_there_is_not_found(counter: Teller) -> None:
    unknown = refusal_of(lambda: post_by(counter, "sales", GIVEN))
    later = refusal_of(lambda: post_by(counter, "sale", GIVEN, version=7))

    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND")
    assert later.facts == {"template": "sale", "version": "7", "newest_version": "1"}


def test_without_a_chart_there_is_no_template(teller: Teller) -> None:
    assert refusal_of(lambda: post_by(teller, "sale", GIVEN)).reason == "TEMPLATE_NOT_FOUND"


def test_trying_out_answers_the_transaction_and_records_nothing(counter: Teller) -> None:
    head = counter.head()

    tried = post_by(counter, "sale", GIVEN, "k", validate_only=True).transaction
    refusal = refusal_of(lambda: post_by(counter, "spend", GIVEN, validate_only=True))

    assert (tried.sequence, tried.template.version, lines_of(tried)[0]) == (0, 1, ("cash", "D", 5, "USD"))
    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert counter.head() == head
    assert not post_by(counter, "sale", GIVEN, "k").replayed


# the same again --------------------------------------------------------------------------


def test_a_retry_is_a_replay_under_any_later_chart(counter: Teller) -> None:
    first = post_by(counter, "sale", GIVEN, "k", description="x").transaction
    counter.apply_chart(chart_with(SALE, replace(SALE, version=2, kind="sold")), 1)

    again = post_by(counter, "sale", GIVEN, "k", description="x")
    counter.apply_chart(chart_with(RECORD_CREDIT), 2)
    later = post_by(counter, "sale", GIVEN, "k", version=1, description="x")

    assert again.replayed
    assert later.replayed
    assert again.transaction == later.transaction == first


def test_other_parameters_under_a_key_are_a_conflict(counter: Teller) -> None:
    first = post_by(counter, "sale", GIVEN, "k").transaction

    others = [
        refusal_of(lambda: post_by(counter, "sale", parameters(amount=6), "k")),
        refusal_of(lambda: post_by(counter, "sale", GIVEN, "k", version=2)),
        refusal_of(lambda: counter.post("cash", "sales", 5, "k", kind="sale")),
    ]

    assert {one.reason for one in others} == {"IDEMPOTENCY_KEY_REUSED"}
    assert [one.facts["differing_fields"] for one in others] == [
        "template.parameters",
        "template.version",
        "template",
    ]
    assert {one.facts["sequence"] for one in others} == {str(first.sequence)}


# batches ---------------------------------------------------------------------------------


def test_a_batch_mixes_templates_entries_and_reversals(counter: Teller) -> None:
    for name in ("a", "b"):
        counter.open_account(f"partners:{name}")
    operations = [
        operation_by("sale", GIVEN, "one"),
        post_operation("cash", "wallet", 3),
        operation_by("division", parameters(part("a", 1), part("b", 1), amount=3)),
        operation_by("spend", parameters(amount=3)),
        operation_by("spend", parameters(amount=1)),
        operation_by("sold", GIVEN),
        operation_by("sale", parameters(amount="x")),
        reverse_operation("one"),
        operation_by("sale", GIVEN, "one"),
    ]

    results = counter.batch(operations, is_full=True)

    refusals = {place: told_operation(one) for place, one in enumerate(results) if one.HasField("status")}
    assert {place: one.reason for place, one in refusals.items()} == {
        4: "INSUFFICIENT_FUNDS",
        5: "TEMPLATE_NOT_FOUND",
        6: "AMOUNT_INVALID",
    }
    assert refusals[6].fields == ["template.parameters.amount"]
    assert results[0].transaction == results[8].transaction
    assert results[8].replayed
    assert lines_of(results[7].transaction) == [("cash", "C", 5, "USD"), ("sales", "D", 5, "USD")]
    for result in results:
        if result.sequence:
            assert counter.transaction(result.sequence).template == result.transaction.template


def test_an_atomic_batch_with_a_refused_template_leaves_nothing(counter: Teller) -> None:
    head = counter.head()

    results = counter.batch([operation_by("sale", GIVEN), operation_by("spend", GIVEN)], atomic=True)

    assert [told_operation(one).reason for one in results] == ["ATOMIC_GROUP_REFUSED", "INSUFFICIENT_FUNDS"]
    assert counter.head() == head


def test_a_batch_of_templates_is_what_they_are_one_by_one(counter: Teller) -> None:
    other = Teller.open(counter.server)
    other.apply_chart(chart_with(SALE, moving("spend", "wallet", "cash")))
    other.post("cash", "wallet", 40)
    counter.post("cash", "wallet", 40)
    asked = [("spend" if place % 3 else "sale", parameters(amount=place + 1)) for place in range(20)]

    together = counter.batch([operation_by(name, given) for name, given in asked])
    alone = [bool(_posted(other, name, given)) for name, given in asked]

    assert [one.sequence > 0 for one in together] == alone
    assert not all(alone)
    assert counter.trial_balance(digest=True).digest == other.trial_balance(digest=True).digest


def _posted(teller: Teller, name: str, given: Parameters) -> int:
    try:
        return post_by(teller, name, given).transaction.sequence
    except grpc.RpcError:
        return 0


def test_a_template_counts_as_eight_entries_and_as_eight_for_each_item(counter: Teller) -> None:
    seven = parameters(*[part("a", 1)] * 7, amount=7)
    operations = [operation_by("division", seven)] * 1024

    refusal = told(lambda: counter.batch([*operations, post_operation("cash", "sales", 1)]))
    results = counter.batch(operations)

    assert (refusal.reason, refusal.facts["entries"]) == ("BATCH_TOO_LARGE", str(65536 + 2))
    assert {told_operation(one).reason for one in results} == {"ACCOUNT_NOT_FOUND"}


def test_a_full_answer_counts_what_templates_could_make(counter: Teller) -> None:
    operations = [operation_by("sale", GIVEN)] * 100
    head = counter.head()

    refusal = told(lambda: counter.batch(operations, is_full=True))

    assert refusal.reason == "BATCH_TOO_LARGE"
    assert int(refusal.facts["answer_bytes"]) > ANSWER_BYTES_MAX
    assert counter.head() == head
    assert all(one.HasField("transaction") for one in counter.batch(operations[:50], is_full=True))
    assert len(counter.batch(operations)) == 100


# reads -----------------------------------------------------------------------------------


def test_every_read_of_a_transaction_shows_its_template(counter: Teller) -> None:
    posted = post_by(counter, "sale", GIVEN, "k").transaction
    counter.post("cash", "sales", 1)

    plain, listed = counter.page(page_size=2).transactions

    assert counter.transaction("k") == listed == posted
    assert posted.template == nouns.TemplateUse(name="sale", version=1, parameters={"amount": "5"})
    assert not plain.HasField("template")


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks")) as people:
        yield people


def test_who_is_narrowed_posts_within_and_sees_no_parameters_of_what_lies_outside(people: Society) -> None:
    ledger, admin = people.ledger()
    roles = (Role.READER, Role.POSTER, Role.ACCOUNTANT)
    clerk = Teller(people.member(ledger, admin, *roles), ledger)
    clerk.create_asset("USD", 2)
    for name in ("cash", "sales", "customers:jo"):
        clerk.open_account(name, nouns.ACCOUNT_TYPE_ASSET)
    clerk.apply_chart(chart_with(RECORD_CREDIT, RECORD_PAYMENT))
    given = parameters(customer="jo", amount=5)
    within = Teller(people.member(ledger, admin, *roles, prefixes=["customers", "sales"]), ledger)

    posted = post_by(within, "record-credit", given, "in").transaction
    outside = refusal_of(lambda: post_by(within, "record-payment", given, "out"))
    unknown = refusal_of(lambda: post_by(within, "record-credit", parameters(customer="al", amount=5), "out"))
    post_by(clerk, "record-payment", given, "paid")
    shown = within.transaction("paid")

    assert posted.template.parameters == {"customer": "jo", "amount": "5"}
    assert (outside.reason, outside.facts["account"]) == ("ACCOUNT_NOT_FOUND", "cash")
    assert (unknown.reason, unknown.facts["account"]) == ("ACCOUNT_NOT_FOUND", "customers:al")
    assert outside.message.replace("cash", "") == unknown.message.replace("customers:al", "")
    assert lines_of(shown) == [("customers:jo", "C", 5, "USD")]
    assert shown.template == nouns.TemplateUse(name="record-payment", version=1)
    assert clerk.transaction("paid").template.parameters == {"customer": "jo", "amount": "5"}
    assert refusal_of(lambda: post_by(within, "record-payment", given, "paid")).facts == {
        "idempotency_key": "paid"
    }


def test_who_may_not_post_may_not_by_a_template(people: Society) -> None:
    ledger, admin = people.ledger()
    reader = Teller(people.member(ledger, admin, Role.READER, Role.REVERSER), ledger)

    (within,) = reader.batch([operation_by("sale", GIVEN)])

    assert refusal_of(lambda: post_by(reader, "sale", GIVEN)).reason == "ROLE_REQUIRED"
    assert told_operation(within).reason == "ROLE_REQUIRED"


# charts ----------------------------------------------------------------------------------


def test_a_chart_answers_its_templates_as_they_were_given(teller: Teller) -> None:
    optional = replace(PURCHASE, version=2, groups=(PURCHASE.groups[0]._replace(min_items=0),))
    chart = chart_with(*SAMPLES, optional)

    applied = teller.apply_chart(chart)
    got = teller.charts.GetChart(charts_pb.GetChartRequest(ledger=teller.ledger)).chart
    again = teller.apply_chart(chart, 1)

    assert sorted(got.chart.templates, key=_name) == sorted(chart.templates, key=_name)
    assert applied.chart.chart == got.chart
    assert list(applied.changes.templates.added) == sorted(
        f"{one.name} {one.version}" for one in chart.templates
    )
    assert again.replayed


def _name(template: template_pb2.Template) -> tuple[str, int]:
    return template.name, template.version


def test_a_version_of_a_template_keeps_its_content(counter: Teller) -> None:
    other = replace(SALE, kind="sold")

    refusal = told(lambda: counter.apply_chart(chart_with(other), 1))
    applied = counter.apply_chart(chart_with(SALE, replace(other, version=2)), 1)

    assert (refusal.reason, refusal.fields) == ("CHART_CONFLICT", ["templates['sale']"])
    assert list(applied.changes.templates.added) == ["sale 2"]
    assert list(applied.changes.templates.removed) == ["division 1", "spend 1", "split 1"]


def _raw(**changes: Any) -> template_pb2.Template:
    wire = chart_with(SALE).templates[0]
    for field, value in changes.items():
        wire.ClearField(field)  # type: ignore[arg-type]
        wire.MergeFrom(template_pb2.Template(**{field: value}))
    return wire


_ENTRY = template_pb2.TemplateEntry(account="cash", side=nouns.SIDE_DEBIT, factors=["amount"], asset="USD")


def _second(**changes: Any) -> template_pb2.Template:
    """A sale whose second entry is changed."""
    sound: dict[str, Any] = {"account": "sales", "side": 2, "factors": ["amount"], "asset": "USD"}
    return _raw(entries=[_ENTRY, template_pb2.TemplateEntry(**(sound | changes))])


_INT = template_pb2.PARAMETER_TYPE_INT
MANY = [f"x{n}" for n in range(PARAMETERS_MAX + 1)]


@pytest.mark.parametrize(
    ("template", "field"),
    [
        (_raw(name="a b"), "name"),
        (_raw(version=0), "version"),
        (_raw(kind="x" * 65), "kind"),
        (_raw(parameters={"amount": 6}), "parameters['amount']"),
        (_raw(parameters={"amount": 0}), "parameters['amount']"),
        (_raw(parameters={"Amount": _INT, "amount": _INT}), "parameters['Amount']"),
        (_raw(parameters=dict.fromkeys(MANY, _INT)), "parameters"),
        (_raw(groups=[template_pb2.TemplateGroup(name="g")] * (GROUPS_MAX + 1)), "groups"),
        (_raw(groups=[template_pb2.TemplateGroup(name="g")]), "groups[0].parameters"),
        (
            _raw(groups=[template_pb2.TemplateGroup(name="g", parameters={"x": _INT}, min_items=-1)]),
            "groups[0].min_items",
        ),
        (
            _raw(groups=[template_pb2.TemplateGroup(name="g", parameters=dict.fromkeys(MANY, _INT))]),
            "groups[0].parameters",
        ),
        (_raw(entries=[_ENTRY] * (PATTERNS_MAX + 1)), "entries"),
        (_raw(entries=[_ENTRY]), "entries"),
        (_second(side=0), "entries[1].side"),
        (_second(account="{x}"), "entries[1].account"),
        (_second(asset="U D"), "entries[1].asset"),
        (_second(factors=["amount"] * 9), "entries[1].factors"),
        (_second(group="g"), "entries[1].group"),
        (_second(weight=0), "entries[1].weight"),
        (_second(weight_parameter=""), "entries[1].weight"),
        (_raw(metadata={"a": "{b}"}), "metadata['a']"),
        (_raw(metadata={str(n): "b" for n in range(65)}), "metadata"),
    ],
)  # fmt: skip
def test_a_chart_with_a_template_that_cannot_be_is_refused(
    teller: Teller, template: template_pb2.Template, field: str
) -> None:
    refusal = told(lambda: teller.apply_chart(charts_pb.Chart(templates=[template])))

    assert refusal.reason == "VALIDATION_FAILED"
    assert set(refusal.fields) == {f"chart.templates[0].{field}"}


def test_a_template_makes_a_kind_that_the_chart_has(teller: Teller) -> None:
    sale = charts_pb.Kind(name="sale", idempotency=charts_pb.IDEMPOTENCY_RULE_REQUIRED)

    refusal = told(
        lambda: teller.apply_chart(chart_with(SALE, replace(SALE, version=2, kind="x"), kinds=[sale]))
    )
    teller.apply_chart(chart_with(SALE, kinds=[sale]))

    assert refusal.fields == ["chart.templates[1].kind"]
    assert refusal_of(lambda: post_by(teller, "sale", GIVEN)).reason == "IDEMPOTENCY_KEY_REQUIRED"
    assert post_by(teller, "sale", GIVEN, "k").transaction.kind == "sale"


def test_a_name_and_version_stand_once_in_a_chart(teller: Teller) -> None:
    refusal = told(lambda: teller.apply_chart(chart_with(SALE, BONUS, SALE)))

    assert refusal.fields == ["chart.templates[2]"]


def test_a_chart_has_up_to_256_templates(teller: Teller) -> None:
    many: list[Template] = [replace(SALE, version=version + 1) for version in range(TEMPLATES_MAX + 1)]

    refusal = told(lambda: teller.apply_chart(chart_with(*many)))
    teller.apply_chart(chart_with(*many[:-1]))

    assert refusal.fields == ["chart.templates"]
    assert post_by(teller, "sale", GIVEN).transaction.template.version == TEMPLATES_MAX


def test_the_server_says_what_templates_may_be(teller: Teller) -> None:
    limits = teller.server.admin.GetServerInfo(admin_pb.GetServerInfoRequest()).limits

    assert limits["templates_per_chart_max"] == TEMPLATES_MAX == 256
    assert limits["parameters_per_template_max"] == PARAMETERS_MAX == 64
    assert limits["groups_per_template_max"] == GROUPS_MAX == 8
    assert limits["entries_per_template_max"] == PATTERNS_MAX == 32
    assert limits["template_items_max"] == ITEMS_MAX == 1000
    assert limits["template_parameters_bytes_max"] == BYTES_MAX == 32 * 1024


def test_the_largest_template_and_what_it_is_given_pass(teller: Teller) -> None:
    """Every bound at once: parameters, groups, entries, items, bytes."""
    groups = tuple(
        PURCHASE.groups[0]._replace(name=f"g{n}", parameters=(CUSTOMER._replace(name=f"c{n}"),), min_items=0)
        for n in range(GROUPS_MAX)
    )
    taken = (
        SALE.parameters[0],
        *(CUSTOMER._replace(name=f"p{n}") for n in range(PARAMETERS_MAX - 1 - GROUPS_MAX)),
    )
    entries = SALE.entries * (PATTERNS_MAX // 2)
    teller.apply_chart(chart_with(replace(SALE, parameters=taken, groups=groups, entries=entries)))
    values = {one.name: "x" for one in taken} | {"amount": "1"}
    items = [Item("g0", {"c0": "x" * 27})] * ITEMS_MAX
    left = BYTES_MAX - Parameters(values, tuple(items)).size_bytes()
    assert left >= 0

    posted = post_by(teller, "sale", Parameters(values, tuple(items))).transaction

    assert len(posted.entries) == PATTERNS_MAX
    assert len(posted.template.items) == ITEMS_MAX
    assert teller.transaction(posted.sequence) == posted
