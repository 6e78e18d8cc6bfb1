"""Faults between tenants, and where their books are written down for others: dumps and logs."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_JOURNAL = "ledger_server/store/migrations/0001_journal.sql"
_CHECKPOINTS = "ledger_server/store/migrations/0003_checkpoints.sql"
_BACKUP = "ledger_server/store/migrations/0006_backup.sql"
_DATABASE = "ledger_server/store/database.py"
_APART = "tests/store/test_tenants_apart.py::"
_TABLES = _APART + "test_every_table_lets_each_role_do_what_is_written_down_and_nothing_else[pg18]"

ANIMALS = (
    Animal(
        "an empty context is no context",
        "A session that is lent again fails at its first look into the books.",
        (
            Plant(
                _JOURNAL,
                "(ledger_id = nullif(current_setting(''ledger.id'', true), '''')::bigint)', relation);",
                "(ledger_id = current_setting(''ledger.id'', true)::bigint)', relation);",
            ),
        ),
        (_TABLES,),
    ),
    Animal(
        "row security not forced",
        "What runs as the owner by mistake reads and writes every tenant's rows.",
        (
            Plant(
                _JOURNAL,
                "        execute format('alter table ledger.%I force row level security', relation);\n",
                "",
            ),
        ),
        ("tests/store/test_catalogue.py::test_every_table_with_a_ledger_is_under_forced_row_security",),
    ),
    Animal(
        "TRUNCATE left to the owner",
        "One statement, which no policy sees, empties a table of every tenant.",
        (
            Plant(
                _BACKUP,
                "    from public, ledger_app, ledger_read, ledger_backup, ledger_owner;",
                "    from public, ledger_app, ledger_read, ledger_backup;",
            ),
        ),
        (_TABLES,),
    ),
    Animal(
        "everybody's checkpoints discarded",
        "A repair of one ledger takes the checkpoints of all.",
        (
            Plant(
                _CHECKPOINTS,
                "    delete from ledger.checkpoints where ledger_id = named;",
                "    delete from ledger.checkpoints where ledger_id is not null;",
            ),
        ),
        (_APART + "test_every_function_reaches_the_sessions_ledger_and_no_other[pg18]",),
    ),
    Animal(
        "backups without a policy",
        "On a managed PostgreSQL, where nobody may give BYPASSRLS, no backup can be made.",
        (
            Plant(
                _BACKUP,
                "        execute format('create policy backup on %s for select to ledger_backup"
                " using (true)', relation);\n",
                "        null;\n",
            ),
        ),
        (
            "tests/store/test_backups.py"
            "::test_where_bypassrls_could_not_be_given_the_backup_role_dumps_by_its_policy[pg18]",
        ),
    ),
    Animal(
        "served as the role of the backups",
        "The service starts as a role that reads every tenant's books.",
        (Plant("ledger_server/store/interlock.py", " or rolname = 'ledger_backup'", ""),),
        (
            "tests/store/test_interlock.py"
            "::test_a_role_that_may_back_up_is_refused_though_it_bypasses_nothing",
        ),
    ),
    Animal(
        "interlock asked once",
        "Settings that change under a running service lose confirmed payments at a power cut.",
        (
            Plant(
                _DATABASE,
                "    for setting in READ_SETTINGS:\n"
                "        connection.execute(setting)\n"
                "    interlock.check(connection)\n",
                "    for setting in READ_SETTINGS:\n        connection.execute(setting)\n",
            ),
        ),
        ("tests/store/test_interlock.py::test_a_connection_made_later_is_asked_again",),
    ),
    Animal(
        "ledger remembered by too little of its name",
        "A tenant whose ledger's name begins like another's is answered from that one's books.",
        (
            Plant(_DATABASE, "known = self._known.get(name)", "known = self._known.get(name[:10])"),
            Plant(_DATABASE, "self._known[name] = row[0]", "self._known[name[:10]] = row[0]"),
        ),
        (
            "tests/races/test_pooled_tenants.py"
            "::test_tenants_who_share_sessions_are_told_nothing_of_each_other",
        ),
    ),
    Animal(
        "statement held to no ledger",
        "Row security alone stands between a tenant and another's account of the same name.",
        (
            Plant(
                "ledger_server/store/sql/reading.sql",
                "from ledger.accounts\nwhere ledger_id = %(ledger_id)s\n    and name = %(name)s\n"
                "    and sequence <= %(at)s\norder by version desc",
                "from ledger.accounts\nwhere ledger_id > 0\n    and name = %(name)s\n"
                "    and sequence <= %(at)s\norder by version desc",
            ),
        ),
        ("tests/test_house_statements.py::test_every_table_of_a_statement_is_held_to_its_ledger",),
    ),
    Animal(
        "statement glued from text",
        "A name with a quote in it becomes a statement of its own.",
        (
            Plant(
                "ledger_server/store/databases.py",
                'sql.SQL("create database {}").format(sql.Identifier(name))',
                "f'create database \"{name}\"'",
            ),
        ),
        ("tests/test_house_statements.py::test_no_statement_is_built_from_text",),
    ),
    Animal(
        "log that quotes exceptions",
        "A row that PostgreSQL refused, with names and amounts, stands in the service's log.",
        (Plant("ledger_server/cli/log_lines.py", "    def formatException(", "    def formatOther("),),
        (
            "tests/rpc/test_what_is_logged.py"
            "::test_a_log_at_every_level_tells_nothing_of_accounts_keys_metadata_or_amounts",
        ),
    ),
    Animal(
        "PostgreSQL's log quotes rows",
        "Every refused row stands in the embedded database's log.",
        (Plant("ledger_server/store/embedded.py", "**DISCREET, ", ""),),
        ("tests/store/test_embedded.py::test_its_log_quotes_nothing_of_what_is_in_the_books[ours]",),
    ),
)
