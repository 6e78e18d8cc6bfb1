"""`verify` proves charts, accounts that postings opened, and numbers, as it proves every other record."""

from __future__ import annotations

import psycopg
import pytest
from callers import Teller, lines, unsound
from charts import SALE, TELLERS, TILLS, USD, USERS, chart, family, kind
from clusters import Database
from ledger.v1.chart_service_pb2 import AccountSet, Chart
from ledger.v1.ledger_pb2 import BalanceLimit
from tampered import proven, unchecked, undone

from ledger_server.domain.chain import details_digest
from ledger_server.service.verify import BadRecord, Proof

# A teller's ledger has six records when it is opened.
CHART, FIRST, SECOND, SOLD, GIFT, CHANGED, UNDONE = range(7, 14)


@pytest.fixture
def book(teller: Teller) -> Teller:
    """A ledger with two charts, users who were opened by postings, numbered sales and a reversal."""
    gift = kind("gift", required_metadata=["reason"])
    owed = AccountSet(name="owed", accounts=["wallet"], prefixes=["users"])
    teller.apply_chart(chart(USERS, TILLS, kinds=(SALE, gift, kind("*")), sets=[owed]))
    teller.post_entries(
        [*lines("cash", "users:1", 5), *lines("cash", "users:2", 6)],
        "first",
    )
    teller.post("cash", "users:1", 1, "second")
    teller.post("shops:a:till", "users:3", 9, "sold", kind="sale")
    teller.post("cash", "users:1", 1, "gift", kind="gift", metadata={"reason": "birthday"})
    teller.apply_chart(chart(USERS, TILLS, kinds=(SALE,)), 1)
    teller.reverse("second")
    assert teller.head() == UNDONE
    return teller


def test_a_journal_with_charts_is_proven_whole(book: Teller, shared_database: Database) -> None:
    proof = proven(shared_database, book.ledger)

    assert isinstance(proof, Proof)
    assert proof.sequence == UNDONE
    assert unsound(shared_database.owner_url, book.ledger) == []


def test_an_account_with_limits_that_a_later_chart_does_not_allow_is_proven(
    teller: Teller, shared_database: Database
) -> None:
    teller.create_asset("EUR", 2)
    teller.update("wallet", limits=[BalanceLimit(asset="EUR", balance_max="5")])
    families = [*TELLERS[:3], family("wallet", assets=["USD"])]
    teller.apply_chart(Chart(assets=[USD], families=families))

    teller.update("wallet", 2, metadata={"a": "1"})
    teller.change("Freeze", "wallet", 3)

    assert isinstance(proven(shared_database, teller.ledger), Proof)


def test_a_chart_is_compared_with_the_limits_that_stood_before_it(
    teller: Teller, shared_database: Database
) -> None:
    for name in ("cash", "other"):
        teller.update(name, limits=[BalanceLimit(asset="USD", balance_max="-1")])
    teller.update("cash", 2, limits=[BalanceLimit(asset="USD", balance_max="0")])
    teller.change("Close", "other", 2)
    families = [family(one.pattern, one.type, limits_include_zero=True) for one in TELLERS]
    teller.apply_chart(Chart(families=families))
    applied = teller.head()
    assert isinstance(proven(shared_database, teller.ledger), Proof)
    teller.apply_chart(Chart(families=TELLERS), 1)
    teller.update("cash", 3, limits=[BalanceLimit(asset="USD", balance_max="-1")])

    assert isinstance(proven(shared_database, teller.ledger), Proof)
    assert teller.head() == applied + 2


