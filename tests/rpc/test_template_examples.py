"""Operations that businesses do every day, as templates on a live service."""

from __future__ import annotations

from dataclasses import replace

import pytest
from callers import Teller, refusal_of, unsound
from clusters import Database
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import template_pb2
from sample_templates import (
    ANN,
    BONUS,
    CHARGE,
    DIVISION,
    PURCHASE,
    RECORD_CREDIT,
    RECORD_PAYMENT,
    SPLIT,
    TOP_UP,
    line,
    parameters,
    part,
)
from statuses import told
from template_calls import chart_with, lines_of, post_by

WALLET = f"2000:{ANN}"


@pytest.fixture
def wallets(teller: Teller) -> Teller:
    """Wallets of users, which open with their first posting and stay at 0 or above."""
    teller.open_account("1000", nouns.ACCOUNT_TYPE_ASSET)
    teller.open_account("4000", nouns.ACCOUNT_TYPE_REVENUE)
    teller.open_account("5000", nouns.ACCOUNT_TYPE_EXPENSE)
    family = charts_pb.AccountFamily(
        pattern="2000:{user}",
        parameters={"user": template_pb2.PARAMETER_TYPE_UUID},
        type=nouns.ACCOUNT_TYPE_LIABILITY,
        limits=[nouns.BalanceLimit(asset="USD", balance_min="0")],
        opens_on_first_posting=True,
    )
    standing = [
        charts_pb.AccountFamily(pattern=name, type=kind)  # type: ignore[arg-type]
        for name, kind in {
            **dict.fromkeys(("cash", "other", "1000"), nouns.ACCOUNT_TYPE_ASSET),
            **dict.fromkeys(("sales", "4000"), nouns.ACCOUNT_TYPE_REVENUE),
            "wallet": nouns.ACCOUNT_TYPE_LIABILITY,
            "5000": nouns.ACCOUNT_TYPE_EXPENSE,
        }.items()
    ]
    assets = [charts_pb.ChartAsset(code="USD", scale=2)]
    teller.apply_chart(chart_with(TOP_UP, CHARGE, BONUS, assets=assets, families=[family, *standing]))
    return teller


# wallets ---------------------------------------------------------------------------------


@pytest.mark.criterion("S003-3")
@pytest.mark.criterion("S003-8")
def test_a_top_up_debits_cash_and_credits_the_wallet(wallets: Teller) -> None:
    posted = post_by(wallets, "topup", parameters(user=ANN, amount=1000), "t1").transaction

    assert lines_of(posted) == [("1000", "D", 1000, "USD"), (WALLET, "C", 1000, "USD")]
    assert wallets.balance(WALLET) == 1000


@pytest.mark.criterion("S003-4")
def test_a_charge_beyond_the_balance_is_refused_and_leaves_nothing(
    wallets: Teller, shared_database: Database
) -> None:
    post_by(wallets, "topup", parameters(user=ANN, amount=1000), "t1")
    head = wallets.head()

    refusal = refusal_of(lambda: post_by(wallets, "charge", parameters(user=ANN, amount=1001), "c1"))

    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert wallets.head() == head
    assert wallets.balance(WALLET) == 1000
    assert refusal_of(lambda: wallets.transaction("c1")).reason == "TRANSACTION_NOT_FOUND"
    # Nor was the key burnt.
    charged = post_by(wallets, "charge", parameters(user=ANN, amount=400), "c1").transaction
    assert lines_of(charged) == [(WALLET, "D", 400, "USD"), ("4000", "C", 400, "USD")]
    assert unsound(shared_database.owner_url, wallets.ledger) == []


@pytest.mark.criterion("S003-5")
def test_the_exact_balance_can_be_charged(wallets: Teller) -> None:
    post_by(wallets, "topup", parameters(user=ANN, amount=1000))

    post_by(wallets, "charge", parameters(user=ANN, amount=1000))

    assert wallets.balance(WALLET) == 0


