"""Templates through the lane: charts change under them, sessions end, many ask at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from callers import Refused, Teller, together, unsound
from clusters import Database
from faults import Faulty
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from sample_templates import line, moving, parameters
from serving import serving
from tampered import proven
from template_calls import chart_with, lines_of, operation_by, post_by

from ledger_server.domain.parameters import Parameter, ParameterType
from ledger_server.domain.templates import EntryPattern, Group, Template
from ledger_server.service.verify import Proof

PLACES = ["before_begin", "after_head", "before_commit", "commit_sent", "after_commit"]
SALE = moving("sale", "cash", "sales")
SPEND = moving("spend", "wallet", "sales")
FIVE = parameters(amount=5)


def test_a_template_is_posted_once_wherever_the_session_ends(faulty: Faulty) -> None:
    for place in PLACES:
        teller = Teller.open(faulty.server)
        teller.apply_chart(chart_with(SALE))
        head = teller.head()
        faulty.end_the_next_lane_holder_at(place)

        posted = post_by(teller, "sale", FIVE, "k")

        assert (posted.transaction.sequence, posted.replayed) == (head + 1, False), place
        assert teller.transaction("k") == posted.transaction, place
        assert teller.balance("cash") == 5, place
        assert unsound(faulty.database.owner_url, teller.ledger) == [], place


def test_a_chart_applied_on_another_server_is_the_one_that_counts(
    teller: Teller, shared_database: Database
) -> None:
    teller.apply_chart(chart_with(SALE))
    post_by(teller, "sale", FIVE)
    to_other = replace(SALE, version=2, entries=(SALE.entries[0]._replace(account="other"), SALE.entries[1]))
    with serving(shared_database.app_url) as server:
        elsewhere = teller.at(server)
        post_by(elsewhere, "sale", FIVE)
        elsewhere.apply_chart(chart_with(SALE, to_other), 1)

        here = post_by(teller, "sale", FIVE).transaction
        teller.apply_chart(chart_with(), 2)
        gone = together([lambda: post_by(elsewhere, "sale", FIVE)])[0]

    assert (here.template.version, lines_of(here)[0][0]) == (2, "other")
    assert isinstance(gone, Refused)
    assert gone.reason == "TEMPLATE_NOT_FOUND"


def test_a_server_that_starts_again_goes_on_with_the_chart(database: Database) -> None:
    with serving(database.app_url) as first:
        teller = Teller.open(first)
        teller.apply_chart(chart_with(SALE))
        posted = post_by(teller, "sale", FIVE, "k").transaction
    with serving(database.app_url) as second:
        after = teller.at(second)

        assert post_by(after, "sale", FIVE, "k").transaction == posted
        assert post_by(after, "sale", FIVE).transaction.template.version == 1


@pytest.mark.parametrize("in_batches", [False, True])
def test_many_who_spend_at_once_by_a_template_never_pass_the_bound(
    teller: Teller, shared_database: Database, in_batches: bool
) -> None:
    teller.apply_chart(chart_with(SALE, SPEND))
    teller.post("cash", "wallet", 50)

    def spend() -> int:
        if not in_batches:
            post_by(teller, "spend", FIVE)
            return 1
        results = teller.batch([operation_by("spend", FIVE), operation_by("sale", FIVE)])
        return int(results[0].sequence > 0)

    answers = together([spend] * 30)

    assert sum(answer for answer in answers if isinstance(answer, int)) == 10
    assert teller.balance("wallet") == 0
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_what_is_posted_while_charts_change_is_made_by_one_or_the_other(
    teller: Teller, shared_database: Database
) -> None:
    later = replace(SALE, version=2, entries=(SALE.entries[0]._replace(account="other"), SALE.entries[1]))
    teller.apply_chart(chart_with(SALE))

    def apply(version: int) -> Callable[[], object]:
        charts = [chart_with(SALE), chart_with(SALE, later), chart_with(SPEND)]
        return lambda: teller.apply_chart(charts[version % 3], version)

    def post(number: int) -> Callable[[], object]:
        return lambda: post_by(teller, "sale", FIVE, f"k{number}")

    answers = together([call(number) for number in range(1, 25) for call in (apply, post)])

    refused = {answer.reason for answer in answers if isinstance(answer, Refused)}
    assert refused <= {"VERSION_MISMATCH", "TEMPLATE_NOT_FOUND"}
    posted = [answer.transaction for answer in answers if isinstance(answer, pb.PostResponse)]
    assert {(one.template.version, lines_of(one)[0][0]) for one in posted} <= {(1, "cash"), (2, "other")}
    assert isinstance(proven(shared_database, teller.ledger), Proof)


ORDER = Template(
    "order",
    1,
    (),
    (
        EntryPattern("cash", True, ("quantity", "price"), "USD", "lines"),
        EntryPattern("sales", False, ("quantity", "price"), "USD", "lines"),
        EntryPattern("sold", True, ("quantity",), "{product}", "lines"),
        EntryPattern("stock", False, ("quantity",), "{product}", "lines"),
    ),
    (
        Group(
            "lines",
            (
                Parameter("product", ParameterType.SLUG),
                Parameter("quantity", ParameterType.INT),
                Parameter("price", ParameterType.AMOUNT),
            ),
        ),
    ),
)


def test_orders_that_list_their_products_in_opposite_order_never_meet_in_a_deadlock(
    teller: Teller, shared_database: Database
) -> None:
    for code in ("pen", "ink"):
        teller.create_asset(code, 0)
    teller.open_account("sold", nouns.ACCOUNT_TYPE_EXPENSE)
    teller.open_account("supply", nouns.ACCOUNT_TYPE_EQUITY)
    teller.open_account("stock", nouns.ACCOUNT_TYPE_ASSET, "pen", balance_min="0")
    for code in ("pen", "ink"):
        teller.post("stock", "supply", 20, asset=code)
    teller.apply_chart(chart_with(ORDER))
    pair = [line("pen", 1, 2)._replace(group="lines"), line("ink", 1, 3)._replace(group="lines")]
    given = [parameters(*pair), parameters(*pair[::-1])]

    with serving(shared_database.app_url) as other:
        both = [teller, teller.at(other)]
        answers = together(
            [
                lambda number=number: post_by(both[number % 2], "order", given[number // 2 % 2])
                for number in range(40)
            ]
        )

    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert {one.reason for one in refused} == {"INSUFFICIENT_FUNDS"}
    assert len(refused) == 20
    assert (teller.balance("stock", "pen"), teller.balance("stock", "ink")) == (0, 0)
    assert teller.balance("cash") == 100
    assert unsound(shared_database.owner_url, teller.ledger) == []
