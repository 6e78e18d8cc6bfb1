"""Trial-balance runs: kept as they were found, from the entries alone, with every sequence at fault named."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import grpc
import psycopg
import pytest
from callers import Refused, Teller, answer_of, lines, post_operation, refusal_of
from clusters import Cluster, Database
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_service_pb2 as pb
from psycopg import errors, sql
from serving import serving

from ledger_server.service import trial_balance_runs as service_module
from ledger_server.store import trial_balance_runs as store_module

OK, MISMATCH = pb.TRIAL_BALANCE_STATUS_OK, pb.TRIAL_BALANCE_STATUS_MISMATCH
PATIENCE_S = 30.0
RUN_LOCK = "pg_advisory_lock(x'7462'::integer, %s::integer)"


def ledger_id(database: Database, ledger: str) -> int:
    with psycopg.connect(database.owner_url) as owner:
        row = owner.execute("select ledger_id from ledger.directory where name = %s", [ledger]).fetchone()
    assert row is not None
    return int(row[0])


def tamper(database: Database, ledger: str, *statements: str, **values: int) -> None:
    """Does to a ledger's rows what no fence allows; %(id)s is the ledger."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("set session_replication_role = replica")
        for statement in statements:
            changed = owner.execute(statement.encode(), {"id": ledger_id(database, ledger), **values})
            assert changed.rowcount > 0, statement


def differences(run: pb.TrialBalanceRun) -> dict[str, str]:
    """What each asset's debits and credits differ by, where they do."""
    return {total.asset: total.difference for total in run.totals if total.difference != "0"}


def head(teller: Teller) -> tuple[int, bytes]:
    """The ledger's sequence and hash."""
    request = admin_pb.GetLedgerRequest(name=teller.ledger)
    found = teller.server.admin.GetLedger(request, timeout=60).ledger
    return found.sequence, found.hash


class Book(NamedTuple):
    """A ledger with sales of 1 to 5 USD at five sequences, then one of USD and EUR together."""

    teller: Teller
    sales: list[int]
    mixed: int


@pytest.fixture
def book(teller: Teller) -> Book:
    teller.create_asset("EUR", 2)
    sales = [teller.post("cash", "sales", amount).transaction.sequence for amount in range(1, 6)]
    entries = [*lines("cash", "sales", 10), *lines("cash", "sales", 7, "EUR")]
    return Book(teller, sales, teller.post_entries(entries).transaction.sequence)


# sound books --------------------------------------------------------------------------------------


@pytest.mark.criterion("S003-27")
def test_a_run_of_sound_books_is_ok_and_kept_as_it_was_found(book: Book) -> None:
    teller = book.teller
    days = {datetime.now(UTC).date().isoformat()}

    made = teller.run_trial_balance()

    days.add(datetime.now(UTC).date().isoformat())
    assert (made.status, made.offending_count, list(made.offending_sequences)) == (OK, 0, [])
    assert (made.sequence, made.hash) == head(teller)
    assert list(made.totals) == list(teller.trial_balance().totals)
    assert [(one.asset, one.total_debits, one.total_credits, one.difference) for one in made.totals] == [
        ("EUR", "7", "7", "0"),
        ("USD", "25", "25", "0"),
    ]
    assert made.basis == pb.TRIAL_BALANCE_BASIS_RECOMPUTED
    assert (made.number, made.created_by, made.daily) == (1, "anonymous", False)
    assert made.day in days
    assert abs(made.record_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=5)
    assert list(teller.runs().runs) == [made]


def test_a_ledger_without_entries_is_ok(teller: Teller) -> None:
    made = teller.run_trial_balance()

    assert (made.status, list(made.totals), made.sequence) == (OK, [], teller.head())


@pytest.mark.criterion("S003-29")
def test_sums_of_a_run_go_beyond_38_digits(teller: Teller) -> None:
    most = "9" * 38
    for debit, credit in (("cash", "sales"), ("sales", "cash"), ("cash", "sales")):
        teller.post(debit, credit, most)

    (total,) = teller.run_trial_balance().totals

    assert total.total_debits == total.total_credits == str(3 * int(most))


