"""The start-up interlock: each database that would lie about durability or isolation is refused by name."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clusters import APP_PASSWORD, Cluster, Database, fast_directory
from proxies import PoolingProxy
from psycopg import conninfo
from torture.processes import until

from ledger_server.app import App
from ledger_server.config import Config
from ledger_server.store.database import Database as StoreDatabase
from ledger_server.store.embedded import EmbeddedPostgres
from ledger_server.store.interlock import Interlock, SharedSession, check, check_session
from ledger_server.store.migrate import migrate, newest_migration


@pytest.fixture(scope="module")
def migrated() -> Iterator[Path]:
    """The data directory of a server that can be started with settings of a test's own."""
    # Not an ephemeral one: while no server runs, others would remove it as left over.
    data_dir = Path(tempfile.mkdtemp(prefix="ledger-interlock-", dir=fast_directory()))
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
        ("in role ledger_app, ledger_backup", "would read them all"),
        ("in role ledger_app, ledger_owner", "owns the ledger's tables"),
        ("in role ledger_app superuser", "superuser"),
    ],
)
def test_a_role_that_nothing_holds_back_is_refused(
    database: Database, attributes: str, sentence: str
) -> None:
    with role(database, attributes) as url, psycopg.connect(url) as connection:
        assert sentence in problems(connection)


def test_a_role_that_may_back_up_is_refused_though_it_bypasses_nothing(database: Database) -> None:
    """Where BYPASSRLS could not be given, a policy shows ledger_backup every ledger."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("alter role ledger_backup nobypassrls")
        try:
            with (
                role(database, "in role ledger_app, ledger_backup") as url,
                psycopg.connect(url) as connection,
            ):
                assert "would read them all" in problems(connection)
        finally:
            owner.execute("alter role ledger_backup bypassrls")


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


# the service ----------------------------------------------------------------------------------

# What is wrong with a database that the service is pointed at, by what a URL can say.
UNSERVABLE = {
    "synchronous_commit": ("-c synchronous_commit=off", "Set synchronous_commit = on"),
    "row_security": ("-c row_security=off", "Set row_security = on"),
}


def refusal_to_serve(url: str) -> str:
    """What the service says that does not start, and that it listens nowhere."""
    app = App(Config(listen="127.0.0.1:0", database_url=url))
    with pytest.raises((Interlock, SharedSession)) as refusal:
        app.start()
    assert app.port == 0
    return str(refusal.value)


@pytest.mark.parametrize("setting", UNSERVABLE)
def test_the_service_does_not_start_on_a_session_that_is_set_to_lie(database: Database, setting: str) -> None:
    options, advice = UNSERVABLE[setting]

    assert advice in refusal_to_serve(conninfo.make_conninfo(database.app_url, options=options))


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_the_service_does_not_start_on_a_server_that_is_set_to_lose_the_books(
    migrated: Path, setting: str
) -> None:
    with EmbeddedPostgres.start(migrated, settings={setting: "off"}) as postgres:
        assert f"Set {setting} = on" in refusal_to_serve(postgres.url("postgres", "ledger_app"))


def test_the_service_does_not_start_on_a_standby(migrated: Path) -> None:
    signal = next(migrated.glob("pg*")) / "standby.signal"
    signal.touch()
    try:
        with EmbeddedPostgres.start(migrated) as postgres:
            said = refusal_to_serve(postgres.url("postgres", "ledger_app"))
    finally:
        signal.unlink()

    assert "Point LEDGER_DATABASE_URL at the primary" in said


@pytest.mark.parametrize(
    "attributes",
    [
        "superuser",
        "in role ledger_app bypassrls",
        "in role ledger_app, ledger_owner",
        "in role ledger_app, ledger_backup",
    ],
)
def test_the_service_does_not_start_as_a_role_that_nothing_holds_back(
    database: Database, attributes: str
) -> None:
    with role(database, attributes) as url:
        assert "Serve as ledger_app" in refusal_to_serve(url)


@pytest.mark.parametrize(
    ("newer_by", "advice"), [(1, "Run the version that migrated it"), (-1, "./ledger migrate")]
)
def test_the_service_does_not_start_on_another_schema(database: Database, newer_by: int, advice: str) -> None:
    with psycopg.connect(database.owner_url) as owner:
        if newer_by < 0:
            owner.execute("delete from ledger.schema_migrations where number = %s", (newest_migration(),))
        else:
            owner.execute(
                "insert into ledger.schema_migrations (number, name, checksum)"
                " values (%s, 'next', repeat('0', 64))",
                (newest_migration() + 1,),
            )

    assert advice in refusal_to_serve(database.app_url)


def test_the_service_does_not_start_on_a_server_below_the_floor(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger_server.store.interlock.SERVER_VERSION_MIN", 99)

    assert "99 or newer is needed" in refusal_to_serve(database.app_url)


def test_the_service_does_not_start_behind_a_proxy_that_pools_transactions(migrated: Path) -> None:
    with (
        EmbeddedPostgres.start(migrated) as postgres,
        PoolingProxy(postgres.url("postgres", "ledger_app")) as proxy,
    ):
        assert "pool_mode = session" in refusal_to_serve(proxy.url)


def test_a_connection_made_later_is_asked_again(database: Database) -> None:
    """Settings change under a service that runs: it would rather have no database than this one."""
    store = StoreDatabase(database.app_url, committers=1, readers=1)
    store.open()
    try:
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            name = psycopg.sql.Identifier(database.name)
            alter = psycopg.sql.SQL("alter role ledger_app in database {} {}")
            off = psycopg.sql.SQL("set synchronous_commit = off")
            back = psycopg.sql.SQL("reset synchronous_commit")
            owner.execute(alter.format(name, off))
            database.end_sessions()

            assert not store.is_serving()

            owner.execute(alter.format(name, back))
            until(lambda: store.is_serving() or None, "serving again")
    finally:
        store.close()


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
