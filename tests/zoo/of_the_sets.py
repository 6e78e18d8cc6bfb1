"""Faults in account sets and sums: counted twice, of another time, of somebody else's accounts."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_DOMAIN = "tests/domain/test_sets.py::"
_RPC = "tests/rpc/test_aggregates.py::"
_STATEMENTS = "ledger_server/store/sql/aggregating.sql"

ANIMALS = (
    Animal(
        "account counted on each way to it",
        "Receivables are reported higher than they are, because a customer is in two sets.",
        (
            Plant(
                "ledger_server/domain/sets.py",
                "    rest = {one for one in names if one not in widest and widest.isdisjoint(_above(one))}\n",
                "    rest = names\n",
            ),
        ),
        (
            _DOMAIN + "test_what_is_reached_on_several_ways_is_there_once",
            _RPC + "test_an_account_on_two_ways_counts_once",
        ),
    ),
    Animal(
        "sum at the head",
        "The report as of last month's close changes with every sale of today.",
        (
            Plant(
                _STATEMENTS,
                "<= (matching.account_id, asked_assets.asset_id, 0, %(at)s::bigint)",
                "<= (matching.account_id, asked_assets.asset_id, 0, %(at)s::bigint + 1000000000)",
            ),
        ),
        (_RPC + "test_a_sum_at_a_past_sequence_is_what_it_was_then",),
    ),
    Animal(
        "set of today, balances of then",
        "A customer who was moved to another set has always been in it, and old reports do not come out.",
        (
            Plant(
                "ledger_server/service/aggregates.py",
                "aggregating.sets(at)",
                "aggregating.sets(head)",
            ),
        ),
        (_RPC + "test_a_set_is_the_charts_of_the_sequence_that_is_asked_for",),
    ),
    Animal(
        "neighbour by letters",
        "The sum of shop 1 has the tills of shop 12 in it.",
        (
            Plant(
                _STATEMENTS,
                "            and accounts.name > asked.prefix || ':'\n"
                "            and accounts.name < asked.prefix || ';'\n",
                "            and accounts.name > asked.prefix\n"
                "            and starts_with(accounts.name, asked.prefix)\n",
            ),
        ),
        (
            _RPC + "test_the_balances_at_or_below_a_prefix_are_added_up_debit_positive",
            _RPC + "test_who_is_narrowed_adds_up_what_is_his",
        ),
    ),
    Animal(
        "set looked through by its names alone",
        "A clerk of one shop learns what the whole chain holds, from a set that has a prefix.",
        (Plant("ledger_server/service/aggregates.py", "chain(*found)", "found.names"),),
        (_RPC + "test_who_is_narrowed_adds_up_what_is_his",),
    ),
)
