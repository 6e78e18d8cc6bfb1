"""Checkpoints: the same sums as from every entry, whoever writes them, and never from damaged rows."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from callers import Teller, post_operation, unsound
from clusters import Cluster, Database
from ledger.v1 import ledger_service_pb2 as pb
from serving import serving

from ledger_server.service import checkpointer, verify
from ledger_server.service.verify import BadCheckpoint, prove_checkpoints, rebuild_checkpoints
from ledger_server.store.checkpoints import CheckpointRefused, Checkpoints
from ledger_server.store.database import READ_SETTINGS

CHECKPOINTED, RECOMPUTED = pb.TRIAL_BALANCE_BASIS_CHECKPOINTED, pb.TRIAL_BALANCE_BASIS_RECOMPUTED
BY_ACCOUNT, BY_TYPE = pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, pb.TRIAL_BALANCE_ROWS_BY_TYPE
PATIENCE_S = 30.0


@contextmanager
def checkpoints_of(database: Database, ledger: str) -> Iterator[Checkpoints]:
    """A ledger's checkpoints, over a session like those that the service reads with."""
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        for setting in READ_SETTINGS:
            connection.execute(setting.encode())
        yield Checkpoints(connection, ledger_id(connection, ledger))


def ledger_id(connection: psycopg.Connection[Any], ledger: str) -> int:
    row = connection.execute("select ledger_id from ledger.directory where name = %s", [ledger]).fetchone()
    assert row is not None
    return int(row[0])


def tamper(database: Database, ledger: str, statement: str) -> None:
    """Does to a ledger's rows what no fence allows; %(id)s is the ledger."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        changed = connection.execute(statement.encode(), {"id": ledger_id(connection, ledger)})
        assert changed.rowcount > 0


def written(database: Database, ledger: str, entries: int = 1) -> int:
    """Writes one checkpoint, and answers its sequence."""
    with checkpoints_of(database, ledger) as checkpoints:
        sequence = checkpoints.write(entries)
    assert sequence is not None
    return sequence


def bad_checkpoint(database: Database, ledger: str) -> str:
    """What `verify` says of the first wrong one."""
    with checkpoints_of(database, ledger) as checkpoints, pytest.raises(BadCheckpoint) as bad:
        prove_checkpoints(checkpoints)
    return str(bad.value)


def sums(answer: pb.TrialBalanceResponse) -> pb.TrialBalanceResponse:
    """A trial balance without where it comes from."""
    bare = pb.TrialBalanceResponse()
    bare.CopyFrom(answer)
    bare.ClearField("basis")
    bare.ClearField("checkpoint_sequence")
    bare.ClearField("next_page_token")
    return bare


def wait_until(is_so: Callable[[], bool], pause_s: float = 0.02) -> None:
    """Waits until the condition holds, with a bound."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(pause_s)


@pytest.fixture
def book(teller: Teller) -> Teller:
    """Five sales of 1 to 5 USD, at the last five sequences."""
    for amount in range(1, 6):
        teller.post("cash", "sales", amount)
    return teller


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_bases_agree_over_random_histories_at_every_sequence(
    teller: Teller, shared_database: Database, seed: int
) -> None:
    draw = random.Random(seed)
    print(f"seed {seed}")
    teller.create_asset("EUR", 2)
    teller.open_account("club", asset="EUR", balance_min="-9999999")
    accounts, at_checkpoints = ["cash", "other", "sales", "club"], []
    with checkpoints_of(shared_database, teller.ledger) as checkpoints:
        for _ in range(40):
            if draw.random() < 0.3:
                at_checkpoints.append(checkpoints.write(draw.choice([1, 2, 7, 30])))
            operations = [
                post_operation(*draw.sample(accounts, 2), draw.randint(1, 10 ** draw.randint(1, 30)))
                for _ in range(draw.randint(1, 4))
            ]
            posted = teller.batch(operations)
            if draw.random() < 0.3:
                teller.reverse(posted[0].sequence)
            if draw.random() < 0.3:
                teller.post("club", "cash", 3, asset="EUR")
        prove_checkpoints(checkpoints)
    stand = [sequence for sequence in at_checkpoints if sequence is not None]
    head = teller.head()
    assert len(stand) > 3

    for at in {0, 1, head, *stand, *(one - 1 for one in stand), *draw.sample(range(1, head), 15)}:
        newest = max((one for one in stand if one <= (at or head)), default=0)
        for rows, digest in ((0, False), (BY_TYPE, False), (BY_ACCOUNT, True)):
            asked = {"at_sequence": at, "rows": rows, "digest": digest}
            fast = teller.trial_balance(**asked, basis=CHECKPOINTED)
            slow = teller.trial_balance(**asked)

            assert sums(fast) == sums(slow)
            assert (slow.basis, slow.checkpoint_sequence) == (RECOMPUTED, 0)
            # Accounts are kept at the newest checkpoint only.
            source = newest if rows != BY_ACCOUNT or newest == stand[-1] else 0
            assert fast.checkpoint_sequence == source
            assert fast.basis == (CHECKPOINTED if source else RECOMPUTED)


