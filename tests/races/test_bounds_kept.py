"""Callers post, reverse, change limits and freeze on the same accounts: no bound that stood is passed."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from random import Random
from typing import ClassVar

import pytest
from callers import (
    DEADLINE_S,
    Refused,
    Teller,
    answer_of,
    lines,
    post_operation,
    refused_operation,
    spread,
    together,
    unsound,
)
from charts import LIABILITY, family
from clusters import Database
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.ledger_admin_service_pb2 import CreateLedgerRequest
from metamorphic.seeds import seeds
from races.replayed_bounds import Line, Posted, Replayed, Version, journal_of, replayed
from sample_templates import moving, parameters
from serving import AT_ONCE, Serving, serving
from template_calls import operation_by, post_by

from ledger_server.domain.parameters import Parameter, ParameterType
from ledger_server.rpc import template_responses

CODES = ("USD", "EUR")
WALLETS = ("wallet:0", "wallet:1", "wallet:2")
CARD = "card"
# Opened by the first posting to each.
USERS = tuple(f"users:{number}" for number in range(6))
GUARDED = (*WALLETS, CARD, *USERS)
BOUNDS: tuple[dict[str, str], ...] = (
    {},
    {"balance_min": "0"},
    {"balance_min": "0", "balance_max": "100"},
    {"balance_min": "-40", "balance_max": "90"},
    {"balance_max": "60"},
)
PAY = moving(
    "pay",
    "users:{payer}",
    "users:{payee}",
    Parameter("payer", ParameterType.INT),
    Parameter("payee", ParameterType.INT),
)
CHART = charts_pb.Chart(
    assets=[charts_pb.ChartAsset(code=code, scale=2) for code in CODES],
    families=[
        family("cash", nouns.ACCOUNT_TYPE_ASSET),
        family("sales", nouns.ACCOUNT_TYPE_REVENUE),
        family(CARD, nouns.ACCOUNT_TYPE_ASSET),
        family("wallet:{number}", LIABILITY, {"number": 2}),
        family(
            "users:{number}",
            LIABILITY,
            {"number": 2},
            limits=[nouns.BalanceLimit(asset=code, balance_min="0", balance_max="80") for code in CODES],
            opens_on_first_posting=True,
        ),
    ],
    templates=[template_responses.template(PAY)],
)
# What a caller may be told; all else is a fault.
EXPECTED = {
    "ACCOUNT_FROZEN",
    "ACCOUNT_NOT_FOUND",
    "ATOMIC_GROUP_REFUSED",
    "BALANCE_LIMIT_EXCEEDED",
    "INSUFFICIENT_FUNDS",
    "REVERSAL_ALREADY_EXISTS",
    "REVERSAL_FORBIDDEN_TYPE",
    "VERSION_MISMATCH",
}


@pytest.fixture(scope="module")
def pair(shared_database: Database) -> Iterator[list[Serving]]:
    """Two servers on one database: one decides ahead what it can, the other writes at once what it can."""
    with ExitStack() as ends:
        yield [
            ends.enter_context(serving(shared_database.app_url, ahead_from=ahead_from))
            for ahead_from in (1, AT_ONCE)
        ]


def open_books(server: Serving) -> Teller:
    """A ledger under the chart, with every account but the users'."""
    teller = Teller(server, f"bounds:{secrets.token_hex(6)}")
    server.admin.CreateLedger(CreateLedgerRequest(name=teller.ledger), timeout=DEADLINE_S)
    teller.apply_chart(CHART)
    teller.open_account("cash", nouns.ACCOUNT_TYPE_ASSET)
    teller.open_account("sales", nouns.ACCOUNT_TYPE_REVENUE)
    for wallet in WALLETS:
        teller.open_account(wallet, balance_min="0")
    teller.open_account(CARD, nouns.ACCOUNT_TYPE_ASSET, balance_min="-100", balance_max="100")
    return teller


