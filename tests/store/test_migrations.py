"""Migrations: every database ends with the same schema, however often the migrator was killed."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fresh_databases import fresh
from proxies import CuttingProxy
from psycopg import conninfo, sql
from raw_books import CASH, CREDIT, DEBIT, EUR, FUNDED, HASH, SALES, SALT, WALLET, RawBook, entry

from ledger_server.store.embedded import EmbeddedPostgres
from ledger_server.store.migrate import (
    Migration,
    MigrationError,
    SchemaChanged,
    SchemaNewer,
    apply_migrations,
    migrate,
    newest_migration,
    read_migrations,
    schema_version,
)

FIRST = "create table ledger.things (id bigint primary key);\ngrant select on ledger.things to ledger_app;\n"
SECOND = """
create function ledger.nothing() returns void language plpgsql as $$ begin perform 1; end $$;
alter table ledger.things add column name text;
create index things_name on ledger.things (name);
"""

# In a database so prepared, the n-th DDL command of all ends its own session.
DEADLY = """
create schema deadly;
create table deadly.at (command integer);
create sequence deadly.commands;
create function deadly.strike() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if nextval('deadly.commands') = (select command from deadly.at) then
        perform pg_terminate_backend(pg_backend_pid());
    end if;
end $$;
create event trigger deadly on ddl_command_end execute function deadly.strike();
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """A folder of two small migrations."""
    (tmp_path / "0001_things.sql").write_text(FIRST)
    (tmp_path / "0002_names.sql").write_text(SECOND)
    return tmp_path


def _in_order(roles: re.Match[str]) -> str:
    return ", ".join(sorted(roles[0].split(", ")))