def test_without_a_checkpoint_the_sums_are_recomputed_and_the_answer_says_so(book: Teller) -> None:
    answer = book.trial_balance(basis=CHECKPOINTED)

    assert (answer.basis, answer.checkpoint_sequence) == (RECOMPUTED, 0)
    assert answer.totals[0].total_debits == "15"


def test_a_checkpoint_and_the_entries_after_it_are_added(book: Teller, shared_database: Database) -> None:
    sequence = written(shared_database, book.ledger, 4)
    # Only a checkpoint that is believed shows this.
    book.post("cash", "sales", 100)

    answer = book.trial_balance(basis=CHECKPOINTED, rows=BY_TYPE)

    assert (answer.basis, answer.checkpoint_sequence) == (CHECKPOINTED, sequence)
    assert sequence == book.head() - 4
    assert (answer.totals[0].total_debits, answer.status) == ("115", pb.TRIAL_BALANCE_STATUS_OK)


def test_pages_by_account_from_a_checkpoint_are_of_one_sequence(
    book: Teller, shared_database: Database
) -> None:
    book.post("other", "wallet", 7)
    written(shared_database, book.ledger, 4)
    asked = {"rows": BY_ACCOUNT, "page_size": 3, "basis": CHECKPOINTED}

    first = book.trial_balance(**asked)
    book.post("cash", "sales", 100)
    second = book.trial_balance(page_token=first.next_page_token, **asked)
    recomputed = book.trial_balance(rows=BY_ACCOUNT, at_sequence=first.sequence)

    assert [*first.rows, *second.rows] == list(recomputed.rows)
    assert (first.sequence, first.checkpoint_sequence) == (second.sequence, second.checkpoint_sequence)


def test_sums_that_were_kept_from_a_checkpoint_are_not_called_recomputed(
    book: Teller, shared_database: Database
) -> None:
    written(shared_database, book.ledger, 4)
    asked = {"rows": BY_ACCOUNT, "page_size": 1}
    token = book.trial_balance(**asked).next_page_token
    book.trial_balance(**asked, basis=CHECKPOINTED)

    page = book.trial_balance(page_token=token, **asked)

    assert (page.basis, page.checkpoint_sequence) == (RECOMPUTED, 0)


def test_amounts_beyond_38_digits_are_exact(teller: Teller, shared_database: Database) -> None:
    most = "9" * 38
    for debit, credit in (("cash", "sales"), ("sales", "cash"), ("cash", "sales")):
        teller.post(debit, credit, most)
    written(shared_database, teller.ledger, 6)

    answer = teller.trial_balance(basis=CHECKPOINTED)

    assert answer.basis == CHECKPOINTED
    assert answer.totals[0].total_debits == str(3 * int(most))


# damage ------------------------------------------------------------------------------------

