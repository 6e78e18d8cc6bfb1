"""The start-up interlock: each database that would lie about durability or isolation is refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clusters import APP_PASSWORD, Cluster, Database, fast_directory
from proxies import PoolingProxy
from psycopg import conninfo

from ledger_server.store.embedded import EmbeddedPostgres, make_ephemeral_data_dir
from ledger_server.store.interlock import Interlock, SharedSession, check, check_session
from ledger_server.store.migrate import migrate, newest_migration


@pytest.fixture(scope="module")
def migrated() -> Iterator[Path]:
    """The data directory of a server that can be started with settings of a test's own."""
    data_dir = make_ephemeral_data_dir(fast_directory())
    with EmbeddedPostgres.start(data_dir) as postgres:
        migrate(postgres.owner_url)
    yield data_dir
    shutil.rmtree(data_dir)


@contextmanager
def served_with(data_dir: Path, **settings: str) -> Iterator[psycopg.Connection[Any]]:
    """The service's connection to a server with these settings."""
    with (
        EmbeddedPostgres.start(data_dir, settings=settings) as postgres,
        psycopg.connect(postgres.url("postgres", "ledger_app")) as connection,
    ):
        yield connection


def problems(connection: psycopg.Connection[Any]) -> str:
    with pytest.raises(Interlock) as refusal:
        check(connection)
    assert len(refusal.value.problems) == 1
    return str(refusal.value)


def test_the_service_role_on_a_durable_server_is_let_through(database: Database) -> None:
    with psycopg.connect(database.app_url) as connection:
        check(connection)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_would_lose_what_it_confirmed_is_refused(migrated: Path, setting: str) -> None:
    with served_with(migrated, **{setting: "off"}) as connection:
        assert problems(connection).startswith(f"{setting} is off")


@pytest.mark.parametrize("value", ["local", "remote_write", "remote_apply"])
def test_weaker_and_stronger_standby_guarantees_are_the_operators_choice(
    database: Database, value: str
) -> None:
    url = conninfo.make_conninfo(database.app_url, options=f"-c synchronous_commit={value}")
    with psycopg.connect(url) as connection:
        check(connection)


def test_a_role_that_switches_synchronous_commit_off_is_refused(database: Database) -> None:
    url = conninfo.make_conninfo(database.app_url, options="-c synchronous_commit=off")
    with psycopg.connect(url) as connection:
        assert problems(connection).startswith("synchronous_commit is off")


def test_a_standby_is_refused(migrated: Path) -> None:
    signal = next(migrated.glob("pg*")) / "standby.signal"
    signal.touch()
    try:
        with served_with(migrated) as connection:
            assert "is a standby" in problems(connection)
    finally:
        signal.unlink()


def test_a_server_older_than_the_floor_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger_server.store.interlock.SERVER_VERSION_MIN", 99)
    with psycopg.connect(database.app_url) as connection:
        assert "is too old: 99 or newer" in problems(connection)


def test_a_superuser_is_refused(database: Database) -> None:
    with psycopg.connect(database.owner_url) as connection:
        assert "is a superuser" in problems(connection)


def test_a_superuser_who_acts_as_the_service_role_is_refused(database: Database) -> None:
    url = conninfo.make_conninfo(database.owner_url, options="-c role=ledger_app")
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_user").fetchone() == ("ledger_app",)
        assert "is a superuser" in problems(connection)


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ("in role ledger_app bypassrls", "BYPASSRLS"),
        ("in role ledger_app, ledger_owner", "owns the ledger's tables"),
        ("in role ledger_app superuser", "superuser"),
    ],
)
def test_a_role_that_nothing_holds_back_is_refused(
    database: Database, attributes: str, sentence: str
) -> None:
    with role(database, attributes) as url, psycopg.connect(url) as connection:
        assert sentence in problems(connection)


