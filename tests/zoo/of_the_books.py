"""Faults in the books between batches: what is kept, what is caught up, what is void."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_BOOKS = "ledger_server/domain/books.py"
_READING = "ledger_server/store/books.py"
_COMMITTING = "ledger_server/service/group_commit.py"
_CACHED = "ledger_server/service/books_cache.py"

_BETWEEN = "tests/domain/test_books_between_batches.py::"
_AHEAD = "tests/service/test_ahead.py::"
_VOID = "tests/service/test_void_books.py::"
_CACHE = "tests/store/test_books_cache.py::"

# Books that are not made void are still found out where the head is looked at.
_HEAD_UNSEEN = Plant(_COMMITTING, "before if is_ahead else None", "None")

ANIMALS = (
    Animal(
        "stale lane cache",
        "A server that was overtaken decides on balances that another server has changed since.",
        (
            Plant(
                _READING,
                "if (account_id, asset_id) in balances:",
                "if (account_id, asset_id) not in balances:",
            ),
        ),
        (
            _CACHE + "test_books_behind_the_head_are_caught_up_with_what_others_posted",
            _CACHE + "test_two_servers_that_take_turns_on_one_ledger_agree",
        ),
    ),
    Animal(
        "cache of a future that is gone",
        "After a restore the server goes on from balances that the restore took back.",
        (
            Plant(
                _READING,
                "if known.head.sequence == head.sequence and known.head.hash == head.hash:",
                "if known.head.sequence == head.sequence:",
            ),
        ),
        (_CACHE + "test_books_of_another_epoch_or_of_a_future_that_is_gone_start_afresh",),
    ),
    Animal(
        "keys of the batch before forgotten",
        "A retry that arrives while its post is being written is decided as a new one, and fails as a bug.",
        (
            Plant(
                _BOOKS,
                "self.keys = {key: self.keys.get(key) for key in keys}",
                "self.keys = dict.fromkeys(keys)",
            ),
        ),
        (
            _BETWEEN + "test_a_key_of_the_batch_before_is_known",
            "tests/service/test_ahead.py::test_a_key_that_is_still_being_written_is_known_to_the_next_batch",
        ),
    ),
    Animal(
        "transactions of the batch before forgotten",
        "A payment that was just answered cannot be reversed by its sequence: there is none, it is said.",
        (
            Plant(
                _BOOKS,
                "{sequence: self.transactions.get(sequence) for sequence in origins}",
                "dict.fromkeys(origins)",
            ),
        ),
        (_BETWEEN + "test_a_transaction_of_the_batch_before_can_be_reversed_by_its_sequence",),
    ),
    Animal(
        "reversals of the batch before forgotten",
        "Two refunds of one payment that arrive in a row fail as a bug instead of naming the first.",
        (Plant(_BOOKS, "if sequence > self._began_at", "if sequence > self.head.sequence"),),
        (_BETWEEN + "test_a_transaction_that_the_batch_before_reversed_is_not_reversed_again",),
    ),
    Animal(
        "reversals remembered for ever",
        "A busy ledger's lane holds every reversal it ever made, until the server's memory is full of them.",
        (Plant(_BOOKS, "if sequence > self._began_at", "if sequence > 0"),),
        (_BETWEEN + "test_what_nobody_asks_for_any_more_is_forgotten",),
    ),
    Animal(
        "void books not looked at",
        "A caller is refused for money that was spent by a payment that never came true.",
        (
            Plant(_COMMITTING, "            if books.is_void:\n", "            if False:\n"),
            _HEAD_UNSEEN,
        ),
        (_AHEAD + "test_a_refusal_on_books_that_did_not_come_true_is_not_told",),
    ),
    Animal(
        "books of a lost batch not made void",
        "After a lost connection the next batch is decided on what was lost with it.",
        (
            Plant(_COMMITTING, "            books.is_void = True\n", "            pass\n"),
            Plant(_READING, " or left_at is None or bytes(left_at[0]) != known.head.hash", ""),
            _HEAD_UNSEEN,
        ),
        (
            _AHEAD + "test_a_refusal_on_books_that_did_not_come_true_is_not_told",
            _VOID + "test_money_of_a_lost_batch_is_not_spent_though_others_moved_the_head_past_it",
        ),
    ),
    Animal(
        "void books given out",
        "After each batch that was lost the next one is decided in vain, and its callers wait for it.",
        (
            Plant(
                _CACHED,
                "return None if books is None or books.is_void else books",
                "return books",
            ),
        ),
        (_VOID + "test_void_books_are_not_given_to_anybody",),
    ),
    Animal(
        "books at rest while the next batch works on them",
        "The keys that a batch has just looked for are dropped before it is decided, and it fails as a bug.",
        (Plant(_CACHED, "            if self._books.get(ledger) is books:\n", "            if books:\n"),),
        (_VOID + "test_books_at_rest_forget_their_batch_but_not_while_the_next_one_works_on_them",),
    ),
    Animal(
        "cache without its budget",
        "Every ledger that was ever posted to stays in memory with all its balances.",
        (Plant(_CACHED, "while self._size > self._places_max and", "while self._size < 0 and"),),
        (
            _CACHE + "test_the_cache_forgets_the_ledger_that_was_least_recently_used_first",
            _CACHE + "test_books_larger_than_the_whole_budget_are_not_kept",
        ),
    ),
)
