"""What is overdue: payments go to the oldest charges, reversals to their own, and nothing is ever marked."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import grpc
import pytest
from callers import Teller, lines, post_operation, refusal_of
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import report_service_pb2 as report_pb
from oracle import fifo
from reports import Reports, at_day, micros
from serving import Serving
from statuses import told

from ledger_server.store import overdue

OLDEST_FIRST = report_pb.OVERDUE_ORDER_OLDEST_FIRST
ASSET, LIABILITY = nouns.ACCOUNT_TYPE_ASSET, nouns.ACCOUNT_TYPE_LIABILITY


@pytest.fixture
def book(shared_server: Serving) -> Teller:
    """A ledger with customers who owe, and suppliers who are owed."""
    teller = Teller.open(shared_server)
    for name in ("customers:ann", "customers:bob", "customers:cy"):
        teller.open_account(name, ASSET)
    teller.open_account("suppliers:ink", LIABILITY)
    return teller


@pytest.fixture
def reports(book: Teller) -> Reports:
    """Its reports."""
    return Reports(book)


def charge(book: Teller, customer: str, amount: int, day: float, **more: Any) -> int:
    """Sells on credit on a day; the sequence."""
    moment = at_day(day, **more)
    return book.post(f"customers:{customer}", "sales", amount, effective_time=moment).transaction.sequence


def pay(book: Teller, customer: str, amount: int, day: float) -> int:
    """Takes a payment on a day; the sequence."""
    posted = book.post("cash", f"customers:{customer}", amount, effective_time=at_day(day))
    return posted.transaction.sequence


def owed(found: list[report_pb.OverdueBalance]) -> dict[str, tuple[str, str]]:
    """Of each account what is overdue, and its balance."""
    return {one.account: (one.overdue, one.balance) for one in found}


def remaining(found: list[report_pb.Charge]) -> list[tuple[str, str]]:
    """Of each charge the amount and what remains of it."""
    return [(one.amount, one.remaining) for one in found]


@pytest.mark.criterion("S001-15", "S001-18")
def test_what_was_paid_pays_the_oldest_charges_first(book: Teller, reports: Reports) -> None:
    charge(book, "ann", 50, 3)
    charge(book, "ann", 100, 1)
    pay(book, "ann", 120, 4)

    found = reports.charges("customers:ann", as_of=at_day(40))

    # The older one was recorded later.
    assert remaining(found.charges) == [("100", "0"), ("50", "30")]
    assert found.charges[0].settled_at == at_day(4)
    assert not found.charges[1].HasField("settled_at")
    (balance,) = reports.all_overdue("customers", as_of=at_day(40))
    assert (balance.account, balance.overdue, balance.balance) == ("customers:ann", "30", "30")
    assert balance.oldest_unpaid == found.charges[1]
    assert remaining(reports.charges("customers:ann", unpaid_only=True).charges) == [("50", "30")]


@pytest.mark.criterion("S001-15")
@pytest.mark.parametrize("days", [0, 1, 30, 3_650])
def test_a_charge_is_overdue_a_microsecond_after_its_days_and_not_before(
    book: Teller, reports: Reports, days: int
) -> None:
    charge(book, "ann", 5, 0)

    for late, expected in ((-1, {}), (0, {}), (1, {"customers:ann": ("5", "5")})):
        assert owed(reports.all_overdue("customers", days=days, as_of=at_day(days, late))) == expected


def test_days_are_30_where_none_are_given_and_0_is_none(book: Teller, reports: Reports) -> None:
    charge(book, "ann", 5, 0)

    assert not reports.overdue("customers", as_of=at_day(30)).balances
    assert reports.overdue("customers", as_of=at_day(30, 1)).balances
    assert reports.overdue("customers", as_of=at_day(0, 1), days=0).balances


@pytest.mark.criterion("S001-15", "S001-18")
def test_who_paid_everything_is_absent_and_was_not_before(book: Teller, reports: Reports) -> None:
    charge(book, "ann", 100, 1)
    before = book.head()
    payment = pay(book, "ann", 100, 50)

    assert owed(reports.all_overdue("customers", as_of=at_day(60))) == {}
    # The world as it was before the payment, and the books as they were.
    for when in ({"as_of": at_day(50, -1)}, {"as_of": at_day(60), "at_sequence": before}):
        assert owed(reports.all_overdue("customers", **when)) == {"customers:ann": ("100", "100")}
        assert remaining(reports.charges("customers:ann", **when).charges) == [("100", "100")]
    # The entry itself is what it was.
    assert book.transaction(payment - 1).hash == book.transaction(before).hash
    (settled,) = reports.charges("customers:ann", as_of=at_day(50)).charges
    assert settled.settled_at == at_day(50)


def test_what_was_paid_too_much_pays_the_charges_to_come(book: Teller, reports: Reports) -> None:
    pay(book, "ann", 70, 1)
    charge(book, "ann", 50, 2)
    charge(book, "ann", 50, 3)

    found = reports.charges("customers:ann", as_of=at_day(100)).charges

    assert remaining(found) == [("50", "0"), ("50", "30")]
    # Paid before it was charged: settled when it was.
    assert found[0].settled_at == at_day(2)


def test_a_reversal_takes_back_its_own_charge_and_not_the_oldest(book: Teller, reports: Reports) -> None:
    charge(book, "ann", 100, 1)
    mistake = charge(book, "ann", 100, 2)
    book.reverse(mistake, effective_time=at_day(5))

    for as_of, expected in ((5, [("100", "100")]), (4, [("100", "100"), ("100", "100")])):
        found = reports.charges("customers:ann", as_of=at_day(as_of)).charges
        assert remaining(found) == expected
        assert found[0].effective_time == at_day(1)
    (balance,) = reports.all_overdue("customers", as_of=at_day(60))
    assert (balance.overdue, balance.oldest_unpaid.effective_time) == ("100", at_day(1))


def test_a_payment_taken_back_pays_nothing_and_what_it_paid_is_open_again(
    book: Teller, reports: Reports
) -> None:
    charge(book, "ann", 100, 1)
    bounced = pay(book, "ann", 100, 2)
    charge(book, "ann", 7, 30)
    book.reverse(bounced, effective_time=at_day(20))

    assert owed(reports.all_overdue("customers", as_of=at_day(40))) == {"customers:ann": ("100", "107")}
    assert remaining(reports.charges("customers:ann", as_of=at_day(19)).charges) == [("100", "0")]


def test_a_reversal_dated_before_its_own_transaction_counts_with_it(book: Teller, reports: Reports) -> None:
    charge(book, "ann", 5, 1)
    early = charge(book, "ann", 100, 20)
    book.reverse(early, effective_time=at_day(2))

    for day in (3, 19, 21, 60):
        assert remaining(reports.charges("customers:ann", as_of=at_day(day)).charges) == [("5", "5")]


def test_an_account_with_a_credit_side_is_charged_by_credits(book: Teller, reports: Reports) -> None:
    book.post("other", "suppliers:ink", 40, effective_time=at_day(1))
    book.post("suppliers:ink", "cash", 15, effective_time=at_day(2))

    assert owed(reports.all_overdue("suppliers", as_of=at_day(40))) == {"suppliers:ink": ("25", "25")}


def test_assets_are_apart(book: Teller, reports: Reports) -> None:
    book.create_asset("EUR", 2)
    charge(book, "ann", 40, 1)
    book.post("cash", "customers:ann", 40, asset="EUR", effective_time=at_day(2))

    assert owed(reports.all_overdue("customers", as_of=at_day(40))) == {"customers:ann": ("40", "40")}
    assert not reports.charges("customers:ann", "EUR").charges


def test_now_is_the_database_s_clock(book: Teller, reports: Reports) -> None:
    book.post("customers:ann", "sales", 5)
    charge(book, "bob", 5, 100_000)

    page = reports.overdue("customers", days=0)

    # What was just charged has happened by now; what happens in two hundred years has not.
    assert owed(list(page.balances)) == {"customers:ann": ("5", "5")}
    assert micros(page.as_of) > micros(page.balances[0].oldest_unpaid.effective_time)
    assert remaining(reports.charges("customers:bob").charges) == []


def test_a_prefix_is_a_path_and_one_account_is_one(book: Teller, reports: Reports) -> None:
    for name in ("customers", "customers 2", "customers-2", "customers2", "customers;"):
        book.open_account(name, ASSET)
    for name in ("customers", "customers 2", "customers-2", "customers2", "customers;", "customers:bob"):
        book.post(name, "sales", 5, effective_time=at_day(1))

    book.open_account("suppliers 2")
    for name in ("suppliers 2", "suppliers:ink"):
        book.post("cash", name, 5, effective_time=at_day(1))

    assert [*owed(reports.all_overdue("customers", page_size=1))] == ["customers", "customers:bob"]
    assert [*owed(reports.all_overdue("suppliers", page_size=1))] == ["suppliers:ink"]
    assert [*owed(reports.all_overdue(account="customers", page_size=1))] == ["customers"]
    assert [*owed(reports.all_overdue(account="customers-2"))] == ["customers-2"]
    assert owed(reports.all_overdue("nobody")) == {}


@pytest.mark.criterion("S001-15")
def test_the_oldest_is_first_where_that_is_asked_for(book: Teller, reports: Reports) -> None:
    for customer, day in (("ann", 3), ("bob", 1), ("cy", 2)):
        charge(book, customer, 5, day)

    for size in (1, 2, 50):
        found = reports.all_overdue("customers", order=OLDEST_FIRST, page_size=size, as_of=at_day(50))
        assert [one.account for one in found] == ["customers:bob", "customers:cy", "customers:ann"]
    by_account = reports.all_overdue("customers", page_size=1, as_of=at_day(50))
    assert [one.account for one in by_account] == ["customers:ann", "customers:bob", "customers:cy"]


def test_pages_are_of_one_sequence_and_one_moment_while_others_post(book: Teller, reports: Reports) -> None:
    for customer in ("ann", "bob", "cy"):
        charge(book, customer, 5, 1)
    page = reports.overdue("customers", page_size=1)
    at, as_of, found = page.sequence, page.as_of, list(page.balances)
    while page.next_page_token:
        for customer in ("bob", "cy"):
            pay(book, customer, 5, 2)
        page = reports.overdue("customers", page_size=1, page_token=page.next_page_token)
        assert (page.sequence, page.as_of) == (at, as_of)
        found += page.balances

    assert [one.overdue for one in found] == ["5", "5", "5"]


# against the long way ------------------------------------------------------------------------


def _random_book(teller: Teller, draw: Random) -> None:
    """Charges, payments, both in one transaction, other assets, reversals, on a coarse grid of days."""
    names = ("customers:ann", "customers:bob", "customers:cy", "suppliers:ink")
    teller.create_asset("EUR", 2)
    reversible: list[int] = []
    for _ in range(draw.randint(40, 70)):
        if reversible and draw.random() < 0.2:
            origin = reversible.pop(draw.randrange(len(reversible)))
            teller.reverse(origin, effective_time=at_day(draw.randint(0, 90)))
            continue
        entries: list[nouns.EntryDraft] = []
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            both = [draw.choice(names), draw.choice(["cash", "other"])]
            draw.shuffle(both)
            entries += lines(*both, draw.choice([1, 5, 7, 10, 10, 30]), draw.choice(["USD"] * 5 + ["EUR"]))
        moment = at_day(draw.randint(0, 90), draw.choice([0, 0, 0, 1, -1]))
        reversible.append(teller.post_entries(entries, effective_time=moment).transaction.sequence)


def _lines_of(teller: Teller, account: str) -> list[fifo.Line]:
    """The account's entries in USD, as the journal has them."""
    charging = nouns.SIDE_CREDIT if account.startswith("suppliers") else nouns.SIDE_DEBIT
    return [
        fifo.Line(
            one.sequence,
            index,
            micros(one.effective_time),
            entry.side == charging,
            int(entry.amount),
            one.reverses,
        )
        for one in teller.walk(page_size=1000)
        for index, entry in enumerate(one.entries)
        if entry.account == account and entry.asset == "USD"
    ]


