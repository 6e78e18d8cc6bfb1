"""Faults beside the server's own path: the client's retries, the import's keys, the proof, the interlock."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_CALLS_OF_THREADS = "ledger_client/calls.py"
_RETRIES = "ledger_client/retries.py"
_KEYS = "ledger_server/cli/content_keys.py"
_REPLAY = "ledger_server/service/replay.py"

_CALLS = "tests/client/test_client_calls.py::"
_CONTENT_KEYS = "tests/cli/test_content_keys.py::"
_VERIFY = "tests/service/test_verify.py::"

ANIMALS = (
    Animal(
        "retry of UNKNOWN under a new key",
        "A payment whose answer was lost is made again under another key.",
        (
            Plant(
                _CALLS_OF_THREADS,
                "                self._sleep(pause_s)\n",
                "                self._sleep(pause_s)\n"
                '                if getattr(request, "idempotency_key", ""):\n'
                '                    request.idempotency_key += "x"  # type: ignore[attr-defined]\n',
            ),
        ),
        (_CALLS + "test_a_keyed_post_is_sent_again_under_the_same_key",),
    ),
    Animal(
        "retry without a key",
        "A post without a key is sent again after its answer was lost, and made twice.",
        (
            Plant(
                _RETRIES,
                "NOTHING_DONE_REASONS or all(self._keys)",
                "NOTHING_DONE_REASONS or True",
            ),
        ),
        (_CALLS + "test_a_post_without_a_key_is_never_sent_twice_when_it_may_have_been_recorded",),
    ),
    Animal(
        "batch repeated for its first key",
        "A batch of which one operation has a key is sent again, and the others are made twice.",
        (
            Plant(
                _RETRIES,
                "NOTHING_DONE_REASONS or all(self._keys)",
                "NOTHING_DONE_REASONS or any(self._keys)",
            ),
        ),
        (_CALLS + "test_a_batch_is_repeated_only_if_every_operation_has_a_key",),
    ),
    Animal(
        "refusal repeated",
        "What was refused for good is asked for again and again until the deadline.",
        (Plant(_RETRIES, "    if not refused.is_transient:\n", "    if refused is None:\n"),),
        (_CALLS + "test_what_would_be_refused_again_is_not_repeated",),
    ),
    Animal(
        "import key without its place",
        "Two coffees for 2.80 on one day are imported as one.",
        (
            Plant(
                _KEYS,
                "ordinal = self._seen.get(digest, 0) + 1",
                "ordinal = 1",
            ),
        ),
        (
            _CONTENT_KEYS + "test_equal_transactions_are_told_apart_by_their_ordinal",
            "tests/cli/test_import_command.py::test_two_equal_transactions_stay_two",
        ),
    ),
    Animal(
        "import key with its line",
        "A bank file that got a line at its top imports everything below it a second time.",
        (
            Plant(
                _KEYS,
                "transaction.date.isoformat(), transaction.description]",
                "transaction.date.isoformat(), transaction.description, str(transaction.line)]",
            ),
        ),
        (_CONTENT_KEYS + "test_an_amount_counts_by_its_value_and_the_place_in_the_file_not_at_all",),
    ),
    Animal(
        "import key without framing",
        "Two different lines of a bank file get one key, and the second is never imported.",
        (Plant(_KEYS, '        digest.update(b"%d:" % len(data))\n', ""),),
        (_CONTENT_KEYS + "test_parts_cannot_run_into_each_other",),
    ),
    Animal(
        "import with its sides swapped",
        "An imported journal shows every debt as a claim.",
        (
            Plant(
                "ledger_server/cli/batches.py",
                "side=SIDE_DEBIT if units > 0 else SIDE_CREDIT",
                "side=SIDE_DEBIT if units < 0 else SIDE_CREDIT",
            ),
        ),
        (
            "tests/cli/test_import_command.py"
            "::test_the_household_imported_twice_has_the_balances_of_its_maker",
        ),
    ),
    Animal(
        "proof that believes the running balance",
        "verify passes over a balance that was changed in the database.",
        (
            Plant(_REPLAY, "            if total != int(after):\n", "            if False:\n"),
            Plant(
                _REPLAY,
                "if [entry.balance_after for entry in record.entries] !="
                " [int(line.balance_after) for line in lines]:",
                "if len(record.entries) != len(lines):",
            ),
        ),
        (_VERIFY + "test_every_single_edit_is_found_at_its_sequence",),
    ),
    Animal(
        "proof without the chain",
        "verify passes over a record whose text was changed in the database.",
        (
            Plant(
                _REPLAY,
                "        if record.hash != stored.hash:\n",
                "        if record.hash == b'':\n",
            ),
        ),
        (_VERIFY + "test_every_single_edit_is_found_at_its_sequence",),
    ),
    Animal(
        "proof without the head",
        "verify passes over a journal whose newest records were cut off.",
        (Plant(_REPLAY, "        if head.hash != last.hash:\n", "        if head is None:\n"),),
        (_VERIFY + "test_damage_is_found_where_it_begins",),
    ),
    Animal(
        "served without fsync",
        "The service starts on a database that forgets confirmed payments at a power cut.",
        (Plant("ledger_server/store/interlock.py", 'if server.fsync != "on":', 'if server.fsync == "":'),),
        ("tests/store/test_interlock.py::test_a_server_that_would_lose_what_it_confirmed_is_refused[fsync]",),
    ),
    Animal(
        "embedded without fsync",
        "The embedded database forgets confirmed payments at a power cut.",
        (
            Plant(
                "ledger_server/store/embedded.py",
                'DURABLE = {"fsync": "on",',
                'DURABLE = {"fsync": "off",',
            ),
        ),
        (
            "tests/store/test_embedded.py"
            "::test_durability_is_on_even_if_the_configuration_file_says_otherwise",
        ),
    ),
)
