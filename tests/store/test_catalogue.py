"""What the catalogue says of every table, key and function: a new one that forgets its fence is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from clusters import Database
from psycopg import Connection, errors

# Tables with ledger_id and without row-level security, and why they may.
WITHOUT_POLICIES = {"directory": "says which id a name stands for, and nothing else"}
# Tables whose rows may be of no ledger: the database's own, the platform's events and keys.
OF_NO_LEDGER = {"database_identity", "schema_migrations", "vouching", "audit_events", "credentials"}
# Keys that do not begin with ledger_id, of tables that have it, and why they may.
KEYS_ACROSS_LEDGERS = {
    "directory_name_key": "the names of ledgers are what is unique across them",
    "credentials_pkey": "a key is found before its ledger is known; its id is random",
}
# Functions without a search_path of their own, and why they need none.
WITHOUT_SEARCH_PATH = {
    "checkpoint_digest": "its names were looked up when it was made",
    "balance_checksum": "its names were looked up when it was made",
    "bounds_of": "its names were looked up when it was made",
}
TENANT = "(ledger_id = (NULLIF(current_setting('ledger.id'::text, true), ''::text))::bigint)"
POLICIES = {
    ("tenant", ("ledger_app", "ledger_read"), "*", TENANT, None),
    ("owner", ("ledger_owner",), "*", "true", None),
    ("backup", ("ledger_backup",), "r", "true", None),
}
PLATFORM = "((ledger_id IS NULL) AND (current_setting('ledger.platform'::text, true) = 'on'::text))"
# Policies of one table alone, and what they are for.
ALONE = {
    # Events of no ledger, which the service names no ledger to see and write.
    "audit_events": {("platform", ("ledger_app",), "*", PLATFORM, None)},
}
ROLES = ("ledger_app", "ledger_backup", "ledger_owner", "ledger_read")


@pytest.fixture
def owner(database: Database) -> Iterator[Connection[Any]]:
    """A superuser's session, which sees the whole catalogue."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        yield connection


def _names(connection: Connection[Any], query: str) -> set[str]:
    return {name for (name,) in connection.execute(query.encode())}


_WITH_LEDGER = """
    select relname from pg_class
    join pg_attribute on attrelid = pg_class.oid and attname = 'ledger_id'
    where relnamespace = 'ledger'::regnamespace and relkind in ('r', 'p')
"""


def test_every_table_with_a_ledger_is_under_forced_row_security(owner: Connection[Any]) -> None:
    loose = _names(owner, f"{_WITH_LEDGER} and not (relrowsecurity and relforcerowsecurity)")

    assert loose == set(WITHOUT_POLICIES)


def test_every_table_with_a_ledger_has_the_same_policy_for_each_role(owner: Connection[Any]) -> None:
    rows = owner.execute(
        """
        select polrelid::regclass::text, polname,
            (select array_agg(rolname::text order by rolname) from pg_roles where oid = any (polroles)),
            polcmd::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), polpermissive
        from pg_policy
        """
    ).fetchall()

    found: dict[str, set[tuple[object, ...]]] = {}
    for table, name, roles, command, using, with_check, is_permissive in rows:
        assert is_permissive
        found.setdefault(table, set()).add((name, tuple(roles), command, using, with_check))
    wanted = _names(owner, _WITH_LEDGER) - set(WITHOUT_POLICIES)
    assert found == {f"ledger.{table}": POLICIES | ALONE.get(table, set()) for table in wanted}


@pytest.mark.criterion("S000-6")
def test_every_row_of_a_journal_belongs_to_one_ledger(owner: Connection[Any]) -> None:
    without = _names(
        owner,
        """
        select relname from pg_class
        where relnamespace = 'ledger'::regnamespace and relkind in ('r', 'p')
            and not exists (
                select from pg_attribute
                where attrelid = pg_class.oid and attname = 'ledger_id' and attnotnull)
        """,
    )

    assert without == OF_NO_LEDGER