DAMAGED_TOTALS = {
    "debits": "update ledger.checkpoints set debits[1] = 16, credits[2] = 16 where ledger_id = %(id)s",
    "types": "update ledger.checkpoints set types = '{2,4}' where ledger_id = %(id)s",
    "assets": "update ledger.checkpoints set asset_ids = '{2,2}' where ledger_id = %(id)s",
    "sequence": "update ledger.checkpoints set sequence = sequence - 1 where ledger_id = %(id)s",
    "checksum": "update ledger.checkpoints set balances_checksum = 0 where ledger_id = %(id)s",
    "digest": "update ledger.checkpoints set digest = sha256('x') where ledger_id = %(id)s",
}


@pytest.mark.parametrize("damage", DAMAGED_TOTALS)
def test_a_checkpoint_whose_totals_were_changed_is_not_used_not_built_on_and_found(
    book: Teller, shared_database: Database, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    written(shared_database, book.ledger, 9)
    right = book.trial_balance(rows=BY_TYPE)
    tamper(shared_database, book.ledger, DAMAGED_TOTALS[damage])

    for rows in (0, BY_TYPE, BY_ACCOUNT):
        answer = book.trial_balance(basis=CHECKPOINTED, rows=rows)
        assert (answer.basis, answer.totals) == (RECOMPUTED, right.totals)
        assert "is damaged and was not used" in caplog.text
        caplog.clear()
    book.post("cash", "sales", 1)
    with checkpoints_of(shared_database, book.ledger) as checkpoints, pytest.raises(CheckpointRefused):
        checkpoints.write(1)

    assert bad_checkpoint(shared_database, book.ledger).startswith("checkpoint ")


DAMAGED_BALANCES = {
    "both sides": "update ledger.checkpoint_balances set debits = debits + 1, credits = credits + 1"
    " where ledger_id = %(id)s and account_id = 1",
    "a row is gone": "delete from ledger.checkpoint_balances where ledger_id = %(id)s and account_id = 1",
    "a row too many": "insert into ledger.checkpoint_balances values (%(id)s, 2, 1, 0, 0)",
    "another account's": "update ledger.checkpoint_balances set account_id = 2"
    " where ledger_id = %(id)s and account_id = 1",
}


@pytest.mark.parametrize("damage", DAMAGED_BALANCES)
def test_a_checkpoint_whose_accounts_were_changed_is_not_used_for_them_and_found(
    book: Teller, shared_database: Database, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    sequence = written(shared_database, book.ledger, 9)
    right = book.trial_balance(rows=BY_ACCOUNT, digest=True)
    tamper(shared_database, book.ledger, DAMAGED_BALANCES[damage])

    answer = book.trial_balance(rows=BY_ACCOUNT, digest=True, basis=CHECKPOINTED)

    assert answer == right
    assert "is damaged and was not used" in caplog.text
    assert bad_checkpoint(shared_database, book.ledger).startswith(f"checkpoint {sequence} holds ")


def test_damaged_accounts_that_later_checkpoints_touch_stay_found(
    book: Teller, shared_database: Database
) -> None:
    written(shared_database, book.ledger, 9)
    tamper(shared_database, book.ledger, DAMAGED_BALANCES["both sides"])
    book.post("cash", "sales", 1)
    written(shared_database, book.ledger, 2)

    answer = book.trial_balance(rows=BY_ACCOUNT, basis=CHECKPOINTED)

    assert answer.basis == RECOMPUTED
    assert "of account 1 in asset 1" in bad_checkpoint(shared_database, book.ledger)


def test_wrong_entries_are_not_made_into_a_checkpoint(book: Teller, shared_database: Database) -> None:
    damages = {
        "do not add up to their running balance": "balance_after = balance_after + 1",
        "debits and credits of asset 1 differ": "amount = amount + 1, balance_after = balance_after + 1",
    }
    for said, change in damages.items():
        tamper(
            shared_database,
            book.ledger,
            f"update ledger.entries set {change} where ledger_id = %(id)s and index = 0"
            " and sequence = (select sequence from ledger.heads where ledger_id = %(id)s)",
        )
        with (
            checkpoints_of(shared_database, book.ledger) as checkpoints,
            pytest.raises(CheckpointRefused, match=said),
        ):
            checkpoints.write(9)
        with checkpoints_of(shared_database, book.ledger) as checkpoints:
            assert checkpoints.stored() == []
            assert checkpoints.differing_balance() is None or checkpoints.differing_balance().held is None
        tamper(
            shared_database,
            book.ledger,
            f"update ledger.entries set {change.replace('+', '-')} where ledger_id = %(id)s and index = 0"
            " and sequence = (select sequence from ledger.heads where ledger_id = %(id)s)",
        )

    assert written(shared_database, book.ledger, 9) == book.head()


def test_verify_says_what_a_wrong_checkpoint_holds_and_rebuilds_all(
    book: Teller, shared_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(shared_database, book.ledger, 4)
    written(shared_database, book.ledger, 4)
    # With a digest made anew: only the entries can tell.
    tamper(
        shared_database,
        book.ledger,
        "update ledger.checkpoints set debits = '{4,0}', credits = '{0,4}',"
        " digest = ledger.checkpoint_digest("
        "ledger_id, sequence, asset_ids, types, '{4,0}', '{0,4}', balances_checksum)"
        f" where ledger_id = %(id)s and sequence = {first}",
    )

    assert bad_checkpoint(shared_database, book.ledger) == (
        f"checkpoint {first} holds 4 debits and 0 credits of asset 1 in accounts of type 1;"
        " the entries give 3 debits and 0 credits"
    )

    monkeypatch.setattr(verify, "ENTRIES_PER_CHECKPOINT", 3)
    with checkpoints_of(shared_database, book.ledger) as checkpoints:
        assert rebuild_checkpoints(checkpoints) == 2
        assert prove_checkpoints(checkpoints) == 2


# many at once --------------------------------------------------------------------------------


def test_many_writers_at_once_write_what_one_would(book: Teller, shared_database: Database) -> None:
    book.batch([post_operation("cash", "sales", 1) for _ in range(150)])

    def write(number: int) -> list[int]:
        found: list[int] = []
        with checkpoints_of(shared_database, book.ledger) as checkpoints:

            def try_once() -> bool:
                sequence = checkpoints.write(2)
                if sequence is not None:
                    found.append(sequence)
                return len(found) == 10

            wait_until(try_once, pause_s=0)
        return found

    with ThreadPoolExecutor(6) as pool:
        made = [sequence for found in pool.map(write, range(6)) for sequence in found]

    with checkpoints_of(shared_database, book.ledger) as checkpoints:
        assert [one.sequence for one in checkpoints.stored()] == sorted(made)
        assert prove_checkpoints(checkpoints) == 60


def test_a_writer_that_dies_leaves_nothing_and_the_next_one_goes_on(
    book: Teller, shared_database: Database
) -> None:
    with psycopg.connect(shared_database.owner_url) as holder, ThreadPoolExecutor(1) as pool:
        # It gets as far as its last insert, with every account's sums written.
        holder.execute("lock table ledger.checkpoints in share mode")
        writing = pool.submit(written, shared_database, book.ledger, 9)
        with psycopg.connect(shared_database.owner_url, autocommit=True) as ender:
            ended: list[Any] = []

            def end() -> bool:
                ended[:] = ender.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'"
                    " and query like '%write_checkpoint%' and pid <> pg_backend_pid()"
                ).fetchall()
                return bool(ended)

            wait_until(end)
        with pytest.raises(psycopg.OperationalError):
            writing.result(PATIENCE_S)

    with checkpoints_of(shared_database, book.ledger) as checkpoints:
        assert checkpoints.stored() == []
        assert checkpoints.write(9) == book.head()
        assert prove_checkpoints(checkpoints) == 1


def test_posting_goes_on_while_a_checkpoint_is_being_written(book: Teller, shared_database: Database) -> None:
    with psycopg.connect(shared_database.app_url) as connection:
        connection.execute(
            "select set_config('ledger.id', %s::text, true)", [ledger_id(connection, book.ledger)]
        )
        row = connection.execute("select ledger.write_checkpoint(9)").fetchone()
        assert row == (book.head(),)

        # Still open: neither a post of the same accounts nor a read waits for it.
        book.post("cash", "sales", 10, timeout=5)
        answer = book.trial_balance(basis=CHECKPOINTED)
        with checkpoints_of(shared_database, book.ledger) as checkpoints:
            assert checkpoints.write(1) is None

    assert (answer.basis, answer.totals[0].total_debits) == (RECOMPUTED, "25")


def test_servers_write_checkpoints_of_what_they_record_by_themselves(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkpointer, "ENTRIES_PER_CHECKPOINT", 20)
    monkeypatch.setattr(checkpointer, "LOOK_S", 0.01)
    with cluster.database() as database, serving(database.app_url) as one, serving(database.app_url) as two:
        tellers = [Teller.open(one), Teller.open(two)]
        for _ in range(10):
            for teller in tellers:
                for server in (one, two):
                    teller.at(server).batch([post_operation("cash", "sales", 1) for _ in range(20)])

        for teller in tellers:
            with checkpoints_of(database, teller.ledger) as checkpoints:
                # Nobody asks for one meanwhile.
                wait_until(lambda found=checkpoints: len(found.stored()) >= 40)
                assert prove_checkpoints(checkpoints) == 40
            answer = teller.trial_balance(basis=CHECKPOINTED)
            assert answer.checkpoint_sequence == teller.head()
            assert sums(answer) == sums(teller.trial_balance())
            assert unsound(database.owner_url, teller.ledger) == []
    # Other servers of this process may say what other tests have damaged.
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert not [error for error in errors for teller in tellers if teller.ledger in error]


def test_a_ledger_that_is_only_asked_for_gets_its_checkpoint_too(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "LOOK_S", 0.01)
    with cluster.database() as database:
        with serving(database.app_url) as before:
            teller = Teller.open(before)
            teller.batch([post_operation("cash", "sales", 1) for _ in range(5)])
        monkeypatch.setattr(checkpointer, "ENTRIES_PER_CHECKPOINT", 10)
        with serving(database.app_url) as after:
            teller = teller.at(after)
            wait_until(lambda: teller.trial_balance(basis=CHECKPOINTED).checkpoint_sequence == teller.head())


def test_a_server_that_may_not_build_on_a_checkpoint_says_so_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkpointer, "ENTRIES_PER_CHECKPOINT", 2)
    monkeypatch.setattr(checkpointer, "LOOK_S", 0.01)
    with cluster.database() as database, serving(database.app_url) as server:
        teller = Teller.open(server)
        teller.post("cash", "sales", 5)
        wait_until(lambda: teller.trial_balance(basis=CHECKPOINTED).basis == CHECKPOINTED)
        tamper(database, teller.ledger, DAMAGED_TOTALS["digest"])

        teller.post("cash", "sales", 5)
        broken = f"no more checkpoints of ledger {teller.ledger!r}"
        wait_until(lambda: broken in caplog.text)
        other = Teller.open(server)
        for _ in range(3):
            teller.post("cash", "sales", 5)
            other.post("cash", "sales", 5)
        wait_until(lambda: other.trial_balance(basis=CHECKPOINTED).checkpoint_sequence == other.head())

    assert caplog.text.count(broken) == 1


def test_a_step_that_is_cancelled_is_said_and_not_tried_again_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A step that took longer than statement_timeout was begun again for ever, and nobody was told."""
    steps: list[tuple[str, int]] = []

    def sleep(self: Checkpoints, statement: bytes, **parameters: object) -> object:
        steps.append((self._connection.info.dbname, self._ledger_id))
        with self._connection.transaction():
            self._connection.execute("set local statement_timeout = '50ms'")
            self._connection.execute("select pg_sleep(9)")
        return None

    monkeypatch.setattr(checkpointer, "LOOK_S", 0.05)
    monkeypatch.setattr(Checkpoints, "_change", sleep)
    with serving(database.app_url) as server:
        teller = Teller.open(server)
        # Other servers of this process take such steps for other tests' ledgers.
        cancelled = f"checkpoint of ledger {teller.ledger!r} was cancelled"
        wait_until(lambda: cancelled in caplog.text)
        for _ in range(5):
            teller.post("cash", "wallet", 1)
            time.sleep(0.1)

    assert caplog.text.count(cancelled) == 1
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        assert steps.count((database.name, ledger_id(connection, teller.ledger))) == 1