def dump(server: EmbeddedPostgres, url: str) -> str:
    """The schema as pg_dump writes it, and what has been applied."""
    done = subprocess.run(
        [server.bindir / "pg_dump", "--schema-only", "--dbname", url],
        capture_output=True,
        text=True,
        check=True,
    )
    # Each dump guards itself with a random word.
    lines = [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    # The roles of a policy come in the order in which the cluster happens to hold them.
    lines = [re.sub(r"(?<= TO )ledger_\w+(, ledger_\w+)+", _in_order, line) for line in lines]
    with psycopg.connect(url) as connection:
        applied = connection.execute(
            "select number, name, checksum from ledger.schema_migrations order by number"
        ).fetchall()
    return "\n".join(lines) + repr(applied)


def test_an_empty_database_gets_the_newest_schema(each_server: EmbeddedPostgres) -> None:
    with fresh(each_server) as url:
        assert migrate(url) == newest_migration() > 0
        with psycopg.connect(url) as connection:
            assert schema_version(connection) == newest_migration()


def test_a_second_run_changes_nothing(each_server: EmbeddedPostgres) -> None:
    with fresh(each_server) as url:
        migrate(url)
        before = dump(each_server, url)

        migrate(url)

        assert dump(each_server, url) == before


class OldBook(RawBook):
    """A ledger as the first schema can have it."""

    def transactions(self, *sequences: int, **columns: Any) -> None:
        assert not columns
        self.run(
            "insert into ledger.transactions (ledger_id, sequence, kind, effective_time,"
            " effective_time_given, record_time, created_by, description, metadata, external_ref, salt, hash)"
            " select ledger_id, new, '', record_time, true, record_time, '', '', '{}', '', %s, %s"
            " from ledger.heads, unnest(%s::bigint[]) as new where ledger_id = %s",
            [SALT, HASH, list(sequences), self.id],
        )


@pytest.mark.parametrize("number", range(1, newest_migration()))
def test_books_that_are_there_go_through_every_later_migration(
    bare: EmbeddedPostgres, tmp_path: Path, number: int
) -> None:
    """Row security is forced, and a migrator owns what it cannot see: no row may be passed over."""
    for file in sorted(files("ledger_server.store").joinpath("migrations").iterdir(), key=str)[:number]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with fresh(bare) as url:
        migrate(url, directory=tmp_path)
        with psycopg.connect(conninfo.make_conninfo(url, user="ledger_app"), autocommit=True) as app:
            books = [OldBook(app), OldBook(app)]
        before = _entries(url)

        assert migrate(url) == newest_migration()

        assert _entries(url) == before
        assert len(before) == 4
        with psycopg.connect(conninfo.make_conninfo(url, user="ledger_app"), autocommit=True) as app:
            for book in books:
                book.connection = app
                with book.writing(1):
                    book.transactions(FUNDED + 1)
                    book.entries(
                        entry(FUNDED + 1, 0, CASH, DEBIT, 5, 105), entry(FUNDED + 1, 1, SALES, CREDIT, 5, -5)
                    )
        assert len(_entries(url)) == 8


def _entries(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select (ledger_id, account_id, asset_id, layer, sequence, index, side, amount,"
            " balance_after)::text from ledger.entries order by 1"
        ).fetchall()


def test_the_owner_of_the_database_who_may_create_roles_needs_no_superuser(
    each_server: EmbeddedPostgres,
) -> None:
    with psycopg.connect(each_server.owner_url, autocommit=True) as connection:
        connection.execute("create role host login createrole createdb")
    with fresh(each_server, owner="host", without_roles=True) as url:
        assert migrate(url, app_password="hushed") == newest_migration()
        assert migrate(url) == newest_migration()

        with psycopg.connect(url) as connection:
            row = connection.execute(
                "select tableowner from pg_tables where schemaname = 'ledger' group by 1"
            ).fetchall()
            assert row == [("ledger_owner",)]


def test_a_user_who_may_not_migrate_is_told_who_may(bare: EmbeddedPostgres) -> None:
    with psycopg.connect(bare.owner_url, autocommit=True) as connection:
        connection.execute("create role guest login")
    with fresh(bare, without_roles=True) as url, pytest.raises(MigrationError, match="CREATEROLE"):
        migrate(conninfo.make_conninfo(url, user="guest"))


def test_the_service_role_can_be_held_back(bare: EmbeddedPostgres) -> None:
    with fresh(bare, without_roles=True) as url:
        migrate(url, app_password="hushed")

        with psycopg.connect(url) as connection:
            roles = connection.execute(
                "select rolname, rolcanlogin, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb"
                " from pg_roles where rolname like 'ledger%' order by rolname"
            ).fetchall()
            password = connection.execute(
                "select rolpassword from pg_authid where rolname = 'ledger_app'"
            ).fetchone()
        assert roles == [
            ("ledger_app", True, False),
            # Nobody logs in as it, and it only reads.
            ("ledger_backup", False, True),
            ("ledger_owner", False, False),
            ("ledger_read", False, False),
        ]
        assert password is not None
        assert password[0].startswith("SCRAM-SHA-256$")


def test_a_schema_newer_than_the_code_is_refused_and_left_alone(
    bare: EmbeddedPostgres, migrations: Path
) -> None:
    with fresh(bare) as url:
        migrate(url, directory=migrations)
        before = dump(bare, url)
        (migrations / "0002_names.sql").unlink()

        with pytest.raises(SchemaNewer, match="at migration 2; this code knows 1"):
            migrate(url, directory=migrations)

        assert dump(bare, url) == before


def test_a_migration_that_was_edited_after_it_ran_is_refused_by_name(
    bare: EmbeddedPostgres, migrations: Path
) -> None:
    with fresh(bare) as url:
        migrate(url, directory=migrations)
        (migrations / "0001_things.sql").write_text(FIRST + "-- edited\n")

        with pytest.raises(SchemaChanged, match=r"Migration 1 \(things\)"):
            migrate(url, directory=migrations)


def test_line_ends_do_not_count_as_an_edit(bare: EmbeddedPostgres, migrations: Path) -> None:
    with fresh(bare) as url:
        migrate(url, directory=migrations)
        (migrations / "0001_things.sql").write_bytes(FIRST.replace("\n", "\r\n").encode())

        assert migrate(url, directory=migrations) == 2


def test_a_failing_migration_keeps_those_before_it_and_nothing_of_itself(
    bare: EmbeddedPostgres, migrations: Path
) -> None:
    (migrations / "0002_names.sql").write_text(SECOND + "select 1 / 0;")
    with fresh(bare) as url:
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(url, directory=migrations)

        with psycopg.connect(url) as connection:
            assert schema_version(connection) == 1
            assert connection.execute("select to_regprocedure('ledger.nothing()')").fetchone() == (None,)
        (migrations / "0002_names.sql").write_text(SECOND)
        assert migrate(url, directory=migrations) == 2


def test_files_are_numbered_without_a_gap(migrations: Path) -> None:
    (migrations / "0004_gap.sql").write_text("select 1;")

    with pytest.raises(MigrationError, match="not numbered"):
        read_migrations(migrations)


def test_a_misnamed_file_is_refused(migrations: Path) -> None:
    (migrations / "3_third.sql").write_text("select 1;")

    with pytest.raises(MigrationError, match=r"3_third\.sql"):
        read_migrations(migrations)


def test_migrators_that_start_together_apply_each_migration_once(bare: EmbeddedPostgres) -> None:
    numbers: list[int] = []
    with fresh(bare, without_roles=True) as url:
        threads = [threading.Thread(target=lambda: numbers.append(migrate(url))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        with psycopg.connect(url) as connection:
            applied = connection.execute("select count(*) from ledger.schema_migrations").fetchone()
    assert numbers == [newest_migration()] * 4
    assert applied == (newest_migration(),)


def test_a_migration_that_waits_for_a_table_gives_up_and_says_so(
    bare: EmbeddedPostgres, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger_server.store.migrate.LOCK_TIMEOUT_DDL", "50ms")
    second = migrations / "0002_names.sql"
    second.unlink()
    with fresh(bare) as url, psycopg.connect(url) as reader:
        migrate(url, directory=migrations)
        second.write_text(SECOND)
        reader.execute("lock table ledger.things in access share mode")

        with pytest.raises(MigrationError, match="stayed in use"):
            migrate(url, directory=migrations)

        assert schema_version(reader) == 1


@pytest.mark.parametrize(
    "after", [pytest.param(False, id="before", marks=pytest.mark.slow), pytest.param(True, id="after")]
)
def test_a_migrator_cut_off_at_any_statement_is_completed_by_the_next(
    bare: EmbeddedPostgres, migrations: Path, after: bool
) -> None:
    """Every statement that the migrator sends, BEGIN and COMMIT too, is lost once, and its answer once."""
    found = read_migrations(migrations)
    with fresh(bare, without_roles=True) as url:
        migrate(url, directory=migrations)
        expected = dump(bare, url)

    at = 0
    while True:
        at += 1
        with fresh(bare, without_roles=True) as url, CuttingProxy(url, at=at, after=after) as proxy:
            if _completes(proxy.url, found):
                assert not proxy.has_cut
                break
            assert proxy.has_cut
            migrate(url, directory=migrations)
            assert dump(bare, url) == expected, f"cut at statement {at}"
    assert at > 20


def _completes(url: str, migrations: Sequence[Migration]) -> bool:
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            apply_migrations(connection, migrations)
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.slow
def test_a_migrator_killed_at_any_command_of_the_schema_is_completed_by_the_next(
    bare: EmbeddedPostgres,
) -> None:
    """The database ends the session in the middle of the migrations themselves, at each command in turn."""
    with fresh(bare, without_roles=True) as url:
        migrate(url)
        expected = dump(bare, url)

    command = 0
    while _is_killed_and_completed(bare, command := command + 1, expected):
        pass
    assert command > 40


def test_a_migrator_killed_amid_the_schema_is_completed_by_the_next(bare: EmbeddedPostgres) -> None:
    with fresh(bare, without_roles=True) as url:
        migrate(url)
        expected = dump(bare, url)

    for command in (3, 11, 37):
        assert _is_killed_and_completed(bare, command, expected)


def _is_killed_and_completed(server: EmbeddedPostgres, command: int, expected: str) -> bool:
    """False if there is no such command any more."""
    with fresh(server, without_roles=True) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DEADLY)
        # The strike counts from here; making the trigger is no command of the migration.
        connection.execute("select setval('deadly.commands', 1, false)")
        connection.execute("insert into deadly.at values (%s)", (command,))
        try:
            migrate(url)
            return False
        except psycopg.OperationalError:
            pass
        connection.execute("drop event trigger deadly")
        connection.execute("drop schema deadly cascade")
        migrate(url)
        assert dump(server, url) == expected, f"killed at command {command}"
        return True


def test_each_statement_of_a_migration_sees_what_was_committed_before_it(
    each_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Whatever the database does by default: a back-fill must see what a lock was waited for."""
    told = "do $$ begin assert current_setting('transaction_isolation') = 'read committed'; end $$;"
    (tmp_path / "0001_isolation.sql").write_text(told)
    with fresh(each_server) as url:
        with psycopg.connect(url, autocommit=True) as owner:
            name = sql.Identifier(owner.info.dbname)
            owner.execute(
                sql.SQL("alter database {} set default_transaction_isolation = 'repeatable read'").format(
                    name
                )
            )

        migrate(url, directory=tmp_path)


def test_what_the_heads_know_of_accounts_is_taken_from_books_that_are_there(
    each_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    for migration in read_migrations()[:6]:
        (tmp_path / f"{migration.number:04}_{migration.name}.sql").write_bytes(migration.text)
    with fresh(each_server) as url:
        migrate(url, directory=tmp_path)
        with psycopg.connect(url, autocommit=True) as app:
            app.execute("set role ledger_app")
            RawBook(app)
            RawBook(app, is_empty=True)
        migrate(url)

        with psycopg.connect(url, autocommit=True) as owner:
            heads = owner.execute(
                "select account_id_max, asset_id_max, has_limits from ledger.heads order by ledger_id"
            ).fetchall()

    assert heads == [(WALLET, EUR, True), (0, 0, False)]
