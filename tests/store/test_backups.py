"""Dumps and back-fills under forced row-level security: neither leaves out a row in silence."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from callers import Teller, post_operation
from clusters import APP_PASSWORD, Cluster, Database
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import member_service_pb2 as members_pb
from ledger.v1.member_service_pb2_grpc import MemberServiceStub
from psycopg import Connection, conninfo, errors, sql
from serving import serving

from ledger_server.service.verify import prove, prove_checkpoints
from ledger_server.store.embedded import EmbeddedPostgres
from ledger_server.store.migrate import migrate
from ledger_server.store.replaying import reading_journals

LEDGERS = ("first", "second", "third")


@dataclass(frozen=True, slots=True)
class Books:
    """A server with books of three ledgers in a database of their own."""

    server: EmbeddedPostgres
    cluster: Cluster
    database: Database

    def run(self, program: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Runs one of PostgreSQL's own programs, of the server's version."""
        return subprocess.run(
            [self.server.bindir / program, *arguments],
            input=given,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def dumped(self, role: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        """What pg_dump says as the role."""
        return self.run(
            "pg_dump", "--format=custom", f"--role={role}", *options, "--dbname", self.database.owner_url
        )

    def restored(self, dump: bytes, url: str) -> None:
        """Puts a dump into an empty database."""
        done = self.run("pg_restore", "--exit-on-error", "--dbname", url, given=dump)
        assert done.returncode == 0, done.stderr.decode()


WILDCARD = charts_pb.Kind(name="*", idempotency=charts_pb.IDEMPOTENCY_RULE_OPTIONAL)


@pytest.fixture(scope="module")
def books(each_server: EmbeddedPostgres) -> Iterator[Books]:
    """Three ledgers with rows in every table that the service writes."""
    cluster = Cluster(each_server.owner_url, each_server.version_major)
    with cluster.database() as database:
        with serving(database.app_url) as server:
            for name in LEDGERS:
                teller = Teller.open(server, name)
                teller.post("cash", "wallet", 100, "first")
                teller.batch([post_operation("cash", "sales", 1, f"k{number}") for number in range(50)])
                MemberServiceStub(server.channel).AddMember(
                    members_pb.AddMemberRequest(
                        ledger=name, principal="jwt:ann", roles=[members_pb.ROLE_TENANT_ADMIN]
                    ),
                    timeout=60,
                )
                teller.apply_chart(charts_pb.Chart(kinds=[WILDCARD]))
        with psycopg.connect(database.app_url) as app:
            for (ledger_id,) in app.execute("select ledger_id from ledger.directory").fetchall():
                app.execute("select set_config('ledger.id', %s::text, true)", [ledger_id])
                app.execute("select ledger.write_checkpoint(100)")
                app.execute("select ledger.run_trial_balance('shop', true)")
                app.execute("select ledger.audit(%s, 'shop', 'open', '', 'DONE', '')", [ledger_id])
                app.execute(
                    "insert into ledger.credentials"
                    " (key_id, digest, ledger_id, principal, description, created_at, created_by)"
                    " values (%s, %s, %s, 'shop', '', clock_timestamp(), '')",
                    [f"{ledger_id:016x}", bytes(32), ledger_id],
                )
        yield Books(each_server, cluster, database)


def rows(url: str) -> dict[str, list[Any]]:
    """Every row of every table, as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select relname from pg_class where relnamespace = 'ledger'::regnamespace and relkind = 'r'"
        ).fetchall()
        return {
            name: connection.execute(
                sql.SQL("select one::text from {} as one order by 1").format(sql.Identifier("ledger", name))
            ).fetchall()
            for (name,) in tables
        }


def assert_sound(url: str) -> None:
    """Every journal and checkpoint is proven."""
    with reading_journals(url, None) as journals:
        proven = {
            journal.name: (prove(journal), prove_checkpoints(journal.checkpoints)) for journal in journals
        }
    assert set(proven) == set(LEDGERS)
    assert all(proof.sequence == 59 for proof, _ in proven.values())


# dumps --------------------------------------------------------------------------------------


def test_a_dump_as_the_backup_role_restores_to_sound_books_that_can_be_served(books: Books) -> None:
    dump = books.dumped("ledger_backup")
    assert dump.returncode == 0, dump.stderr.decode()
    before = rows(books.database.owner_url)
    assert all(before.values()), "a table without rows proves nothing here"

    with books.cluster.empty_database() as url:
        books.restored(dump.stdout, url)

        assert rows(url) == before
        app_url = conninfo.make_conninfo(url, user="ledger_app", password=APP_PASSWORD)
        assert_sound(app_url)
        with serving(app_url) as server:
            teller = Teller(server, "second")
            # The wallet has a bound, so the seal's secret has come along.
            teller.post("wallet", "cash", 100, "after the restore")
            assert teller.post("cash", "wallet", 100, "first").replayed
            assert teller.balance("wallet") == 0


def test_a_login_of_ones_own_dumps_by_becoming_the_backup_role(books: Books) -> None:
    with psycopg.connect(books.database.owner_url, autocommit=True) as owner:
        owner.execute("create role nightly login in role ledger_backup")
    try:
        url = books.server.url(books.database.name, "nightly")

        done = books.run("pg_dump", "--format=custom", "--role=ledger_backup", "--dbname", url)

        assert done.returncode == 0, done.stderr.decode()
        with books.cluster.empty_database() as empty:
            books.restored(done.stdout, empty)
            assert rows(empty) == rows(books.database.owner_url)
    finally:
        with psycopg.connect(books.database.owner_url, autocommit=True) as owner:
            owner.execute("drop role nightly")


@pytest.mark.parametrize("role", ["ledger_owner", "ledger_app", "ledger_read"])
def test_a_dump_as_another_role_fails_and_says_so_rather_than_leave_out_rows(books: Books, role: str) -> None:
    done = books.dumped(role)

    assert done.returncode != 0
    said = done.stderr.decode()
    assert "row-level security" in said or "permission denied" in said, said


def test_a_dump_as_the_owner_with_row_security_on_holds_every_row(books: Books) -> None:
    dump = books.dumped("ledger_owner", "--enable-row-security")
    assert dump.returncode == 0, dump.stderr.decode()

    with books.cluster.empty_database() as url:
        books.restored(dump.stdout, url)
        assert rows(url) == rows(books.database.owner_url)


def test_where_bypassrls_could_not_be_given_the_backup_role_dumps_by_its_policy(books: Books) -> None:
    with psycopg.connect(books.database.owner_url, autocommit=True) as owner:
        owner.execute("alter role ledger_backup nobypassrls")
        try:
            assert b"row-level security" in books.dumped("ledger_backup").stderr
            dump = books.dumped("ledger_backup", "--enable-row-security")
        finally:
            owner.execute("alter role ledger_backup bypassrls")

    assert dump.returncode == 0, dump.stderr.decode()
    with books.cluster.empty_database() as url:
        books.restored(dump.stdout, url)
        assert rows(url) == rows(books.database.owner_url)


def test_a_migrator_that_may_not_give_bypassrls_says_so_and_one_that_may_gives_it(
    each_server: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(each_server.owner_url, autocommit=True) as superuser:
        superuser.execute("create role landlord login createrole")
        superuser.execute("create database of_the_landlord owner landlord")
        superuser.execute("alter role ledger_backup nobypassrls")
        superuser.execute("grant ledger_owner to landlord")
        bypasses = "select rolbypassrls from pg_roles where rolname = 'ledger_backup'"

        migrate(each_server.url("of_the_landlord", "landlord"))

        assert "ledger_backup has no BYPASSRLS, which landlord may not give" in caplog.text
        assert "--enable-row-security" in caplog.text
        assert superuser.execute(bypasses).fetchone() == (False,)
        caplog.clear()
        migrate(each_server.url("of_the_landlord", "postgres"))
        assert caplog.text == ""
        assert superuser.execute(bypasses).fetchone() == (True,)
        superuser.execute("drop database of_the_landlord")
        superuser.execute("drop role landlord")


# back-fills ---------------------------------------------------------------------------------

# As a migration would: in one database transaction, as the owner.
BACK_FILL = """
    alter table ledger.accounts add column note text;
    alter table ledger.accounts disable trigger append_only;
    update ledger.accounts set note = 'none yet';
    alter table ledger.accounts enable trigger append_only;
    alter table ledger.accounts alter column note set not null;
"""


def _back_fill(connection: Connection[Any]) -> int:
    """Adds a column as the owner and fills it; answers how many rows have it."""
    connection.execute("set local role ledger_owner")
    connection.execute(BACK_FILL.encode())
    connection.execute("reset role")
    row = connection.execute("select count(*) from ledger.accounts where note = 'none yet'").fetchone()
    assert row is not None
    return int(row[0])


def test_a_back_fill_by_the_owner_reaches_every_ledgers_rows(books: Books) -> None:
    with psycopg.connect(books.database.owner_url) as connection:
        assert _back_fill(connection) == 4 * len(LEDGERS)
        # The fence is closed again.
        connection.execute("set local role ledger_owner")
        with pytest.raises(errors.CheckViolation, match="append-only"), connection.transaction():
            connection.execute("update ledger.accounts set note = 'other'")
        connection.execute("commit")
    try:
        assert_sound(books.database.app_url)
    finally:
        with psycopg.connect(books.database.owner_url) as connection:
            connection.execute("alter table ledger.accounts drop column note")


def test_without_a_policy_of_its_own_the_owner_would_update_no_row(books: Books) -> None:
    """What the policy `owner` is for: forced row security hides every row from the owner, in silence."""
    with psycopg.connect(books.database.owner_url) as connection:
        connection.execute("drop policy owner on ledger.accounts")

        with pytest.raises(errors.NotNullViolation):
            _back_fill(connection)

        connection.rollback()
