"""A batch's answer: one result an operation, and never too large for a plain client (4 MiB)."""

from __future__ import annotations

import pytest
from builders import CREDIT, DEBIT, entry
from callers import Teller, lines, post_operation, reverse_operation
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving
from statuses import told, told_operation

from ledger_server.rpc.limits import ANSWER_BYTES_MAX

LONG = "é" * 255


@pytest.fixture
def answer_bytes(teller: Teller) -> Teller:
    """A ledger with an account of the longest name, bounded below."""
    teller.open_account(LONG, balance_min="0")
    return teller


def test_a_full_view_answers_whole_transactions_and_a_basic_one_their_records(teller: Teller) -> None:
    operations = [
        post_operation("cash", "sales", 5, "k"),
        reverse_operation("k"),
        post_operation("x", "y", 1),
    ]

    posted, reversal, refused = teller.batch(operations, is_full=True)
    basic = teller.batch(operations[:1])

    assert posted.transaction.reversed_by == 0
    assert reversal.transaction == teller.transaction(reversal.sequence)
    assert reversal.transaction.reverses == posted.sequence
    assert told_operation(refused).reason == "ACCOUNT_NOT_FOUND"
    assert (basic[0].sequence, basic[0].hash, basic[0].replayed) == (posted.sequence, posted.hash, True)
    assert not basic[0].HasField("transaction")


def test_a_full_answer_that_could_be_too_large_is_refused_before_anything_is_decided(teller: Teller) -> None:
    metadata = {f"{number}": "v" * 1000 for number in range(8)}
    operations = [post_operation("cash", "sales", 1, metadata=metadata)] * 500
    head = teller.head()

    refusal = told(lambda: teller.batch(operations, is_full=True))

    assert refusal.reason == "BATCH_TOO_LARGE"
    assert int(refusal.facts["answer_bytes"]) > int(refusal.facts["answer_bytes_max"]) == ANSWER_BYTES_MAX
    assert teller.head() == head
    assert len(teller.batch(operations)) == 500


@pytest.mark.parametrize("atomic", [False, True])
def test_a_batch_that_is_refused_whole_still_fits_its_answer(answer_bytes: Teller, atomic: bool) -> None:
    operations = [post_operation(LONG, "sales", 1)] * 8192

    results = answer_bytes.batch(operations, atomic=atomic)

    assert pb.PostBatchResponse(results=results).ByteSize() <= ANSWER_BYTES_MAX
    reasons = {told_operation(result).reason for result in results}
    assert reasons == ({"INSUFFICIENT_FUNDS", "ATOMIC_GROUP_REFUSED"} if atomic else {"INSUFFICIENT_FUNDS"})


def test_a_batch_of_malformed_operations_still_fits_its_answer(teller: Teller) -> None:
    bad = [entry("a::b" * 60, 0, "-1", "no such asset " * 3)] * 8
    operations = [pb.Operation(post=pb.PostOperation(entries=bad))] * 2500

    results = teller.batch(operations)

    assert len(results) == 2500
    assert pb.PostBatchResponse(results=results).ByteSize() <= ANSWER_BYTES_MAX
    assert {told_operation(result).reason for result in results} == {"VALIDATION_FAILED"}


def test_a_few_refusals_keep_all_their_details_among_many_operations(answer_bytes: Teller) -> None:
    operations = [post_operation("cash", "sales", 1)] * 4000 + [post_operation(LONG, "sales", 7)]

    refused = told_operation(answer_bytes.batch(operations)[-1])

    assert refused.facts["shortfall"] == "7"


def test_reversals_with_large_origins_still_fit_a_full_answer(teller: Teller) -> None:
    for number in range(2):
        teller.open_account(f"{number}{'é' * 254}")
    wide = [
        entry(f"{number % 2}{'é' * 254}", (DEBIT, CREDIT)[number % 2], "9" * 30) for number in range(1000)
    ]
    for number in range(9):
        teller.post_entries(wide, f"k{number}")
    operations = [reverse_operation(f"k{number}", f"r{number}") for number in range(9)]
    head = teller.head()

    refusal = told(lambda: teller.batch(operations, is_full=True))

    assert refusal.reason == "BATCH_TOO_LARGE"
    assert teller.head() == head
    assert all(result.sequence for result in teller.batch(operations))