@pytest.mark.criterion("S003-6")
def test_a_bonus_says_why(wallets: Teller) -> None:
    refusal = told(lambda: post_by(wallets, "bonus", parameters(user=ANN, amount=50)))
    posted = post_by(wallets, "bonus", parameters(user=ANN, amount=50, reason="late parcel")).transaction

    assert (refusal.code.name, refusal.fields) == ("INVALID_ARGUMENT", ["template.parameters.reason"])
    assert lines_of(posted) == [("5000", "D", 50, "USD"), (WALLET, "C", 50, "USD")]
    assert dict(posted.metadata) == {"reason": "late parcel"}


@pytest.mark.criterion("S003-8")
def test_each_operation_has_one_debit_and_one_credit(wallets: Teller) -> None:
    given = {"user": ANN, "amount": 5}

    for name, more in (("topup", {}), ("charge", {}), ("bonus", {"reason": "x"})):
        posted = post_by(wallets, name, parameters(**given, **more)).transaction
        assert [side for _, side, _, _ in lines_of(posted)] == ["D", "C"]
        assert posted.kind == name


# a credit book ---------------------------------------------------------------------------


@pytest.mark.criterion("S000-4")
@pytest.mark.criterion("S000-25")
def test_credit_and_payment_move_a_customer_opposite_ways(teller: Teller) -> None:
    teller.open_account("customers:jo", nouns.ACCOUNT_TYPE_ASSET)
    teller.apply_chart(chart_with(RECORD_CREDIT, RECORD_PAYMENT))
    head = teller.head()

    post_by(teller, "record-credit", parameters(customer="jo", amount=1250))
    after_credit = teller.balance("customers:jo")
    post_by(teller, "record-payment", parameters(customer="jo", amount=1250))

    assert (after_credit, teller.balance("customers:jo")) == (1250, 0)
    # One record each: one database transaction has all of it.
    assert teller.head() == head + 2


# a purchase on credit --------------------------------------------------------------------


@pytest.fixture
def shop(teller: Teller) -> Teller:
    """A customer with 50.00 of credit; ten pens and ten inks of stock."""
    for code in ("pen", "ink"):
        teller.create_asset(code, 0)
    teller.open_account("stock:pen", nouns.ACCOUNT_TYPE_ASSET, "pen", balance_min="0")
    teller.open_account("stock:ink", nouns.ACCOUNT_TYPE_ASSET, "ink", balance_min="0")
    teller.open_account("sold", nouns.ACCOUNT_TYPE_EXPENSE)
    teller.open_account("supply", nouns.ACCOUNT_TYPE_EQUITY)
    teller.open_account("customers:jo:credit", nouns.ACCOUNT_TYPE_ASSET, balance_max="5000")
    for code in ("pen", "ink"):
        teller.post(f"stock:{code}", "supply", 10, asset=code)
    entries = list(PURCHASE.entries)
    entries[3] = entries[3]._replace(account="stock:{product}")
    teller.apply_chart(chart_with(replace(PURCHASE, entries=tuple(entries))))
    return teller


@pytest.mark.criterion("S001-7")
@pytest.mark.criterion("S001-8")
def test_a_purchase_moves_credit_and_stock_together(shop: Teller) -> None:
    order = parameters(line("pen", 2, 250), line("ink", 1, 1999), line("pen", 1, 240), customer="jo")

    posted = post_by(shop, "purchase", order, "p1").transaction

    assert lines_of(posted) == [
        ("customers:jo:credit", "D", 2739, "USD"),
        ("sales", "C", 2739, "USD"),
        ("sold", "D", 3, "pen"),
        ("sold", "D", 1, "ink"),
        ("stock:pen", "C", 3, "pen"),
        ("stock:ink", "C", 1, "ink"),
    ]
    assert shop.balance("customers:jo:credit") == 2739
    assert (shop.balance("stock:pen", "pen"), shop.balance("stock:ink", "ink")) == (7, 9)
    assert shop.trial_balance().status == 1