@pytest.mark.criterion("S001-3")
def test_every_index_and_foreign_key_of_such_a_table_begins_with_the_ledger(owner: Connection[Any]) -> None:
    across = _names(
        owner,
        f"""
        select indexrelid::regclass::text from pg_index
        join ({_WITH_LEDGER}) as tenants on indrelid = ('ledger.' || relname)::regclass
        where not exists (
            select from pg_attribute
            where attrelid = indrelid and attnum = indkey[0] and attname = 'ledger_id')
        """,
    )
    referring = _names(
        owner,
        """
        select conname from pg_constraint
        join pg_attribute as here on here.attrelid = conrelid and here.attnum = conkey[1]
        join pg_attribute as there on there.attrelid = confrelid and there.attnum = confkey[1]
        where contype = 'f' and (here.attname <> 'ledger_id' or there.attname <> 'ledger_id')
        """,
    )

    assert across == {f"ledger.{name}" for name in KEYS_ACROSS_LEDGERS}
    assert referring == set()


def test_every_function_looks_up_names_in_one_place_and_is_closed_to_the_public(
    owner: Connection[Any],
) -> None:
    of_ours = "from pg_proc where pronamespace = 'ledger'::regnamespace"

    loose = _names(
        owner,
        f"select proname {of_ours} and not coalesce("
        "'search_path=pg_catalog, pg_temp' = any (proconfig), false)",
    )
    parsed = _names(owner, f"select proname {of_ours} and prosqlbody is not null")
    public = _names(owner, f"select proname {of_ours} and has_function_privilege('public', oid, 'execute')")
    others = _names(owner, f"select proname {of_ours} and proowner <> 'ledger_owner'::regrole")

    assert loose == set(WITHOUT_SEARCH_PATH)
    assert loose <= parsed
    assert public == set()
    assert others == set()


def test_the_owner_owns_everything_and_the_public_may_do_nothing(owner: Connection[Any]) -> None:
    strange = _names(
        owner,
        """
        select relname from pg_class
        where relnamespace = 'ledger'::regnamespace
            and (relowner <> 'ledger_owner'::regrole or relkind not in ('r', 'i', 'S', 'c'))
        """,
    )
    granted = owner.execute(
        """
        select relname, grantee::regrole::text, privilege_type, is_grantable
        from pg_class cross join aclexplode(relacl)
        where relnamespace = 'ledger'::regnamespace
            and (grantee = 0 or privilege_type = 'TRUNCATE' or is_grantable
                or grantee::regrole::text <> all (%s))
        """,
        [list(ROLES)],
    ).fetchall()
    schema = owner.execute(
        "select grantee::regrole::text, privilege_type from pg_namespace cross join aclexplode(nspacl)"
        " where nspname = 'ledger' order by 1, 2"
    ).fetchall()

    assert strange == set()
    assert granted == []
    assert schema == sorted([("ledger_owner", "CREATE"), *((role, "USAGE") for role in ROLES)])


def test_no_role_but_the_backups_bypasses_and_none_may_become_another(owner: Connection[Any]) -> None:
    powers = owner.execute(
        "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles"
        " where rolname like 'ledger%' order by rolname"
    ).fetchall()
    becoming = owner.execute(
        "select member::regrole::text, roleid::regrole::text from pg_auth_members"
        " where member::regrole::text = any (%s)",
        [list(ROLES)],
    ).fetchall()

    assert powers == [(role, False, role == "ledger_backup", False, False, False) for role in ROLES]
    assert becoming == []


def test_what_a_later_migration_makes_is_closed_until_it_opens_it(owner: Connection[Any]) -> None:
    owner.execute("set role ledger_owner")
    owner.execute("create table ledger.later (ledger_id bigint primary key)")
    owner.execute("create function ledger.later() returns integer language sql return 1")

    with pytest.raises(errors.InsufficientPrivilege):
        owner.execute("truncate ledger.later")
    owner.execute("reset role")
    for role in ("ledger_app", "ledger_read"):
        assert not _may(owner, f"has_table_privilege('{role}', 'ledger.later', 'select')")
        assert not _may(owner, f"has_function_privilege('{role}', 'ledger.later()', 'execute')")
    assert _may(owner, "has_table_privilege('ledger_backup', 'ledger.later', 'select')")


def _may(connection: Connection[Any], question: str) -> bool:
    return connection.execute(f"select {question}".encode()).fetchone() == (True,)
