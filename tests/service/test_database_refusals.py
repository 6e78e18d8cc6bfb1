"""What the database itself refuses: a passing failure is tried again, a lasting one fails alone.

The failures are triggers and constraints that a superuser adds for a test; a
sequence counts how often one fired, because no rollback takes that back.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import psycopg
import pytest
from callers import (
    Refused,
    Teller,
    answer_of,
    post_operation,
    refusal_of,
    refused_operation,
    reverse_operation,
    unsound,
)
from clusters import Database
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from serving import Serving, serving

from ledger_server.store.books import lane_lock

_FAILING = """
create sequence public.fired;
grant usage on sequence public.fired to ledger_app;
create function public.fail() returns trigger language plpgsql as $$
begin
    if nextval('public.fired') <= {times} then
        raise exception 'as the test asks' using errcode = '{state}';
    end if;
    return null;
end $$;
"""
_AT_ONCE = (
    "create trigger failing after insert on ledger.entries for each statement execute function public.fail()"
)
_AT_COMMIT = (
    "create constraint trigger failing after insert or update of sequence on ledger.heads"
    " deferrable initially deferred for each row execute function public.fail()"
)


@pytest.fixture
def admin(database: Database) -> Iterator[psycopg.Connection[tuple[int]]]:
    """The database's superuser."""
    with psycopg.connect(database.owner_url, autocommit=True) as admin:
        yield admin


@pytest.fixture
def books(server: Serving) -> Teller:
    """A ledger on a server whose database the test may spoil."""
    return Teller.open(server)


def fail(admin: psycopg.Connection[tuple[int]], state: str, times: int, trigger: str) -> None:
    """Makes the next writes fail this often."""
    admin.execute(_FAILING.format(state=state, times=times))
    admin.execute(trigger)


def fired(admin: psycopg.Connection[tuple[int]]) -> int:
    """How often the trigger ran."""
    row = admin.execute("select last_value from public.fired").fetchone()
    assert row is not None
    return row[0]


