"""Faults in how a batch is sent: its round trips, its rows, its lane lock."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_POSTING = "ledger_server/store/posting.py"
_WRITING = "ledger_server/store/writing.py"
_BINARY = "ledger_server/store/binary_rows.py"
_TRIP = "ledger_server/store/roundtrip.py"

_POSTED = "tests/store/test_posting.py::"
_ROWS = "tests/store/test_binary_rows.py::"
_TRIPS = "tests/store/test_roundtrip.py::"

ANIMALS = (
    Animal(
        "force lost on its way",
        "A reversal with force is recorded as one without, beside a hash that says otherwise.",
        (
            Plant(
                _BINARY,
                "forced = _FORCED if record.forced else",
                "forced = _NOT_FORCED if record.forced else",
            ),
        ),
        (_ROWS + "test_what_most_transactions_leave_empty_arrives_as_it_is",),
    ),
    Animal(
        "decided ahead and written without the lane",
        "What was decided early is written while another server holds the lane, and one of the two aborts.",
        (Plant(_POSTING, "        if not self._is_locked:\n", "        if False:\n"),),
        (
            "tests/store/test_late_locks.py"
            "::test_a_batch_that_was_decided_ahead_waits_for_the_lane_before_it_writes",
        ),
    ),
    Animal(
        "lane kept after COMMIT",
        "A server that has written keeps the ledger from every other server.",
        (
            Plant(
                _WRITING,
                "        if not keeps_lane:\n",
                "        if False:\n",
            ),
        ),
        (_POSTED + "test_a_write_is_there_when_it_returns_and_the_lane_is_free",),
    ),
    Animal(
        "head that moved told as a bug",
        "A caller is told of an internal error where another server was only faster.",
        (
            Plant(
                _WRITING,
                "if moved.is_there and moved.count == 0 and",
                "if moved.is_there and moved.count < 0 and",
            ),
        ),
        (_POSTED + "test_a_head_that_moved_since_the_books_were_read_writes_nothing_and_says_so",),
    ),
    Animal(
        "negative number without its sign",
        "Every balance below zero is sent as one above it, and the database refuses every posting.",
        (Plant(_BINARY, "sign, value = _NEGATIVE, -value", "sign, value = 0, -value"),),
        (
            _ROWS + "test_every_amount_and_balance_arrives_as_it_is",
            _POSTED + "test_a_write_is_there_when_it_returns_and_the_lane_is_free",
        ),
    ),
    Animal(
        "ten thousand as one digit",
        "A payment of exactly 100.00 is refused by the database as an internal error.",
        (Plant(_BINARY, "    if value < 10_000:\n", "    if value <= 10_000:\n"),),
        (_ROWS + "test_every_amount_and_balance_arrives_as_it_is",),
    ),
    Animal(
        "no key sent as an empty one",
        "The second post without a key is taken by the database for a copy of the first.",
        (Plant(_BINARY, "_text(key) if key else _NO_KEY,", "_text(key),"),),
        (
            _ROWS + "test_every_field_of_a_transaction_arrives_as_it_is",
            "tests/service/test_idempotency.py::test_posts_without_a_key_are_each_recorded",
        ),
    ),
    Animal(
        "times counted from 1970",
        "Every effective_time is recorded thirty years late, beside a hash that says otherwise.",
        (Plant(_BINARY, "record.effective_time - _PG_EPOCH", "record.effective_time"),),
        (
            _ROWS + "test_every_field_of_a_transaction_arrives_as_it_is",
            "tests/service/test_verify.py::test_every_single_edit_is_found_at_its_sequence",
        ),
    ),
    Animal(
        "sent before it is read",
        "A batch of some megabytes hangs: the server and the database each wait for the other to read.",
        (
            Plant(
                _TRIP,
                "            if pgconn.flush():\n                self._wait(select.POLLIN | ",
                "            if pgconn.flush():\n                self._wait(",
            ),
        ),
        (_TRIPS + "test_statements_and_answers_may_be_of_any_size",),
    ),
    Animal(
        "prepared before it was answered",
        "A statement that was first met behind an error is missing for as long as its session lives.",
        (
            Plant(
                _TRIP,
                "            awaited.append(statement.label)\n",
                "            awaited.append(statement.label)\n"
                "            self._prepared.add(statement.label)\n",
            ),
        ),
        (_TRIPS + "test_a_statement_that_was_first_met_behind_an_error_is_prepared_the_next_time",),
    ),
    Animal(
        "last error told instead of the first",
        "What became of a batch is judged by an error that came after the one that undid it.",
        (Plant(_TRIP, "            if self._error is None:\n", "            if result is not None:\n"),),
        (_TRIPS + "test_the_first_error_is_the_one_that_is_raised_and_what_is_behind_a_sync_is_answered",),
    ),
    Animal(
        "silence waited for",
        "A database that says nothing and closes nothing holds a ledger's committer for ever.",
        (
            Plant(
                _TRIP,
                "poll.poll(self._silence_max_s * 1000)",
                "poll.poll(10_000 + self._silence_max_s * 1000)",
            ),
        ),
        (_TRIPS + "test_a_silent_database_is_given_up",),
    ),
)