class Caller:
    """One caller's calls, from a seed."""

    def __init__(self, teller: Teller, seed: str) -> None:
        self._teller = teller
        self._random = Random(seed)
        self._recorded: list[int] = []
        self.met: Counter[str] = Counter()

    def work(self, calls: int) -> None:
        """Makes so many calls; a refusal is an answer."""
        for _ in range(calls):
            (way,) = self._random.choices(list(self._ways), weights=list(self._ways.values()))
            answer = answer_of(partial(way, self))
            self.met[answer.reason if isinstance(answer, Refused) else way.__name__] += 1

    def post(self) -> None:
        pick = self._random.choice
        account, amount, code = pick(GUARDED), self._random.randint(1, 60), pick(CODES)
        debit, credit = self._random.sample(("cash", account), 2)
        entries = lines(debit, credit, amount, code)
        if self._random.randrange(3) == 0:
            # In and out of the same account: its net effect counts.
            entries += lines(account, pick(("sales", *GUARDED)), self._random.randint(1, 60), code)
        self._keep(self._teller.post_entries(entries))

    def post_by_a_template(self) -> None:
        payer, payee = self._random.sample(range(len(USERS)), 2)
        given = parameters(amount=self._random.randint(1, 60), payer=payer, payee=payee)
        self._keep(post_by(self._teller, PAY.name, given))

    def batch(self) -> None:
        operations = [
            post_operation(*self._random.sample(("cash", "sales", *GUARDED), 2), self._random.randint(1, 40))
            if self._random.randrange(4)
            else operation_by(
                PAY.name,
                parameters(amount=self._random.randint(1, 40), payer=0, payee=self._random.randint(1, 5)),
            )
            for _ in range(self._random.choice((2, 5, 40)))
        ]
        for result in self._teller.batch(operations, atomic=self._random.randrange(3) == 0):
            if result.sequence:
                self._recorded.append(result.sequence)
            else:
                self.met[refused_operation(result).reason] += 1

    def reverse(self) -> None:
        if self._recorded:
            origin = self._random.choice(self._recorded)
            self._teller.reverse(origin, force=self._random.randrange(2) == 0)

    def change_limits(self) -> None:
        """Of the version that stands when it looks; another caller may be quicker."""
        code, bounds = self._random.choice(CODES), self._random.choice(BOUNDS)
        limits = [nouns.BalanceLimit(asset=code, **bounds)] if bounds else []
        account = self._random.choice(GUARDED)
        self._teller.update(account, self._teller.account(account).version, limits=limits)

    def freeze_and_unfreeze(self) -> None:
        account = self._random.choice(GUARDED)
        self._teller.change("Freeze", account)
        self.post()
        self._teller.change("Unfreeze", account)

    def unfreeze(self) -> None:
        """Whoever was left frozen by a caller that was refused."""
        self._teller.change("Unfreeze", self._random.choice(GUARDED))

    _ways: ClassVar[dict[Callable[[Caller], None], int]] = {
        post: 50,
        post_by_a_template: 12,
        batch: 10,
        reverse: 12,
        change_limits: 12,
        freeze_and_unfreeze: 4,
        unfreeze: 12,
    }

    def _keep(self, answer: pb.PostResponse) -> None:
        self._recorded.append(answer.transaction.sequence)


def _play(
    pair: list[Serving], database: Database, seed: str, callers: int, calls: int
) -> tuple[Counter[str], Replayed]:
    """Lets them loose, and judges what they left; answers what they met and what the replay came to."""
    teller = open_books(pair[0])
    crowd = [
        Caller(at, f"{seed}/{number}")
        for number, at in enumerate(spread([teller, teller.at(pair[1])], callers))
    ]

    assert together([partial(one.work, calls) for one in crowd]) == [None] * callers

    met = sum((one.met for one in crowd), Counter[str]())
    versions, posted, newest = journal_of(database.owner_url, teller.ledger)
    found = replayed(versions, posted)
    assert found.faults == []
    assert found.balances == newest
    assert unsound(database.owner_url, teller.ledger) == []
    # That there was something to keep.
    reasons = {reason for reason in met if reason.isupper()}
    assert reasons <= EXPECTED, met
    assert found.toward > callers * calls / 10, found.toward
    assert sum(version.opened_by_posting for version in versions) > 3
    return met, found


@seeds(quick=2, slow=2)
def test_no_bound_that_stood_is_passed_whoever_meets(
    pair: list[Serving], shared_database: Database, seed: int
) -> None:
    met, _ = _play(pair, shared_database, f"few {seed}", callers=8, calls=50)

    assert met["INSUFFICIENT_FUNDS"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(8))
def test_no_bound_that_stood_is_passed_at_length(
    pair: list[Serving], shared_database: Database, seed: int
) -> None:
    met, found = _play(pair, shared_database, f"many {seed}", callers=24, calls=120)

    assert met["INSUFFICIENT_FUNDS"]
    assert met["BALANCE_LIMIT_EXCEEDED"]
    assert met["ACCOUNT_FROZEN"]
    assert found.forced_past


WALLET, CASH = 1, 2


def _opened(sequence: int, status: int = 1, **bounds: str) -> Version:
    return Version(sequence, WALLET, 2, status, {"1": bounds} if bounds else {}, opened_by_posting=False)


def _paid(sequence: int, amount: int, *, forced: bool = False) -> Posted:
    """Into the wallet, or out of it where the amount is negative."""
    side = 2 if amount > 0 else 1
    into, out = Line(WALLET, 1, side, abs(amount)), Line(CASH, 1, 3 - side, abs(amount))
    return Posted(sequence, forced, [into, out])


CASH_OPENED = Version(1, CASH, 1, 1, {}, opened_by_posting=False)


@pytest.mark.parametrize(
    ("versions", "posted", "faults"),
    [
        ([_opened(2, balance_min="0")], [_paid(3, 5), _paid(4, -6)], 1),
        ([_opened(2, balance_min="0")], [_paid(3, 5), _paid(4, -5)], 0),
        ([_opened(2, balance_min="0")], [_paid(3, 5), _paid(4, -6, forced=True)], 0),
        ([_opened(2, balance_max="5")], [_paid(3, 6)], 1),
        # A limit counts from the version that sets it on, and what improves is allowed.
        ([_opened(2), _opened(4, balance_max="5")], [_paid(3, 9), _paid(5, -1), _paid(6, 1)], 1),
        ([_opened(2), _opened(4, status=2), _opened(6)], [_paid(3, 9), _paid(5, 1), _paid(7, 1)], 1),
        ([_opened(2), _opened(4, status=2)], [_paid(3, 9), _paid(5, 1, forced=True)], 1),
    ],
)
def test_the_replay_sees_what_was_passed(versions: list[Version], posted: list[Posted], faults: int) -> None:
    assert len(replayed([CASH_OPENED, *versions], posted).faults) == faults