@contextmanager
def lane_held(database: Database, teller: Teller) -> Iterator[None]:
    """Nobody commits in the teller's ledger inside: callers gather, and share what follows."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        row = connection.execute(
            "select ledger_id from ledger.directory where name = %s", [teller.ledger]
        ).fetchone()
        assert row is not None
        connection.execute("select pg_advisory_lock(%s)", [lane_lock(row[0])])
        yield


@pytest.mark.parametrize("count", [1, 60], ids=["few", "many"])
@pytest.mark.parametrize("trigger", [_AT_ONCE, _AT_COMMIT], ids=["in the middle", "at COMMIT"])
@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
def test_a_passing_failure_is_tried_again_and_no_caller_hears_of_it(
    books: Teller,
    admin: psycopg.Connection[tuple[int]],
    database: Database,
    state: str,
    trigger: str,
    count: int,
) -> None:
    books.post("cash", "wallet", 500)
    fail(admin, state, 3, trigger)

    results = books.batch(
        [post_operation("wallet", "sales", 5, f"k{number}") for number in range(count)]
        + [post_operation("wallet", "sales", 501)]
    )

    assert refused_operation(results[-1]).reason == "INSUFFICIENT_FUNDS"
    assert not [one for one in results[:-1] if one.HasField("status") or one.replayed]
    assert fired(admin) == 4
    assert books.balance("wallet") == 500 - 5 * count
    assert unsound(database.owner_url, books.ledger) == []


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_failure_that_never_passes_is_contention_and_not_a_business_refusal(
    books: Teller, admin: psycopg.Connection[tuple[int]], state: str
) -> None:
    books.post("cash", "wallet", 5)
    head = books.head()
    fail(admin, state, 1_000_000, _AT_ONCE)

    refusal = refusal_of(lambda: books.post("wallet", "sales", 5, "k"))
    admin.execute("drop trigger failing on ledger.entries")

    assert (refusal.code, refusal.reason, refusal.is_retryable) == (
        grpc.StatusCode.ABORTED,
        "CONTENTION",
        True,
    )
    assert fired(admin) >= 3
    assert books.head() == head
    assert not books.post("wallet", "sales", 5, "k").replayed


def test_a_ledger_is_created_again_where_others_win_a_few_times(
    books: Teller, admin: psycopg.Connection[tuple[int]]
) -> None:
    """The first 40001 was told as CONTENTION, "after all internal retries"."""
    fail(admin, "40001", 3, _AT_COMMIT)

    created = books.server.admin.CreateLedger(admin_pb.CreateLedgerRequest(name="another"))

    assert not created.replayed
    assert fired(admin) >= 4


def poison(admin: psycopg.Connection[tuple[int]]) -> None:
    """From now on the database refuses external_ref 'poison'."""
    admin.execute(
        "alter table ledger.transactions add constraint antidote check (external_ref <> 'poison') not valid"
    )


@pytest.mark.parametrize(("count", "at"), [(1, 0), (20, 7), (500, 0), (500, 333), (500, 499)])
def test_a_poison_draft_fails_alone_and_its_neighbours_are_recorded(
    books: Teller,
    admin: psycopg.Connection[tuple[int]],
    database: Database,
    caplog: pytest.LogCaptureFixture,
    count: int,
    at: int,
) -> None:
    poison(admin)
    head = books.head()
    operations = [
        post_operation("cash", "sales", 1, f"k{number}", external_ref="poison" if number == at else "")
        for number in range(count)
    ]

    results = books.batch(operations)
    again = books.batch(operations)

    refusal = refused_operation(results[at])
    assert (refusal.code, refusal.reason, refusal.facts) == (
        grpc.StatusCode.INTERNAL,
        "LEDGER_INVARIANT_BROKEN",
        {},
    )
    assert "antidote" not in refusal.message
    assert "antidote" in caplog.text
    sound = [one for number, one in enumerate(results) if number != at]
    assert [one.sequence for one in sound] == list(range(head + 1, head + count))
    assert [one.replayed for one in again] == [number != at for number in range(count)]
    assert unsound(database.owner_url, books.ledger) == []


def test_what_follows_a_poison_draft_sees_that_it_is_not_there(
    books: Teller, admin: psycopg.Connection[tuple[int]], database: Database
) -> None:
    poison(admin)

    poisoned, spent, reversal, fresh = books.batch(
        [
            post_operation("cash", "wallet", 100, "fill", external_ref="poison"),
            post_operation("wallet", "sales", 60),
            reverse_operation("fill"),
            post_operation("cash", "sales", 1, "fill"),
        ]
    )

    assert refused_operation(poisoned).reason == "LEDGER_INVARIANT_BROKEN"
    assert refused_operation(spent).reason == "INSUFFICIENT_FUNDS"
    assert refused_operation(reversal).reason == "TRANSACTION_NOT_FOUND"
    assert not fresh.HasField("status")
    assert unsound(database.owner_url, books.ledger) == []


def test_an_atomic_group_stays_whole_while_its_neighbours_are_parted(
    books: Teller, admin: psycopg.Connection[tuple[int]], database: Database
) -> None:
    """Everybody waits in the lane, so that poison, groups and single posts share one database transaction."""
    poison(admin)

    def group(name: str, external_ref: str = "") -> list[str]:
        operations = [
            post_operation(
                "cash", "sales", 1, f"{name}{number}", external_ref=external_ref if number == 3 else ""
            )
            for number in range(8)
        ]
        results = books.batch(operations, atomic=True)
        return [refused_operation(one).reason if one.HasField("status") else "" for one in results]

    with ThreadPoolExecutor(8) as pool:
        with lane_held(database, books):
            first = pool.submit(books.post, "cash", "sales", 1)
            bad = pool.submit(group, "bad", "poison")
            good = [pool.submit(group, name) for name in ("a", "b")]
            singles = [pool.submit(books.post, "cash", "sales", 1, f"s{number}") for number in range(3)]
            poisoned = pool.submit(
                answer_of, lambda: books.post("cash", "sales", 1, "p", external_ref="poison")
            )
        results = [one.result() for one in good]

        assert results == [[""] * 8] * 2
        assert set(bad.result()) == {"LEDGER_INVARIANT_BROKEN"}
        assert not [one.result().replayed for one in (first, *singles) if one.result().replayed]
        refusal = poisoned.result()
    assert isinstance(refusal, Refused)
    assert refusal.code == grpc.StatusCode.INTERNAL
    assert books.balance("cash") == 1 + 2 * 8 + 3
    keys = {one.idempotency_key for one in books.walk(page_size=1000)}
    assert not [key for key in keys if key.startswith("bad")]
    assert unsound(database.owner_url, books.ledger) == []


@pytest.mark.criterion("S002-6", "S004-15")
@pytest.mark.parametrize("count", [1, 60], ids=["few", "many"])
def test_a_violation_of_another_unique_constraint_is_never_taken_for_a_replay(
    books: Teller, admin: psycopg.Connection[tuple[int]], database: Database, count: int
) -> None:
    admin.execute(
        "create unique index foreign_rule on ledger.transactions (ledger_id, external_ref)"
        " where external_ref <> ''"
    )
    books.post("cash", "sales", 5, "first", external_ref="one of a kind")
    head = books.head()

    results = books.batch(
        [
            post_operation("cash", "sales", 5, f"k{number}", external_ref="one of a kind")
            for number in range(count)
        ]
    )

    for result in results:
        assert refused_operation(result).reason == "LEDGER_INVARIANT_BROKEN"
        assert not result.replayed
    assert books.head() == head
    assert unsound(database.owner_url, books.ledger) == []


@pytest.mark.criterion("S002-6", "S004-15")
def test_a_violation_of_any_rule_is_an_error_of_its_own_for_accounts_assets_and_ledgers_too(
    books: Teller, admin: psycopg.Connection[tuple[int]], server: Serving
) -> None:
    for table, column in (("accounts", "name"), ("assets", "code"), ("ledgers", "description")):
        admin.execute(
            f"alter table ledger.{table} add constraint foreign_rule check ({column} <> 'poison') not valid"
        )
    request = admin_pb.CreateLedgerRequest(name="poisoned", description="poison")
    refusals = [
        refusal_of(lambda: books.open_account("poison")),
        refusal_of(lambda: books.create_asset("poison", 2)),
        refusal_of(lambda: server.admin.CreateLedger(request, timeout=30)),
    ]

    assert {(one.code, one.reason) for one in refusals} == {
        (grpc.StatusCode.INTERNAL, "LEDGER_INVARIANT_BROKEN")
    }
    assert refusal_of(lambda: Teller(server, "poisoned").head()).reason == "LEDGER_NOT_FOUND"
    assert not books.open_account("sound").replayed


@pytest.mark.criterion("CARD-4")
def test_every_write_is_seen_at_serializable(
    database: Database, admin: psycopg.Connection[tuple[int]]
) -> None:
    admin.execute(
        "create table public.seen (relation text, isolation text, application text, role text);"
        " create function public.look() returns trigger language plpgsql security definer as $$ begin"
        " insert into public.seen values (tg_table_name, current_setting('transaction_isolation'),"
        " current_setting('application_name'), session_user); return null; end $$"
    )
    tables = ["heads", "ledgers", "assets", "accounts", "transactions", "entries"]
    for table in tables:
        admin.execute(
            f"create trigger look after insert or update on ledger.{table}"
            " for each statement execute function public.look()"
        )

    with serving(database.app_url) as server:
        teller = Teller.open(server)
        teller.post("cash", "sales", 5, "k")
        teller.reverse("k")
        teller.batch([post_operation("cash", "sales", 1)] * 100)

    seen = admin.execute("select distinct relation, isolation, application, role from public.seen").fetchall()
    assert sorted(relation for relation, *_ in seen) == sorted(tables)
    assert {row[1:] for row in seen} == {("serializable", "ledger", "ledger_app")}
