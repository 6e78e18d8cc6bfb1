"""The example of credit purchase: what a business may rely on, line by line."""

from __future__ import annotations

import re
from functools import partial

import grpc
import pytest
from callers import DEADLINE_S, Teller, refusal_of
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import report_service_pb2 as report_pb
from reports import Reports, at_day
from serving import Serving
from shop import CHART, Shop, line
from statuses import told

from ledger_server.domain.parameters import Item


@pytest.fixture
def shop(shared_server: Serving) -> Shop:
    """A business with two products and a customer who may owe 100.00."""
    shop = Shop.opened(shared_server)
    shop.add_product("pen", price=250, stock=10)
    shop.add_product("ink", price=1_999, stock=3)
    shop.add_customer("ann", 10_000)
    return shop


def all_of(shop: Shop) -> dict[str, int]:
    """Every stock, every debt, and the head."""
    return shop.books(("pen", "ink"), ("ann",))


@pytest.mark.criterion("S001-7", "S001-8")
def test_an_order_of_several_items_is_one_transaction_over_stock_and_credit(shop: Shop) -> None:
    head = shop.head()

    order = shop.buy("ann", line("pen", 2, 250), line("ink", 1, 1_999), line("pen", 3, 240)).transaction

    assert shop.head() == head + 1
    assert {(one.account, one.asset): int(one.amount) for one in order.entries} == {
        ("customers:ann", "USD"): 3_219,
        ("sales", "USD"): 3_219,
        # Two lines of one product move its stock once.
        ("sold:pen", "PIECE"): 5,
        ("stock:pen", "PIECE"): 5,
        ("sold:ink", "PIECE"): 1,
        ("stock:ink", "PIECE"): 1,
    }
    assert all_of(shop) == {"pen": 5, "ink": 2, "ann": 3_219, "head": head + 1}
    assert (order.series, order.number) == ("orders", 1)
    assert [dict(item.parameters)["price"] for item in order.template.items] == ["250", "1999", "240"]


