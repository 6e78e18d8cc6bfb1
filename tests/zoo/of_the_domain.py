"""Faults in what is decided: amounts, sides, bounds, keys, reversals, the chain."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_POSTING = "ledger_server/domain/posting.py"
_RECORDING = "ledger_server/domain/recording.py"
_BOUNDING = "ledger_server/domain/bounding.py"
_CONTENT = "ledger_server/domain/content.py"
_CHAIN = "ledger_server/domain/chain.py"
_MIRRORING = "ledger_server/domain/mirroring.py"

_BOUNDS = "tests/domain/test_bounds.py::"
_DECIDING = "tests/domain/test_deciding.py::"
_SAME_CONTENT = "tests/domain/test_same_content.py::"
_EDGES = "tests/rpc/test_limits_at_their_edges.py::"

ANIMALS = (
    Animal(
        "side swapped",
        "Every debit lowers what it should raise: all balances have the wrong sign.",
        (
            Plant(
                _RECORDING,
                "balance + amount if is_debit else balance - amount",
                "balance - amount if is_debit else balance + amount",
            ),
        ),
        (
            _DECIDING + "test_each_entry_carries_the_balance_that_follows_from_the_entries_before_it",
            "tests/service/test_balances.py::test_a_balance_at_a_past_sequence_is_what_it_was_then",
        ),
    ),
    Animal(
        ">= for > at the upper bound",
        "A customer who uses a credit limit to the last cent is refused.",
        (
            Plant(_RECORDING, "<= balance <= bounds[1]", "<= balance < bounds[1]"),
            Plant(_BOUNDING, "after > limit.balance_max:", "after >= limit.balance_max:"),
        ),
        (
            _BOUNDS + "test_a_bound_is_reached_and_not_passed",
            "tests/races/test_races.py::test_the_exact_limit_is_allowed_and_one_more_is_not",
        ),
    ),
    Animal(
        "<= for < at the lower bound",
        "A wallet cannot be emptied: the last spend that leaves exactly the minimum is refused.",
        (
            Plant(_RECORDING, "not bounds[0] <= balance", "not bounds[0] < balance"),
            Plant(_BOUNDING, "after < limit.balance_min:", "after <= limit.balance_min:"),
        ),
        (_BOUNDS + "test_a_bound_is_reached_and_not_passed",),
    ),
    Animal(
        "bounds never doubted",
        "Who spends below a minimum gets an internal error: only the fence of the database notices.",
        (Plant(_RECORDING, "not bounds[0] <= balance <= bounds[1]", "balance > bounds[1]"),),
        (_BOUNDS + "test_a_bound_is_reached_and_not_passed",),
    ),
    Animal(
        "bounds of a liability not turned",
        "A customer's credit limit counts for what he has paid in advance.",
        (
            Plant(
                "ledger_server/domain/accounts.py",
                "(least, most) if sign > 0 else (-most, -least)",
                "(least, most)",
            ),
        ),
        (_BOUNDS + "test_a_bound_is_reached_and_not_passed",),
    ),
    Animal(
        "improvement refused",
        "An account below its minimum can no longer be paid back in parts.",
        (Plant(_BOUNDING, "if after < before and limit.balance_min", "if limit.balance_min"),),
        (_BOUNDS + "test_an_account_outside_its_bounds_may_come_nearer_step_by_step",),
    ),
    Animal(
        "bound of another asset",
        "A bound in one asset refuses or lets pass what is posted in another one.",
        (
            Plant(_RECORDING, "version.bounds.get(code)", "next(iter(version.bounds.values()), None)"),
            Plant(
                _BOUNDING,
                "limit = version.limits.get(asset.code)",
                "limit = next(iter(version.limits.values()))",
            ),
        ),
        (_DECIDING + "test_a_bound_is_about_its_own_asset_only",),
    ),
    Animal(
        "overflow unchecked",
        "A balance of more than 38 digits is decided and then refused by the database as an internal error.",
        (Plant(_RECORDING, "if not AMOUNT_MIN <= balance <= AMOUNT_MAX:", "if False:"),),
        (
            _DECIDING + "test_a_balance_fills_38_digits_and_not_one_more",
            _EDGES + "test_a_balance_that_would_need_39_digits_is_refused_and_never_wraps",
        ),
    ),
    Animal(
        "key without content",
        "A key used again for another payment is answered with the first one: the second is never made.",
        (Plant(_CONTENT, "    if not differing:\n", "    if differing is not None:\n"),),
        (
            _SAME_CONTENT + "test_each_field_that_differs_is_named",
            "tests/service/test_idempotency.py"
            "::test_a_key_of_a_post_with_other_content_is_refused_naming_the_fields",
        ),
    ),
    Animal(
        "sides not compared",
        "A refund sent under the key of its payment is taken for a replay of it.",
        (Plant(_CONTENT, "        or asked.is_debit is not entry.is_debit\n", ""),),
        (_SAME_CONTENT + "test_the_same_lines_on_the_other_sides_are_other_content",),
    ),
    Animal(
        "given time not compared",
        "A retry without its effective_time is answered with a transaction that has one.",
        (Plant(_CONTENT, "        return recorded.effective_time_given\n", "        return False\n"),),
        (_SAME_CONTENT + "test_each_field_that_differs_is_named",),
    ),
    Animal(
        "key forgotten within the batch",
        "An atomic batch that asks for one transaction twice under one key fails as an internal error.",
        (
            Plant(
                _RECORDING,
                "    if idempotency_key:\n        books.put(",
                "    if reverses:\n        books.put(",
            ),
        ),
        (_DECIDING + "test_an_operation_may_name_an_earlier_one_of_the_same_batch_by_its_key",),
    ),
    Animal(
        "validate_only that writes",
        "A question whether a payment would pass makes the payment.",
        (
            Plant(
                _RECORDING,
                "    if validate_only:\n        sequence, record_hash",
                "    if False:\n        sequence, record_hash",
            ),
            Plant(_RECORDING, "    if validate_only:\n        return", "    if False:\n        return"),
        ),
        (
            _DECIDING + "test_validate_only_answers_like_a_call_and_burns_nothing",
            "tests/service/test_idempotency.py::test_validate_only_answers_like_a_real_call_and_writes_nothing",
        ),
    ),
    Animal(
        "refused group left in the books",
        "The drafts after a refused atomic group are decided on money that never moved.",
        (Plant(_POSTING, "books.undo(mark)", "books.keep()"),),
        (_DECIDING + "test_an_atomic_group_is_all_or_nothing",),
    ),
    Animal(
        "undone in the wrong order",
        "After a refused group that touched an account twice, its balance is one from inside the group.",
        (
            Plant(
                "ledger_server/domain/books.py",
                "in reversed(self._undo or ()):",
                "in self._undo or ():",
            ),
        ),
        (_DECIDING + "test_an_atomic_group_is_all_or_nothing",),
    ),
    Animal(
        "sequence from nextval",
        "A refused group burns the numbers it was given: the journal has gaps, and readers wait for ever.",
        (
            Plant(
                _RECORDING,
                "    sequence = books.head.sequence + 1\n    given",
                "    sequence = _NEXTVAL[books.framed] = max(\n"
                "        _NEXTVAL.get(books.framed, 0), books.head.sequence) + 1\n    given",
            ),
            Plant(_RECORDING, "\n\ndef record(", "\n\n_NEXTVAL: dict[bytes, int] = {}\n\n\ndef record("),
        ),
        (
            "tests/service/test_post_batch.py"
            "::test_an_atomic_batch_with_one_refusal_records_nothing_and_names_the_culprit",
        ),
    ),
    Animal(
        "two assets balanced as one",
        "One dollar is exchanged for one bitcoin, and both trial balances are off.",
        (
            Plant(
                "ledger_server/domain/transactions.py",
                "                and first.asset == second.asset\n",
                "",
            ),
        ),
        (
            "tests/domain/test_balancing.py::test_two_assets_one_on_each_side_is_a_mismatch_of_assets",
            "tests/domain/test_balancing.py"
            "::test_a_draft_exists_exactly_if_debits_equal_credits_in_every_asset",
        ),
    ),
    Animal(
        "mirror without its swap",
        "A reversal makes the payment a second time instead of undoing it.",
        (
            Plant(
                _MIRRORING, "entry.account.name, not entry.is_debit,", "entry.account.name, entry.is_debit,"
            ),
            Plant(_MIRRORING, "line.is_debit is entry.is_debit", "line.is_debit is not entry.is_debit"),
        ),
        (_DECIDING + "test_a_reversal_is_the_exact_mirror",),
    ),
    Animal(
        "mirror unchecked",
        "The reversal of a transaction whose rows were damaged spreads the damage.",
        (
            Plant(
                _POSTING,
                "    if fault is not None:\n        return InvariantBroken",
                "    if False:\n        return InvariantBroken",
            ),
        ),
        ("tests/service/test_verify.py::test_a_damaged_origin_is_never_mirrored",),
    ),
    Animal(
        "reversed twice",
        "The second reversal of a payment is an internal error instead of the name of the first.",
        (Plant(_POSTING, "    if reversed_by is not None:\n", "    if False:\n"),),
        (
            _DECIDING + "test_reversals_are_made_once_and_never_reversed",
            "tests/races/test_races.py::test_of_twenty_concurrent_reversals_exactly_one_is_recorded",
        ),
    ),
    Animal(
        "chain without its previous hash",
        "A record can be rewritten with a hash of its own, and the records after it still verify.",
        (Plant(_CHAIN, "_u64(sequence) + previous + sha256", "_u64(sequence) + sha256"),),
        (
            "tests/domain/test_chain.py::test_the_service_computes_every_vector",
            "tests/service/test_verify.py::test_a_record_rewritten_with_its_own_hash_is_betrayed_by_the_next",
        ),
    ),
    Animal(
        "hash without length framing",
        "Two different records have one hash: a character can move from one field to the next unseen.",
        (Plant(_CHAIN, "return _u32(len(data)) + data", "return data"),),
        ("tests/domain/test_chain.py::test_the_service_computes_every_vector",),
    ),
    Animal(
        "details without salt",
        "A redacted description can be found again by hashing guesses.",
        (Plant(_CHAIN, "parts = [salt, ", 'parts = [b"", '),),
        ("tests/domain/test_chain.py::test_the_service_computes_every_vector",),
    ),
    Animal(
        "amount left out of the hash",
        "The amount of an old payment can be changed in the database and the chain still verifies.",
        (Plant(_CHAIN, '        + amount.to_bytes(16, "big")\n', ""),),
        (
            "tests/domain/test_chain.py::test_the_service_computes_every_vector",
            "tests/domain/test_chain.py::test_a_live_journal_agrees_with_the_document",
        ),
    ),
    Animal(
        "liability with a debit side",
        "What customers are owed is shown with the wrong sign, and their minimum becomes a maximum.",
        (
            Plant(
                "ledger_server/domain/accounts.py",
                "AccountType.LIABILITY: -1",
                "AccountType.LIABILITY: 1",
            ),
        ),
        (
            _BOUNDS + "test_a_bound_is_reached_and_not_passed",
            "tests/scenarios/test_scenarios.py"
            "::test_the_live_service_does_what_the_scenario_says[examples/loyalty_credits/credits.scenario]",
        ),
    ),
    Animal(
        "digits of other scripts",
        "An amount that is not written in 0-9 is taken, and two spellings mean one amount.",
        (
            Plant(
                "ledger_server/domain/amounts.py",
                'if text.isascii() and text.isdigit() and text[0] != "0"',
                'if text.isdigit() and text[0] != "0"',
            ),
        ),
        (
            "tests/domain/test_amounts.py::test_anything_else_is_no_amount_and_the_fault_says_why",
            _EDGES + "test_anything_else_is_no_amount",
        ),
    ),
    Animal(
        "two spellings of one name",
        "Two accounts look the same on every screen, and money goes to the other one.",
        (
            Plant(
                "ledger_server/domain/names.py",
                '        if not unicodedata.is_normalized("NFC", name):\n',
                "        if False:\n",
            ),
        ),
        (
            "tests/domain/test_names.py::test_a_name_with_another_spelling_or_an_invisible_part_is_none",
            _EDGES + "test_account_names_of_another_form_are_refused_everywhere",
        ),
    ),
)