@pytest.mark.criterion("S001-15", "S001-18", "S001-13")
@pytest.mark.parametrize("seed", range(6))
def test_reports_say_what_a_bookkeeper_says(book: Teller, reports: Reports, seed: int) -> None:
    draw = Random(f"overdue {seed}")
    _random_book(book, draw)
    names = ("customers:ann", "customers:bob", "customers:cy", "suppliers:ink")
    of = {name: _lines_of(book, name) for name in names}
    head, ever = book.head(), at_day(1000)
    assert {name: fifo.balance(of[name], head, micros(ever)) for name in names} == {
        name: book.balance(name) for name in names
    }

    for _ in range(12):
        at, days = draw.choice([head, draw.randint(1, head)]), draw.choice([0, 1, 10, 30])
        as_of = at_day(draw.randint(0, 120), draw.choice([0, 0, 1, -1]))
        when = {"as_of": as_of, "at_sequence": at}
        for prefix in ("customers", "suppliers"):
            expected = {
                name: (str(late), str(fifo.balance(of[name], at, micros(as_of))))
                for name in names
                if name.startswith(prefix) and (late := fifo.overdue(of[name], at, micros(as_of), days))
            }
            if at < _opened_at(book):
                # The accounts were opened later, or the asset was created later.
                continue
            found = reports.all_overdue(prefix, days=days, page_size=2, **when)
            assert owed(found) == expected
            for one in found:
                first = next(
                    charge for charge in fifo.charges(of[one.account], at, micros(as_of)) if charge.remaining
                )
                assert _shape(one.oldest_unpaid) == _expected(first)
            by_age = reports.all_overdue(prefix, days=days, order=OLDEST_FIRST, page_size=2, **when)
            ages = [(micros(one.oldest_unpaid.effective_time), one.account) for one in by_age]
            assert ages == sorted(ages)
            assert owed(by_age) == expected
        name = draw.choice(names)
        if at >= _opened_at(book):
            opened = fifo.charges(of[name], at, micros(as_of))
            shown = reports.all_charges(name, page_size=3, **when)
            assert [_shape(one) for one in shown] == [_expected(one) for one in opened]
            unpaid = reports.all_charges(name, page_size=3, unpaid_only=True, **when)
            assert [_shape(one) for one in unpaid] == [_expected(one) for one in opened if one.remaining]