def test_a_run_is_of_one_moment_while_others_post(book: Book) -> None:
    teller = book.teller
    with ThreadPoolExecutor(4) as pool:
        posting = [
            pool.submit(lambda: [teller.batch([post_operation("cash", "sales", 3)] * 40) for _ in range(15)])
            for _ in range(3)
        ]
        runs = []
        while not all(each.done() for each in posting):
            runs.append(teller.run_trial_balance())
        for each in posting:
            each.result()

    assert len({run.sequence for run in runs}) > 1, "nothing was posted between two runs"
    for run in runs:
        assert run.status == OK
        assert list(run.totals) == list(teller.trial_balance(at_sequence=run.sequence).totals)
        if run.sequence > book.mixed:
            assert run.hash == teller.transaction(run.sequence).hash
    assert [run.number for run in runs] == list(range(1, len(runs) + 1))


def test_a_run_waits_for_a_sequence_that_is_asked_for(book: Book) -> None:
    assert book.teller.run_trial_balance(min_sequence=book.mixed).sequence == book.mixed

    refused = refusal_of(lambda: book.teller.run_trial_balance(min_sequence=book.mixed + 1))

    assert refused.reason == "SEQUENCE_NOT_REACHED"
    assert len(book.teller.runs().runs) == 1


# damage -------------------------------------------------------------------------------------------

# What is done as a superuser to the sale of 3 USD, to that of 5 USD (%(other)s) or to the transaction of
# two assets; which of them a run names, and by what assets differ.
CHANGE = "update ledger.entries set"
OF_SALE = "where ledger_id = %(id)s and sequence = %(sale)s"
OF_OTHER = "where ledger_id = %(id)s and sequence = %(other)s"
OF_MIXED = "where ledger_id = %(id)s and sequence = %(mixed)s"
COPY = (
    "insert into ledger.entries (ledger_id, account_id, asset_id, layer, sequence, index, side, amount,"
    " balance_after) select ledger_id, account_id, asset_id, layer, {}, {}, side, amount,"
    f" balance_after from ledger.entries {OF_SALE}"
)
DAMAGES: dict[str, tuple[list[str], list[str], dict[str, str]]] = {
    "an amount is more": (
        [f"{CHANGE} amount = amount + 4 {OF_SALE} and index = 0"],
        ["sale"],
        {"USD": "4"},
    ),
    "a side is turned": ([f"{CHANGE} side = 1 {OF_SALE} and index = 1"], ["sale"], {"USD": "6"}),
    "an entry is gone": (
        [f"delete from ledger.entries {OF_SALE} and index = 0"],
        ["sale"],
        {"USD": "-3"},
    ),
    "an entry is doubled": ([COPY.format("sequence", "7") + " and index = 0"], ["sale"], {"USD": "3"}),
    "two transactions whose faults cancel": (
        [
            f"{CHANGE} amount = amount + 4 {OF_SALE} and index = 0",
            f"{CHANGE} amount = amount + 4 {OF_OTHER} and index = 1",
        ],
        ["sale", "other"],
        {},
    ),
    "entries of two transactions exchanged": (
        [
            f"{CHANGE} sequence = %(other)s, index = 5 {OF_SALE} and index = 0",
            f"{CHANGE} sequence = %(sale)s, index = 0 {OF_OTHER} and index = 0",
        ],
        ["sale", "other"],
        {},
    ),
    "two assets whose faults cancel": (
        [
            f"{CHANGE} amount = amount + 4 {OF_MIXED} and index = 0",
            f"{CHANGE} amount = amount + 4 {OF_MIXED} and index = 3",
        ],
        ["mixed"],
        {"EUR": "-4", "USD": "4"},
    ),
    "an entry in another asset": (
        [f"{CHANGE} asset_id = 2 {OF_MIXED} and index = 0"],
        ["mixed"],
        {"EUR": "10", "USD": "-10"},
    ),
    "an entry in another layer": (
        [f"{CHANGE} layer = 1 {OF_SALE} and index = 0"],
        ["sale"],
        {"USD": "-3"},
    ),
    "both entries gone": ([f"delete from ledger.entries {OF_SALE}"], ["sale"], {}),
    "entries without their transaction": ([f"delete from ledger.transactions {OF_SALE}"], ["sale"], {}),
    "entries at a number of another record": ([f"{CHANGE} sequence = 2 {OF_SALE}"], ["asset", "sale"], {}),
    "entries beyond the head": ([COPY.format("%(beyond)s", "index")], ["beyond"], {}),
    "a transaction beyond the head": (
        [
            f"{CHANGE} sequence = %(beyond)s {OF_SALE}",
            f"update ledger.transactions set sequence = %(beyond)s {OF_SALE}",
        ],
        ["beyond"],
        {},
    ),
    "an asset that does not exist": ([f"{CHANGE} asset_id = 9 {OF_SALE}"], ["sale"], {}),
    "an account that does not exist": ([f"{CHANGE} account_id = 99 {OF_SALE}"], ["sale"], {}),
}
MORE = f"{CHANGE} amount = 9 {OF_SALE} and index = 0"


