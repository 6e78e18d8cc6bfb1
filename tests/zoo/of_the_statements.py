"""Faults in the statements: a row too many or too few, a condition left out."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_READING = "ledger_server/store/sql/reading.sql"
_SUMMING = "ledger_server/store/sql/summing.sql"
_LANE = "ledger_server/store/sql/lane.sql"
_PROBES = "tests/store/test_probes.py::"
_LISTS = "tests/service/test_transaction_lists.py::"

ANIMALS = (
    Animal(
        "ledger_id missing in one WHERE",
        "Behind row security's back a balance is read from another tenant's account of the same number.",
        (
            Plant(
                _READING,
                "    where entries.ledger_id = %(ledger_id)s\n"
                "        and (entries.account_id, entries.asset_id, layer, sequence)\n",
                "    where (entries.account_id, entries.asset_id, layer, sequence)\n",
            ),
        ),
        ("tests/test_house_statements.py::test_every_table_of_a_statement_is_held_to_its_ledger",),
    ),
    Animal(
        "<= for < at the end of a time range",
        "What happened at midnight is in the report of both days.",
        (Plant(_READING, "effective_time < %(effective_until)s", "effective_time <= %(effective_until)s"),),
        (_LISTS + "test_a_filter_shows_what_matches_and_nothing_else[effective_time-1]",),
    ),
    Animal(
        "> for >= at the start of a time range",
        "What happened at midnight is in the report of neither day.",
        (Plant(_READING, "effective_time >= %(effective_from)s", "effective_time > %(effective_from)s"),),
        (_LISTS + "test_a_filter_shows_what_matches_and_nothing_else[effective_time-1]",),
    ),
    Animal(
        "prefix without its colon",
        "A report on customers:4 shows the payments of customers:42.",
        (
            Plant(
                _READING,
                "starts_with(account.name, %(prefix)s || ':')",
                "starts_with(account.name, %(prefix)s)",
            ),
        ),
        ("tests/rpc/test_lists.py::test_a_filter_shows_exactly_what_passes_it",),
    ),
    Animal(
        "cursor without its index",
        "A page that ends inside a transaction loses that transaction's other entries.",
        (
            Plant(
                _READING,
                "entries.layer, entries.sequence, entries.index)\n"
                "            < (%(account_id)s, asset.asset_id, 0, %(position)s, %(index)s::bigint)",
                "entries.layer, entries.sequence)\n"
                "            < (%(account_id)s, asset.asset_id, 0, %(position)s + 0 * %(index)s)",
            ),
        ),
        (_LISTS + "test_entries_run_with_their_balances_in_every_asset",),
    ),
    Animal(
        "past balance one record early",
        "A balance at the end of the month leaves the last payment of the month out.",
        (
            Plant(
                _READING,
                "<= (account.account_id, asset.asset_id, 0, case when asked.at = 0",
                "< (account.account_id, asset.asset_id, 0, case when asked.at = 0",
            ),
        ),
        ("tests/service/test_balances.py::test_a_balance_at_a_past_sequence_is_what_it_was_then",),
    ),
    Animal(
        "recomputed from one side",
        "The proof of a balance adds credits up as debits, and sound books look broken.",
        (
            Plant(
                _READING,
                "select asset.code, sum(case side when 1 then amount else -amount end)",
                "select asset.code, sum(amount)",
            ),
        ),
        ("tests/service/test_verify.py::test_a_balance_is_the_sum_of_the_entries_and_zero_without_any",),
    ),
    Animal(
        "trial balance that always agrees",
        "The trial balance says OK over books that are not balanced.",
        (
            Plant(_SUMMING, "filter (where entries.side = 2)", "filter (where entries.side = 1)"),
            Plant(
                _SUMMING,
                "    select asset_id,\n"
                "        coalesce(sum(amount) filter (where side = 1), 0) as debits,\n"
                "        coalesce(sum(amount) filter (where side = 2), 0) as credits\n",
                "    select asset_id,\n"
                "        coalesce(sum(amount) filter (where side = 1), 0) as debits,\n"
                "        coalesce(sum(amount) filter (where side = 1), 0) as credits\n",
            ),
        ),
        (
            "tests/service/test_trial_balances.py::test_the_trial_balance_by_type_adds_accounts_up",
            "tests/service/test_verify.py"
            "::test_an_old_amount_that_was_changed_shows_in_the_trial_balance_and_in_verify",
        ),
    ),
    Animal(
        "damaged checkpoint that is believed",
        "A disk's bad byte in a checkpoint becomes the total of every trial balance after it.",
        (Plant(_SUMMING, ") as is_sound", ") is not null as is_sound"),),
        (
            "tests/service/test_checkpoints.py"
            "::test_a_checkpoint_whose_totals_were_changed_is_not_used_not_built_on_and_found",
        ),
    ),
    Animal(
        "entry counted twice beside a checkpoint",
        "The transaction at which a checkpoint stands is in it, and added to it once more.",
        (
            Plant(
                _SUMMING,
                "        and sequence > %(after)s\n        and sequence <= %(at)s\n    group by asset_id\n",
                "        and sequence >= %(after)s\n        and sequence <= %(at)s\n    group by asset_id\n",
            ),
        ),
        ("tests/service/test_checkpoints.py::test_both_bases_agree_over_random_histories_at_every_sequence",),
    ),
    Animal(
        "reversal from the future",
        "A page of last month's books shows reversals that were made since.",
        (
            Plant(
                _READING,
                "    on reversal.sequence <= %(at)s;\n",
                "    on %(at)s::bigint > 0;\n",
            ),
        ),
        ("tests/store/test_reading.py::test_a_read_at_a_sequence_does_not_show_what_came_after_it",),
    ),
    Animal(
        "writing at READ COMMITTED",
        "Two writers who pass each other unseen are no longer found out by the database.",
        (Plant(_LANE, "begin isolation level serializable;", "begin;"),),
        ("tests/service/test_database_refusals.py::test_every_write_is_seen_at_serializable",),
    ),
    Animal(
        "head moved from anywhere",
        "A batch decided on old books is written over what another server wrote since.",
        (
            Plant(
                _LANE,
                "    and sequence = %(before_sequence)s\n    and hash = %(before_hash)s;",
                "    and %(before_sequence)s::bigint > 0\n    and %(before_hash)s::bytea is not null;",
            ),
        ),
        (
            "tests/store/test_posting.py"
            "::test_a_head_that_moved_since_the_books_were_read_writes_nothing_and_says_so",
        ),
    ),
    Animal(
        "lane lock not waited for",
        "Two servers decide on one ledger at once, and one of them keeps losing.",
        (Plant(_LANE, "select pg_advisory_lock(", "select pg_try_advisory_lock("),),
        (
            "tests/store/test_posting.py"
            "::test_an_unknown_outcome_is_not_judged_while_the_old_session_holds_the_lane",
            "tests/store/test_posting.py"
            "::test_a_lane_lock_held_elsewhere_is_waited_for_no_longer_than_lock_timeout",
        ),
    ),
    Animal(
        "caught up backwards",
        "A server that was overtaken takes an account's oldest missed balance for its newest.",
        (
            Plant(
                _LANE,
                ") as since\norder by sequence, index;",
                ") as since\norder by sequence desc, index desc;",
            ),
        ),
        (
            "tests/store/test_books_cache.py::test_books_behind_the_head_are_caught_up_with_what_others_posted",
        ),
    ),
    Animal(
        "opened accounts overlooked",
        "A server keeps refusing an account that another server has opened.",
        (
            Plant(
                _LANE,
                "(select true from ledger.accounts where ledger_id = %(ledger_id)s"
                " and sequence > %(after)s order by sequence limit 1)\nunion all\n",
                "",
            ),
        ),
        ("tests/store/test_books_cache.py::test_books_start_afresh_where_an_account_was_opened_since",),
    ),
    Animal(
        "key of a neighbour",
        "Each new key reads the transaction of the key that follows it, with all its entries and accounts.",
        (Plant(_LANE, "        and idempotency_key <= asked.key\n", ""),),
        (_PROBES + "test_a_lane_finds_no_transaction_of_a_key_that_was_never_used",),
    ),
    Animal(
        "reversal of a neighbour",
        "Each reversal reads who reversed the transaction that follows its origin.",
        (Plant(_LANE, "        and reverses <= asked.sequence\n", ""),),
        (_PROBES + "test_a_lane_finds_no_reversal_of_a_transaction_that_was_not_reversed",),
    ),
    Animal(
        "balance of the account before",
        "A new account begins with the money of the account that was opened before it.",
        (
            Plant(
                _LANE,
                "        and (entries.account_id, entries.asset_id, layer)"
                " >= (asked.account_id, asked.asset_id, 0)\n",
                "",
            ),
        ),
        (_PROBES + "test_a_lane_finds_no_balance_where_nothing_was_posted",),
    ),
    Animal(
        "balance of the asset before",
        "An account's first euro is added to its dollars.",
        (
            Plant(
                _LANE,
                "(entries.account_id, entries.asset_id, layer) >= (asked.account_id, asked.asset_id, 0)",
                "entries.account_id >= asked.account_id",
            ),
        ),
        (_PROBES + "test_a_lane_finds_no_balance_where_nothing_was_posted",),
    ),
    Animal(
        "balance shown of the account before",
        "A statement of a new account shows what another customer has.",
        (
            Plant(
                _READING,
                "        and (entries.account_id, entries.asset_id, layer)"
                " >= (account.account_id, asset.asset_id, 0)\n",
                "",
            ),
        ),
        (_PROBES + "test_a_reader_shows_no_balance_where_nothing_was_posted",),
    ),
    Animal(
        "key shown of a neighbour",
        "Who asks what became of a lost payment is shown somebody else's, and takes it for made.",
        (Plant(_READING, "        and idempotency_key <= %(key)s\n", ""),),
        (_PROBES + "test_a_reader_finds_no_transaction_of_a_key_that_was_never_used",),
    ),
    Animal(
        "key from the future",
        "Last month's books show the payment of a key that was used since.",
        (Plant(_READING, "\nwhere found.sequence <= %(at)s;", "\nwhere %(at)s::bigint > 0;"),),
        (_PROBES + "test_a_reader_finds_a_key_from_its_own_record_on",),
    ),
    Animal(
        "reversal shown beside its neighbour",
        "A payment that stands is shown as reversed, and is paid again.",
        (
            Plant(
                _READING,
                "        and reverses <= recorded.sequence\n",
                "",
            ),
        ),
        (_PROBES + "test_a_reader_shows_a_reversal_beside_its_own_origin_only",),
    ),
    Animal(
        "plan made for a table that was empty",
        "A session opened in a database's first seconds reads the whole ledger for each key it looks for.",
        (
            Plant(
                _LANE,
                "        and idempotency_key >= asked.key\n        and idempotency_key <= asked.key\n"
                "    order by idempotency_key\n",
                "        and idempotency_key = asked.key\n",
            ),
        ),
        ("tests/store/test_plans.py::test_every_lookup_goes_by_its_index_whatever_the_statistics_say",),
    ),
)
