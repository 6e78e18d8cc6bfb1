"""Faults in the migrations: a fence that is open, a right too many."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_JOURNAL = "ledger_server/store/migrations/0001_journal.sql"
_NUMBERS = "ledger_server/store/migrations/0007_accounts_in_the_head.sql"
# Where the fences of heads, accounts and transactions are written last.
_CHARTS = "ledger_server/store/migrations/0010_charts.sql"
# Where transactions and entries are made.
_ENTRIES = "ledger_server/store/migrations/0012_narrow_rows.sql"
# Where the fence of entries is written last.
_BOUNDS = "ledger_server/store/migrations/0013_vouched_bounds.sql"
_FENCES = "tests/store/test_fences.py::"
_REFUSES = _FENCES + "test_the_database_refuses[pg18-"

ANIMALS = (
    Animal(
        "trigger dropped: append-only",
        "The owner of the tables can change an amount that was recorded.",
        (
            Plant(
                _ENTRIES,
                "create trigger append_only before update or delete or truncate on",
                "create trigger append_only before truncate on",
            ),
        ),
        (_FENCES + "test_not_even_the_owner_changes_or_removes_what_is_recorded[pg18-entries]",),
    ),
    Animal(
        "trigger dropped: reversals",
        "A bug can record a reversal of nothing, or of a reversal.",
        (
            Plant(
                _ENTRIES,
                "create trigger reversals_have_origins after insert on ledger.transactions\n"
                "    referencing new table as inserted for each statement"
                " execute function ledger.reversals_have_origins();\n",
                "",
            ),
        ),
        (_REFUSES + "a_reversal_of_a_reversal]", _REFUSES + "a_reversal_of_no_transaction]"),
    ),
    Animal(
        "trigger dropped: full span at COMMIT",
        "A head can be committed that is ahead of its records: the journal has a gap.",
        (
            Plant(
                _JOURNAL,
                "create constraint trigger head_span_full after insert or update of sequence on",
                "create constraint trigger head_span_full after insert or update of epoch on",
            ),
        ),
        (
            _REFUSES + "the_head_moves_and_nothing_is_recorded]",
            _REFUSES + "a_transaction_without_entries]",
        ),
    ),
    Animal(
        "fence that counts and does not compare",
        "Records can be numbered with a gap, or twice, as long as their last number fits.",
        (Plant(_CHARTS, "            or span.first <> head.filled + 1\n", ""),),
        (_REFUSES + "an_account_at_an_old_sequence_and_none_at_the_next]",),
    ),
    Animal(
        "entries numbered twice",
        "Two entries of a transaction can have one number, and which of them came first is anybody's guess.",
        (Plant(_BOUNDS, "        where index <> place\n", "        where index > place\n"),),
        (_REFUSES + "two_entries_of_one_number]",),
    ),
    Animal(
        "entries numbered with gaps",
        "A transaction can be recorded that reads as if an entry of it had been taken away.",
        (Plant(_BOUNDS, "        where index <> place\n", "        where index < place\n"),),
        (_REFUSES + "a_number_left_out]", _REFUSES + "numbers_that_do_not_begin_at_nothing]"),
    ),
    Animal(
        "imbalance by asset unseen",
        "A bug can record a transaction that takes dollars and gives euros out of nothing.",
        (
            Plant(_BOUNDS, "select sequence, asset_id,\n", "select sequence, min(asset_id) as asset_id,\n"),
            Plant(_BOUNDS, "group by sequence, asset_id, layer\n", "group by sequence, layer\n"),
        ),
        (_REFUSES + "two_assets_that_balance_only_together]",),
    ),
    Animal(
        "<= for = in the balance fence",
        "A bug can record a transaction with more credits than debits.",
        (Plant(_BOUNDS, "bool_and(difference = 0) as balanced", "bool_and(difference <= 0) as balanced"),),
        (_REFUSES + "credits_that_are_not_the_debits]",),
    ),
    Animal(
        "account numbers with a gap",
        "An entry can be recorded of an account that was never opened: its number has been passed over.",
        (
            Plant(
                _NUMBERS,
                "(opened.first = account_id_max + 1 and opened.last = account_id_max + opened.accounts)",
                "true",
            ),
        ),
        (
            _REFUSES + "an_account_number_that_skips_one]",
            _REFUSES + "account_numbers_that_skip_one_between_them]",
        ),
    ),
    Animal(
        "head that moves back",
        "A bug can take the newest records out of the journal by moving its head before them.",
        (Plant(_CHARTS, "        or new.sequence < old.sequence\n", ""),),
        (_REFUSES + "the_head_moves_backwards]",),
    ),
    Animal(
        "key not unique",
        "Two servers that meet record one payment twice under its one key.",
        (Plant(_ENTRIES, "create unique index transactions_key", "create index transactions_key"),),
        (_REFUSES + "a_key_that_was_used]",),
    ),
    Animal(
        "reversal not unique",
        "Two servers that meet pay one refund out twice.",
        (Plant(_ENTRIES, "create unique index transactions_reverses", "create index transactions_reverses"),),
        (_REFUSES + "a_second_reversal]",),
    ),
    Animal(
        "policy for everybody",
        "A session of one tenant reads every other tenant's accounts.",
        (
            Plant(
                _JOURNAL,
                "' using (ledger_id = nullif(current_setting(''ledger.id'', true), '''')::bigint)'",
                "' using (true)'",
            ),
        ),
        (
            _FENCES + "test_a_session_sees_its_own_ledger_only[pg18-None]",
            "tests/store/test_reading.py::test_a_session_that_names_no_ledger_sees_nothing",
        ),
    ),
    Animal(
        "no ledger named, every ledger seen",
        "A session that forgot to name its ledger reads all of them.",
        (
            Plant(
                _JOURNAL,
                "' using (ledger_id = nullif(current_setting(''ledger.id'', true), '''')::bigint)'",
                "' using (ledger_id = coalesce(nullif(current_setting(''ledger.id'', true), '''')::bigint,"
                " ledger_id))'",
            ),
        ),
        (
            _FENCES + "test_a_session_sees_its_own_ledger_only[pg18-None]",
            "tests/store/test_reading.py::test_a_session_that_names_no_ledger_sees_nothing",
        ),
    ),
    Animal(
        "right to update records",
        "The service's role may rewrite what was recorded once a trigger is off.",
        (
            Plant(
                _ENTRIES,
                "        execute format('grant insert on ledger.%I to ledger_app', relation);",
                "        execute format('grant insert, update on ledger.%I to ledger_app', relation);",
            ),
        ),
        (
            _FENCES + "test_the_service_may_not_change_or_remove_what_is_recorded[pg18-entries]",
            "tests/store/test_posting.py::test_the_service_role_can_neither_change_nor_remove_a_record",
        ),
    ),
    Animal(
        "functions for everybody",
        "Any role can put a fence of ours on a table of its own and make the head count strangers' rows.",
        (
            Plant(
                _NUMBERS,
                "revoke all on function ledger.asset_ids_continue from public;",
                "grant execute on function ledger.asset_ids_continue to public;",
            ),
        ),
        (_FENCES + "test_no_function_of_ours_is_everybodys[pg18]",),
    ),
    Animal(
        "NaN for an amount",
        "An amount that is no number passes every comparison and spoils every sum after it.",
        (Plant(_ENTRIES, " check (amount > 0 and amount <> 'NaN')", " check (amount > 0)"),),
        (_REFUSES + "an_amount_that_is_no_number]",),
    ),
)
