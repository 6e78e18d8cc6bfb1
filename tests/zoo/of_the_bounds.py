"""Faults in the fence of bounds, and in what vouches for balances."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_JOURNAL = "ledger_server/store/migrations/0001_journal.sql"
_NUMBERS = "ledger_server/store/migrations/0007_accounts_in_the_head.sql"
# Where the fence of entries, and what vouches for it, are written last.
_BOUNDS = "ledger_server/store/migrations/0013_vouched_bounds.sql"
_VOUCHING = "ledger_server/store/migrations/0016_bounds.sql"
_BOUNDED = "tests/store/test_bound_fences.py::"
_REFUSES = "tests/store/test_fences.py::test_the_database_refuses[pg18-"

ANIMALS = (
    Animal(
        "unknown balance believed",
        "Where nothing is vouched, the fence of bounded accounts believes any balance it is told.",
        (
            Plant(
                _BOUNDS,
                "                    is distinct from first_of_batch.before",
                "                    <> first_of_batch.before",
            ),
        ),
        (
            _REFUSES + "a_bounded_balance_for_which_nothing_is_vouched]",
            _REFUSES + "a_forged_seal]",
        ),
    ),
    Animal(
        "seal without its sequence",
        "An old balance, from before the money was spent, opens the fence again.",
        (Plant(_JOURNAL, "vouching.secret, $1, $2, $3, $4, $5", "vouching.secret, $1, $3, $4, $5"),),
        (_REFUSES + "what_was_vouched_at_an_earlier_head]",),
    ),
    Animal(
        "bound judged in the wrong sense",
        "The database lets a wallet fall below its minimum when a bug asks for it.",
        (
            Plant(
                _BOUNDS,
                "sign * balance_after < sign * before and sign * balance_after < balance_min",
                "sign * balance_after > sign * before and sign * balance_after < balance_min",
            ),
        ),
        (_REFUSES + "a_bound_that_is_passed]",),
    ),
    Animal(
        "limits that nobody looks for",
        "The fence of bounds never looks at an account: a wallet falls below its minimum when a bug asks.",
        (Plant(_NUMBERS, "has_limits = has_limits or opened.limited", "has_limits = has_limits"),),
        (_REFUSES + "a_bound_that_is_passed]",),
    ),
    Animal(
        "vouching after writing",
        "A balance is sealed for a head that is rolled back, and opens the fence for another history.",
        (
            Plant(
                _VOUCHING,
                "if pg_current_xact_id_if_assigned() is not null then",
                "if false then",
            ),
        ),
        (_REFUSES + "vouching_for_a_head_that_may_be_rolled_back]",),
    ),
    Animal(
        "vouched for with a neighbour's balance",
        "The first posting to an account with bounds is refused as an internal error.",
        (
            Plant(
                _VOUCHING,
                "                        and (entries.account_id, entries.asset_id, entries.layer)\n"
                "                            >= (asked.account_id, asked.asset_id, 0)\n",
                "",
            ),
        ),
        ("tests/store/test_probes.py::test_a_bounded_account_is_vouched_for_by_its_own_balance",),
    ),
    Animal(
        "vouched for by what is recent alone",
        "An account with bounds that was not touched for long is taken to be empty: its next posting fails.",
        (
            Plant(
                _VOUCHING,
                "                            <= (asked.account_id, asked.asset_id, 0, recent)\n",
                "                            <= (asked.account_id, asked.asset_id, 0, recent) and false\n",
            ),
        ),
        ("tests/store/test_probes.py::test_a_bounded_account_is_vouched_for_however_long_it_rested",),
    ),
    Animal(
        "vouched for before it was there",
        "An account that is opened with a minimum falls below it with its very first posting.",
        (
            Plant(
                _VOUCHING,
                "where coalesce(bound.is_there, (",
                "where coalesce(bound.is_there, true, (",
            ),
        ),
        (_BOUNDED + "test_a_bound_is_not_passed_by[pg18-one_that_a_posting_opens_after_it_was_vouched_for]",),
    ),
    Animal(
        "bounds of a liability read as an asset's",
        "A wallet may be emptied without end, and not be filled.",
        (
            Plant(
                _VOUCHING, "            else - (value ->> 'balance_max')::numeric end,", "            end,"
            ),
            Plant(
                _VOUCHING, "            else - (value ->> 'balance_min')::numeric end\n", "            end\n"
            ),
        ),
        (_BOUNDED + "test_a_bound_is_reached_and_not_passed[pg18-balance_min of a liability]",),
    ),
    Animal(
        "a changed limit that the fence does not hear of",
        "Who lowers a customer's credit lowers it for the service alone: a bug may pass it.",
        (
            Plant(
                _VOUCHING,
                "from inserted order by ledger_id, account_id, version desc",
                "from inserted where version = 1 order by ledger_id, account_id, version desc",
            ),
        ),
        ("tests/store/test_bounds.py::test_bounds_are_those_of_the_newest_version[pg18]",),
    ),
    Animal(
        "a limit that was taken away, and holds",
        "An account that may fall below its old minimum again is refused as an internal error.",
        (Plant(_VOUCHING, "            where inserted.version > 1\n", "            where false\n"),),
        ("tests/store/test_bounds.py::test_bounds_are_those_of_the_newest_version[pg18]",),
    ),
    Animal(
        "bounds that were there before",
        "Of books that are brought up to date no bound is fenced that was set before.",
        (
            Plant(
                _VOUCHING,
                "from (select distinct ledger_id, account_id from ledger.accounts where limits is not null)",
                "from (select distinct ledger_id, account_id from ledger.accounts where false)",
            ),
        ),
        ("tests/store/test_bounds.py::test_books_that_are_there_get_their_bounds[pg18]",),
    ),
    Animal(
        "a batch beside the back-fill",
        "A service that posts while its books get their bounds leaves one that was taken away.",
        (Plant(_VOUCHING, "update ledger.heads set filled = filled where has_limits;\n", ""),),
        (
            "tests/store/test_bounds.py::test_a_batch_that_began_before_its_books_got_bounds_is_tried_again[pg18]",
        ),
    ),
    Animal(
        "an account looked for among all of them",
        "Who changes a hundred limits at once reads every account of the ledger a hundred times.",
        (Plant(_VOUCHING, "                order by accounts.version\n", ""),),
        ("tests/store/test_bounds.py::test_vouching_looks_each_place_up_by_its_own_index[pg18]",),
    ),
    Animal(
        "bounds that nobody proves",
        "The fence of entries goes by a bound that was tampered with, and verify calls the books sound.",
        (
            Plant(
                "ledger_server/service/verify.py",
                "    misstated = journal.misstated_bounds()\n",
                "    misstated = None\n",
            ),
        ),
        (
            "tests/service/test_verify.py::test_damage_is_found_where_it_begins"
            "[a bound that the fence knows otherwise]",
        ),
    ),
    Animal(
        "not vouched for, and believed",
        "One account in a batch that is vouched for lets every other one pass its bounds.",
        (
            Plant(
                _BOUNDS,
                "                        ) is null\n",
                "                        ) is not distinct from null or true\n",
            ),
        ),
        (_BOUNDED + "test_a_bound_is_not_passed_by[pg18-one_beside_what_is_vouched_for]",),
    ),
    Animal(
        "bounds of before the batch",
        "A limit that a batch sets does not hold for what it posts behind it.",
        (
            Plant(
                _BOUNDS,
                "if head.has_limits and head.owing_from = head.moved_from + 1 then",
                "if head.has_limits then",
            ),
        ),
        (
            "tests/store/test_account_fences.py::test_the_database_refuses[below_a_limit_that_came_in_this_batch]",
        ),
    ),
)