@pytest.mark.criterion("S003-28")
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_a_mismatch_with_every_sequence_at_fault_and_the_difference(
    book: Book, shared_database: Database, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    statements, at_fault, delta = DAMAGES[damage]
    places = {
        "asset": 2,
        "sale": book.sales[2],
        "other": book.sales[4],
        "mixed": book.mixed,
        "beyond": book.mixed + 3,
    }
    before = book.teller.run_trial_balance()
    assert not caplog.records

    tamper(shared_database, book.teller.ledger, *statements, **places)
    made = book.teller.run_trial_balance()

    expected = [places[name] for name in at_fault]
    assert (made.status, made.offending_count, list(made.offending_sequences)) == (
        MISMATCH,
        len(expected),
        expected,
    )
    assert differences(made) == delta
    assert made.sequence == before.sequence
    # Whoever lists runs sees it turn, and what was kept before stays.
    assert [run.status for run in book.teller.runs().runs] == [MISMATCH, OK]
    assert list(book.teller.runs().runs) == [made, before]
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    for fact in ("LEDGER_INVARIANT_BROKEN", book.teller.ledger, str(expected[0])):
        assert fact in told.getMessage()


def test_the_entries_of_an_asset_that_does_not_exist_are_in_the_totals(
    book: Book, shared_database: Database
) -> None:
    tamper(shared_database, book.teller.ledger, f"{CHANGE} asset_id = 9 {OF_SALE}", sale=book.sales[2])

    made = book.teller.run_trial_balance()

    assert [(one.asset, one.scale, one.total_debits) for one in made.totals] == [
        ("", 0, "3"),
        ("EUR", 2, "7"),
        ("USD", 2, "22"),
    ]


def test_a_run_names_the_lowest_hundred_and_counts_all(teller: Teller, shared_database: Database) -> None:
    first = teller.batch([post_operation("cash", "sales", 1)] * 150)[0].sequence
    tamper(shared_database, teller.ledger, f"{CHANGE} amount = 2 where ledger_id = %(id)s and index = 0")

    made = teller.run_trial_balance()

    assert made.offending_count == 150
    assert list(made.offending_sequences) == list(range(first, first + 100))
    assert differences(made) == {"USD": "150"}


def test_a_run_never_trusts_a_checkpoint(book: Book, shared_database: Database) -> None:
    with psycopg.connect(shared_database.app_url, autocommit=True) as app:
        _name(app, ledger_id(shared_database, book.teller.ledger))
        assert app.execute("select ledger.write_checkpoint(14)").fetchone() == (book.mixed,)
    checkpointed = pb.TRIAL_BALANCE_BASIS_CHECKPOINTED
    assert book.teller.trial_balance(basis=checkpointed).checkpoint_sequence == book.mixed

    tamper(shared_database, book.teller.ledger, MORE, sale=book.sales[0])

    assert book.teller.trial_balance(basis=checkpointed).status == OK
    assert book.teller.run_trial_balance().status == MISMATCH


def test_damage_to_one_ledger_is_not_anothers(book: Book, shared_database: Database) -> None:
    other = Teller.open(book.teller.server)
    other.post("cash", "sales", 1)
    tamper(shared_database, book.teller.ledger, MORE, sale=book.sales[0])

    assert book.teller.run_trial_balance().status == MISMATCH
    assert other.run_trial_balance().status == OK
    assert [run.number for run in other.runs().runs] == [1]


# lists --------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_in_pages_that_later_runs_do_not_move(teller: Teller) -> None:
    made = [teller.run_trial_balance() for _ in range(7)]
    newest_first = list(reversed(made))

    page = teller.runs(page_size=3)
    found = list(page.runs)
    while page.next_page_token:
        teller.run_trial_balance()
        page = teller.runs(page_size=3, page_token=page.next_page_token)
        found += page.runs

    assert found == newest_first
    assert list(teller.runs(page_size=1).runs) == [teller.runs().runs[0]]


def test_the_runs_of_a_day_are_those_of_that_day_and_its_newest_comes_first(
    teller: Teller, shared_database: Database
) -> None:
    made = [teller.run_trial_balance() for _ in range(5)]
    shift = (
        "update ledger.trial_balance_runs set day = day - 3, record_time = record_time - interval '3 days'"
    )
    tamper(shared_database, teller.ledger, f"{shift} where ledger_id = %(id)s and number <= 3")
    today = date.fromisoformat(made[-1].day)
    earlier = (date.fromisoformat(made[0].day) - timedelta(days=3)).isoformat()

    assert [run.number for run in teller.runs(day=earlier).runs] == [3, 2, 1]
    page = teller.runs(day=earlier, page_size=2)
    assert [run.number for run in teller.runs(day=earlier, page_token=page.next_page_token).runs] == [1]
    assert {run.number for day in {made[3].day, made[4].day} for run in teller.runs(day=day).runs} == {4, 5}
    assert teller.runs(day=(today + timedelta(days=3)).isoformat()).runs == []
    # A token of one day is none of another's.
    refused = refusal_of(lambda: teller.runs(day=today.isoformat(), page_token=page.next_page_token))
    assert refused.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    "day", ["today", "2026-11-31", "2026-1-1", "20261121", "2026-W47-6", "0000-01-01", "2026-11-21T00:00:00Z"]
)
def test_what_is_no_day_is_refused(teller: Teller, day: str) -> None:
    refused = refusal_of(lambda: teller.runs(day=day))

    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert refused.message.startswith("day:")


