"""Rates over the wire: what is counted, who pays, and that what is told of waiting is true."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from callers import Teller, answer_of, lines, post_operation
from clusters import Database
from hostile.methods import METHODS
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving, serving
from statuses import told

from ledger_client import connect
from ledger_client.drafts import credit, debit
from ledger_server import config
from ledger_server.domain.refusals import RateLimited
from ledger_server.rpc.metering import WEIGHTS, Meter, weight
from ledger_server.service.rates import Rates

PATIENCE_S = 30.0
# Slow enough that nothing fills up while a test runs.
SLOW = 1
OPENING = 6


def _served(database: Database, **rates: tuple[int, int]) -> Any:
    return serving(database.app_url, **rates)


@pytest.fixture
def by_ledger(database: Database) -> Iterator[Serving]:
    """A server that gives each ledger 20 drafts, and one more a second."""
    with _served(database, rate_per_ledger=(SLOW, 20)) as server:
        yield server


@pytest.mark.criterion("S000-45")
def test_a_ledger_is_given_its_burst_and_the_next_draft_is_refused_with_the_time_to_wait(
    by_ledger: Serving,
) -> None:
    teller = Teller.open(by_ledger)
    # USD and four accounts were five drafts.
    for _ in range(15):
        teller.post("cash", "sales", 1)

    refusal = told(lambda: teller.post("cash", "sales", 1, "k"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refusal.facts == {"scope": "ledger", "weight": "1", "rate_per_second": "1", "burst": "20"}
    assert refusal.retry_after_s is not None
    assert 0 < refusal.retry_after_s <= 1.0
    assert "try again in" in refusal.message
    # The time is what is tested.
    time.sleep(refusal.retry_after_s)
    assert not teller.post("cash", "sales", 1, "k").replayed


def test_one_ledger_s_rate_is_no_other_s(by_ledger: Serving) -> None:
    busy, calm = Teller.open(by_ledger), Teller.open(by_ledger)
    outcomes = [answer_of(lambda: busy.post("cash", "sales", 1)) for _ in range(30)]

    assert any(getattr(one, "reason", "") == "RATE_LIMITED" for one in outcomes)
    assert calm.post("cash", "sales", 1).transaction.sequence


def test_a_batch_weighs_its_drafts_and_goes_through_a_full_bucket_however_large(
    by_ledger: Serving,
) -> None:
    teller = Teller.open(by_ledger)
    batch = [post_operation("cash", "sales", 1)] * 100

    refusal = told(lambda: teller.batch(batch))

    # Five are gone: as soon as they are back, the bucket is full, which is all that there ever is.
    assert refusal.facts["weight"] == "100"
    assert refusal.retry_after_s is not None
    assert 3.0 < refusal.retry_after_s <= 5.0
    other = Teller(by_ledger, "fresh")
    by_ledger.admin.CreateLedger(admin_pb.CreateLedgerRequest(name="fresh"), timeout=PATIENCE_S)
    assert all(result.HasField("status") for result in other.batch(batch))
    # What is owed is paid first: 100 of which 20 were saved up, and one more.
    debt = told(lambda: other.balances("cash"))
    assert debt.retry_after_s is not None
    assert 78.0 < debt.retry_after_s <= 81.0


def test_a_principal_pays_for_all_ledgers_and_for_what_has_none(database: Database) -> None:
    with _served(database, rate_per_principal=(SLOW, 3 * OPENING)) as server:
        for _ in range(3):
            Teller.open(server)

        refusal = told(
            lambda: server.admin.GetServerInfo(admin_pb.GetServerInfoRequest(), timeout=PATIENCE_S)
        )

    assert refusal.reason == "RATE_LIMITED"
    assert refusal.facts["scope"] == "principal"


def test_health_is_never_rated(database: Database) -> None:
    with (
        _served(database, rate_per_principal=(SLOW, 1)) as server,
        connect(server.target) as client,
    ):
        assert [client.health() for _ in range(20)] == ["SERVING"] * 20


def test_the_client_comes_again_when_it_was_told_to_and_nothing_is_recorded_twice(
    database: Database,
) -> None:
    with (
        _served(database, rate_per_ledger=(20, 10)) as server,
        connect(server.target, deadline_s=PATIENCE_S) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        teller = Teller.open(server)
        legs = [debit("cash", 1, "USD"), credit("sales", 1, "USD")]
        start = time.monotonic()

        list(pool.map(lambda _: client.post(teller.ledger, legs), range(60)))

        took_s = time.monotonic() - start
        time.sleep(0.2)
        assert answer_of(teller.head) == 1 + 5 + 60
    # 65 drafts, of which 10 were saved up; a batch may go into debt that nobody waits for.
    assert took_s > 1.0


def test_the_server_tells_its_rates(by_ledger: Serving) -> None:
    limits = by_ledger.admin.GetServerInfo(admin_pb.GetServerInfoRequest(), timeout=PATIENCE_S).limits

    assert (limits["drafts_per_second_per_ledger"], limits["drafts_burst_per_ledger"]) == (1, 20)
    assert "drafts_per_second_per_principal" not in limits


# what is counted ----------------------------------------------------------------------------

WEIGHED: list[tuple[Any, int]] = [
    (pb.PostRequest(ledger="a", entries=lines("a", "b", 1)), 1),
    (pb.PostBatchRequest(ledger="a", operations=[post_operation("a", "b", 1)] * 8_192), 8_192),
    (pb.PostBatchRequest(ledger="a"), 1),
    (accounts_pb.BatchCreateAccountsRequest(accounts=[accounts_pb.AccountDraft()] * 7), 7),
    (pb.BatchGetBalancesRequest(names=[pb.BalanceName()] * 9), 9),
    (pb.GetBalanceRequest(), 1),
]


@pytest.mark.parametrize(
    ("request_", "expected"), WEIGHED, ids=[f"{type(one).__name__}-{expected}" for one, expected in WEIGHED]
)
def test_what_a_request_weighs(request_: Any, expected: int) -> None:
    assert weight(request_) == expected


def test_every_batch_of_the_contract_is_weighed() -> None:
    batches = {method.request.full_name for method in METHODS if "Batch" in method.name}

    assert batches == {kind.DESCRIPTOR.full_name for kind in WEIGHTS}  # type: ignore[attr-defined]


@pytest.mark.parametrize("ledger", ["", "x" * 256, "x" * 1_000_000])
def test_what_can_be_no_ledger_s_name_is_not_remembered(ledger: str) -> None:
    rates = Rates(1, 1)

    Meter(None, rates).charge_ledger(pb.PostRequest(ledger=ledger))

    assert len(rates) == 0


def test_a_meter_without_rates_lets_everything_pass() -> None:
    meter = Meter()

    for _ in range(1_000):
        meter.charge_principal("who", pb.PostRequest(ledger="a"))
        meter.charge_ledger(pb.PostRequest(ledger="a"))

    assert meter.limits() == {}


def test_the_wait_is_told_in_whole_milliseconds_and_never_too_short() -> None:
    now = [0.0]
    meter = Meter(Rates(7, 1, clock=lambda: now[0]), None)
    charge: Callable[[], None] = lambda: meter.charge_principal("who", pb.PostRequest())  # noqa: E731
    charge()

    with pytest.raises(RateLimited) as refused:
        charge()

    assert refused.value.retry_after_s == 0.143
    now[0] += refused.value.retry_after_s
    charge()


# settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("1", (1, 1)),
        ("1000", (1_000, 1_000)),
        ("100:8192", (100, 8_192)),
        ("1000000:1000000", (1_000_000, 1_000_000)),
    ],
)
def test_a_rate_that_is_one_is_taken(text: str, expected: tuple[int, int] | None) -> None:
    loaded = config.load(environ={"LEDGER_RATE_PER_PRINCIPAL": text, "LEDGER_RATE_PER_LEDGER": text})

    assert loaded.rate_per_principal == loaded.rate_per_ledger == expected


@pytest.mark.parametrize("text", ["0", "1000001", "1:0", "1:", ":1", "1:2:3", "-1", "1.5", "many", "٣", " "])
@pytest.mark.parametrize("name", ["LEDGER_RATE_PER_PRINCIPAL", "LEDGER_RATE_PER_LEDGER"])
def test_a_rate_that_is_none_is_refused_with_a_sentence(name: str, text: str) -> None:
    with pytest.raises(config.ConfigError, match="RATE:BURST") as refused:
        config.load(environ={name: text})

    assert name in str(refused.value)
