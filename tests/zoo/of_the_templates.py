"""Faults in templates: shares that lose a cent, stock that moves twice, retries that are judged anew."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_ALLOCATION = "tests/domain/test_allocation.py::"
_EXPANDING = "tests/domain/test_expanding.py::"
_SHORT = "ledger_server/domain/plain_lines.py"
_SHORT_TESTS = "tests/domain/test_plain_lines.py::"
_TEMPLATES = "tests/domain/test_templates.py::"
_POSTS = "tests/domain/test_template_posts.py::"
_VERIFY = "tests/service/test_verify_templates.py::"
_WIRE = "tests/rpc/test_templates.py::"

ANIMALS = (
    Animal(
        "share rounded by itself",
        "A split of 1.00 in three loses a cent.",
        (
            Plant(
                "ledger_server/domain/allocation.py",
                "    for place in largest[: total - sum(given)]:\n        given[place] += 1\n",
                "",
            ),
        ),
        (_ALLOCATION + "test_what_is_left_goes_to_the_largest_remainders",),
    ),
    Animal(
        "cent given to whoever comes first",
        "Of 0.99 divided 70, 20 and 10, the first gets the cent that the last is owed.",
        (
            Plant(
                "ledger_server/domain/allocation.py",
                "    for place in largest[: total - sum(given)]:\n",
                "    for place in range(total - sum(given)):\n",
            ),
        ),
        (
            _ALLOCATION + "test_what_is_left_goes_to_the_largest_remainders",
            _ALLOCATION + "test_shares_add_up_and_each_is_less_than_a_unit_off",
        ),
    ),
    Animal(
        "order line kept apart",
        "A product that an order lists twice has two entries, and what reads one of them ships half.",
        (
            Plant(
                "ledger_server/domain/expanding.py",
                "                sums[line] = sums.get(line, 0) + amount\n",
                "                sums[line] = amount\n",
            ),
        ),
        (_EXPANDING + "test_items_of_a_group_make_entries_each_and_a_product_listed_twice_moves_once",),
    ),
    Animal(
        "two totals shared as one",
        "A template that names one asset in two ways pays out half of what it takes.",
        (
            Plant(
                "ledger_server/domain/templates.py",
                "Allocation(entry.is_debit, entry.asset, tuple(",
                'Allocation(entry.is_debit, "", tuple(',
            ),
        ),
        (_EXPANDING + "test_the_same_assets_from_two_patterns_do_not_share_one_total",),
    ),
    Animal(
        "colon in a text",
        "A customer who calls himself jo:credit reaches another account than his own.",
        (
            Plant(
                "ledger_server/domain/parameters.py",
                'separates segments" if ":" in text else',
                'separates segments" if "::" in text else',
            ),
        ),
        (_EXPANDING + "test_a_text_stays_within_its_segment",),
    ),
    Animal(
        "value taken for a name whatever its type",
        "A template of UUIDs opens an account for a user who was misspelt.",
        (
            Plant(
                _SHORT,
                "if is_word(text) is None or len(account)",
                "if len(account)",
            ),
        ),
        (_SHORT_TESTS + "test_a_value_that_fits_one_template_is_judged_for_each",),
    ),
    Animal(
        "name that its pattern spoils",
        "A template writes an account whose name looks like another one's and is not.",
        (
            Plant(
                _SHORT, "if word is None or not all(map(str.isascii, pattern.literals)):", "if word is None:"
            ),
        ),
        (_SHORT_TESTS + "test_a_pattern_that_spoils_its_values_is_judged_with_them",),
    ),
    Animal(
        "zero items sold",
        "An order of no items is refused as an internal error, and not as a mistake of its caller's.",
        (Plant(_SHORT, ' is not None or text == "0":', " is not None:"),),
        (_SHORT_TESTS + "test_what_is_not_makes_nothing", _SHORT_TESTS + "test_both_ways_make_the_same"),
    ),
    Animal(
        "parameter that nobody declared",
        "A caller who gives a discount to a template that has none is not told, and pays in full.",
        (Plant(_SHORT, "if len(values) != len(self._types):", "if len(values) < len(self._types):"),),
        (_SHORT_TESTS + "test_what_is_not_makes_nothing", _SHORT_TESTS + "test_both_ways_make_the_same"),
    ),
    Animal(
        "first violation only",
        "A form with five mistakes takes five attempts.",
        (
            Plant(
                "ledger_server/domain/expanding.py",
                "        faults = list(self._faults(given))\n",
                "        faults = list(self._faults(given))[:1]\n",
            ),
        ),
        (_EXPANDING + "test_every_violation_is_told_at_once_with_its_place",),
    ),
    Animal(
        "optional group that carries a total",
        "With no items given, a total is taken and goes to nobody.",
        (
            Plant(
                "ledger_server/domain/template_faults.py",
                "        if allocation is not None and (allocation.group or minimum[entry.group]):\n",
                "        if allocation is not None:\n",
            ),
        ),
        (_TEMPLATES + "test_what_is_wrong_with_a_template_is_named",),
    ),
    Animal(
        "balance proved by names alone",
        "A template that takes a price once and gives it for each item is called always balanced.",
        (
            Plant(
                "ledger_server/domain/template_faults.py",
                "            term = (entry.asset, entry.group, tuple(sorted(entry.factors)))\n",
                '            term = (entry.asset, "", tuple(sorted(entry.factors)))\n',
            ),
        ),
        (_TEMPLATES + "test_what_is_not_proved_is_not_said_to_be_balanced",),
    ),
    Animal(
        "retry judged by the newest chart",
        "A client that lost the answer to its post is told that the template is gone, and posts it by hand.",
        (
            Plant(
                "ledger_server/domain/template_posts.py",
                "    if recorded is not None:\n",
                "    if recorded is not None and isinstance(books.post_of(draft), PostDraft):\n",
            ),
        ),
        (
            _POSTS + "test_a_retry_is_answered_whatever_the_chart_says_by_then",
            _WIRE + "test_a_retry_is_a_replay_under_any_later_chart",
        ),
    ),
    Animal(
        "parameters left out of the content",
        "The same key with another amount answers the first transaction as if nothing were wrong.",
        (
            Plant(
                "ledger_server/domain/content.py",
                '        differing.append("template.parameters")\n',
                "        pass\n",
            ),
        ),
        (
            _POSTS + "test_other_content_under_a_key_names_what_differs",
            _WIRE + "test_other_parameters_under_a_key_are_a_conflict",
        ),
    ),
    Animal(
        "template past the narrowing",
        "Who may post to his own till empties another one by a template.",
        (
            Plant(
                "ledger_server/rpc/narrowing.py",
                "            return replace(draft, within=access.account_prefixes)\n        return draft\n",
                "            return draft\n        return draft\n",
            ),
        ),
        (_WIRE + "test_who_is_narrowed_posts_within_and_sees_no_parameters_of_what_lies_outside",),
    ),
    Animal(
        "parameters without a hash",
        "The price of a purchase can be changed in the database and nobody can prove it.",
        (
            Plant(
                "ledger_server/domain/recording.py",
                "given_parameters = parameters.canonical(template.parameters or parameters.NOTHING)",
                "pass",
            ),
        ),
        ("tests/domain/test_chain.py::test_a_live_journal_agrees_with_the_document",),
    ),
    Animal(
        "rows not held against their template",
        "Metadata that a template never made passes verify.",
        (
            Plant(
                "ledger_server/service/replay.py",
                "            compare_made(stored, record, asked, metadata)\n",
                "            pass\n",
            ),
        ),
        (_VERIFY + "test_every_single_edit_is_found_at_its_sequence",),
    ),
    Animal(
        "version of a template rewritten",
        "Two transactions of the same template and version were made by different rules.",
        (
            Plant(
                "ledger_server/domain/charting.py",
                "    offenders += _changed_templates(chart, books)\n",
                "",
            ),
        ),
        (
            _POSTS + "test_a_version_of_a_template_keeps_its_content",
            _WIRE + "test_a_version_of_a_template_keeps_its_content",
        ),
    ),
)
