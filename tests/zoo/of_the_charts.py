"""Faults in charts: families that leak, numbers that skip, accounts without proof."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_POSTS = "tests/domain/test_charted_posts.py::"
_FENCES = "tests/store/test_chart_fences.py::"
_COMMITS = "tests/service/test_chart_commits.py::"
_ROLES = "tests/domain/test_roles_of_kinds.py::"
_LIMITS = "tests/domain/test_limits_of_families.py::"
_VERIFY = "tests/service/test_verify_charts.py::"
_MIGRATION = "ledger_server/store/migrations/0010_charts.sql"

ANIMALS = (
    Animal(
        "number burnt by a refusal",
        "The tax office asks where receipt 17 is.",
        (
            Plant(
                "ledger_server/domain/first_postings.py",
                '    return series_of(draft, rules) if rules.is_numbering else ""\n',
                '    series = series_of(draft, rules) if rules.is_numbering else ""\n'
                "    if series and isinstance(series, str):\n"
                "        books.series[series] += 1\n"
                "    return series\n",
            ),
        ),
        (_POSTS + "test_numbers_have_no_gap_in_each_series_and_a_refused_post_burns_none",),
    ),
    Animal(
        "role of a kind asked of nobody",
        "The till adjusts balances, which only the accountant is trusted with.",
        (
            Plant(
                "ledger_server/domain/governing.py",
                "    if roles is None or rules is None or not rules.has_roles:",
                "    if not roles or rules is None or True:",
            ),
        ),
        (
            _ROLES + "test_a_post_of_a_kind_with_a_role_needs_the_role",
            _ROLES + "test_one_forbidden_draft_refuses_an_atomic_group_whole",
        ),
    ),
    Animal(
        "role of a kind asked behind the key",
        "Who may not adjust asks with the accountant's key, and is shown the adjustment.",
        (
            Plant(
                "ledger_server/domain/template_posts.py",
                "        refusal = role_refusal(recorded.kind, draft.roles, books.rules)\n"
                "        if refusal is not None:\n"
                "            return refusal\n",
                "",
            ),
        ),
        (_ROLES + "test_the_role_is_judged_before_the_key_so_that_nobody_is_answered_what_he_may_not_ask",),
    ),
    Animal(
        "role of a kind not in the hash",
        "Somebody edits the chart's row, and the till may adjust from then on.",
        (
            Plant(
                "ledger_server/domain/charting.py",
                '            bytes((role,)) if role is not None else b"",\n',
                "",
            ),
        ),
        (_ROLES + "test_a_role_is_a_difference_and_in_the_canonical_form",),
    ),
    Animal(
        "credit limit below zero",
        "A customer's limit is set to -100 by a slip, and no payment is enough to buy again.",
        (
            Plant(
                "ledger_server/domain/governing.py",
                "    if not family.limits_include_zero:\n",
                "    if True:\n",
            ),
        ),
        (
            _LIMITS + "test_no_later_limit_of_such_a_family_excludes_zero",
            "tests/rpc/test_charts.py::test_no_limit_of_a_family_that_says_so_excludes_zero",
        ),
    ),
    Animal(
        "chart over limits of the first day",
        "A limit that was corrected long ago keeps the chart out, and one that was broken since does not.",
        (
            Plant(
                "ledger_server/store/sql/lane.sql",
                "    order by version desc\n    limit 1\n) as standing\n",
                "    order by version\n    limit 1\n) as standing\n",
            ),
        ),
        ("tests/rpc/test_charts.py::test_a_limit_that_stands_and_excludes_zero_is_an_offender",),
    ),
    Animal(
        "numbers remembered past another server",
        "Two tills of one shop print the same receipt number, or the second one cannot sell.",
        (Plant("ledger_server/store/books.py", "        known.series.clear()\n", ""),),
        (_COMMITS + "test_a_server_that_starts_again_goes_on_with_the_chart_and_its_numbers",),
    ),
    Animal(
        "fence of names gone",
        "A person at psql opens an account that the chart does not have.",
        (
            Plant(
                _MIGRATION,
                "        if cardinality(patterns) > 0 and exists (",
                "        if false and exists (",
            ),
        ),
        (_FENCES + "test_an_account_has_the_name_and_type_of_a_family",),
    ),
    Animal(
        "pattern without its anchors",
        "The account 12000 passes for 2000 in the database.",
        (
            Plant(
                "ledger_server/domain/families.py",
                "f\"^(?:{'|'.join(found)})$\"",
                "f\"(?:{'|'.join(found)})\"",
            ),
        ),
        (_FENCES + "test_an_account_has_the_name_and_type_of_a_family",),
    ),
    Animal(
        "fence of numbers gone",
        "A bug leaves receipt numbers out and nobody is told.",
        (Plant(_MIGRATION, "    if span.numbers > 0 and exists (", "    if false and exists ("),),
        (_FENCES + "test_the_database_refuses_numbers_that_skip_or_come_again",),
    ),
    Animal(
        "last number looked for by sequence",
        "A till of a ledger with ten million receipts takes a second for each.",
        (
            Plant(
                _MIGRATION,
                "                order by last.series desc, last.number desc\n",
                "                order by last.sequence desc\n",
            ),
        ),
        ("tests/store/test_plans.py::test_a_numbered_batch_looks_at_the_last_number_of_its_series_alone",),
    ),
    Animal(
        "chart over accounts that contradict it",
        "A chart says that customers are liabilities, and half of them are not.",
        (
            Plant(
                "ledger_server/domain/charting.py",
                "    count = len(offenders) + books.misfits.total\n",
                "    count = len(offenders)\n",
            ),
        ),
        (_POSTS + "test_what_is_recorded_and_contradicts_a_chart_is_named",),
    ),
    Animal(
        "two families for one name",
        "What an account may hold depends on which of two families is found first.",
        (
            Plant(
                "ledger_server/domain/families.py",
                "    return frozenset({mine[left], others[right]}) not in _APART\n",
                "    return mine[left] is others[right]\n",
            ),
        ),
        (
            "tests/domain/test_families.py::test_families_that_may_match_the_same_name_are_a_fault_of_the_later",
        ),
    ),
    Animal(
        "opened account left out of the hash",
        "Somebody changes the limit of an account that a posting opened, and everything verifies.",
        (
            Plant(
                "ledger_server/domain/recording.py",
                "            more_flags, more = chain.OPENS_ACCOUNTS, opened_frames(opened.values())\n",
                "            pass\n",
            ),
            Plant(
                "ledger_server/service/replayed_charts.py",
                "    if found != given:\n",
                "    if False:\n",
            ),
        ),
        (_VERIFY + "test_every_single_edit_is_found_at_its_sequence",),
    ),
    Animal(
        "kind judged before the key",
        "A retry after the chart was changed is refused, and the caller pays twice under a new key.",
        (
            Plant(
                "ledger_server/domain/posting.py",
                "    if draft.idempotency_key:\n        recorded = books.keys[draft.idempotency_key]\n"
                "        if recorded is not None:\n            differing = post_differences",
                "    if books.rules is not None:\n"
                "        early = judge_by_chart(draft, books.rules, books)\n"
                "        if isinstance(early, Refusal):\n"
                "            return early\n"
                "    if draft.idempotency_key:\n        recorded = books.keys[draft.idempotency_key]\n"
                "        if recorded is not None:\n            differing = post_differences",
            ),
        ),
        (_POSTS + "test_the_key_is_judged_before_the_chart",),
    ),
)
