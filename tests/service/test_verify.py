"""`verify` finds every single-field edit of a journal, and names the first sequence that is wrong."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from callers import Teller, lines, post_operation, refusal_of, reverse_operation
from clusters import Cluster, Database
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from ledger.v1 import ledger_service_pb2 as pb
from psycopg import sql
from psycopg.rows import dict_row
from serving import serving
from tampered import proven

from ledger_server.domain import chain, posting
from ledger_server.service.verify import BadRecord, Proof, prove
from ledger_server.store import replaying
from ledger_server.store.replaying import reading_journals
from ledger_server.store.rows import micros

RECORDED = ("ledgers", "assets", "accounts", "transactions", "entries")
# Which sequence each record of `full_book` has.
LEDGER, USD, CASH, SALES, WALLET, EUR, CLUB = 1, 2, 3, 5, 6, 7, 8
FIRST_POST = 9


@pytest.fixture
def full_book(teller: Teller) -> Teller:
    """A ledger with every kind of record, and every field of them filled."""
    teller.create_asset("EUR", 2)
    teller.open_account("club", asset="EUR", balance_min="-500", balance_max="900")
    for number in range(6):
        teller.post(
            "cash",
            "wallet",
            100 + number,
            f"fund-{number}",
            kind="funding",
            description=f"funding {number}",
            metadata={"order": str(number), "shop": "1"},
            external_ref=f"ref-{number}",
            effective_time=Timestamp(seconds=1_700_000_000 + number),
        )
        teller.post("wallet", "sales", 10 + number)
        teller.post("cash", "club", 7, asset="EUR")
    teller.post_entries([*lines("cash", "wallet", 5), *lines("cash", "sales", 3, "EUR")], "wide")
    teller.reverse("fund-2", "undo-2", description="too early", metadata={"why": "test"})
    teller.reverse(FIRST_POST + 2)
    teller.batch([post_operation("cash", "sales", 3, f"many-{number}") for number in range(60)])
    teller.batch([reverse_operation(f"many-{number}", f"back-{number}") for number in range(40)])
    return teller


@contextmanager
def tampering(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's session to which no trigger applies."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        yield connection


def ledger_id(database: Database, name: str) -> int:
    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute("select ledger_id from ledger.directory where name = %s", [name]).fetchone()
        assert row is not None
        return int(row[0])


def broken_at(database: Database, name: str) -> int:
    """The first bad sequence."""
    outcome = proven(database, name)
    assert isinstance(outcome, BadRecord), "the damage was not found"
    return outcome.sequence


def test_a_sound_journal_is_proven_whole(full_book: Teller, shared_database: Database) -> None:
    proof = proven(shared_database, full_book.ledger)

    assert isinstance(proof, Proof)
    assert proof.sequence == full_book.head()
    assert proof.transactions == len(full_book.walk(page_size=1_000))
    assert proof.hash == full_book.transaction(proof.sequence).hash


def test_pages_of_any_size_prove_the_same(
    full_book: Teller, shared_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = proven(shared_database, full_book.ledger)
    assert isinstance(whole, Proof)
    for records, entries in ((1, 1_000), (7, 1_000), (4_000, 5), (3, 6)):
        monkeypatch.setattr(replaying, "RECORDS_PER_PAGE_MAX", records)
        monkeypatch.setattr(replaying, "ENTRIES_PER_PAGE_MAX", entries)

        paged = proven(shared_database, full_book.ledger)

        assert isinstance(paged, Proof)
        assert (paged.sequence, paged.hash, paged.transactions) == (
            whole.sequence,
            whole.hash,
            whole.transactions,
        )


# Each edit: the table, the column with its new value, and the row's sequence.
EDITS: list[tuple[str, str, int]] = [
    ("ledgers", "record_time = record_time + interval '1us'", LEDGER),
    ("ledgers", "created_by = 'mallory'", LEDGER),
    ("ledgers", "description = 'other'", LEDGER),
    ("ledgers", "salt = decode(md5(salt), 'hex')", LEDGER),
    ("ledgers", "hash = sha256(hash)", LEDGER),
    ("assets", "code = 'XXX'", USD),
    ("assets", "scale = 3", USD),
    ("assets", "asset_id = 9", USD),
    ("assets", "created_by = 'mallory'", EUR),
    ("assets", "record_time = record_time - interval '1us'", EUR),
    ("assets", "hash = sha256(hash)", EUR),
    ("assets", "sequence = 4000", EUR),
    ("accounts", "name = 'other name'", CASH),
    ("accounts", "type = 2", CASH),
    ("accounts", "status = 2", CASH),
    ("accounts", "version = 2", CASH),
    ("accounts", "account_id = 77", SALES),
    ("accounts", 'metadata = \'{"a": "b"}\'', SALES),
    ("accounts", "metadata = '{\"a\": 1}'", SALES),
    ("accounts", "metadata = '[]'", SALES),
    ("accounts", 'limits = \'{"1": {"balance_min": "-1"}}\'', WALLET),
    ("accounts", 'limits = \'{"1": {"balance_min": "0", "extra": "1"}}\'', WALLET),
    ("accounts", 'limits = \'{"1": {"balance_min": "00"}}\'', WALLET),
    ("accounts", 'limits = \'{"9": {"balance_min": "0"}}\'', WALLET),
    ("accounts", "limits = '{}'", CASH),
    ("accounts", "limits = null", WALLET),
    ("accounts", 'limits = \'{"2": {"balance_min": "-500", "balance_max": "901"}}\'', CLUB),
    ("accounts", "salt = decode(md5(salt), 'hex')", CLUB),
    ("accounts", "created_by = 'mallory'", CLUB),
    ("accounts", "record_time = record_time + interval '1 day'", CLUB),
    ("accounts", "hash = sha256(hash)", CLUB),
    ("accounts", "metadata = null, details_digest = sha256('')", CLUB),
    ("transactions", "idempotency_key = 'stolen'", FIRST_POST),
    ("transactions", "idempotency_key = null", FIRST_POST),
    ("transactions", "idempotency_key = 'given'", FIRST_POST + 1),
    ("transactions", "kind = 'other'", FIRST_POST),
    ("transactions", "effective_time = effective_time + interval '1us'", FIRST_POST),
    ("transactions", "effective_time = effective_time + interval '1us'", FIRST_POST + 1),
    ("transactions", "effective_time_given = not effective_time_given", FIRST_POST),
    ("transactions", "effective_time_given = not effective_time_given", FIRST_POST + 1),
    ("transactions", "record_time = record_time + interval '1us'", FIRST_POST + 3),
    ("transactions", "created_by = 'mallory'", FIRST_POST + 3),
    ("transactions", "reverses = 10", FIRST_POST + 3),
    ("transactions", "description = 'other'", FIRST_POST + 3),
    ("transactions", 'metadata = metadata || \'{"shop": "2"}\'', FIRST_POST + 3),
    ("transactions", "metadata = '{}'", FIRST_POST + 3),
    ("transactions", "external_ref = 'other'", FIRST_POST + 3),
    ("transactions", "salt = decode(md5(salt), 'hex')", FIRST_POST + 3),
    ("transactions", "hash = sha256(hash)", FIRST_POST + 3),
    ("transactions", "sequence = 5000", FIRST_POST + 3),
    (
        "transactions",
        "description = null, metadata = null, external_ref = null, details_digest = sha256('')",
        FIRST_POST,
    ),
    ("transactions", "reverses = null", FIRST_POST + 19),
    ("transactions", "kind = 'other'", FIRST_POST + 19),
    ("transactions", "external_ref = 'other'", FIRST_POST + 19),
    ("transactions", "reverses = reverses + 3", FIRST_POST + 19),
    ("entries", "amount = amount + 1", FIRST_POST),
    ("entries", "balance_after = balance_after + 1", FIRST_POST),
    ("entries", "side = 3 - side", FIRST_POST),
    ("entries", "layer = 1", FIRST_POST),
    ("entries", "asset_id = 2", FIRST_POST),
    ("entries", "account_id = 2", FIRST_POST),
    ("entries", "index = 7", FIRST_POST),
    ("entries", "sequence = 6000", FIRST_POST),
    ("entries", "sequence = -3", FIRST_POST),
    ("entries", "amount = amount + 1", FIRST_POST + 19),
]


@pytest.mark.criterion("S004-2")
def test_every_single_edit_is_found_at_its_sequence(full_book: Teller, shared_database: Database) -> None:
    book = ledger_id(shared_database, full_book.ledger)
    assert isinstance(proven(shared_database, full_book.ledger), Proof)
    with tampering(shared_database) as session:
        for relation, change, sequence in EDITS:
            where = f"ledger_id = {book} and sequence = {sequence}"
            if relation == "entries":
                where += " and index = 0"
            with undone(session, relation, where):
                edited = session.execute(f"update ledger.{relation} set {change} where {where}".encode())
                assert edited.rowcount == 1, (relation, change)

                expected = -3 if change == "sequence = -3" else sequence
                assert broken_at(shared_database, full_book.ledger) == expected, (relation, change)
    assert isinstance(proven(shared_database, full_book.ledger), Proof)


@contextmanager
def undone(session: psycopg.Connection[Any], relation: str, where: str) -> Iterator[None]:
    """Puts back what the block did to the ledger's row."""
    session.execute(f"create temporary table kept as select * from ledger.{relation} where {where}".encode())
    session.execute(
        "create temporary table others as"
        f" select ctid as place from ledger.{relation} where not ({where})".encode()
    )
    yield
    session.execute(f"delete from ledger.{relation} where ctid not in (select place from others)".encode())
    session.execute(f"insert into ledger.{relation} select * from kept".encode())
    session.execute("drop table kept, others")