def test_reversals_of_this_batch_s_own_posts_fit_a_full_answer(teller: Teller) -> None:
    pairs = [
        operation
        for number in range(200)
        for operation in (post_operation("cash", "sales", 1, f"k{number}"), reverse_operation(f"k{number}"))
    ]

    results = teller.batch(pairs, is_full=True)

    assert [bool(result.transaction.reverses) for result in results] == [False, True] * 200


def test_accounts_that_could_not_be_answered_are_not_opened(teller: Teller) -> None:
    metadata = {f"{number}": "v" * 1000 for number in range(8)}
    drafts = [
        accounts_pb.AccountDraft(name=f"a:{number}", type=nouns.ACCOUNT_TYPE_ASSET, metadata=metadata)
        for number in range(600)
    ]
    head = teller.head()

    request = accounts_pb.BatchCreateAccountsRequest(ledger=teller.ledger, accounts=drafts)
    refusal = told(lambda: teller.server.accounts.BatchCreateAccounts(request, timeout=30))

    assert refusal.reason == "BATCH_TOO_LARGE"
    assert teller.head() == head


def test_balances_that_do_not_fit_one_answer_are_refused(shared_server: Serving) -> None:
    teller = Teller.open(shared_server)
    codes = [f"{'é' * 29}{number:03}" for number in range(60)]
    for code in codes:
        teller.create_asset(code, 0)
    for start in range(0, 60, 30):
        entries = [line for code in codes[start : start + 30] for line in lines("cash", "sales", 1, code)]
        teller.post_entries(entries)
    request = pb.BatchGetBalancesRequest(ledger=teller.ledger, names=[pb.BalanceName(account="cash")] * 1000)

    refusal = told(lambda: teller.server.ledgers.BatchGetBalances(request, timeout=30))

    assert refusal.reason == "BATCH_TOO_LARGE"


def test_the_balances_of_an_account_fit_one_answer_or_are_asked_for_by_asset(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller.create_asset("EUR", 2)
    teller.post("cash", "sales", 1)
    teller.post("cash", "sales", 1, asset="EUR")
    whole = teller.balances("cash", "")

    monkeypatch.setattr("ledger_server.rpc.limits.ANSWER_BYTES_MAX", whole.ByteSize())
    assert teller.balances("cash", "") == whole
    monkeypatch.setattr("ledger_server.rpc.limits.ANSWER_BYTES_MAX", whole.ByteSize() - 1)
    refusal = told(lambda: teller.balances("cash", ""))

    assert refusal.reason == "BATCH_TOO_LARGE"
    assert refusal.facts["answer_bytes"] == str(whole.ByteSize())
    assert teller.balance("cash", "EUR") == 1


@pytest.mark.timeout(120)
def test_a_message_full_of_long_names_and_keys_is_answered(teller: Teller) -> None:
    # Megabytes of parameters in one statement: they once stopped the ledger's lane for ever.
    operations = [
        post_operation("cash", f"{number:05}{'資' * 100}", 1, key=f"{number:05}{'資' * 123}")
        for number in range(8192)
    ]

    results = teller.batch(operations)

    assert {told_operation(result).reason for result in results} == {"ACCOUNT_NOT_FOUND"}
    assert teller.post("cash", "sales", 1).transaction.sequence


@pytest.mark.timeout(120)
def test_accounts_with_much_metadata_are_opened_at_once(teller: Teller) -> None:
    metadata = {f"{number}": "v" * 1000 for number in range(8)}
    drafts = [
        accounts_pb.AccountDraft(name=f"a:{number}", type=nouns.ACCOUNT_TYPE_ASSET, metadata=metadata)
        for number in range(420)
    ]

    request = accounts_pb.BatchCreateAccountsRequest(ledger=teller.ledger, accounts=drafts)
    answer = teller.server.accounts.BatchCreateAccounts(request, timeout=60)

    assert len(answer.accounts) == 420