# days ---------------------------------------------------------------------------------------------


def _zones() -> list[str]:
    """Kolkata, and one of two at the ends of the world in which it is another day than in UTC now."""
    now = datetime.now(UTC)
    ends = ("Etc/GMT+12", "Pacific/Kiritimati")
    return ["Asia/Kolkata", *(zone for zone in ends if now.astimezone(ZoneInfo(zone)).date() != now.date())]


@pytest.fixture(params=_zones())
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The process's time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.criterion("S003-21")
def test_a_run_is_of_the_utc_day_whatever_the_time_zone_of_server_and_database(
    cluster: Cluster, zone: str
) -> None:
    with cluster.database() as database:
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            owner.execute(
                sql.SQL("alter database {} set timezone = {}").format(sql.Identifier(database.name), zone)
            )
        with serving(database.app_url) as server:
            teller = Teller.open(server)
            days = {datetime.now(UTC).date()}
            served = teller.run_trial_balance()
            with psycopg.connect(database.app_url, autocommit=True) as app:
                assert app.execute("show timezone").fetchone() == (zone,)
                _name(app, ledger_id(database, teller.ledger))
                app.execute("select ledger.run_trial_balance('raw', false)")
            days.add(datetime.now(UTC).date())
            found = teller.runs(day=served.day).runs

    assert {date.fromisoformat(run.day) for run in found} <= days
    assert found[-1] == served
    assert {run.record_time.ToDatetime(UTC).date().isoformat() for run in found} == {served.day}


def _name(connection: psycopg.Connection[Any], ledger: int) -> None:
    connection.execute("select set_config('ledger.id', %s::text, false)", [ledger])