EDITS: list[tuple[str, str, int]] = [
    ("charts", "version = 3", CHART),
    ("charts", "created_by = 'mallory'", CHART),
    ("charts", "record_time = record_time + interval '1us'", CHART),
    ("charts", "hash = sha256(hash)", CHART),
    ("charts", "sequence = 4000", CHART),
    ("charts", "chart = jsonb_set(chart, '{families,5,type}', '1')", CHART),
    ("charts", "chart = jsonb_set(chart, '{families,4,limits}', '{}')", CHART),
    ("charts", "chart = jsonb_set(chart, '{families,4,parameters,id}', '3')", CHART),
    ("charts", "chart = jsonb_set(chart, '{kinds,0,idempotency}', '3')", CHART),
    ("charts", "chart = jsonb_set(chart, '{kinds,2,numbering}', 'null')", CHART),
    ("charts", "chart = chart || '{\"templates\": 5}'", CHART),
    ("charts", "chart = chart - 'sets'", CHART),
    ("charts", "chart = jsonb_set(chart, '{sets,0,prefixes}', '[]')", CHART),
    ("charts", "chart = jsonb_set(chart, '{sets,0,accounts,1}', '\"cash\"')", CHART),
    ("charts", "chart = jsonb_set(chart, '{sets,0,name}', '\"owned\"')", CHART),
    ("charts", "chart = chart || '{\"sets\": 5}'", CHANGED),
    ("charts", "chart = chart - 'kinds'", CHANGED),
    ("charts", "name_patterns = '{}'", CHART),
    ("charts", "name_patterns[2] = '.'", CHANGED),
    ("transactions", "number = 2", SOLD),
    ("transactions", "number = null, series = null", SOLD),
    ("transactions", "series = 'receipts:shops:b'", SOLD),
    ("transactions", "series = 'receipts:shops:a', number = 2", SECOND),
    ("transactions", "kind = 'other'", SOLD),
    ("transactions", "metadata = '{}'", GIFT),
]
# Of the first of the accounts that a posting opened.
OPENED = [
    ("name = 'users:9'", FIRST),
    ("type = 3", FIRST),
    ("limits = null", FIRST),
    ("status = 2", FIRST),
    ('metadata = \'{"a": "b"}\'', FIRST),
    ("created_by = 'mallory'", FIRST),
    ("salt = hash", FIRST),
    ("hash = sha256(hash)", FIRST),
    ("opened_by_posting = null", FIRST),
    ("record_time = record_time + interval '1us'", FIRST),
    ("sequence = 10", FIRST),
]


def test_every_single_edit_is_found_at_its_sequence(book: Teller, shared_database: Database) -> None:
    with psycopg.connect(shared_database.owner_url, autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        edits = [*EDITS, *(("accounts", change, sequence) for change, sequence in OPENED)]
        for relation, change, sequence in edits:
            with undone(session, relation, book.ledger, sequence) as where:
                # What a constraint would refuse is damage all the same.
                for constraint in unchecked(session, relation):
                    session.execute(f"alter table ledger.{relation} drop constraint {constraint}".encode())
                which = where + (" and name = 'users:1'" if relation == "accounts" else "")
                edited = session.execute(f"update ledger.{relation} set {change} where {which}".encode())
                assert edited.rowcount == 1, (relation, change)

                found = proven(shared_database, book.ledger)

                assert isinstance(found, BadRecord), (relation, change)
                assert found.sequence == sequence, (relation, change, found)


def test_an_opened_account_that_nothing_opened_is_found(book: Teller, shared_database: Database) -> None:
    with psycopg.connect(shared_database.owner_url) as session:
        session.execute("set session_replication_role = replica")
        session.execute(
            "insert into ledger.accounts (ledger_id, account_id, version, sequence, name, type, metadata,"
            " record_time, created_by, salt, hash, opened_by_posting)"
            " select ledger_id, 99, 1, sequence, 'users:99', type, metadata, record_time, created_by, salt,"
            " hash, true from ledger.accounts where name = 'users:1' and ledger_id ="
            " (select ledger_id from ledger.directory where name = %s)",
            [book.ledger],
        )

    found = proven(shared_database, book.ledger)

    assert isinstance(found, BadRecord)
    assert found.sequence == FIRST


def test_a_redacted_post_of_a_kind_that_requires_metadata_still_verifies(
    book: Teller, shared_database: Database
) -> None:
    with psycopg.connect(shared_database.owner_url) as session:
        session.execute("set session_replication_role = replica")
        row = session.execute(
            "select salt, metadata, transactions.ledger_id from ledger.transactions join ledger.directory"
            " using (ledger_id) where name = %s and sequence = %s",
            [book.ledger, GIFT],
        ).fetchone()
        assert row is not None
        digest = details_digest(bytes(row[0]), "", row[1], "")
        session.execute(
            "update ledger.transactions set description = null, metadata = null, external_ref = null,"
            " details_digest = %s where ledger_id = %s and sequence = %s",
            [digest, row[2], GIFT],
        )

    assert isinstance(proven(shared_database, book.ledger), Proof)