def test_a_role_that_may_become_a_superuser_is_refused(database: Database) -> None:
    with role(database, "superuser") as powerful_url:
        powerful = conninfo.conninfo_to_dict(powerful_url)["user"]
        with role(database, f"in role ledger_app, {powerful}") as url, psycopg.connect(url) as connection:
            assert "may become one" in problems(connection)


def test_row_security_switched_off_is_refused(database: Database) -> None:
    url = conninfo.make_conninfo(database.app_url, options="-c row_security=off")
    with psycopg.connect(url) as connection:
        assert problems(connection).startswith("row_security is off")


def test_triggers_switched_off_are_refused(database: Database) -> None:
    with role(database, "in role ledger_app") as url:
        name = conninfo.conninfo_to_dict(url)["user"]
        with psycopg.connect(database.owner_url) as owner:
            owner.execute(f"alter role {name} set session_replication_role = replica".encode())

        with psycopg.connect(url) as connection:
            assert problems(connection).startswith("session_replication_role is replica")


def test_a_database_without_the_schema_is_refused_with_the_command_to_run(cluster: Cluster) -> None:
    with cluster.empty_database() as url:
        app_url = conninfo.make_conninfo(url, user="ledger_app", password=APP_PASSWORD)
        with psycopg.connect(app_url) as connection:
            assert "Run `./ledger migrate" in problems(connection)


def test_an_older_schema_is_refused_with_the_command_to_run(database: Database) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("delete from ledger.schema_migrations where number = %s", (newest_migration(),))
    with psycopg.connect(database.app_url) as connection:
        assert "Run `./ledger migrate" in problems(connection)


def test_a_newer_schema_is_refused(database: Database) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(
            "insert into ledger.schema_migrations (number, name, checksum)"
            " values (%s, 'next', repeat('0', 64))",
            (newest_migration() + 1,),
        )
    with psycopg.connect(database.app_url) as connection:
        assert f"at migration {newest_migration() + 1}; this code knows" in problems(connection)


def test_a_schema_that_is_not_the_codes_is_refused(database: Database) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("update ledger.schema_migrations set checksum = repeat('0', 64) where number = 1")
    with psycopg.connect(database.app_url) as connection:
        assert problems(connection).startswith("Migration 1 (")


def test_a_role_that_may_not_read_the_schema_is_told_whom_to_serve_as(database: Database) -> None:
    with role(database, "") as url, psycopg.connect(url) as connection:
        assert "Serve as ledger_app" in problems(connection)


def test_everything_that_is_wrong_is_said_at_once(database: Database) -> None:
    url = conninfo.make_conninfo(database.owner_url, options="-c synchronous_commit=off -c row_security=off")
    with psycopg.connect(url) as connection, pytest.raises(Interlock) as refusal:
        check(connection)

    assert len(refusal.value.problems) == 3


def test_sessions_of_our_own_are_let_through(database: Database) -> None:
    check_session(lambda: psycopg.connect(database.app_url))


def test_a_proxy_that_pools_transactions_is_refused_with_what_to_use_instead(migrated: Path) -> None:
    with (
        EmbeddedPostgres.start(migrated) as postgres,
        PoolingProxy(postgres.url("postgres", "ledger_app")) as proxy,
    ):
        with psycopg.connect(proxy.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)

        with pytest.raises(SharedSession, match="pool_mode = session"):
            check_session(lambda: psycopg.connect(proxy.url))


def test_a_migrator_behind_such_a_proxy_is_refused_too(migrated: Path) -> None:
    with (
        EmbeddedPostgres.start(migrated) as postgres,
        PoolingProxy(postgres.owner_url) as proxy,
        pytest.raises(SharedSession),
    ):
        migrate(proxy.url)


@contextmanager
def role(database: Database, attributes: str) -> Iterator[str]:
    """The URL of a new role, which belongs to the whole server and is dropped at the end."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        name = f"role_{connection.info.backend_pid}"
        connection.execute(f"create role {name} login password 'word' {attributes}".encode())
        try:
            yield conninfo.make_conninfo(database.app_url, user=name, password="word")
        finally:
            connection.execute(f"drop role {name}".encode())