def test_random_edits_anywhere_are_found_at_their_sequence(
    full_book: Teller, shared_database: Database
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    book = ledger_id(shared_database, full_book.ledger)
    for _ in range(40):
        relation = generator.choice(("transactions", "transactions", "accounts", "entries", "entries"))
        with tampering(shared_database) as session:
            rows = session.execute(
                f"select ctid::text, sequence from ledger.{relation}"
                f" where ledger_id = {book} order by 2, 1".encode()
            ).fetchall()
            place, sequence = generator.choice(rows)
            change = generator.choice(
                {
                    "transactions": [
                        "hash = sha256(hash)",
                        "created_by = created_by || ' '",
                        "description = description || '.'",
                        "kind = kind || 'x'",
                        "effective_time = effective_time - interval '1us'",
                        "salt = decode(md5(salt), 'hex')",
                    ],
                    "accounts": ["hash = sha256(hash)", "name = name || 'x'", "type = 1 + type % 5"],
                    "entries": [
                        "amount = amount + 1",
                        "amount = amount * 10",
                        "balance_after = -balance_after - 1",
                        "side = 3 - side",
                        "account_id = 1 + account_id % 5",
                        "layer = 2",
                    ],
                }[relation]
            )
            with undone(session, relation, f"ctid = '{place}'"):
                session.execute(f"update ledger.{relation} set {change} where ctid = '{place}'".encode())

                assert broken_at(shared_database, full_book.ledger) == sequence, (seed, relation, change)


def damage(*statements: str) -> Callable[[psycopg.Connection[Any], int], None]:
    def run(session: psycopg.Connection[Any], book: int) -> None:
        for statement in statements:
            session.execute(statement.replace("THIS", f"ledger_id = {book}").encode())

    return run


ENTRY_COLUMNS = "(ledger_id, account_id, asset_id, layer, sequence, index, side, amount, balance_after)"
SWAP = (
    "update ledger.{0} set sequence = 7777 where THIS and sequence = 10",
    "update ledger.{0} set sequence = 10 where THIS and sequence = 13",
    "update ledger.{0} set sequence = 13 where THIS and sequence = 7777",
)
DAMAGES: dict[str, tuple[int | str, Callable[[psycopg.Connection[Any], int], None]]] = {
    "a deleted transaction": (10, damage("delete from ledger.transactions where THIS and sequence = 10")),
    "a deleted account": (SALES, damage(f"delete from ledger.accounts where THIS and sequence = {SALES}")),
    "a deleted entry": (10, damage("delete from ledger.entries where THIS and sequence = 10 and index = 1")),
    "deleted entries": (10, damage("delete from ledger.entries where THIS and sequence = 10")),
    "the first record deleted": (1, damage("delete from ledger.ledgers where THIS")),
    "everything of a sequence deleted": (
        10,
        damage(
            "delete from ledger.entries where THIS and sequence = 10",
            "delete from ledger.transactions where THIS and sequence = 10",
        ),
    ),
    "swapped transactions": (10, damage(*(statement.format("transactions") for statement in SWAP))),
    "swapped with their entries": (
        10,
        damage(
            *(statement.format(relation) for relation in ("transactions", "entries") for statement in SWAP)
        ),
    ),
    "an invented entry": (
        20,
        damage(
            f"insert into ledger.entries {ENTRY_COLUMNS}"
            " select ledger_id, account_id, asset_id, layer, sequence, 2, side, amount,"
            " balance_after from ledger.entries where THIS and sequence = 20 and index = 0"
        ),
    ),
    "two entries of one number": (
        20,
        damage("update ledger.entries set index = 0 where THIS and sequence = 20 and index = 1"),
    ),
    "entries of an account": (
        4,
        damage(
            f"insert into ledger.entries {ENTRY_COLUMNS}"
            " select ledger_id, account_id, asset_id, layer, 4, index, side, amount,"
            " balance_after from ledger.entries where THIS and sequence = 20"
        ),
    ),
    "two records of one sequence": (
        4,
        damage("update ledger.assets set sequence = 4 where THIS and sequence = 27"),
    ),
    "a record beyond the head": (
        8_000,
        damage(
            "insert into ledger.assets select ledger_id, 9, 'ZZZ', 2, 8000, record_time, '', hash"
            " from ledger.heads where THIS"
        ),
    ),
    "another head hash": ("head", damage("update ledger.heads set hash = sha256(hash) where THIS")),
    "another head time": (
        "head",
        damage("update ledger.heads set record_time = record_time + interval '1us' where THIS"),
    ),
    "a head that is further": (
        "head + 1",
        damage("update ledger.heads set sequence = sequence + 1 where THIS"),
    ),
    "a head that is behind": ("head", damage("update ledger.heads set sequence = sequence - 1 where THIS")),
    "a head that counted otherwise": (
        "head",
        damage("update ledger.heads set filled = filled - 1 where THIS"),
    ),
    "a head that knows of an account more": (
        "head",
        damage("update ledger.heads set account_id_max = account_id_max + 1 where THIS"),
    ),
    "a head that knows of an asset less": (
        "head",
        damage("update ledger.heads set asset_id_max = asset_id_max - 1 where THIS"),
    ),
    "a head that knows of no limits": (
        "head",
        damage("update ledger.heads set has_limits = false where THIS"),
    ),
    "a bound that the fence does not know of": ("head", damage("delete from ledger.bounds where THIS")),
    "a bound that the fence knows otherwise": (
        "head",
        damage("update ledger.bounds set lowest = lowest - 1, highest = highest + 1 where THIS"),
    ),
    "a bound that only the fence knows of": (
        "head",
        damage("insert into ledger.bounds select ledger_id, 1, 1, null, 5 from ledger.heads where THIS"),
    ),
    "no head": (1, damage("delete from ledger.heads where THIS")),
    "a whole transaction multiplied": (
        12,
        damage("update ledger.entries set amount = amount * 2 where THIS and sequence = 12"),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_where_it_begins(teller: Teller, shared_database: Database, name: str) -> None:
    for number in range(20):
        teller.post("cash", "sales", 10 + number, f"key-{number}")
    teller.create_asset("EUR", 2)
    head = teller.head()
    expected, run = DAMAGES[name]

    with tampering(shared_database) as session:
        run(session, ledger_id(shared_database, teller.ledger))

    at = {"head": head, "head + 1": head + 1}.get(str(expected), expected)
    assert broken_at(shared_database, teller.ledger) == at


def test_a_record_rewritten_with_its_own_hash_is_betrayed_by_the_next(
    teller: Teller, shared_database: Database
) -> None:
    teller.create_asset("EUR", 2)
    teller.create_asset("GBP", 2)
    head = teller.head()
    book = ledger_id(shared_database, teller.ledger)
    with tampering(shared_database) as session:
        for code, sequence, expected in (("GBP", head, head), ("EUR", head - 1, head)):
            row = session.execute(
                "select this.record_time, previous.hash, created_by from ledger.assets as this, ("
                " select sequence, hash from ledger.accounts where ledger_id = %(id)s"
                " union all select sequence, hash from ledger.assets where ledger_id = %(id)s"
                ") as previous where ledger_id = %(id)s and code = %(code)s"
                " and previous.sequence = this.sequence - 1",
                {"id": book, "code": code},
            ).fetchone()
            assert row is not None
            canonical = chain.asset_canonical(micros(row[0]), row[2], chain.framed(code), 3)
            forged = chain.record_hash(chain.framed(teller.ledger), sequence, row[1], canonical)
            with undone(session, "assets", f"ledger_id = {book} and sequence = {sequence}"):
                session.execute(
                    "update ledger.assets set scale = 3, hash = %s where ledger_id = %s and sequence = %s",
                    [forged, book, sequence],
                )

                assert broken_at(shared_database, teller.ledger) == expected


@pytest.mark.criterion("S004-2")
def test_an_old_amount_that_was_changed_shows_in_the_trial_balance_and_in_verify(
    teller: Teller, shared_database: Database
) -> None:
    old = teller.post("cash", "sales", 100).transaction.sequence
    teller.post("cash", "sales", 50)
    assert teller.trial_balance().status == pb.TRIAL_BALANCE_STATUS_OK

    with tampering(shared_database) as session:
        session.execute(
            "update ledger.entries set amount = 99 where ledger_id = %s and sequence = %s and index = 1",
            [ledger_id(shared_database, teller.ledger), old],
        )

    assert teller.trial_balance().status == pb.TRIAL_BALANCE_STATUS_MISMATCH
    assert teller.balance("sales") == 150
    assert teller.balance("sales", recompute=True) == 149
    assert broken_at(shared_database, teller.ledger) == old


def test_a_redacted_journal_is_proven_by_its_digests(full_book: Teller, shared_database: Database) -> None:
    book = ledger_id(shared_database, full_book.ledger)
    redacted = {
        "transactions": (
            "description = null, metadata = null, external_ref = null",
            lambda row: (row["description"], row["metadata"], row["external_ref"]),
        ),
        "accounts": ("metadata = null", lambda row: ("", row["metadata"], "")),
        "ledgers": ("description = null", lambda row: (row["description"], {}, "")),
    }
    with tampering(shared_database) as session:
        session.row_factory = dict_row  # type: ignore[assignment]
        for relation, (nulls, details) in redacted.items():
            found = session.execute(
                f"select * from ledger.{relation} where ledger_id = {book}".encode()
            ).fetchall()
            for row in found:
                digest = chain.details_digest(row["salt"], *details(row))  # type: ignore[call-overload]
                session.execute(
                    f"update ledger.{relation} set {nulls}, details_digest = %s"
                    " where ledger_id = %s and sequence = %s".encode(),
                    [digest, book, row["sequence"]],  # type: ignore[call-overload]
                )

        assert isinstance(proven(shared_database, full_book.ledger), Proof)
        session.execute(
            "update ledger.transactions set details_digest = sha256(details_digest)"
            " where ledger_id = %s and sequence = 28",
            [book],
        )
        assert broken_at(shared_database, full_book.ledger) == 28


@pytest.mark.criterion("S003-10")
def test_a_reversal_that_is_no_mirror_is_found_though_it_balances(
    full_book: Teller, shared_database: Database
) -> None:
    book = ledger_id(shared_database, full_book.ledger)
    with tampering(shared_database) as session:
        # The newest entries of cash and sales: a reversal of 3, made one of 4 with balances that continue.
        session.execute(
            "update ledger.entries set amount = amount + 1, balance_after = balance_after"
            " + case side when 1 then 1 else -1 end where ledger_id = %s and sequence = %s",
            [book, full_book.head()],
        )

    outcome = proven(shared_database, full_book.ledger)
    assert isinstance(outcome, BadRecord)
    assert outcome.sequence == full_book.head()


@pytest.mark.criterion("S003-10")
def test_a_reversal_has_the_same_amounts_on_the_other_sides(teller: Teller) -> None:
    origin = teller.post_entries([*lines("cash", "wallet", 500), *lines("other", "sales", 70)], kind="charge")
    back = teller.reverse(origin.transaction.sequence).transaction

    assert [(entry.account, entry.amount, entry.asset) for entry in back.entries] == [
        (entry.account, entry.amount, entry.asset) for entry in origin.transaction.entries
    ]
    assert [entry.side for entry in back.entries] == [3 - entry.side for entry in origin.transaction.entries]
    assert (back.reverses, back.kind) == (origin.transaction.sequence, "charge")
    assert teller.transaction(origin.transaction.sequence).reversed_by == back.sequence


@pytest.mark.criterion("S003-15")
def test_a_damaged_origin_is_never_mirrored(
    teller: Teller, shared_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    origin = teller.post("cash", "sales", 100, "origin").transaction.sequence
    head = teller.head()
    book = ledger_id(shared_database, teller.ledger)
    for damage_done in ("amount = 99 where index = 1", "side = 1 where index = 1"):
        change, _, where = damage_done.partition(" where ")
        with (
            tampering(shared_database) as session,
            undone(session, "entries", f"ledger_id = {book} and sequence = {origin} and {where}"),
        ):
            session.execute(
                f"update ledger.entries set {change}"
                f" where ledger_id = {book} and sequence = {origin} and {where}".encode()
            )
            refusal = refusal_of(lambda: teller.reverse("origin"))

        assert (refusal.code, refusal.reason) == (StatusCode.INTERNAL, "LEDGER_INVARIANT_BROKEN")
        assert refusal.message == "internal error"
        assert refusal.facts == {}
    assert f"'sequence': '{origin}'" in caplog.text
    assert teller.ledger in caplog.text
    assert teller.head() == head


@pytest.mark.criterion("S003-15")
def test_a_mirror_made_wrong_is_never_recorded(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = teller.post("cash", "sales", 100).transaction.sequence
    head = teller.head()
    true_mirror = posting.mirrored
    wrong: list[Callable[[Any], Any]] = [
        lambda entries: true_mirror(entries)[:1],
        lambda entries: true_mirror(entries)[::-1],
        lambda entries: tuple(line._replace(is_debit=not line.is_debit) for line in true_mirror(entries)),
        lambda entries: tuple(line._replace(amount=line.amount + 1) for line in true_mirror(entries)),
        lambda entries: tuple(line._replace(account="cash") for line in true_mirror(entries)),
    ]
    for mirrored in wrong:
        monkeypatch.setattr(posting, "mirrored", mirrored)
        assert refusal_of(lambda: teller.reverse(origin)).reason == "LEDGER_INVARIANT_BROKEN"
    monkeypatch.undo()

    assert teller.head() == head
    teller.reverse(origin)


@pytest.mark.criterion("S004-15")
def test_another_constraints_violation_is_never_taken_for_a_replay(
    teller: Teller, shared_database: Database
) -> None:
    book = ledger_id(shared_database, teller.ledger)
    head = teller.head()
    with psycopg.connect(shared_database.owner_url, autocommit=True) as session:
        session.execute(
            "alter table ledger.transactions"
            f" add constraint whim check (ledger_id <> {book} or kind <> 'x')".encode()
        )
        refusal = refusal_of(lambda: teller.post("cash", "sales", 1, "key", kind="x"))
        session.execute("alter table ledger.transactions drop constraint whim")
        index = f"create unique index whim on ledger.transactions (kind) where ledger_id = {book}"
        session.execute(index.encode())
        teller.post("cash", "sales", 1, "one", kind="taken")
        second = refusal_of(lambda: teller.post("cash", "sales", 1, "two", kind="taken"))
        session.execute("drop index ledger.whim")

    for each in (refusal, second):
        assert (each.code, each.reason) == (StatusCode.INTERNAL, "LEDGER_INVARIANT_BROKEN")
    assert teller.head() == head + 1
    assert teller.post("cash", "sales", 1, "two", kind="taken").replayed is False


@pytest.mark.criterion("S003-21")
def test_times_are_utc_whatever_the_time_zone_of_the_server(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        with cluster.database() as database:
            with psycopg.connect(database.owner_url, autocommit=True) as session:
                name = sql.Identifier(database.name)
                session.execute(sql.SQL("alter database {} set timezone = 'Asia/Kolkata'").format(name))
            with serving(database.app_url) as server:
                _post_at_midnight(Teller.open(server), database)
    finally:
        monkeypatch.undo()
        time.tzset()


def _post_at_midnight(teller: Teller, database: Database) -> None:
    midnight = Timestamp(seconds=1_704_067_200)  # 2024-01-01T00:00:00Z
    before = time.time()
    given = teller.post("cash", "sales", 1, "given", effective_time=midnight).transaction
    many = teller.batch([post_operation("cash", "sales", 1, effective_time=midnight) for _ in range(40)])
    unset = teller.post("cash", "sales", 1, "unset").transaction
    after = time.time()

    for found in (given, teller.transaction("given"), teller.transaction(many[39].sequence)):
        assert found.effective_time == midnight
    for found in (unset, teller.transaction("unset")):
        assert found.effective_time == found.record_time
        assert before - 1 <= found.record_time.seconds <= after + 1
    later = Timestamp(seconds=midnight.seconds + 1)
    that_day = pb.TransactionFilter(effective_time_from=midnight, effective_time_until=later)
    on_that_day = teller.walk(filter=that_day, page_size=100)
    assert len(on_that_day) == 41
    assert teller.walk(filter=pb.TransactionFilter(effective_time_until=midnight)) == []
    assert isinstance(proven(database, teller.ledger), Proof)


def test_verify_reads_only_and_beside_a_writer(teller: Teller, shared_database: Database) -> None:
    for number in range(3):
        teller.post("cash", "sales", 1 + number)
    with reading_journals(shared_database.app_url, teller.ledger) as journals:
        (journal,) = journals
        head = journal.head()
        assert head is not None
        teller.post("cash", "sales", 9)
        proof = prove(journal)

        assert proof.sequence == head.sequence + 1
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            journal._connection.execute("update ledger.heads set epoch = epoch + 1")


@pytest.mark.criterion("S004-2")
def test_a_balance_is_the_sum_of_the_entries_and_zero_without_any(teller: Teller) -> None:
    for amount in (100, 7, 1):
        teller.post("cash", "sales", amount)
    teller.post("sales", "cash", 8)

    for account, expected in (("cash", 100), ("sales", 100), ("other", 0), ("wallet", 0)):
        assert teller.balance(account) == teller.balance(account, recompute=True) == expected