@pytest.mark.criterion("S001-4", "S001-7")
def test_an_order_beyond_the_stock_changes_nothing_at_all(shop: Shop) -> None:
    shop.buy("ann", line("ink", 2, 1_000))
    before = all_of(shop)

    refusal = refusal_of(lambda: shop.buy("ann", line("pen", 1, 250), line("ink", 3, 1_000), key="order 1"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS")
    assert {name: refusal.facts[name] for name in ("account", "asset", "balance", "shortfall")} == {
        "account": "stock:ink",
        "asset": "PIECE",
        "balance": "1",
        "shortfall": "2",
    }
    assert all_of(shop) == before
    # It burned no key, and took no order's number.
    assert shop.buy("ann", line("pen", 1, 250), key="order 1").transaction.number == 2


@pytest.mark.criterion("S001-5", "S001-7")
def test_exactly_the_credit_limit_may_be_owed_and_a_cent_more_not(shop: Shop) -> None:
    shop.buy("ann", line("pen", 1, 4_000))
    before = all_of(shop)

    refusal = refusal_of(lambda: shop.buy("ann", line("pen", 1, 6_001)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BALANCE_LIMIT_EXCEEDED")
    facts = ("account", "balance_max", "balance", "balance_after", "shortfall")
    assert [refusal.facts[name] for name in facts] == ["customers:ann", "10000", "4000", "10001", "1"]
    assert all_of(shop) == before
    assert shop.buy("ann", line("pen", 1, 6_000))
    assert shop.owed("ann") == 10_000


@pytest.mark.criterion("S001-19")
@pytest.mark.parametrize(
    "items", [(line("ink", 4, 1),), (line("ink", 1, 10_001),)], ids=["beyond the stock", "beyond the limit"]
)
def test_the_database_refuses_what_the_service_forgot_to(
    shop: Shop, items: tuple[Item, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_of(shop)
    monkeypatch.setattr("ledger_server.domain.recording.bound_refusal", lambda *_: None)

    refusal = refusal_of(lambda: shop.buy("ann", *items))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "LEDGER_INVARIANT_BROKEN")
    assert all_of(shop) == before


@pytest.mark.criterion("S001-13")
def test_a_payment_gives_head_room_again_and_the_debt_is_the_sum_of_its_entries(shop: Shop) -> None:
    shop.buy("ann", line("pen", 1, 10_000))
    assert refusal_of(lambda: shop.buy("ann", line("pen", 1, 1))).reason == "BALANCE_LIMIT_EXCEEDED"

    shop.pay("ann", 300)

    assert refusal_of(lambda: shop.buy("ann", line("pen", 1, 301))).facts["shortfall"] == "1"
    assert shop.buy("ann", line("pen", 1, 300))
    entries = [one.entry for one in shop.entries("customers:ann").entries]
    signed = [int(one.amount) * (1 if one.side == nouns.SIDE_DEBIT else -1) for one in entries]
    assert signed == [300, -300, 10_000]
    assert sum(signed) == shop.owed("ann") == shop.balance("customers:ann", recompute=True)


@pytest.mark.criterion("S001-14")
def test_an_order_taken_back_gives_stock_and_head_room_together_and_once(shop: Shop) -> None:
    before = all_of(shop)
    shop.buy("ann", line("pen", 4, 2_000), line("ink", 2, 1_000), key="order")
    assert shop.owed("ann") == 10_000

    shop.reverse("order", "order off")

    after = all_of(shop)
    assert {**after, "head": 0} == {**before, "head": 0}
    assert after["head"] == before["head"] + 2
    assert shop.reverse("order", "order off").replayed
    assert refusal_of(lambda: shop.reverse("order", "again")).reason == "REVERSAL_ALREADY_EXISTS"
    assert all_of(shop) == after
    assert shop.buy("ann", line("pen", 10, 1_000))


@pytest.mark.criterion("S001-8")
def test_who_is_unknown_is_named(shop: Shop) -> None:
    before = all_of(shop)
    for call, account in (
        (lambda: shop.buy("bob", line("pen", 1, 250)), "customers:bob"),
        (lambda: shop.buy("ann", line("pen", 1, 250), line("ruler", 1, 100)), "stock:ruler"),
    ):
        refusal = refusal_of(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
        assert refusal.facts["account"] == account
    assert all_of(shop) == before


@pytest.mark.criterion("S001-6", "S001-8")
@pytest.mark.parametrize(
    ("items", "reason", "fields"),
    [
        ((), "VALIDATION_FAILED", ["template.items"]),
        ((line("pen", 0, 5),), "VALIDATION_FAILED", ["template.items[0].parameters.quantity"]),
        ((line("pen", -1, 5),), "VALIDATION_FAILED", ["template.items[0].parameters.quantity"]),
        ((line("pen", "1.5", 5),), "VALIDATION_FAILED", ["template.items[0].parameters.quantity"]),
        ((line("pen", 1, -5),), "AMOUNT_INVALID", ["template.items[0].parameters.price"]),
        ((line("pen", 1, 0),), "AMOUNT_INVALID", ["template.items[0].parameters.price"]),
        ((line("pen", 1, "9" * 39),), "AMOUNT_INVALID", ["template.items[0].parameters.price"]),
        (
            (line("pen", 1, 5), line("pen", "", "")),
            "VALIDATION_FAILED",
            ["template.items[1].parameters.price", "template.items[1].parameters.quantity"],
        ),
    ],
    ids=[
        "none",
        "no pieces",
        "less than none",
        "half a piece",
        "negative price",
        "no price",
        "long price",
        "nothing said",
    ],
)
def test_a_malformed_order_is_refused_by_its_fields(
    shop: Shop, items: tuple[Item, ...], reason: str, fields: list[str]
) -> None:
    before = all_of(shop)

    refusal = told(partial(shop.buy, "ann", *items))

    assert (refusal.reason, sorted(refusal.fields)) == (reason, fields)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert all_of(shop) == before


@pytest.mark.criterion("S001-6")
def test_a_credit_limit_is_never_below_zero(shop: Shop) -> None:
    before = all_of(shop)
    limit = nouns.BalanceLimit(asset="USD", balance_max="-1")

    for call, field in (
        (lambda: shop.add_customer("bob", -1), "account.limits[0]"),
        (lambda: shop.update("customers:ann", 1, limits=[limit]), "limits[0].balance_max"),
    ):
        refusal = told(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
        assert refusal.fields == [field]

    assert all_of(shop) == before
    limit.balance_max = "0"
    shop.update("customers:ann", 1, limits=[limit])
    assert refusal_of(lambda: shop.buy("ann", line("pen", 1, 1))).reason == "BALANCE_LIMIT_EXCEEDED"


@pytest.mark.criterion("S001-6")
def test_what_costs_nothing_leaves_the_stock_too(shop: Shop) -> None:
    gift = Item("free", {"gift": "ink", "pieces": "1"})

    shop.buy("ann", line("pen", 1, 250), gift)

    assert {**all_of(shop), "head": 0} == {"pen": 9, "ink": 2, "ann": 250, "head": 0}


@pytest.mark.criterion("S001-12", "S001-20")
def test_a_new_price_is_for_new_orders_and_no_order_is_of_a_price_that_was_not_there(shop: Shop) -> None:
    product = shop.account("stock:pen")
    assert dict(product.metadata) == {"price": "250"}
    order = shop.buy("ann", line("pen", 2, 250), key="order").transaction
    unchanged = pb.Precondition(
        account_version=pb.AccountVersionCondition(account="stock:pen", version=product.version)
    )
    assert shop.buy("ann", line("pen", 1, 250), preconditions=[unchanged])

    repriced = shop.update("stock:pen", product.version, metadata={"price": "300"}).account

    assert dict(repriced.metadata) == {"price": "300"}
    # The shelf may hold no less than nothing as before.
    assert repriced.limits == product.limits
    refusal = refusal_of(lambda: shop.buy("ann", line("pen", 1, 250), preconditions=[unchanged]))
    assert refusal.reason == "PRECONDITION_FAILED"
    assert shop.transaction("order") == order
    assert dict(shop.transaction("order").template.items[0].parameters)["price"] == "250"
    assert shop.buy("ann", line("pen", 2, 250), key="order").replayed


@pytest.mark.criterion("S001-20")
def test_products_and_customers_are_created_restocked_and_given_limits(shop: Shop) -> None:
    shop.add_product("ruler", price=100)
    shop.add_customer("bob", 0)
    order = partial(shop.buy, "bob", line("ruler", 5, 100))
    assert refusal_of(order).facts["account"] == "customers:bob"

    limit = nouns.BalanceLimit(asset="USD", balance_max="500")
    shop.update("customers:bob", 1, limits=[limit])
    assert refusal_of(order).facts["account"] == "stock:ruler"
    shop.restock("ruler", 5, "delivery 1")
    assert shop.restock("ruler", 5, "delivery 1").replayed
    order()

    assert (shop.stock("ruler"), shop.owed("bob"), shop.balance("received:ruler", "PIECE")) == (0, 500, 5)
    # Less than what is owed already: nothing more, and what is paid is taken.
    shop.update("customers:bob", 2, limits=[nouns.BalanceLimit(asset="USD", balance_max="100")])
    shop.restock("ruler", 5)
    assert refusal_of(order).reason == "BALANCE_LIMIT_EXCEEDED"
    shop.pay("bob", 450)
    assert shop.buy("bob", line("ruler", 1, 50))


@pytest.mark.criterion("S001-11")
def test_an_order_is_never_changed_only_taken_back(shop: Shop) -> None:
    order = shop.buy("ann", line("pen", 1, 250), key="order").transaction
    shop.pay("ann", 250)
    shop.reverse("order")

    later = shop.transaction("order")

    assert later.reversed_by == shop.head()
    later.reversed_by = 0
    assert later == order


def test_an_order_and_a_delivery_need_a_key_and_nothing_else_is_posted(shop: Shop) -> None:
    plain = Teller(shop.server, shop.ledger)

    assert refusal_of(lambda: plain.post("cash", "sales", 5)).reason == "UNHANDLED_KIND"
    refusal = refusal_of(lambda: plain.post("cash", "sales", 5, kind="payment"))
    assert refusal.reason == "IDEMPOTENCY_KEY_REQUIRED"
    draft = accounts_pb.AccountDraft(name="shelf", type=nouns.ACCOUNT_TYPE_ASSET)
    request = accounts_pb.CreateAccountRequest(ledger=shop.ledger, account=draft)
    assert (
        refusal_of(lambda: shop.server.accounts.CreateAccount(request, timeout=DEADLINE_S)).reason
        == "VALIDATION_FAILED"
    )


@pytest.mark.criterion("S001-15", "S001-18")
def test_who_owes_for_more_than_thirty_days_is_listed_the_oldest_first(shop: Shop) -> None:
    for customer in ("bob", "cy"):
        shop.add_customer(customer, 10_000)
    other = Shop.opened(shop.server)
    other.add_product("pen", stock=1)
    other.add_customer("dee", 10_000)
    other.buy("dee", line("pen", 1, 9), effective_time=at_day(0))

    def buys(customer: str, price: int, moment: Timestamp) -> None:
        shop.buy(customer, line("pen", 1, price), effective_time=moment)

    buys("ann", 100, at_day(5))
    buys("bob", 200, at_day(1))
    buys("bob", 300, at_day(20))
    buys("cy", 400, at_day(2))
    shop.pay("bob", 150, effective_time=at_day(30))
    shop.pay("cy", 400, effective_time=at_day(30))

    found = Reports(shop).overdue("customers", as_of=at_day(40), order=2).balances

    # Cy has paid, the other business has books of its own.
    assert [(one.account, one.overdue, one.balance) for one in found] == [
        ("customers:bob", "50", "350"),
        ("customers:ann", "100", "100"),
    ]
    assert found[0].oldest_unpaid.effective_time == at_day(1)
    (settled,) = Reports(shop).charges("customers:cy", as_of=at_day(40)).charges
    assert (settled.remaining, settled.settled_at) == ("0", at_day(30))


def test_the_calls_of_the_readme_are_answered(shared_server: Serving) -> None:
    readme = CHART.with_name("README.md").read_text(encoding="utf-8")
    calls = re.findall(r"^call (\w+)/(\w+) '(.*?)'$", readme, re.MULTILINE | re.DOTALL)
    assert [method for _, method, _ in calls] == ["BatchCreateAccounts", "PostBatch", "ListOverdueBalances"]
    shop, stubs = (
        Shop.opened(shared_server),
        {
            "AccountService": (shared_server.accounts, accounts_pb),
            "LedgerService": (shared_server.ledgers, pb),
            "ReportService": (Reports(Teller(shared_server, "")).stub, report_pb),
        },
    )
    for service, method, text in calls:
        stub, messages = stubs[service]
        request = json_format.Parse(text, getattr(messages, f"{method}Request")())
        request.ledger = shop.ledger
        answer = getattr(stub, method)(request, timeout=DEADLINE_S)
        assert not [one for one in getattr(answer, "results", ()) if one.HasField("status")]

    assert (shop.stock("pen"), shop.owed("ann")) == (8, 500)
