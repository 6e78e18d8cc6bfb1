"""`verify` proves that what a template made is what it makes of what it was given."""

from __future__ import annotations

import json

import psycopg
import pytest
from callers import Teller, unsound
from clusters import Database
from ledger.v1 import ledger_pb2 as nouns
from sample_templates import ANN, BONUS, SPLIT, TOP_UP, parameters
from tampered import proven, unchecked, undone
from template_calls import chart_with, post_by

from ledger_server.domain.chain import details_digest
from ledger_server.domain.parameters import canonical
from ledger_server.service.verify import BadRecord, Proof

WHY = parameters(user=ANN, amount=50, reason="late")
# A teller's ledger has six records when it is opened, and these need six accounts more.
CHART, BONUSED, DIVIDED, PLAIN, UNDONE = range(13, 18)


@pytest.fixture
def book(teller: Teller) -> Teller:
    """A ledger with a bonus, a split, a post without a template, and the reversal of the split."""
    for name in ("1000", "5000", f"2000:{ANN}", "sellers:eve", "carrier", "house"):
        teller.open_account(name, nouns.ACCOUNT_TYPE_ASSET)
    teller.apply_chart(chart_with(TOP_UP, BONUS, SPLIT))
    post_by(teller, "bonus", WHY, "bonus")
    post_by(teller, "split", parameters(amount=99, seller="eve"), "split")
    teller.post("cash", "sales", 1)
    teller.reverse("split")
    assert teller.head() == UNDONE
    return teller


def test_a_journal_with_templates_is_proven_whole(book: Teller, shared_database: Database) -> None:
    proof = proven(shared_database, book.ledger)

    assert isinstance(proof, Proof)
    assert proof.sequence == UNDONE
    assert unsound(shared_database.owner_url, book.ledger) == []


EDITS: list[tuple[str, str, int]] = [
    ("transactions", "template = 'topup'", BONUSED),
    ("transactions", "template = 'gone'", BONUSED),
    ("transactions", "template_version = 2", BONUSED),
    ("transactions", "template = null, template_version = null, parameters = null", BONUSED),
    ("transactions", "parameters = null", BONUSED),
    ("transactions", "parameters = jsonb_set(parameters, '{values,reason}', '\"late \"')", BONUSED),
    ("transactions", "parameters = jsonb_set(parameters, '{values,amount}', '\"51\"')", BONUSED),
    ("transactions", "parameters = jsonb_set(parameters, '{values,amount}', '50')", BONUSED),
    ("transactions", "parameters = jsonb_set(parameters, '{values,more}', '\"x\"')", BONUSED),
    ("transactions", "parameters = jsonb_set(parameters, '{items}', '[[\"a\", {}]]')", BONUSED),
    ("transactions", "parameters = parameters - 'items'", BONUSED),
    ("transactions", "metadata = '{}'", BONUSED),
    ("transactions", "kind = 'gift'", BONUSED),
    ("transactions", "parameters = jsonb_set(parameters, '{values,seller}', '\"adam\"')", DIVIDED),
    (
        "transactions",
        "template = 'topup', template_version = 1, parameters = '{\"values\": {}, \"items\": []}'",
        PLAIN,
    ),
    ("transactions", "template_version = 1", PLAIN),
    ("transactions", "template = 'split', template_version = 1", UNDONE),
    ("charts", "chart = jsonb_set(chart, '{templates,0,kind}', '\"gift\"')", CHART),
    ("charts", "chart = jsonb_set(chart, '{templates,1,entries,1,weight}', '71')", CHART),
    ("charts", "chart = jsonb_set(chart, '{templates,1,entries,1,side}', '3')", CHART),
    ("charts", "chart = jsonb_set(chart, '{templates,0,parameters,0,1}', '1')", CHART),
    ("charts", "chart = jsonb_set(chart, '{templates}', '[]')", CHART),
    ("charts", "chart = chart - 'templates'", CHART),
]


def test_every_single_edit_is_found_at_its_sequence(book: Teller, shared_database: Database) -> None:
    with psycopg.connect(shared_database.owner_url, autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        for relation, change, sequence in EDITS:
            with undone(session, relation, book.ledger, sequence) as where:
                # What a constraint would refuse is damage all the same.
                for constraint in unchecked(session, relation):
                    session.execute(f"alter table ledger.{relation} drop constraint {constraint}".encode())
                edited = session.execute(f"update ledger.{relation} set {change} where {where}".encode())
                assert edited.rowcount == 1, (relation, change)

                found = proven(shared_database, book.ledger)

                assert isinstance(found, BadRecord), (relation, change)
                assert found.sequence == sequence, (relation, change, found)


def test_what_a_template_made_is_proven_when_it_is_redacted(book: Teller, shared_database: Database) -> None:
    redact = (
        "update ledger.transactions set description = null, metadata = null, external_ref = null,"
        " parameters = null, details_digest = %s where ledger_id = %s and sequence = %s"
    )
    with psycopg.connect(shared_database.owner_url, autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        row = session.execute(
            "select salt, metadata, transactions.ledger_id from ledger.transactions join ledger.directory"
            " using (ledger_id) where name = %s and sequence = %s",
            [book.ledger, BONUSED],
        ).fetchone()
        assert row is not None
        digest = details_digest(bytes(row[0]), "", row[1], "", canonical(WHY))
        session.execute(redact, [digest, row[2], BONUSED])

        assert isinstance(proven(shared_database, book.ledger), Proof)
        shown = book.transaction("bonus")
        again = post_by(book, "bonus", WHY, "bonus")

        session.execute(redact, [bytes(32), row[2], BONUSED])
        assert isinstance(proven(shared_database, book.ledger), BadRecord)

    assert shown.template == nouns.TemplateUse(name="bonus", version=1)
    assert again.replayed
    assert json.dumps(dict(shown.metadata)) == "{}"