def test_nobody_can_keep_a_run_of_another_day_than_its_own(book: Book, shared_database: Database) -> None:
    book.teller.run_trial_balance()

    with pytest.raises(errors.CheckViolation) as refusal:
        tamper(
            shared_database,
            book.teller.ledger,
            "update ledger.trial_balance_runs set day = day - 1 where ledger_id = %(id)s",
        )

    assert refusal.value.diag.constraint_name == "runs_of_their_day"


# at once ------------------------------------------------------------------------------------------


@contextmanager
def run_under_way(database: Database, ledger: str) -> Iterator[None]:
    """Holds what a run of the ledger holds."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(f"select {RUN_LOCK}".encode(), [ledger_id(database, ledger)])
        yield


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def waiting(database: Database) -> int:
    """How many sessions wait for a run's lock."""
    with psycopg.connect(database.owner_url) as owner:
        row = owner.execute(
            "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            " and classid = x'7462'::integer"
            " and database = (select oid from pg_database where datname = current_database())"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_one_run_of_a_ledger_at_a_time(
    book: Book, shared_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_S_MAX", 0.2)
    with run_under_way(shared_database, book.teller.ledger):
        refused = refusal_of(book.teller.run_trial_balance)

    assert (refused.code, refused.reason, refused.is_retryable) == (
        grpc.StatusCode.ABORTED,
        "CONTENTION",
        True,
    )
    assert book.teller.run_trial_balance().number == 1


def test_a_run_that_takes_too_long_is_cancelled_and_leaves_nothing(
    book: Book, shared_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "RUN_S_MAX", 0.2)
    with run_under_way(shared_database, book.teller.ledger):
        refused = refusal_of(book.teller.run_trial_balance)

    assert refused.reason == "DATABASE_UNAVAILABLE"
    assert book.teller.runs().runs == []


def test_a_process_makes_few_runs_at_once_and_says_so_to_the_next(
    book: Book, shared_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_S_MAX", PATIENCE_S)
    monkeypatch.setattr(service_module, "TURN_WAIT_S", 0.05)
    other = Teller.open(book.teller.server)
    with ThreadPoolExecutor(2) as pool:
        with run_under_way(shared_database, book.teller.ledger):
            held = [pool.submit(lambda: answer_of(book.teller.run_trial_balance)) for _ in range(2)]
            wait_until(lambda: waiting(shared_database) == 2)

            refused = refusal_of(other.run_trial_balance)

        answers = [each.result(PATIENCE_S) for each in held]
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert refused.facts == {"runs_in_flight_max": "2"}
    assert sorted(run.number for run in answers if not isinstance(run, Refused)) == [1, 2]
    assert other.run_trial_balance().number == 1


def test_a_server_that_has_drained_leaves_no_run_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_S_MAX", 300)
    with serving(database.app_url) as server, ThreadPoolExecutor(1) as pool:
        teller = Teller.open(server)
        with run_under_way(database, teller.ledger):
            held = pool.submit(lambda: answer_of(teller.run_trial_balance))
            wait_until(lambda: waiting(database) == 1)

            server.app.drain(grace_s=0.5)

            wait_until(lambda: waiting(database) == 0)
        assert isinstance(held.result(PATIENCE_S), Refused)


def test_of_many_at_once_one_makes_the_days_run(book: Book, shared_database: Database) -> None:
    ledger = ledger_id(shared_database, book.teller.ledger)

    def make(_: int) -> int | None:
        with psycopg.connect(shared_database.app_url, autocommit=True) as app:
            _name(app, ledger)
            row = app.execute("select ledger.run_trial_balance('service', true)").fetchone()
            assert row is not None
            return row[0]

    with ThreadPoolExecutor(8) as pool:
        made = [number for number in pool.map(make, range(16)) if number is not None]

    # Two where midnight came between.
    assert made == [1] or (sorted(made) == [1, 2] and len({run.day for run in book.teller.runs().runs}) == 2)
    assert all(run.daily and run.created_by == "service" for run in book.teller.runs().runs)
