"""What a client gets with an error over a real connection: details, garbage in, bugs, deadlines."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psycopg
import pytest
from builders import CREDIT, DEBIT, entry
from callers import Teller, lines
from clusters import Database
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub, add_LedgerServiceServicer_to_server
from serving import Serving
from statuses import DETAILS_KEY, told, told_error

from ledger_server.domain import refusals
from ledger_server.domain.refusals import InvariantBroken, Refusal
from ledger_server.rpc.ledger_servicer import LedgerServicer
from ledger_server.rpc.status import CODES, status
from ledger_server.store.books import lane_lock

METHODS = [
    f"/{service.full_name}/{method.name}"
    for file in (pb.DESCRIPTOR, accounts_pb.DESCRIPTOR, admin_pb.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]
RETRYABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def _send(server: Serving, method: str, data: bytes) -> Any:
    return server.channel.unary_unary(method)(data, timeout=30)


@pytest.mark.criterion("S003-33")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "data", [b"\xff", b"\x0a\x7f", b"\x0a\x02\xc3\x28"], ids=["no tag", "cut off", "bad UTF-8"]
)
def test_bytes_that_do_not_parse_are_an_invalid_argument(
    shared_server: Serving, method: str, data: bytes
) -> None:
    if data.endswith(b"\x28") and method.endswith("/GetServerInfo"):
        data = b"\xff"  # It has no text that could be bad.

    refusal = told(lambda: _send(shared_server, method, data))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert len(refusal.violations) == 1


@pytest.mark.criterion("S003-33")
def test_a_refusal_comes_with_its_reason_domain_facts_and_a_sentence(teller: Teller) -> None:
    teller.post("cash", "wallet", 100)

    refusal = told(lambda: teller.post("wallet", "sales", 130))

    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert refusal.message == "wallet would fall to -0.30 USD; it has 1.00 and its minimum is 0.00"
    assert refusal.facts == {
        "account": "wallet",
        "asset": "USD",
        "balance": "100",
        "balance_min": "0",
        "balance_after": "-30",
        "shortfall": "30",
        "sequence": str(teller.head()),
    }
    assert refusal.retry_after_s is None


@pytest.mark.criterion("S003-7")
def test_an_unbalanced_post_names_the_asset_and_the_difference(teller: Teller) -> None:
    entries = [entry("cash", DEBIT, "7"), entry("sales", CREDIT, "5")]

    refusal = told(lambda: teller.post_entries(entries))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNBALANCED_TRANSACTION")
    assert refusal.facts == {"asset": "USD", "debits": "7", "credits": "5", "difference": "2"}


@pytest.mark.parametrize("nested", ["the request", "an entry", "a time"])
def test_unknown_fields_are_refused_wherever_they_are(teller: Teller, nested: str) -> None:
    request = pb.PostRequest(ledger=teller.ledger, entries=lines("cash", "sales", 1))
    request.effective_time.seconds = 1
    unknown = b"\xb8\x3e\x01"  # Field 999 as a varint.
    if nested == "the request":
        request.MergeFromString(unknown)
    elif nested == "an entry":
        request.entries[1].MergeFromString(unknown)
    else:
        request.effective_time.MergeFromString(unknown)
    head = teller.head()

    refusal = told(lambda: teller.server.ledgers.Post(request))

    assert refusal.reason == "VALIDATION_FAILED"
    assert teller.head() == head


def test_a_message_above_8_mib_is_refused_by_grpc_and_one_below_by_us(teller: Teller) -> None:
    def post(size_bytes: int) -> Any:
        request = pb.PostRequest(ledger=teller.ledger, description="x" * size_bytes)
        return teller.server.ledgers.Post(request, timeout=30)

    with pytest.raises(grpc.RpcError) as oversized:
        post(8 * 1024 * 1024)
    below = told(lambda: post(8 * 1024 * 1024 - 1024))

    # Before any of our code: without ErrorInfo.
    assert oversized.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert DETAILS_KEY not in dict(oversized.value.trailing_metadata() or ())
    assert below.fields == ["entries", "description"]


@pytest.mark.criterion("S003-33")
def test_a_bug_is_internal_with_a_reason_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def post(self, ledger: str, draft: object) -> None:
            raise RuntimeError("postgresql://ledger_app:hunter2@db/ledger")

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        add_LedgerServiceServicer_to_server(LedgerServicer(Broken()), server)  # type: ignore[arg-type]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, caplog.at_level(logging.ERROR):
            request = pb.PostRequest(ledger="a", entries=lines("cash", "sales", 1))
            refusal = told(lambda: LedgerServiceStub(channel).Post(request, timeout=30))
        server.stop(None).wait()

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "LEDGER_INVARIANT_BROKEN")
    assert (refusal.message, refusal.facts, refusal.violations) == ("internal error", {}, [])
    assert "hunter2" in caplog.text


def _kinds() -> list[type[Refusal]]:
    found = [kind for kind in vars(refusals).values() if isinstance(kind, type) and issubclass(kind, Refusal)]
    return [kind for kind in found if "reason" in vars(kind) and kind is not Refusal]


@pytest.mark.criterion("S000-31")
@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: kind.reason)
def test_the_status_alone_says_whether_to_try_again(kind: type[Refusal]) -> None:
    code = CODES[kind.reason]
    waits = any(detail.type_url.endswith("RetryInfo") for detail in status(kind("no")).details)

    assert waits == (kind.retry_after_s is not None)
    if waits:
        assert code in RETRYABLE
    if issubclass(kind, refusals.Unavailable | refusals.Aborted | refusals.Exhausted):
        assert code in RETRYABLE
    else:
        assert code not in RETRYABLE


@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: kind.reason)
def test_every_status_is_at_most_4_kib(kind: type[Refusal]) -> None:
    violations = tuple(refusals.Violation("f" * 999, "資" * 999) for _ in range(99))
    facts = {f"fact_{number}": "資" * 999 for number in range(4)}

    size_bytes = status(kind("資" * 9999, violations=violations, **facts)).ByteSize()

    assert size_bytes <= 4096


def test_the_inner_text_of_damage_never_leaves() -> None:
    told_status = status(InvariantBroken("balance of cash is 3, not 5", account="cash"))

    assert told_status.message == "internal error"
    assert b"cash" not in told_status.SerializeToString()


def test_an_unknown_method_is_grpc_s_own_answer(shared_server: Serving) -> None:
    with pytest.raises(grpc.RpcError) as error:
        _send(shared_server, "/ledger.v1.LedgerService/Delete", b"")

    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_ends_the_call_and_not_the_post(teller: Teller, shared_database: Database) -> None:
    with psycopg.connect(shared_database.owner_url, autocommit=True) as holder:
        held = _lane_of(holder, teller.ledger)
        holder.execute("select pg_advisory_lock(%s)", (held,))
        with pytest.raises(grpc.RpcError) as error:
            teller.post_entries(lines("cash", "sales", 5), "k", timeout=0.3)
        holder.execute("select pg_advisory_unlock(%s)", (held,))

    again = teller.post("cash", "sales", 5, "k")

    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert again.replayed
    assert teller.balance("cash") == 5


def _lane_of(connection: psycopg.Connection[Any], ledger: str) -> int:
    row = connection.execute("select ledger_id from ledger.directory where name = %s", (ledger,)).fetchone()
    assert row is not None
    return lane_lock(row[0])


def test_a_sequence_that_is_not_reached_is_told_with_the_head(teller: Teller) -> None:
    head = teller.head()

    waited = told(lambda: teller.balance("cash", min_sequence=head + 1))
    beyond = told(lambda: teller.balance("cash", at_sequence=head + 1))

    assert (waited.code, waited.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_NOT_REACHED")
    assert waited.facts == {"ledger": teller.ledger, "head": str(head), "min_sequence": str(head + 1)}
    assert beyond.facts == {"ledger": teller.ledger, "head": str(head), "at_sequence": str(head + 1)}


def test_a_read_waits_for_the_sequence_it_asks_for(teller: Teller) -> None:
    head = teller.head()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(teller.balance, "cash", min_sequence=head + 1)
        teller.post("cash", "sales", 9)

        assert waiting.result(30) == 9


def test_every_service_has_its_own_health(shared_server: Serving) -> None:
    health = health_pb2_grpc.HealthStub(shared_server.channel)

    for name in ("", *{method.split("/")[1] for method in METHODS}):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_tenant_s_names_do_not_reach_into_another_s_ledger(teller: Teller) -> None:
    other = Teller.open(teller.server)
    posted = teller.post("cash", "sales", 1, "k")
    sequence = posted.transaction.sequence
    for _ in range(3):
        teller.post("cash", "sales", 1)

    with pytest.raises(grpc.RpcError) as error:
        other.transaction("k")

    assert told_error(error.value).reason == "TRANSACTION_NOT_FOUND"
    assert told(lambda: other.transaction(sequence)).reason == "TRANSACTION_NOT_FOUND"
    assert not other.post("cash", "sales", 2, "k").replayed
