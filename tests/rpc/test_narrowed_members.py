"""Memberships narrowed to account prefixes: what is outside of them is not there.

Random prefixes over random names are judged by a model of three lines; what is answered
of a name outside must be what is answered of a name that does not exist.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import grpc
import pytest
from callers import (
    Refused,
    Teller,
    answer_of,
    lines,
    post_operation,
    refusal_of,
    refused_operation,
    reverse_operation,
)
from clusters import Database
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import report_service_pb2 as report_pb
from reports import Reports
from society import Society, society

from ledger_server.domain.members import Role

ALL = (Role.READER, Role.POSTER, Role.REVERSER, Role.FORCE_REVERSER, Role.ACCOUNTANT)
SEGMENTS = ("a", "ab", "b")
NAMES = [":".join(parts) for depth in (1, 2, 3) for parts in product(SEGMENTS, repeat=depth)]


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks")) as people:
        yield people


class Book:
    """A ledger with every name of NAMES as an account, and a clerk who is not narrowed."""

    def __init__(self, people: Society) -> None:
        self.people = people
        self.ledger, self.admin = people.ledger()
        self.clerk = self.teller()
        self.clerk.create_asset("USD", 2)
        drafts = [accounts_pb.AccountDraft(name=name, type=nouns.ACCOUNT_TYPE_ASSET) for name in NAMES]
        self.clerk.server.accounts.BatchCreateAccounts(
            accounts_pb.BatchCreateAccountsRequest(ledger=self.ledger, accounts=drafts)
        )

    def teller(self, *prefixes: str, roles: tuple[Role, ...] = ALL) -> Teller:
        """Somebody new, with all roles but those that cannot be narrowed, narrowed to the prefixes."""
        return Teller(
            self.people.member(self.ledger, self.admin, *roles, prefixes=sorted(set(prefixes))), self.ledger
        )


@pytest.fixture(scope="module")
def book(people: Society) -> Book:
    """One for the whole module: tests only add to it."""
    return Book(people)


def is_covered(name: str, prefixes: list[str]) -> bool:
    """The model: a prefix is the leading segments of what it covers."""
    return any(name.split(":")[: len(one.split(":"))] == one.split(":") for one in prefixes)


def said(call: Callable[[], object], name: str | int) -> Any:
    """How a call was refused, with the name taken out."""
    told = refusal_of(call)
    message = told.message.replace(f"sequence {name} " if isinstance(name, int) else repr(name), "?")
    facts = {key: "?" if value == str(name) else value for key, value in told.facts.items()}
    return told.code, told.reason, facts, message


@pytest.mark.criterion("S000-7", "S004-14")
@pytest.mark.parametrize("seed", range(12))
def test_random_prefixes_cover_what_the_model_says(book: Book, seed: int) -> None:
    chance = random.Random(seed)
    prefixes = [chance.choice(NAMES) for _ in range(chance.randint(1, 3))]
    teller = book.teller(*prefixes)
    for name in chance.sample(NAMES, 8):
        partner = chance.choice([one for one in NAMES if one != name])
        reads_of_an_account(book, teller, name, is_covered(name, prefixes))
        covered = {one for one in (name, partner) if is_covered(one, prefixes)}
        reads_and_writes_of_a_transaction(book, teller, (name, partner), covered)


def reads_of_an_account(book: Book, teller: Teller, name: str, is_there: bool) -> None:
    """Every read of an account answers, or is refused as for a name that nobody has."""
    accounts, ledgers = teller.server.accounts, teller.server.ledgers
    reads: list[Callable[[str], object]] = [
        teller.balance,
        teller.entries,
        lambda account: teller.balances(account, recompute=True),
        lambda account: ledgers.BatchGetBalances(
            pb.BatchGetBalancesRequest(ledger=book.ledger, names=[pb.BalanceName(account=account)])
        ),
        lambda account: accounts.GetAccount(accounts_pb.GetAccountRequest(ledger=book.ledger, name=account)),
    ]
    for read in reads:
        if is_there:
            read(name)
        else:
            assert said(lambda read=read: read(name), name) == said(lambda read=read: read("z:z"), "z:z")


def reads_and_writes_of_a_transaction(
    book: Book, teller: Teller, names: tuple[str, str], covered: set[str]
) -> None:
    """A transaction is seen as far as it is covered, and posted or reversed if all of it is."""
    before = book.clerk.balance(names[0])
    recorded = book.clerk.post(*names, 3).transaction.sequence
    found = answer_of(lambda: teller.transaction(recorded))
    if covered:
        assert isinstance(found, nouns.Transaction)
        assert {entry.account for entry in found.entries} == covered
    else:
        assert said(lambda: teller.transaction(recorded), recorded) == said(
            lambda: teller.transaction(999_999), 999_999
        )

    answers = [
        answer_of(lambda: teller.post(names[1], names[0], 3)),
        answer_of(lambda: teller.reverse(recorded)),
    ]

    assert [isinstance(answer, Refused) for answer in answers] == [covered != set(names)] * 2
    if covered != set(names):
        assert isinstance(answers[0], Refused)
        assert answers[0].reason == "ACCOUNT_NOT_FOUND"
        assert said(lambda: teller.reverse(recorded), recorded) == said(
            lambda: teller.reverse(999_999), 999_999
        )
    # Nothing was written but what was answered.
    assert book.clerk.balance(names[0]) == before + (3 if covered != set(names) else -3)


@pytest.mark.parametrize("seed", range(6))
def test_lists_are_of_covered_accounts(book: Book, seed: int) -> None:
    chance = random.Random(100 + seed)
    prefixes = [chance.choice(NAMES) for _ in range(2)]
    teller = book.teller(*prefixes)
    book.clerk.batch([post_operation(chance.choice(NAMES), chance.choice(NAMES), 1) for _ in range(30)])
    for asked in chance.sample(NAMES, 10):
        listed = [
            answer_of(lambda asked=asked: teller.page(filter=pb.TransactionFilter(account_prefix=asked))),
            answer_of(lambda asked=asked: teller.page(filter=pb.TransactionFilter(account=asked))),
        ]
        accounts = answer_of(
            lambda asked=asked: teller.server.accounts.ListAccounts(
                accounts_pb.ListAccountsRequest(ledger=book.ledger, prefix=asked)
            )
        )
        for answer in (*listed, accounts):
            assert isinstance(answer, Refused) is not is_covered(asked, prefixes)
            if isinstance(answer, Refused):
                assert answer.code is grpc.StatusCode.PERMISSION_DENIED
                assert answer.reason == "MEMBERSHIP_NARROWED"
                assert answer.facts == {"account_prefixes": ",".join(sorted(set(prefixes)))}
        for page in listed:
            for transaction in page.transactions if not isinstance(page, Refused) else ():
                assert all(is_covered(entry.account, prefixes) for entry in transaction.entries)
                assert transaction.entries


def test_reports_are_of_covered_accounts(book: Book) -> None:
    teller = book.teller("a:b", "ab")
    late = {"days": 0, "as_of": {"seconds": 253_402_300_799}}
    for name in NAMES:
        book.clerk.post(name, "b", 1)
        for order in report_pb.OverdueOrder.values():
            below = answer_of(
                lambda name=name, order=order: Reports(teller).overdue(name, order=order, **late)  # type: ignore[misc]
            )
            if is_covered(name, ["a:b", "ab"]):
                assert not isinstance(below, Refused)
                assert all(is_covered(one.account, ["a:b", "ab"]) for one in below.balances)
            else:
                assert isinstance(below, Refused)
                assert (below.reason, below.facts) == ("MEMBERSHIP_NARROWED", {"account_prefixes": "a:b,ab"})
        for call in (
            lambda account: Reports(teller).overdue(account=account, **late),
            lambda account: Reports(teller).charges(account),
        ):
            if is_covered(name, ["a:b", "ab"]):
                assert call(name)
            else:
                unknown = said(lambda call=call: call("nobody"), "nobody")  # type: ignore[misc]
                assert said(lambda call=call, name=name: call(name), name) == unknown  # type: ignore[misc]
    # A token that was made up leads out of no prefix.
    token = Reports(teller).overdue("ab", page_size=1, **late).next_page_token
    page = Reports(teller).overdue("ab", page_size=50, page_token=_from_a(token), **late)
    assert page.balances
    assert all(is_covered(one.account, ["ab"]) for one in page.balances)


def _from_a(token: str) -> str:
    """The token of a list by name, made to go on from the name `a`."""
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    at, as_of, _ = json.loads(data[12:])
    return base64.urlsafe_b64encode(data[:12] + json.dumps([at, as_of, "a"]).encode()).decode().rstrip("=")


def test_what_is_of_the_whole_ledger_is_refused(book: Book) -> None:
    teller = book.teller("a")
    whole: list[Callable[[], object]] = [
        teller.trial_balance,
        teller.run_trial_balance,
        teller.runs,
        teller.page,
        lambda: teller.server.accounts.ListAccounts(accounts_pb.ListAccountsRequest(ledger=book.ledger)),
        lambda: teller.create_asset("EUR", 2),
        lambda: teller.open_account("b:new"),
        lambda: teller.open_account("ax"),
    ]

    assert {refusal_of(call).reason for call in whole} == {"MEMBERSHIP_NARROWED"}
    assert teller.open_account("a:new").account.name == "a:new"
    assets = teller.server.admin.ListAssets(admin_pb.ListAssetsRequest(ledger=book.ledger)).assets
    assert [asset.code for asset in assets] == ["USD"]


@pytest.mark.criterion("S000-29")
def test_one_forbidden_draft_refuses_an_atomic_batch_whole_and_itself_in_another(book: Book) -> None:
    teller = book.teller("a")
    operations = [
        post_operation("a:a", "a:b", 1),
        post_operation("a:a", "b", 1),
        post_operation("a:b", "a:a", 1),
    ]
    before = book.clerk.head()

    atomic = teller.batch(operations, atomic=True)
    assert [refused_operation(one).reason for one in atomic] == [
        "ATOMIC_GROUP_REFUSED",
        "ACCOUNT_NOT_FOUND",
        "ATOMIC_GROUP_REFUSED",
    ]
    assert book.clerk.head() == before
    alone = teller.batch(operations)

    assert [bool(one.sequence) for one in alone] == [True, False, True]
    assert refused_operation(alone[1]).facts == {"account": "b"}


def test_an_operation_without_its_permission_is_refused_in_its_place(book: Book) -> None:
    poster = book.teller(roles=(Role.POSTER,))
    origin = book.clerk.post("a", "b", 1).transaction.sequence
    operations = [
        post_operation("a", "b", 1),
        reverse_operation(origin),
        reverse_operation(origin, force=True),
    ]

    results = poster.batch(operations)

    assert results[0].sequence
    for result, permission in zip(results[1:], ("REVERSE", "FORCE_REVERSE"), strict=True):
        told = refused_operation(result)
        assert (told.reason, told.facts["permission"]) == ("ROLE_REQUIRED", permission)
    reasons = [refused_operation(one).reason for one in poster.batch(operations, atomic=True)]
    assert reasons == ["ATOMIC_GROUP_REFUSED", "ROLE_REQUIRED", "ATOMIC_GROUP_REFUSED"]


def test_a_key_of_a_transaction_outside_tells_nothing_of_it(book: Book) -> None:
    teller = book.teller("a")
    recorded = book.clerk.post("b", "b:a", 5, "outside", description="secret").transaction
    book.clerk.reverse(recorded.sequence, "undone outside")

    told = refusal_of(lambda: teller.post("a", "a:a", 1, "outside"))
    reversing = refusal_of(lambda: teller.reverse(recorded.sequence, "undone outside"))
    by_key = refusal_of(lambda: teller.reverse("outside"))

    assert (told.reason, told.facts) == ("IDEMPOTENCY_KEY_REUSED", {"idempotency_key": "outside"})
    assert (reversing.reason, reversing.facts) == (
        "IDEMPOTENCY_KEY_REUSED",
        {"idempotency_key": "undone outside"},
    )
    assert by_key.reason == "TRANSACTION_NOT_FOUND"
    for one in (told, reversing, by_key):
        assert "secret" not in one.message
        assert str(recorded.sequence) not in one.message


def test_a_transaction_outside_has_no_size(book: Book) -> None:
    teller = book.teller("a")
    many = [entry for number in range(450) for entry in lines("b", "b:a", number + 1)]
    outside = book.clerk.post_entries(many).transaction.sequence

    sizes = []
    for origin in (outside, 999_999):
        operations = [reverse_operation(origin) for _ in range(200)]
        answer = answer_of(lambda operations=operations: teller.batch(operations, is_full=True))
        assert not isinstance(answer, Refused), answer.message
        sizes.append({refused_operation(one).reason for one in answer})

    assert sizes == [{"TRANSACTION_NOT_FOUND"}] * 2
    operations = [reverse_operation(outside) for _ in range(200)]
    assert refusal_of(lambda: book.clerk.batch(operations, is_full=True)).reason == "BATCH_TOO_LARGE"


def test_a_replay_within_ones_accounts_is_a_replay(book: Book) -> None:
    teller = book.teller("a")
    first = teller.post("a", "a:b", 5, "mine").transaction
    undone = teller.reverse(first.sequence, "mine undone").transaction

    assert teller.post("a", "a:b", 5, "mine").replayed
    assert teller.reverse("mine", "mine undone").transaction == undone


# facts only for who may read them -------------------------------------------------------------------


@pytest.mark.criterion("S004-14")
def test_who_may_not_read_is_told_no_balance(book: Book) -> None:
    clerk, poster = book.clerk, book.teller(roles=(Role.POSTER,))
    reverser = book.teller(roles=(Role.REVERSER,))
    clerk.open_account("wallet", nouns.ACCOUNT_TYPE_LIABILITY, balance_min="0", balance_max="100")
    funded = clerk.post("a", "wallet", 77, "funded").transaction

    posted = poster.post("a", "b", 1).transaction
    batch = poster.batch([post_operation("a", "b", 1)], is_full=True)[0].transaction
    assert {entry.balance_after for entry in (*posted.entries, *batch.entries)} == {""}
    assert {entry.amount for entry in posted.entries} == {"1"}
    poor = refusal_of(lambda: poster.post("wallet", "a", 78))
    rich = refusal_of(lambda: poster.post("a", "wallet", 24))
    reused = refusal_of(lambda: poster.post("a", "wallet", 1, "funded"))
    in_batch = refused_operation(poster.batch([post_operation("wallet", "a", 78)])[0])
    clerk.reverse("funded")
    twice = refusal_of(lambda: reverser.reverse("funded"))
    undone = refusal_of(lambda: reverser.reverse(clerk.transaction(funded.sequence).reversed_by))

    known = {"account": "wallet", "asset": "USD"}
    assert (poor.reason, poor.facts) == ("INSUFFICIENT_FUNDS", known)
    assert (in_batch.reason, in_batch.facts) == ("INSUFFICIENT_FUNDS", known)
    assert (rich.reason, rich.facts) == ("BALANCE_LIMIT_EXCEEDED", known)
    assert (reused.reason, reused.facts) == ("IDEMPOTENCY_KEY_REUSED", {"idempotency_key": "funded"})
    assert (twice.reason, twice.facts) == ("REVERSAL_ALREADY_EXISTS", {})
    assert (undone.reason, undone.facts) == ("REVERSAL_FORBIDDEN_TYPE", {})
    for told in (poor, rich, in_batch, reused, twice, undone):
        assert not set("0123456789") & set(told.message.replace("wallet", "")), told.message


def test_who_may_read_is_told_everything(book: Book) -> None:
    both = book.teller(roles=(Role.POSTER, Role.READER))
    book.clerk.open_account("purse", nouns.ACCOUNT_TYPE_LIABILITY, balance_min="0")

    poor = refusal_of(lambda: both.post("purse", "a", 78))

    assert poor.facts["shortfall"] == "78"
    assert both.post("a", "purse", 5).transaction.entries[1].balance_after == "5"
