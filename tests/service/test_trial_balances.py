"""The trial balance: of one sequence on all its pages, exact at any size, equal wherever the drafts are."""

from __future__ import annotations

import grpc
import pytest
from callers import Teller, post_operation, refusal_of
from clusters import Cluster
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from serving import serving


def test_the_trial_balance_by_account_is_of_one_sequence_on_all_its_pages(teller: Teller) -> None:
    for number in range(12):
        teller.open_account(f"customers:{number:02}")
    teller.batch([post_operation("cash", f"customers:{number:02}", number + 1) for number in range(12)])
    asked = {"rows": pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, "page_size": 5, "digest": True}

    pages = [teller.trial_balance(**asked)]
    while pages[-1].next_page_token:
        teller.post("cash", "customers:00", 1_000)
        pages.append(teller.trial_balance(page_token=pages[-1].next_page_token, **asked))

    rows = [row for page in pages for row in page.rows]
    assert [len(page.rows) for page in pages] == [5, 5, 3]
    assert [(row.account, row.debits, row.credits, row.net) for row in rows] == [
        ("cash", "78", "0", "78"),
        *((f"customers:{number:02}", "0", str(number + 1), str(-number - 1)) for number in range(12)),
    ]
    assert len({page.sequence for page in pages}) == len({page.digest for page in pages}) == 1
    assert all(page.totals == pages[0].totals for page in pages)


def test_later_pages_are_of_the_first_ones_sequence_also_on_another_server(cluster: Cluster) -> None:
    with cluster.database() as database, serving(database.app_url) as one, serving(database.app_url) as two:
        teller = Teller.open(one)
        teller.batch([post_operation("cash", "sales", 5), post_operation("other", "wallet", 6)])
        asked = {"rows": pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, "page_size": 2}
        first = teller.trial_balance(**asked)
        teller.post("cash", "sales", 100)

        second = teller.at(two).trial_balance(page_token=first.next_page_token, **asked)

    assert second.sequence == first.sequence
    assert [(row.account, row.credits) for row in second.rows] == [("sales", "5"), ("wallet", "6")]


def test_the_trial_balance_by_type_adds_accounts_up(teller: Teller) -> None:
    teller.post("cash", "sales", 5)
    teller.post("other", "sales", 7)
    teller.post("cash", "wallet", 1)

    answer = teller.trial_balance(rows=pb.TRIAL_BALANCE_ROWS_BY_TYPE)

    assert [(row.type, row.account, row.net) for row in answer.rows] == [
        (nouns.ACCOUNT_TYPE_ASSET, "", "13"),
        (nouns.ACCOUNT_TYPE_LIABILITY, "", "-1"),
        (nouns.ACCOUNT_TYPE_REVENUE, "", "-12"),
    ]
    assert answer.status == pb.TRIAL_BALANCE_STATUS_OK
    assert answer.basis == pb.TRIAL_BALANCE_BASIS_RECOMPUTED
    assert [(one.asset, one.total_debits, one.total_credits, one.difference) for one in answer.totals] == [
        ("USD", "13", "13", "0")
    ]


def test_the_trial_balance_of_a_past_sequence_is_what_it_was_then(teller: Teller) -> None:
    first = teller.post("cash", "sales", 5).transaction.sequence
    then = teller.trial_balance(digest=True)
    teller.post("cash", "sales", 7)

    again = teller.trial_balance(at_sequence=first, digest=True)

    assert again == then
    assert teller.trial_balance(digest=True).digest != then.digest
    assert refusal_of(lambda: teller.trial_balance(at_sequence=10_000)).reason == "SEQUENCE_NOT_REACHED"


def test_a_basis_or_breakdown_that_does_not_exist_is_refused(teller: Teller) -> None:
    for field in ("basis", "rows"):
        refused = refusal_of(lambda field=field: teller.trial_balance(**{field: 9}))

        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
        assert field in refused.message or field in str(refused.facts)


def test_two_databases_fed_the_same_drafts_have_one_digest(cluster: Cluster) -> None:
    digests, hashes = set(), set()
    for committers in (1, 4):
        with cluster.database() as database, serving(database.app_url, committers=committers) as server:
            teller = Teller.open(server, "same:name")
            posted = teller.batch([post_operation("cash", "sales", amount) for amount in range(1, 60)])
            teller.reverse(posted[3].sequence)
            digests.add(teller.trial_balance(digest=True).digest)
            hashes.add(posted[-1].hash)

    assert len(digests) == 1
    # Salts and times differ, and the chain with them.
    assert len(hashes) == 2


@pytest.mark.criterion("S003-29")
def test_sums_go_beyond_int64_and_beyond_38_digits(teller: Teller) -> None:
    most = "9" * 38
    teller.post("cash", "sales", most)
    teller.post("sales", "cash", most)
    teller.post("cash", "sales", 2**63)

    (total,) = teller.trial_balance().totals

    assert total.total_debits == total.total_credits == str(2 * int(most) + 2**63)
    assert len(total.total_debits) == 39
    assert total.difference == "0"
    assert teller.balance("sales") == 2**63
    assert teller.balance("sales", recompute=True) == 2**63
    overflow = refusal_of(lambda: teller.post("cash", "sales", most))
    assert (overflow.code, overflow.reason) == (grpc.StatusCode.OUT_OF_RANGE, "AMOUNT_OVERFLOW")
