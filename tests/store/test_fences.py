"""The database refuses what the service would never write: each fence tried by raw SQL as ledger_app.

The same attempts run on every version of PostgreSQL that is supported and found.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from clusters import Cluster, Database, fast_directory
from psycopg import errors
from raw_books import CASH, CREDIT, DEBIT, EUR, FUNDED, SALES, USD, WALLET, RawBook, entry

from ledger_server.domain.accounts import ACCOUNTS_PER_LEDGER_MAX
from ledger_server.store.binaries import BinariesNotFound, find_binaries
from ledger_server.store.embedded import EmbeddedPostgres, make_ephemeral_data_dir

RECORDS = ("ledgers", "assets", "accounts", "transactions", "entries")
CHECKPOINTS = ("checkpoints", "checkpoint_balances")
RUNS = "trial_balance_runs"
UNDER_ROW_SECURITY = ("heads", *RECORDS, *CHECKPOINTS, RUNS)
NEXT = FUNDED + 1

Attempt = Callable[[RawBook], None]
ATTEMPTS: list[Any] = []


@pytest.fixture(scope="module", params=(15, 16, 18), ids=lambda major: f"pg{major}")
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database on each version, for the whole module."""
    try:
        bindir = find_binaries(major=request.param).bindir
    except BinariesNotFound:
        if os.environ.get("LEDGER_CI") == "1":
            raise
        pytest.skip(f"PostgreSQL {request.param} is not on this machine: its fences are not tried")
    data_dir = make_ephemeral_data_dir(fast_directory())
    try:
        with EmbeddedPostgres.start(
            data_dir, bindir=bindir, ephemeral=True, settings={"shared_buffers": "64MB"}
        ) as postgres:
            assert postgres.version_major == request.param
            with Cluster(postgres.owner_url, postgres.version_major).database() as database:
                yield database
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def app(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session of ledger_app."""
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def owner(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session of ledger_owner."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("set role ledger_owner")
        yield connection


@pytest.fixture
def book(app: psycopg.Connection[Any]) -> RawBook:
    """A fresh ledger."""
    return RawBook(app)


def refused(constraint: str) -> Callable[[Attempt], Attempt]:
    """Marks an attempt with the constraint that must refuse it."""

    def mark(attempt: Attempt) -> Attempt:
        ATTEMPTS.append(pytest.param(attempt, constraint, id=attempt.__name__))
        return attempt

    return mark


def sale(book: RawBook, sequence: int = NEXT, before: int = 0, amount: int = 5) -> None:
    """The entries of a sale, which are sound where sales stood at `before` and cash at 100 - before."""
    book.entries(
        entry(sequence, 0, CASH, DEBIT, amount, 100 - before + amount),
        entry(sequence, 1, SALES, CREDIT, amount, before - amount),
    )


def spend(book: RawBook, amount: int, before: int = 100, vouched: str | None = None) -> None:
    """Spends from the wallet, which says it stood at `before`."""
    with book.writing(1, book.vouch((WALLET, USD)) if vouched is None else vouched):
        book.transactions(NEXT)
        book.entries(
            entry(NEXT, 0, WALLET, DEBIT, amount, amount - before),
            entry(NEXT, 1, SALES, CREDIT, amount, -amount),
        )


# the numbering ---------------------------------------------------------------------------


@refused("records_continue")
def sequences_with_a_gap(book: RawBook) -> None:
    with book.writing(3):
        book.transactions(NEXT, NEXT + 2)


@refused("records_continue")
def a_record_that_is_not_the_next(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT + 1)


@refused("records_continue")
def a_record_at_the_head(book: RawBook) -> None:
    with book.writing(1):
        book.accounts((FUNDED, 4, "late", 1, None))


@refused("records_continue")
def a_record_below_the_head(book: RawBook) -> None:
    with book.writing(1):
        book.assets((5, 9, "CHF"))


@refused("records_continue")
def records_without_moving_the_head(book: RawBook) -> None:
    with book.writing():
        book.transactions(NEXT)


@refused("records_continue")
def records_beyond_the_head(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT, NEXT + 1)


@refused("records_continue")
def a_record_of_another_time_than_the_heads(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT, time="1 microsecond")


@refused("records_continue")
def two_accounts_at_one_sequence_and_none_at_another(book: RawBook) -> None:
    with book.writing(3):
        book.accounts((NEXT, 4, "a", 1, None), (NEXT, 5, "b", 1, None), (NEXT + 2, 6, "c", 1, None))


@refused("records_continue")
def an_account_at_an_old_sequence_and_none_at_the_next(book: RawBook) -> None:
    # 3 is an asset's, so that no key of the accounts is in the way.
    with book.writing(2):
        book.accounts((3, 4, "late", 1, None), (NEXT + 1, 5, "later", 1, None))


@refused("records_continue")
def a_record_while_entries_are_owed(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT)
        book.transactions(NEXT + 1)


# the head ----------------------------------------------------------------------------------


@refused("head_span_full")
def the_head_moves_and_nothing_is_recorded(book: RawBook) -> None:
    with book.writing(1):
        pass


@refused("head_span_full")
def the_head_moves_further_than_the_records(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT)
        sale(book)


@refused("head_span_full")
def the_head_moves_again_before_its_span_is_full(book: RawBook) -> None:
    with book.writing(1):
        book.move(1)


@refused("head_moves_forward")
def the_head_moves_backwards(book: RawBook) -> None:
    with book.writing():
        book.move(-1)


@refused("head_moves_forward")
def the_head_gets_another_hash(book: RawBook) -> None:
    with book.writing():
        book.move(0, b"\x09" * 32, time="0")


@refused("head_moves_forward")
def the_head_gets_another_time(book: RawBook) -> None:
    with book.writing():
        book.run("update ledger.heads set record_time = record_time + '1s' where ledger_id = %s", [book.id])


@refused("head_moves_forward")
def the_heads_time_goes_back(book: RawBook) -> None:
    with book.writing():
        book.move(1, time="-1 second")


@refused("head_moves_forward")
def the_epoch_falls(book: RawBook) -> None:
    with book.writing():
        book.run("update ledger.heads set epoch = 0 where ledger_id = %s", [book.id])


@refused("heads_record_time_check")
def a_time_that_no_client_can_read(book: RawBook) -> None:
    with book.writing():
        book.run(
            "update ledger.heads set record_time = 'infinity', sequence = 8 where ledger_id = %s", [book.id]
        )


@refused("head_starts_at_one")
def a_ledger_that_starts_later(book: RawBook) -> None:
    with book.connection.transaction():
        found = book.run("insert into ledger.directory (name) values (gen_random_uuid()) returning ledger_id")
        (ledger_id,) = found.fetchone() or (0,)
        book.name_session(ledger_id)
        book.run(
            "insert into ledger.heads (ledger_id, sequence, hash, record_time, filled) values (%s, 5,"
            " %s, now(), 5)",
            [ledger_id, b"\x00" * 32],
        )


@refused("head_span_full")
def a_ledger_without_its_first_record(book: RawBook) -> None:
    with book.connection.transaction():
        found = book.run("insert into ledger.directory (name) values (gen_random_uuid()) returning ledger_id")
        (ledger_id,) = found.fetchone() or (0,)
        book.name_session(ledger_id)
        book.run(
            "insert into ledger.heads (ledger_id, sequence, hash, record_time) values (%s, 1, %s, now())",
            [ledger_id, b"\x00" * 32],
        )


# entries -----------------------------------------------------------------------------------


@refused("entries_belong")
def entries_without_their_transaction(book: RawBook) -> None:
    with book.writing(1):
        sale(book)


@refused("entries_belong")
def entries_added_to_an_old_transaction(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(FUNDED, 2, CASH, DEBIT, 5, 105), entry(FUNDED, 3, SALES, CREDIT, 5, -5))


@refused("entries_belong")
def entries_added_to_an_old_transaction_alone(book: RawBook) -> None:
    with book.writing():
        book.entries(entry(FUNDED, 2, CASH, DEBIT, 5, 105), entry(FUNDED, 3, SALES, CREDIT, 5, -5))


@refused("entries_belong")
def entries_added_once_more(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        sale(book)
        book.entries(entry(NEXT, 2, CASH, DEBIT, 5, 110), entry(NEXT, 3, SALES, CREDIT, 5, -10))


@refused("entries_belong")
def entries_of_an_accounts_record(book: RawBook) -> None:
    with book.writing(1):
        book.accounts((NEXT, 4, "late", 1, None))
        sale(book)


@refused("entries_belong")
def entries_of_only_some_transactions(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT, NEXT + 1)
        sale(book)


@refused("head_span_full")
def a_transaction_without_entries(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)


@refused("entries_paired")
def a_transaction_with_one_entry(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105))


@refused("entries_paired")
def one_entry_each_that_balance_together(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT, NEXT + 1)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT + 1, 0, SALES, CREDIT, 5, -5))


@refused("entries_balanced")
def debits_that_are_not_the_credits(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, SALES, CREDIT, 4, -4))


@refused("entries_balanced")
def credits_that_are_not_the_debits(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 4, 104), entry(NEXT, 1, SALES, CREDIT, 5, -5))


@refused("entries_balanced")
def two_transactions_that_balance_only_together(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT, NEXT + 1)
        book.entries(
            entry(NEXT, 0, CASH, DEBIT, 5, 105),
            entry(NEXT, 1, SALES, CREDIT, 4, -4),
            entry(NEXT + 1, 0, CASH, DEBIT, 4, 109),
            entry(NEXT + 1, 1, SALES, CREDIT, 5, -9),
        )


@refused("entries_balanced")
def two_assets_that_balance_only_together(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, SALES, CREDIT, 5, -5, EUR))


@refused("entries_balanced")
def two_layers_that_balance_only_together(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, SALES, CREDIT, 5, -5, layer=1))


@refused("entries_have_accounts")
def an_entry_of_an_unknown_account(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, 99, CREDIT, 5, -5))


@refused("entries_have_assets")
def an_entry_of_an_unknown_asset(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 5, 9), entry(NEXT, 1, SALES, CREDIT, 5, -5, 9))


@refused("entries_continue")
def a_balance_that_does_not_continue_within_the_batch(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT, NEXT + 1)
        book.entries(
            entry(NEXT, 0, CASH, DEBIT, 5, 105),
            entry(NEXT, 1, SALES, CREDIT, 5, -5),
            entry(NEXT + 1, 0, CASH, DEBIT, 5, 110),
            entry(NEXT + 1, 1, SALES, CREDIT, 5, -11),
        )


@refused("entries_continue")
def a_balance_that_does_not_continue_within_the_transaction(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, CASH, CREDIT, 5, 101))


def sale_numbered(book: RawBook, *numbers: int, sequence: int = NEXT) -> None:
    """A sale in as many entries as there are numbers, half of them of cash, on the head that stands."""
    half = len(numbers) // 2
    book.entries(
        *(entry(sequence, number, CASH, DEBIT, 5, 105 + 5 * n) for n, number in enumerate(numbers[:half])),
        *(entry(sequence, number, SALES, CREDIT, 5, -5 - 5 * n) for n, number in enumerate(numbers[half:])),
    )


@refused("entries_numbered")
def two_entries_of_one_number(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        sale_numbered(book, 0, 0)


@refused("entries_numbered")
def a_number_given_twice_and_the_next_left_out(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        sale_numbered(book, 0, 1, 1, 3)


@refused("entries_numbered")
def a_number_left_out(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        sale_numbered(book, 0, 2)


@refused("entries_numbered")
def numbers_that_do_not_begin_at_nothing(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        sale_numbered(book, 1, 2)


@refused("entries_numbered")
def numbers_that_go_on_from_one_transaction_to_the_next(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT, NEXT + 1)
        book.entries(
            entry(NEXT, 0, CASH, DEBIT, 5, 105),
            entry(NEXT, 1, SALES, CREDIT, 5, -5),
            entry(NEXT + 1, 2, CASH, DEBIT, 5, 110),
            entry(NEXT + 1, 3, SALES, CREDIT, 5, -10),
        )


@refused("entries_numbered")
def one_number_in_two_assets(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(
            entry(NEXT, 0, CASH, DEBIT, 5, 105),
            entry(NEXT, 1, SALES, CREDIT, 5, -5),
            entry(NEXT, 0, CASH, DEBIT, 5, 5, EUR),
            entry(NEXT, 1, SALES, CREDIT, 5, -5, EUR),
        )


@refused("entries_amount_check")
def an_amount_of_nothing(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 0, 100), entry(NEXT, 1, SALES, CREDIT, 0, 0))


@refused("entries_amount_check")
def an_amount_below_nothing(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, -5, 95), entry(NEXT, 1, SALES, CREDIT, -5, 5))


@refused("entries_amount_check")
def an_amount_that_is_no_number(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, "NaN", "NaN"), entry(NEXT, 1, SALES, CREDIT, "NaN", "NaN"))


@refused("entries_balance_after_check")
def a_balance_that_is_no_number(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, "NaN"), entry(NEXT, 1, SALES, CREDIT, 5, -5))


# bounds ------------------------------------------------------------------------------------


@refused("entries_within_bounds")
def a_bound_that_is_passed(book: RawBook) -> None:
    spend(book, 101)


@refused("entries_within_bounds")
def a_bound_that_is_passed_by_several_transactions(book: RawBook) -> None:
    with book.writing(2, book.vouch((WALLET, USD))):
        book.transactions(NEXT, NEXT + 1)
        book.entries(
            entry(NEXT, 0, WALLET, DEBIT, 60, -40),
            entry(NEXT, 1, SALES, CREDIT, 60, -60),
            entry(NEXT + 1, 0, WALLET, DEBIT, 60, 20),
            entry(NEXT + 1, 1, SALES, CREDIT, 60, -120),
        )


@refused("entries_within_bounds")
def a_bound_that_is_passed_after_an_account_between(book: RawBook) -> None:
    with book.writing(3, book.vouch((WALLET, USD))):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, WALLET, DEBIT, 60, -40), entry(NEXT, 1, SALES, CREDIT, 60, -60))
        book.accounts((NEXT + 1, 4, "between", 1, None))
        book.transactions(NEXT + 2)
        book.entries(entry(NEXT + 2, 0, WALLET, DEBIT, 60, 20), entry(NEXT + 2, 1, SALES, CREDIT, 60, -120))


@refused("entries_continue")
def the_vouched_balance_again_after_an_account_between(book: RawBook) -> None:
    with book.writing(3, book.vouch((WALLET, USD))):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, WALLET, DEBIT, 60, -40), entry(NEXT, 1, SALES, CREDIT, 60, -60))
        book.accounts((NEXT + 1, 4, "between", 1, None))
        book.transactions(NEXT + 2)
        book.entries(entry(NEXT + 2, 0, WALLET, DEBIT, 60, -40), entry(NEXT + 2, 1, SALES, CREDIT, 60, -120))


@refused("entries_within_bounds")
def a_new_account_that_passes_its_bound_at_once(book: RawBook) -> None:
    with book.writing(2):
        book.accounts((NEXT, 4, "purse", 2, {"1": {"balance_min": "0"}}))
        book.transactions(NEXT + 1)
        book.entries(entry(NEXT + 1, 0, 4, DEBIT, 1, 1), entry(NEXT + 1, 1, SALES, CREDIT, 1, -1))


@refused("entries_within_bounds")
def a_maximum_that_is_passed(book: RawBook) -> None:
    with book.writing(2):
        book.accounts((NEXT, 4, "till", 1, {"1": {"balance_max": "5"}}))
        book.transactions(NEXT + 1)
        book.entries(entry(NEXT + 1, 0, 4, DEBIT, 6, 6), entry(NEXT + 1, 1, SALES, CREDIT, 6, -6))


@refused("entries_continue")
def a_new_account_that_starts_with_something(book: RawBook) -> None:
    with book.writing(2):
        book.accounts((NEXT, 4, "purse", 2, {"1": {"balance_min": "0"}}))
        book.transactions(NEXT + 1)
        book.entries(entry(NEXT + 1, 0, 4, DEBIT, 1, -9), entry(NEXT + 1, 1, SALES, CREDIT, 1, -1))


@refused("entries_continue")
def a_bounded_balance_that_does_not_continue_the_true_one(book: RawBook) -> None:
    spend(book, 500, before=1_000)


@refused("entries_continue")
def a_bounded_balance_for_which_nothing_is_vouched(book: RawBook) -> None:
    spend(book, 5, vouched="")


@refused("entries_continue")
def a_bounded_balance_for_which_another_account_is_vouched(book: RawBook) -> None:
    spend(book, 5, vouched=book.vouch((CASH, USD)))


@refused("entries_continue")
def a_forged_balance_under_a_true_seal(book: RawBook) -> None:
    vouched = json.loads(book.vouch((WALLET, USD)))
    spend(book, 500, before=1_000, vouched=json.dumps({**vouched, "balances": "{-1000}"}))


@refused("entries_continue")
def a_forged_seal(book: RawBook) -> None:
    vouched = json.loads(book.vouch((WALLET, USD)))
    spend(book, 5, vouched=json.dumps({**vouched, "seal": "0" * 64}))


@refused("entries_continue")
def a_seal_that_is_missing(book: RawBook) -> None:
    vouched = json.loads(book.vouch((WALLET, USD)))
    del vouched["seal"]
    spend(book, 5, vouched=json.dumps(vouched))


@refused("entries_continue")
def what_was_vouched_for_another_ledger(book: RawBook) -> None:
    spend(book, 5, vouched=RawBook(book.connection).vouch((WALLET, USD)))


@refused("entries_continue")
def what_was_vouched_at_an_earlier_head(book: RawBook) -> None:
    stale = book.vouch((WALLET, USD))
    spend(book, 60)
    with book.writing(1, stale):
        book.transactions(NEXT + 1)
        book.entries(entry(NEXT + 1, 0, WALLET, DEBIT, 60, -40), entry(NEXT + 1, 1, SALES, CREDIT, 60, -120))


@refused("vouched_before_writing")
def vouching_for_a_head_that_may_be_rolled_back(book: RawBook) -> None:
    with book.writing(1):
        book.vouch_here((WALLET, USD))


@refused("vouched_before_writing")
def vouching_for_a_history_that_was_rolled_back_to_a_savepoint(book: RawBook) -> None:
    with book.writing():
        book.run("savepoint before")
        book.move(1)
        book.accounts((NEXT, 4, "late", 1, None))
        book.run("rollback to before")
        book.move(1)
        book.accounts((NEXT, 4, "late", 1, None))
        book.vouch_here((WALLET, USD))


# names, keys, reversals ----------------------------------------------------------------------


@refused("transactions_key")
def a_key_that_was_used(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT, idempotency_key="once")
        sale(book)
    with book.writing(1):
        book.transactions(NEXT + 1, idempotency_key="once")


@refused("transactions_reverses")
def a_second_reversal(book: RawBook) -> None:
    for sequence in (NEXT, NEXT + 1):
        with book.writing(1):
            book.transactions(sequence, reverses=FUNDED)
            sale(book, sequence, before=0)


@refused("reversals_have_origins")
def a_reversal_of_a_reversal(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT, reverses=FUNDED)
        sale(book)
    with book.writing(1):
        book.transactions(NEXT + 1, reverses=NEXT)


@refused("reversals_have_origins")
def a_reversal_of_no_transaction(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT, reverses=4)


@refused("transactions_check")
def a_reversal_of_itself(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT, reverses=NEXT)


@refused("transactions_effective_time_check")
def an_effective_time_that_no_client_can_read(book: RawBook) -> None:
    with book.writing(1):
        book.transactions(NEXT, effective_time="-infinity")


@refused("accounts_ledger_id_name_version_key")
def an_account_of_a_name_that_is_taken(book: RawBook) -> None:
    with book.writing(1):
        book.accounts((NEXT, 4, "cash", 1, None))


@refused("account_versions_continue")
def a_version_that_skips_one(book: RawBook) -> None:
    with book.writing(1):
        book.accounts((NEXT, CASH, "cash", 1, None), version=3)


@refused("account_versions_continue")
def a_version_of_another_type(book: RawBook) -> None:
    with book.writing(1):
        book.accounts((NEXT, CASH, "cash", 2, None), version=2)


@refused("account_ids_continue")
def an_account_number_that_skips_one(book: RawBook) -> None:
    with book.writing(1):
        book.accounts((NEXT, WALLET + 2, "late", 1, None))


@refused("account_ids_continue")
def account_numbers_that_skip_one_between_them(book: RawBook) -> None:
    with book.writing(2):
        book.accounts((NEXT, WALLET + 1, "late", 1, None), (NEXT + 1, WALLET + 3, "later", 1, None))


@refused("asset_ids_continue")
def an_asset_number_that_skips_one(book: RawBook) -> None:
    with book.writing(1):
        book.assets((NEXT, EUR + 2, "CHF"))


@refused("head_starts_at_one")
def a_ledger_that_has_given_numbers_of_accounts(book: RawBook) -> None:
    with book.connection.transaction():
        found = book.run("insert into ledger.directory (name) values (gen_random_uuid()) returning ledger_id")
        (ledger_id,) = found.fetchone() or (0,)
        book.name_session(ledger_id)
        book.run(
            "insert into ledger.heads (ledger_id, sequence, hash, record_time, account_id_max)"
            " values (%s, 1, %s, now(), 9)",
            [ledger_id, b"\x00" * 32],
        )


# shadows -----------------------------------------------------------------------------------


@refused("records_continue")
def a_temporary_table_in_the_place_of_the_heads(book: RawBook) -> None:
    with book.writing():
        book.run("create temporary table heads (like ledger.heads) on commit drop")
        book.run("insert into pg_temp.heads select * from ledger.heads")
        book.run("update pg_temp.heads set sequence = sequence + 9")
        book.run("set local search_path = pg_temp, ledger, pg_catalog")
        book.transactions(NEXT)


@refused("entries_balanced")
def a_temporary_table_in_the_place_of_what_was_inserted(book: RawBook) -> None:
    with book.writing(1):
        book.run("create temporary table inserted (like ledger.entries) on commit drop")
        book.run("set local search_path = pg_temp, ledger, pg_catalog")
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, SALES, CREDIT, 4, -4))


@refused("entries_balanced")
def functions_and_operators_of_a_strangers_schema(book: RawBook) -> None:
    with book.writing(1):
        book.run("create function pg_temp.sum(numeric) returns numeric language sql as 'select 0::numeric'")
        book.run(
            "create function pg_temp.never(numeric, integer) returns boolean language sql as 'select false'"
        )
        book.run(
            "create operator pg_temp.<> (leftarg = numeric, rightarg = integer, function = pg_temp.never)"
        )
        book.run("set local search_path = pg_temp, ledger, pg_catalog")
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, SALES, CREDIT, 4, -4))


@pytest.mark.criterion("S003-7", "S004-15")
@pytest.mark.parametrize(("attempt", "constraint"), ATTEMPTS)
def test_the_database_refuses(book: RawBook, attempt: Attempt, constraint: str) -> None:
    with pytest.raises(errors.IntegrityError) as refusal:
        attempt(book)

    assert refusal.value.diag.constraint_name == constraint


# what no constraint names -------------------------------------------------------------------


def test_what_the_service_would_write_passes(book: RawBook) -> None:
    spend(book, 100)
    with book.writing(2, book.vouch((WALLET, USD))):
        book.transactions(NEXT + 1, NEXT + 2)
        book.entries(
            entry(NEXT + 1, 0, CASH, DEBIT, 5, 105),
            entry(NEXT + 1, 1, WALLET, CREDIT, 5, -5),
            entry(NEXT + 2, 0, WALLET, DEBIT, 5, 0),
            entry(NEXT + 2, 1, SALES, CREDIT, 5, -105),
        )

    with book.writing():
        head = book.run("select sequence, filled, owing_from, moved_from from ledger.heads").fetchall()
    assert head == [(NEXT + 2, NEXT + 2, None, NEXT)]


def test_a_thousand_entries_in_any_order_pass(book: RawBook) -> None:
    numbers = [*range(500), *range(999, 499, -1)]
    rows = [
        *(entry(NEXT, number, CASH, DEBIT, 5, 105 + 5 * number) for number in numbers[:500]),
        *(entry(NEXT, number, SALES, CREDIT, 5, -5 - 5 * (number - 500)) for number in numbers[500:]),
    ]
    with book.writing(1):
        book.transactions(NEXT)
        book.entries(*reversed(rows))

    with book.writing():
        seen = book.run("select count(distinct index) from ledger.entries where sequence = %s", [NEXT])
        assert seen.fetchone() == (1000,)


def test_the_last_account_is_posted_to_and_none_comes_after_it(book: RawBook, database: Database) -> None:
    with psycopg.connect(database.owner_url) as superuser:
        superuser.execute(
            "update ledger.heads set account_id_max = %s where ledger_id = %s",
            [ACCOUNTS_PER_LEDGER_MAX - 1, book.id],
        )
    last = ACCOUNTS_PER_LEDGER_MAX
    with book.writing(2):
        book.accounts((NEXT, last, "last", 1, None))
        book.transactions(NEXT + 1)
        book.entries(entry(NEXT + 1, 0, last, DEBIT, 5, 5), entry(NEXT + 1, 1, SALES, CREDIT, 5, -5))

    with pytest.raises(errors.CheckViolation) as refusal, book.writing(1):
        book.accounts((NEXT + 2, last + 1, "one too many", 1, None))

    assert refusal.value.diag.constraint_name == "accounts_per_ledger_max"


def test_a_head_with_the_wrong_hash_is_left_to_verify(book: RawBook) -> None:
    # The database computes no hashes: a wrong one passes here, and `verify` names its record.
    with book.writing(1):
        book.transactions(NEXT)
        sale(book)


def sell_abroad(book: RawBook, ledger_id: int, foreign: str) -> None:
    """A sale of which the transaction, or its entries, say another ledger."""
    with book.writing(1):
        book.transactions(NEXT, ledger_id=ledger_id if foreign == "transactions" else None)
        book.entries(
            entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, SALES, CREDIT, 5, -5), ledger_id=ledger_id
        )


def test_records_of_another_ledger_are_refused(book: RawBook, app: psycopg.Connection[Any]) -> None:
    other = RawBook(app)

    for foreign in ("transactions", "entries"):
        with pytest.raises(errors.InsufficientPrivilege, match=f'row-level security .* "{foreign}"'):
            sell_abroad(book, other.id, foreign)
    with book.writing():
        moved = book.run("update ledger.heads set sequence = sequence + 1 where ledger_id = %s", [other.id])
    assert moved.rowcount == 0


def test_the_fences_name_the_session_even_where_row_security_does_not_look(
    book: RawBook, owner: psycopg.Connection[Any]
) -> None:
    insert = (
        "insert into ledger.assets (ledger_id, sequence, asset_id, code, scale, record_time, created_by,"
        " hash)"
        " select ledger_id, sequence + 1, 9, 'CHF', 2, record_time, '', hash from ledger.heads where"
        " ledger_id = %s"
    )
    for named in ("", str(book.id + 1_000)):
        owner.execute("select set_config('ledger.id', %s, false)", [named])
        with pytest.raises(errors.CheckViolation) as refusal:
            owner.execute(insert, [book.id])

        assert refusal.value.diag.constraint_name == "session_ledger"


@pytest.mark.parametrize("named", [None, "", "other"])
def test_a_session_sees_its_own_ledger_only(book: RawBook, named: str | None) -> None:
    other = RawBook(book.connection)
    for one in (book, other):
        with one.writing():
            one.run("select ledger.write_checkpoint(2), ledger.run_trial_balance('shop', false)")
    for relation in UNDER_ROW_SECURITY:
        with book.connection.transaction():
            if named is not None:
                book.name_session(other.id if named == "other" else named)
            seen = book.run(
                f"select count(*) from ledger.{relation} where ledger_id = %s", [book.id]
            ).fetchone()
            all_seen = book.run(f"select count(*) from ledger.{relation}").fetchone()

        assert seen == (0,)
        assert (all_seen == (0,)) is (named != "other")


def test_a_session_of_no_ledger_writes_nothing(book: RawBook) -> None:
    for name in ("reset ledger.id", "set ledger.id = ''"):
        book.run(name)
        with pytest.raises(errors.InsufficientPrivilege):
            book.run(
                "insert into ledger.assets (ledger_id, sequence, asset_id, code, scale, record_time,"
                " created_by,"
                " hash) values (%s, 8, 9, 'CHF', 2, now(), '', %s)",
                [book.id, b"\x00" * 32],
            )


CHANGES = {
    "directory": "name = 'other'",
    "heads": "ledger_id = 1",
    "ledgers": "description = 'other'",
    "assets": "scale = 3",
    "accounts": "metadata = '{}'",
    "transactions": "description = 'other'",
    "entries": "amount = amount",
    "checkpoints": "sequence = sequence",
    "checkpoint_balances": "debits = debits",
    "trial_balance_runs": "offending_count = 0",
}


@pytest.mark.criterion("S000-2", "S002-7", "S004-1")
@pytest.mark.parametrize("relation", CHANGES)
def test_the_service_may_not_change_or_remove_what_is_recorded(book: RawBook, relation: str) -> None:
    statements = (
        f"update ledger.{relation} set {CHANGES[relation]}",
        f"delete from ledger.{relation}",
        f"truncate ledger.{relation} cascade",
        f"merge into ledger.{relation} using (select 1) as one on true when matched then delete",
        f"alter table ledger.{relation} disable trigger all",
        f"drop table ledger.{relation}",
    )
    for statement in statements:
        with pytest.raises(errors.InsufficientPrivilege), book.writing():
            book.run(statement)


@pytest.mark.criterion("S000-2", "S002-7", "S004-1")
@pytest.mark.parametrize("relation", ["directory", *RECORDS, RUNS])
def test_not_even_the_owner_changes_or_removes_what_is_recorded(
    book: RawBook, owner: psycopg.Connection[Any], relation: str
) -> None:
    statements = (
        f"update ledger.{relation} set {CHANGES[relation]} where ledger_id = {book.id}",
        f"delete from ledger.{relation} where ledger_id = {book.id}",
    )
    for statement in statements:
        with pytest.raises(errors.CheckViolation) as refusal:
            owner.execute(statement.encode())

        assert refusal.value.diag.constraint_name == "append_only"
    cannot_be_emptied(owner, relation)


def test_a_head_is_never_removed(book: RawBook, owner: psycopg.Connection[Any]) -> None:
    with pytest.raises(errors.CheckViolation) as refusal:
        owner.execute(f"delete from ledger.heads where ledger_id = {book.id}".encode())

    assert refusal.value.diag.constraint_name == "append_only"
    cannot_be_emptied(owner, "heads")


def cannot_be_emptied(owner: psycopg.Connection[Any], relation: str) -> None:
    """TRUNCATE is refused for want of the right, and once the owner gave himself that, by a trigger."""
    truncate = f"truncate ledger.{relation} cascade".encode()
    with pytest.raises(errors.InsufficientPrivilege):
        owner.execute(truncate)
    # The right is gone again with the database transaction that was refused.
    given = (
        "do $$ begin execute (select 'grant truncate on ' || string_agg('ledger.' || relname, ', ')"
        " || ' to ledger_owner' from pg_class where relnamespace = 'ledger'::regnamespace and relkind = 'r');"
        f" truncate ledger.{relation} cascade; end $$"
    )
    with pytest.raises(errors.CheckViolation) as refusal:
        owner.execute(given.encode())
    assert refusal.value.diag.constraint_name == "append_only"


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger.heads set filled = filled + 1",
        "update ledger.heads set owing_from = null",
        "update ledger.heads set moved_from = 0",
        "select * from ledger.vouching",
        "select ledger.seal(1, 1, '', '', '')",
        "select * from ledger.vouched_balances(1, 1)",
        "select * from ledger.offending_sequences(1)",
        "insert into ledger.directory (ledger_id, name) overriding system value values (1000000, 'taken')",
        "set session_replication_role = replica",
        "set role ledger_owner",
        "update ledger.heads set account_id_max = 99",
        "update ledger.heads set has_limits = false",
        "create table ledger.mine (id bigint)",
        "create function ledger.mine() returns integer language sql as 'select 1'",
        "create trigger mine before update on ledger.heads for each row"
        " execute function pg_catalog.suppress_redundant_updates_trigger()",
    ],
)
def test_the_service_may_not_reach_behind_the_fences(book: RawBook, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege), book.writing():
        book.run(statement)


@pytest.mark.parametrize("fence", ["records_continue", "entries_belong"])
def test_a_fence_cannot_be_put_on_a_strangers_table(book: RawBook, fence: str) -> None:
    # Once it could: the fence took the temporary table's rows for records, and counted them.
    book.run("create temporary table if not exists shadow (like ledger.transactions)")
    with pytest.raises(errors.InsufficientPrivilege):
        book.run(
            "create trigger shadow after insert on shadow referencing new table as inserted"
            f" for each statement execute function ledger.{fence}()"
        )


def test_no_function_of_ours_is_everybodys(book: RawBook) -> None:
    open_ones = book.run(
        "select proname from pg_proc where pronamespace = 'ledger'::regnamespace"
        " and has_function_privilege('public', oid, 'execute')"
    ).fetchall()
    ours = book.run(
        "select proname from pg_proc where pronamespace = 'ledger'::regnamespace"
        " and has_function_privilege('ledger_app', oid, 'execute')"
    ).fetchall()

    assert open_ones == []
    assert sorted(name for (name,) in ours) == [
        "audit",
        "balance_checksum",
        "bounds_of",
        "checkpoint_digest",
        "discard_checkpoints",
        "find_api_key",
        "run_trial_balance",
        "vouch",
        "write_checkpoint",
    ]


def test_a_checkpoint_is_written_of_the_sessions_ledger_and_seen_there_only(book: RawBook) -> None:
    other = RawBook(book.connection)
    with book.writing():
        written = book.run("select ledger.write_checkpoint(2)").fetchone()
    with other.writing():
        elsewhere = book.run("select count(*) from ledger.checkpoints").fetchone()
        other.run("select ledger.discard_checkpoints()")
    with book.writing():
        kept = book.run("select sequence from ledger.checkpoints").fetchall()
        balances = book.run("select account_id, debits, credits from ledger.checkpoint_balances").fetchall()

    assert (written, elsewhere, kept) == ((FUNDED,), (0,), [(FUNDED,)])
    assert balances == [(CASH, 100, 0), (WALLET, 0, 100)]


@pytest.mark.parametrize("relation", CHECKPOINTS)
def test_the_service_writes_no_checkpoint_but_by_the_owners_function(book: RawBook, relation: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege), book.writing():
        book.run(f"insert into ledger.{relation} select * from ledger.{relation}")


def test_a_session_of_no_ledger_writes_no_checkpoint(book: RawBook) -> None:
    book.run("reset ledger.id")

    assert book.run("select ledger.write_checkpoint(1)").fetchone() == (None,)


def test_a_run_is_made_of_the_sessions_ledger_and_seen_there_only(book: RawBook) -> None:
    other = RawBook(book.connection)
    with book.writing():
        made = book.run("select ledger.run_trial_balance('shop', false)").fetchone()
        again = book.run("select ledger.run_trial_balance('service', true)").fetchone()
        there = book.run("select ledger.run_trial_balance('service', true)").fetchone()
        (sequence, head_hash, debits, credits, count) = (
            book.run(
                "select run.sequence, run.hash = head.hash, debits, credits, offending_count"
                " from ledger.trial_balance_runs as run join ledger.heads as head using (ledger_id)"
                " where number = 1"
            ).fetchone()
            or (None,) * 5
        )
    with other.writing():
        elsewhere = other.run("select count(*) from ledger.trial_balance_runs").fetchone()

    assert (made, again, there, elsewhere) == ((1,), (2,), (None,), (0,))
    assert (sequence, head_hash, debits, credits, count) == (FUNDED, True, [100], [100], 0)


def test_the_service_keeps_no_run_but_by_the_owners_function(book: RawBook) -> None:
    with book.writing():
        book.run("select ledger.run_trial_balance('shop', false)")
    with pytest.raises(errors.InsufficientPrivilege), book.writing():
        book.run("insert into ledger.trial_balance_runs select * from ledger.trial_balance_runs")


def test_a_session_of_no_ledger_keeps_no_run(book: RawBook) -> None:
    for name in ("reset ledger.id", "set ledger.id = ''"):
        book.run(name)
        assert book.run("select ledger.run_trial_balance('shop', false)").fetchone() == (None,)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("offending_count = 1", "runs_name_offenders"),
        ("offending_count = 0, offending_sequences = '{7}'", "runs_name_offenders"),
        ("debits = '{101}'", "runs_add_up"),
        ("day = day + 1", "runs_of_their_day"),
    ],
)
def test_a_run_that_contradicts_itself_is_not_kept(
    book: RawBook, owner: psycopg.Connection[Any], change: str, constraint: str
) -> None:
    with book.writing():
        book.run("select ledger.run_trial_balance('shop', false)")

    changed = f"update ledger.trial_balance_runs set {change} where ledger_id = {book.id}"
    with owner.transaction(force_rollback=True):
        owner.execute("alter table ledger.trial_balance_runs disable trigger append_only")
        with pytest.raises(errors.CheckViolation) as refusal:
            owner.execute(changed.encode())

    assert refusal.value.diag.constraint_name == constraint


@pytest.mark.parametrize("relation", ["heads", *RECORDS])
def test_copy_cannot_go_round_row_security(book: RawBook, relation: str) -> None:
    with (
        pytest.raises(errors.FeatureNotSupported),
        book.writing(),
        book.connection.cursor().copy(f"copy ledger.{relation} from stdin".encode()) as copy,
    ):
        copy.write(b"1\n")


def test_row_security_cannot_be_switched_off(book: RawBook) -> None:
    with book.writing():
        book.run("set local row_security = off")
        with pytest.raises(errors.InsufficientPrivilege), book.connection.transaction():
            book.run("select * from ledger.entries")


def test_checking_early_does_not_help(book: RawBook) -> None:
    with book.writing():
        book.run("set constraints all immediate")
        with pytest.raises(errors.CheckViolation) as refusal, book.connection.transaction():
            book.move(1)

    assert refusal.value.diag.constraint_name == "head_span_full"


def test_people_who_read_write_nothing(book: RawBook, database: Database) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as reader:
        reader.execute("set role ledger_read")
        for relation in ("directory", *UNDER_ROW_SECURITY):
            reader.execute(f"select count(*) from ledger.{relation}".encode())
            for statement in (
                f"insert into ledger.{relation} select * from ledger.{relation}",
                f"update ledger.{relation} set {CHANGES[relation]}",
                f"delete from ledger.{relation}",
                f"truncate ledger.{relation}",
            ):
                with pytest.raises((errors.InsufficientPrivilege, errors.GeneratedAlways)):
                    reader.execute(statement.encode())
