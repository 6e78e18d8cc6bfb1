"""What templates become: the entries, and every violation of what they are given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import credit, debit, post_draft
from sample_templates import (
    AMOUNT,
    ANN,
    BONUS,
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

from ledger_server.domain.amounts import AMOUNT_MAX
from ledger_server.domain.expanding import Expander
from ledger_server.domain.parameters import (
    BYTES_MAX,
    ITEMS_MAX,
    Item,
    Parameter,
    Parameters,
    ParameterType,
    size_faults,
)
from ledger_server.domain.refusals import (
    AmountInvalid,
    AmountOverflow,
    InvalidRequest,
    Refusal,
    UnbalancedTransaction,
    ValidationFailed,
)
from ledger_server.domain.templates import EntryPattern, Group, Template
from ledger_server.domain.transactions import EntryDraft


def entries(template: Template, given: Parameters) -> tuple[EntryDraft, ...]:
    return Expander(template).expand(given)[0]


def refused(template: Template, given: Parameters, kind: type[Refusal] = ValidationFailed) -> Refusal:
    with pytest.raises(kind) as caught:
        Expander(template).expand(given)
    assert type(caught.value) is kind
    return caught.value


def violations(template: Template, given: Parameters) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        Expander(template).expand(given)
    assert len({one.field for one in caught.value.violations}) == len(caught.value.violations)
    return {one.field: one.description for one in caught.value.violations}


# entries ---------------------------------------------------------------------------------


def test_parameters_stand_in_accounts_and_amounts() -> None:
    assert entries(TOP_UP, parameters(user=ANN, amount=1000)) == (
        debit("1000", 1000),
        credit(f"2000:{ANN}", 1000),
    )


def test_credit_and_payment_move_a_customer_to_opposite_sides() -> None:
    given = parameters(customer="jo", amount=500)

    assert entries(RECORD_CREDIT, given)[0] == debit("customers:jo", 500)
    assert entries(RECORD_PAYMENT, given)[1] == credit("customers:jo", 500)


def test_parameters_stand_in_assets() -> None:
    code = Parameter("code", ParameterType.TEXT)
    template = replace(TOP_UP, entries=tuple(each._replace(asset="{code}") for each in TOP_UP.entries))
    template = replace(template, parameters=(*TOP_UP.parameters, code))

    made = entries(template, parameters(user=ANN, amount=1, code="€"))

    assert {each.asset for each in made} == {"€"}


def test_parameters_stand_in_metadata() -> None:
    template = replace(BONUS, metadata={"reason": "{reason}", "told": "{reason} for {user}", "from": "promo"})

    _, metadata = Expander(template).expand(parameters(user=ANN, amount=1, reason="late {parcel}: 100 %"))

    assert metadata == {
        "reason": "late {parcel}: 100 %",
        "told": f"late {{parcel}}: 100 % for {ANN}",
        "from": "promo",
    }


def test_items_of_a_group_make_entries_each_and_a_product_listed_twice_moves_once() -> None:
    given = parameters(line("pen", 2, 250), line("ink", 1, 1999), line("pen", 1, 240), customer="jo")

    assert entries(PURCHASE, given) == (
        # 2 x 2.50 + 1 x 19.99 + 1 x 2.40
        debit("customers:jo:credit", 2739),
        credit("sales", 2739),
        debit("sold", 3, "pen"),
        debit("sold", 1, "ink"),
        credit("stock", 3, "pen"),
        credit("stock", 1, "ink"),
    )


def test_what_two_patterns_make_stays_apart() -> None:
    tip = Parameter("tip", ParameterType.AMOUNT)
    twice = Template(
        "tipped",
        1,
        (AMOUNT, tip),
        (
            EntryPattern("cash", True, ("amount",), "USD"),
            EntryPattern("cash", True, ("tip",), "USD"),
            EntryPattern("sales", False, ("amount",), "USD"),
            EntryPattern("sales", False, ("tip",), "USD"),
        ),
    )

    assert entries(twice, parameters(amount=100, tip=5)) == (
        debit("cash", 100),
        debit("cash", 5),
        credit("sales", 100),
        credit("sales", 5),
    )


@pytest.mark.parametrize(
    ("amount", "shares"), [(100, (70, 20, 10)), (99, (69, 20, 10)), (1001, (701, 200, 100))]
)
def test_a_split_adds_up_to_its_total(amount: int, shares: tuple[int, ...]) -> None:
    cash, *divided = entries(SPLIT, parameters(amount=amount, seller="eve"))

    assert cash == debit("cash", amount)
    assert tuple(each.amount for each in divided) == shares
    assert sum(shares) == amount


def test_a_share_of_nothing_makes_no_entry() -> None:
    assert entries(SPLIT, parameters(amount=1, seller="eve")) == (debit("cash", 1), credit("sellers:eve", 1))


def test_a_total_is_divided_among_items_by_their_weights() -> None:
    given = parameters(part("a", 1), part("b", 0), part("c", 2), part("a", 1), amount=10)

    # Exactly 2.5, 0, 5 and 2.5: the unit that is left goes to the first a, and both are one entry.
    assert entries(DIVISION, given) == (debit("cash", 10), credit("partners:a", 5), credit("partners:c", 5))


def test_a_total_of_an_item_is_divided_within_the_item() -> None:
    template = Template(
        "marketplace",
        1,
        (),
        (
            EntryPattern("cash", True, ("quantity", "price"), "USD", "sold"),
            EntryPattern("sellers:{seller}", False, ("price", "quantity"), "USD", "sold", weight=9),
            EntryPattern("house", False, ("quantity", "price"), "USD", "sold", weight=1),
        ),
        (
            Group(
                "sold",
                (
                    Parameter("seller", ParameterType.SLUG),
                    Parameter("quantity", ParameterType.INT),
                    Parameter("price", ParameterType.AMOUNT),
                ),
            ),
        ),
    )
    sold = [
        Item("sold", {"seller": seller, "quantity": "3", "price": price})
        for seller, price in (("eve", "5"), ("ida", "5"))
    ]

    # 15 each: 13.5 and 1.5, whose remainders are equal; over both items it would be 27 and 3.
    assert entries(template, Parameters({}, tuple(sold))) == (
        debit("cash", 30),
        credit("sellers:eve", 14),
        credit("sellers:ida", 14),
        credit("house", 2),
    )


def test_the_same_assets_from_two_patterns_do_not_share_one_total() -> None:
    code = Parameter("code", ParameterType.TEXT)
    template = Template(
        "two-ways",
        1,
        (AMOUNT, code),
        (
            EntryPattern("cash", True, ("amount",), "USD"),
            EntryPattern("cash", True, ("amount",), "{code}"),
            EntryPattern("a", False, ("amount",), "USD", weight=1),
            EntryPattern("b", False, ("amount",), "{code}", weight=1),
        ),
    )

    assert [each.amount for each in entries(template, parameters(amount=7, code="USD"))] == [7, 7, 7, 7]


def test_what_is_given_decides_where_balance_is_not_proved() -> None:
    template = replace(PURCHASE, parameters=(*PURCHASE.parameters, AMOUNT))
    first = template.entries[0]._replace(factors=("amount",), group="")
    template = replace(template, entries=(first, *template.entries[1:]))

    post_draft(*entries(template, parameters(line("pen", 2, 50), customer="jo", amount=100)))
    with pytest.raises(UnbalancedTransaction):
        post_draft(*entries(template, parameters(line("pen", 2, 50), customer="jo", amount=101)))


# amounts at their edge -------------------------------------------------------------------


def test_a_product_of_38_digits_is_made_and_one_of_39_overflows() -> None:
    assert entries(PURCHASE, parameters(line("pen", 1, AMOUNT_MAX), customer="jo"))[0].amount == AMOUNT_MAX
    refusal = refused(PURCHASE, parameters(line("pen", 10, 10**37), customer="jo"), AmountOverflow)

    assert refusal.facts == {"template": "purchase", "entry": "0"}


def test_a_sum_of_items_overflows_too() -> None:
    given = parameters(line("pen", 1, AMOUNT_MAX), line("ink", 1, 1), customer="jo")

    refused(PURCHASE, given, AmountOverflow)


# violations ------------------------------------------------------------------------------


def test_every_violation_is_told_at_once_with_its_place() -> None:
    given = parameters(
        line("pen", 1, 1),
        line("Pen!", "1.5", "-3"),
        Item("goods", {"product": "pen"}),
        Item("items", {"product": "pen", "price": "3", "colour": "red"}),
        customer="",
        discount=1,
    )

    told = violations(PURCHASE, given)

    assert set(told) == {
        "template.parameters.customer",
        "template.parameters",
        "template.items[1].parameters.product",
        "template.items[1].parameters.quantity",
        "template.items[1].parameters.price",
        "template.items[2].group",
        "template.items[3].parameters.quantity",
        "template.items[3].parameters",
    }
    assert told["template.parameters.customer"] == "must be given"
    assert told["template.parameters"] == "has 'discount', which is no parameter; there are customer"
    assert told["template.items[2].group"] == "'goods' is no group; the template has items"


@pytest.mark.parametrize("amount", ["0", "-1", "1.5", "007", "1e3", "9" * 39, "", "ten"])
def test_a_wrong_amount_alone_is_an_invalid_amount(amount: str) -> None:
    refusal = refused(TOP_UP, parameters(user=ANN, amount=amount), AmountInvalid)

    assert [one.field for one in refusal.violations] == ["template.parameters.amount"]


def test_an_amount_is_told_by_its_type_and_not_by_its_name() -> None:
    refused(PURCHASE, parameters(line("pen", 1, "x"), customer="jo"), AmountInvalid)
    named_amount = replace(
        BONUS, parameters=(AMOUNT, BONUS.parameters[1], Parameter("reason", ParameterType.INT))
    )

    refused(named_amount, parameters(user=ANN, amount=1, reason="x"), ValidationFailed)


def test_a_required_reason_may_not_be_missing_or_blank() -> None:
    for given in (parameters(user=ANN, amount=5), parameters(user=ANN, amount=5, reason=" \t ")):
        assert set(violations(BONUS, given)) == {"template.parameters.reason"}


def test_a_group_has_as_many_items_as_it_needs() -> None:
    assert "at least 1" in violations(PURCHASE, parameters(customer="jo"))["template.items"]
    pair = replace(PURCHASE, groups=(PURCHASE.groups[0]._replace(min_items=2),))

    assert "at least 2" in violations(pair, parameters(line("pen", 1, 1), customer="jo"))["template.items"]
    assert entries(pair, parameters(line("pen", 1, 1), line("pen", 1, 1), customer="jo"))


def test_a_quantity_of_zero_makes_no_amount_and_a_weight_of_zero_no_share() -> None:
    told = violations(PURCHASE, parameters(line("pen", 0, 5), customer="jo"))
    assert told == {"template.items[0].parameters.quantity": "is zero; amounts are positive"}

    nothing = violations(DIVISION, parameters(part("a", 0), part("b", 0), amount=5))
    assert nothing == {"template.parameters": "divide amount by weights that are all zero"}


def test_a_text_stays_within_its_segment() -> None:
    free = replace(RECORD_CREDIT, parameters=(AMOUNT, Parameter("customer", ParameterType.TEXT)))

    assert entries(free, parameters(amount=1, customer="Jo Ann"))[0].account == "customers:Jo Ann"
    for wrong in ("jo:limits", " jo", "jo\n", "jo\u200b"):
        assert set(violations(free, parameters(amount=1, customer=wrong))) == {"template.parameters.customer"}


def test_names_that_come_out_wrong_are_told() -> None:
    long = replace(RECORD_CREDIT, parameters=(AMOUNT, Parameter("customer", ParameterType.TEXT)))
    # Alone it is in normal form; behind the letter before it it is not.
    joined = replace(
        long, entries=(long.entries[0]._replace(account="customers:e{customer}"), long.entries[1])
    )

    assert (
        "has 265 characters"
        in violations(long, parameters(amount=1, customer="x" * 255))["template.parameters"]
    )
    assert (
        "normalization" in violations(joined, parameters(amount=1, customer="\u0301"))["template.parameters"]
    )


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (ParameterType.TEXT, ["x", "ü" * 255, "a: b", "{x}"], ["", " ", "x" * 256, "a\x00"]),
        (ParameterType.UUID, [ANN], ["", "A" + ANN[1:], ANN[1:], ANN.replace("-", ""), ANN + "\n"]),
        (ParameterType.INT, ["0", "1", "9" * 19], ["", "-1", "+1", "01", "1.0", "1e2", "٣", "1\n", "9" * 20]),
        (
            ParameterType.SLUG,
            ["a", "0", "a-b", "a_b", "a--b", "x" * 64, ANN],
            ["", "A", "-a", "a-", "a b", "a.b", "ä", "x" * 65, "a\n"],
        ),
        (ParameterType.AMOUNT, ["1", "9" * 38], ["", "0", "01", "-1", "1.0", "٣", "1\n", "9" * 39]),
    ],
)  # fmt: skip
def test_each_type_takes_what_it_says(kind: ParameterType, right: list[str], wrong: list[str]) -> None:
    template = replace(TOP_UP, parameters=(AMOUNT, TOP_UP.parameters[1], Parameter("more", kind)))

    for value in right:
        assert entries(template, parameters(user=ANN, amount=1, more=value))
    for value in wrong:
        told = violations(template, parameters(user=ANN, amount=1, more=value))
        assert set(told) == {"template.parameters.more"}, value


# bounds ----------------------------------------------------------------------------------


def test_a_transaction_has_at_most_a_thousand_entries() -> None:
    parties = [part(f"p{number}", 1) for number in range(999)]

    assert len(entries(DIVISION, parameters(*parties, amount=999))) == 1000
    told = violations(DIVISION, parameters(*parties, part("last", 1), amount=1000))
    assert told == {"template.parameters": "make 1001 entries; a transaction has 2 to 1000"}


def test_what_is_given_has_a_bounded_size() -> None:
    items = [line("pen", 1, 1)] * ITEMS_MAX

    def given(more: int) -> Parameters:
        return Parameters({"user": ANN, "amount": "1"}, (Item("x", {"ü": "z" * more}),))

    # Names and values in bytes: user, amount and their values, the item's group and its own.
    room = BYTES_MAX - (4 + 36 + 6 + 1 + 1 + 2)
    assert not size_faults(parameters(*items, customer="jo"))
    assert not size_faults(given(room))
    assert [field for field, _ in size_faults(given(room + 1))] == ["parameters"]
    assert [field for field, _ in size_faults(Parameters({}, (Item("x", {}),) * (ITEMS_MAX + 1)))] == [
        "items"
    ]
    assert entries(PURCHASE, parameters(*items, customer="jo"))[0].amount == ITEMS_MAX


def test_metadata_that_comes_out_too_long_is_told() -> None:
    long = replace(BONUS, metadata={f"{place}": "{reason}" * 4 for place in range(9)})
    given: dict[str, Any] = {"user": ANN, "amount": 1}

    assert Expander(long).expand(parameters(reason="x" * 226, **given))
    told = violations(long, parameters(reason="x" * 255, **given))
    assert "make metadata that has 9189 bytes" in told["template.parameters"]