@pytest.mark.criterion("S001-7")
def test_a_purchase_that_fails_in_any_part_leaves_no_row(shop: Teller, shared_database: Database) -> None:
    head, before = shop.head(), shop.trial_balance(digest=True).digest

    refusals = [
        refusal_of(lambda given=given: post_by(shop, "purchase", given))
        for given in (
            parameters(line("pen", 1, 1), line("ink", 11, 1), customer="jo"),
            parameters(line("pen", 1, 5001), customer="jo"),
            parameters(line("pen", 1, 1), line("pin", 1, 1), customer="jo"),
            parameters(line("pen", 1, 1), customer="al"),
        )
    ]

    assert [one.reason for one in refusals] == [
        "INSUFFICIENT_FUNDS",
        "BALANCE_LIMIT_EXCEEDED",
        "ACCOUNT_NOT_FOUND",
        "ACCOUNT_NOT_FOUND",
    ]
    assert (shop.head(), shop.trial_balance(digest=True).digest) == (head, before)
    assert unsound(shared_database.owner_url, shop.ledger) == []


@pytest.mark.criterion("S001-8")
def test_an_unknown_product_or_customer_is_named_and_an_empty_order_refused(shop: Teller) -> None:
    product = refusal_of(lambda: post_by(shop, "purchase", parameters(line("pin", 1, 1), customer="jo")))
    customer = refusal_of(lambda: post_by(shop, "purchase", parameters(line("pen", 1, 1), customer="al")))
    empty = told(lambda: post_by(shop, "purchase", parameters(customer="jo")))

    assert (product.code.name, product.facts["account"]) == ("NOT_FOUND", "stock:pin")
    assert (customer.code.name, customer.facts["account"]) == ("NOT_FOUND", "customers:al:credit")
    assert (empty.code.name, empty.fields) == ("INVALID_ARGUMENT", ["template.items"])


@pytest.mark.criterion("S001-12")
def test_a_purchase_keeps_the_prices_it_was_made_at(shop: Teller) -> None:
    post_by(shop, "purchase", parameters(line("pen", 2, 250), customer="jo"), "before")
    post_by(shop, "purchase", parameters(line("pen", 2, 300), customer="jo"), "after")

    kept = shop.transaction("before").template

    assert (kept.name, kept.version) == ("purchase", 1)
    assert [dict(item.parameters) for item in kept.items] == [
        {"product": "pen", "quantity": "2", "price": "250"}
    ]
    assert dict(kept.parameters) == {"customer": "jo"}


# splits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [1, 2, 99, 100, 9999, 10**37 + 1])
def test_the_reversal_of_a_split_is_exact_to_the_cent(teller: Teller, amount: int) -> None:
    names = ("sellers:eve", "carrier", "house")
    for name in names:
        teller.open_account(name)
    teller.apply_chart(chart_with(SPLIT))

    split = post_by(teller, "split", parameters(amount=amount, seller="eve"), "k").transaction
    shares = {account: given for account, side, given, _ in lines_of(split) if side == "C"}
    undone = teller.reverse("k").transaction

    assert sum(shares.values()) == amount
    assert [(account, given) for account, _, given, _ in lines_of(undone)] == [
        (account, given) for account, _, given, _ in lines_of(split)
    ]
    assert all(teller.balance(name) == 0 for name in (*names, "cash"))
    assert not undone.HasField("template")


def test_three_equal_parts_are_exact_and_the_earlier_gets_the_cent(teller: Teller) -> None:
    for name in ("partners:a", "partners:b", "partners:c"):
        teller.open_account(name)
    teller.apply_chart(chart_with(DIVISION))

    post_by(teller, "division", parameters(part("c", 1), part("a", 1), part("b", 1), amount=100))

    assert [teller.balance(f"partners:{name}") for name in "abc"] == [33, 33, 34]