def _opened_at(teller: Teller) -> int:
    """The sequence at which the last account of the book stood."""
    return int(teller.account("suppliers:ink").sequence)


def _shape(one: report_pb.Charge) -> tuple[int, int, int, str, str, int | None]:
    settled_at = micros(one.settled_at) if one.HasField("settled_at") else None
    return one.sequence, one.index, micros(one.effective_time), one.amount, one.remaining, settled_at


def _expected(one: fifo.Open) -> tuple[int, int, int, str, str, int | None]:
    return one.sequence, one.index, one.effective_time, str(one.amount), str(one.remaining), one.settled_at


# bounds --------------------------------------------------------------------------------------


def test_what_is_more_than_one_call_reads_is_on_the_next_page(
    book: Teller, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    for customer, count in (("ann", 6), ("bob", 4), ("cy", 10)):
        for number in range(count):
            charge(book, customer, 1, number)
    expected = owed(reports.all_overdue("customers"))
    monkeypatch.setattr(overdue, "ENTRIES_MAX", 10)

    page = reports.overdue("customers")

    assert [*owed(list(page.balances))] == ["customers:ann", "customers:bob"]
    assert owed(reports.all_overdue("customers")) == expected
    assert len(expected) == 3
    monkeypatch.setattr(overdue, "ENTRIES_MAX", 9)
    refusal = refusal_of(lambda: reports.all_overdue("customers"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_ENTRIES")
    assert refusal.facts["account"] == "customers:cy"
    for call in (
        lambda: reports.overdue(account="customers:cy"),
        lambda: reports.charges("customers:cy"),
        lambda: reports.overdue("customers", order=OLDEST_FIRST),
    ):
        assert refusal_of(call).reason == "TOO_MANY_ENTRIES"
    assert owed(list(reports.overdue(account="customers:ann").balances)) == {"customers:ann": ("6", "6")}


def test_accounts_that_owe_nothing_make_short_pages(
    book: Teller, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        book.open_account(f"customers:b{number}", ASSET)
    charge(book, "cy", 5, 1)
    monkeypatch.setattr(overdue, "ACCOUNTS_MAX", 4)

    page = reports.overdue("customers")

    assert not page.balances
    assert page.next_page_token
    assert [*owed(reports.all_overdue("customers"))] == ["customers:cy"]
    refusal = refusal_of(lambda: reports.overdue("customers", order=OLDEST_FIRST))
    assert (refusal.reason, refusal.facts["account"]) == ("TOO_MANY_ENTRIES", "customers")


def test_accounts_that_were_opened_later_are_examined_too(
    book: Teller, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(book, "cy", 5, 1)
    head = book.head()
    for number in range(7):
        book.open_account(f"customers:b{number}", ASSET)
        book.post(f"customers:b{number}", "sales", 5, effective_time=at_day(1))
    monkeypatch.setattr(overdue, "ACCOUNTS_MAX", 4)

    page = reports.overdue("customers", at_sequence=head)

    # A walk past a million of them would be no bounded work.
    assert page.next_page_token
    assert [*owed(reports.all_overdue("customers", at_sequence=head))] == ["customers:cy"]
    assert refusal_of(lambda: reports.overdue(account="customers:b1", at_sequence=head)).reason == (
        "ACCOUNT_NOT_FOUND"
    )


def test_fifty_thousand_entries_are_reported_and_one_more_is_not(book: Teller, reports: Reports) -> None:
    each = lines("customers:ann", "sales", 1)[:1] * 500
    entries = [*each, *lines("sales", "sales", 500)[1:]]
    post = pb.PostOperation(entries=entries, effective_time=at_day(1))
    for _ in range(10):
        book.batch([pb.Operation(post=post)] * 10)

    (balance,) = reports.overdue("customers").balances
    (last,) = reports.charges("customers:ann", page_size=1).charges

    assert (balance.overdue, last.remaining) == ("50000", "1")
    book.batch([post_operation("customers:ann", "sales", 1)])
    assert refusal_of(lambda: reports.overdue("customers")).reason == "TOO_MANY_ENTRIES"
    assert refusal_of(lambda: reports.charges("customers:ann")).reason == "TOO_MANY_ENTRIES"


# form ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"days": -1}, "days"),
        ({"days": 3_651}, "days"),
        ({"days": 2**31 - 1}, "days"),
        ({"prefix": ""}, "account"),
        ({"account": "customers:ann"}, "account_prefix"),
        ({"prefix": "a::b"}, "account_prefix"),
        ({"prefix": "", "account": "a::b"}, "account"),
        ({"asset": ""}, "asset"),
        ({"at_sequence": -1}, "at_sequence"),
        ({"min_sequence": -1}, "min_sequence"),
        ({"page_size": -1}, "page_size"),
        ({"order": 9}, "order"),
        ({"as_of": {"seconds": 253_402_300_800}}, "as_of"),
    ],
    ids=str,
)
def test_a_malformed_report_is_refused_by_its_field(
    reports: Reports, more: dict[str, Any], field: str
) -> None:
    given = {"prefix": "customers", **more}

    assert told(lambda: reports.overdue(**given)).fields == [field]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda reports: reports.overdue(account="nobody"), "ACCOUNT_NOT_FOUND"),
        (lambda reports: reports.overdue(account="nobody", asset="XXX"), "ACCOUNT_NOT_FOUND"),
        (lambda reports: reports.overdue(account="customers:ann", asset="XXX"), "ASSET_NOT_FOUND"),
        (lambda reports: reports.overdue("customers", asset="XXX"), "ASSET_NOT_FOUND"),
        (lambda reports: reports.overdue("customers", at_sequence=10_000), "SEQUENCE_NOT_REACHED"),
        (lambda reports: reports.overdue(account="nobody", at_sequence=10_000), "SEQUENCE_NOT_REACHED"),
        (lambda reports: reports.overdue("customers", min_sequence=10_000), "SEQUENCE_NOT_REACHED"),
        (lambda reports: reports.overdue(account="customers:ann", at_sequence=1), "ACCOUNT_NOT_FOUND"),
        (lambda reports: reports.charges("nobody"), "ACCOUNT_NOT_FOUND"),
        (lambda reports: reports.charges("customers:ann", "XXX"), "ASSET_NOT_FOUND"),
        (lambda reports: reports.charges("customers:ann", at_sequence=10_000), "SEQUENCE_NOT_REACHED"),
        (lambda reports: reports.charges("customers:ann", page_token="garbage"), "PAGE_TOKEN_INVALID"),
    ],
    ids=range(12),
)
def test_what_is_not_there_is_refused(
    reports: Reports, call: Callable[[Reports], object], reason: str
) -> None:
    assert refusal_of(lambda: call(reports)).reason == reason


@pytest.mark.parametrize("year", [1, 9999])
def test_any_moment_may_be_asked_about(book: Teller, reports: Reports, year: int) -> None:
    edge = {"seconds": -62_135_596_800} if year == 1 else {"seconds": 253_402_300_799, "nanos": 999_999_999}
    charge(book, "ann", 5, 1)
    charge(book, "bob", 5, 1)

    found = reports.all_overdue("customers", days=3_650, page_size=1, as_of=edge)

    assert len(found) == (0 if year == 1 else 2)
    assert len(reports.all_charges("customers:ann", page_size=1, as_of=edge)) == (0 if year == 1 else 1)
