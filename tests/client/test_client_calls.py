"""What the client repeats, what it never repeats, and how a refusal arrives, over a real channel."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from ledger.v1 import ledger_service_pb2_grpc

from ledger_client import Client, OutcomeUnknown, Refused, connect
from ledger_client.contract import (
    BonusRequest,
    ChargeRequest,
    GetBalanceRequest,
    GetBalanceResponse,
    ListTransactionsRequest,
    ListTransactionsResponse,
    Operation,
    OperationStatus,
    PostBatchRequest,
    PostBatchResponse,
    PostOperation,
    PostRequest,
    PostResponse,
    ReversalRequest,
    ReverseOperation,
    TopUpRequest,
    Transaction,
)
from ledger_client.refused import Violation, refused_from_operation
from ledger_client.retries import write_keys


@dataclass(slots=True)
class No:
    """One scripted refusal."""

    code: grpc.StatusCode
    reason: str = ""
    details: tuple[Message, ...] = ()

    def status(self) -> status_pb2.Status:
        status = status_pb2.Status(code=self.code.value[0], message="no")
        details = list(self.details)
        if self.reason:
            details.append(
                error_details_pb2.ErrorInfo(
                    reason=self.reason, domain="ledger.v1", metadata={"account": "cash"}
                )
            )
        for detail in details:
            packed = Any()
            packed.Pack(detail)
            status.details.append(packed)
        return status

    def encoded(self) -> bytes:
        return bytes(self.status().SerializeToString())


@dataclass(slots=True)
class Script(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Refuses with what is left in `refusals`, then answers; keeps what it was asked."""

    refusals: list[No] = field(default_factory=list)
    asked: list[object] = field(default_factory=list)

    def Post(self, request: PostRequest, context: grpc.ServicerContext) -> PostResponse:
        self._ask(request, context)
        return PostResponse(transaction=Transaction(sequence=7))

    def PostBatch(self, request: PostBatchRequest, context: grpc.ServicerContext) -> PostBatchResponse:
        self._ask(request, context)
        return PostBatchResponse()

    def GetBalance(self, request: GetBalanceRequest, context: grpc.ServicerContext) -> GetBalanceResponse:
        self._ask(request, context)
        return GetBalanceResponse(sequence=7)

    def ListTransactions(
        self, request: ListTransactionsRequest, context: grpc.ServicerContext
    ) -> ListTransactionsResponse:
        self._ask(request, context)
        number = int(request.page_token or "1")
        token = str(number + 1) if number < 3 else ""
        return ListTransactionsResponse(transactions=[Transaction(sequence=number)], next_page_token=token)

    def _ask(self, request: object, context: grpc.ServicerContext) -> None:
        self.asked.append(request)
        if self.refusals:
            refusal = self.refusals.pop(0)
            if refusal.reason or refusal.details:
                context.set_trailing_metadata((("grpc-status-details-bin", refusal.encoded()),))
            context.abort(refusal.code, "no")


@pytest.fixture
def script() -> Script:
    return Script()  # type: ignore[abstract]  # the other methods answer UNIMPLEMENTED


@pytest.fixture
def client(script: Script) -> Iterator[Client]:
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(script, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with connect(f"127.0.0.1:{port}") as client:
        yield client
    server.stop(None).wait()


UNAVAILABLE = No(grpc.StatusCode.UNAVAILABLE)


@pytest.mark.parametrize(
    "refusal",
    [
        UNAVAILABLE,
        No(grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN"),
        No(grpc.StatusCode.ABORTED, "CONTENTION"),
        No(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    ],
)
@pytest.mark.criterion("S000-31")
def test_a_keyed_post_is_sent_again_under_the_same_key(client: Client, script: Script, refusal: No) -> None:
    script.refusals = [refusal, refusal]
    request = PostRequest(ledger="books", idempotency_key="k")
    assert client.call(client.ledger.Post, request).transaction.sequence == 7
    assert script.asked == [PostRequest(ledger="books", idempotency_key="k")] * 3


@pytest.mark.parametrize(
    "refusal", [UNAVAILABLE, No(grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")], ids=["bare", "unknown"]
)
def test_a_post_without_a_key_is_never_sent_twice_when_it_may_have_been_recorded(
    client: Client, script: Script, refusal: No
) -> None:
    script.refusals = [refusal]
    with pytest.raises(Refused):
        client.call(client.ledger.Post, PostRequest(ledger="books", idempotency_key=" "))
    assert len(script.asked) == 1


@pytest.mark.parametrize("kind", [TopUpRequest, ChargeRequest, BonusRequest, ReversalRequest])
def test_an_operation_by_hand_is_repeated_as_a_post_is(
    kind: type[TopUpRequest | ChargeRequest | BonusRequest | ReversalRequest],
) -> None:
    assert write_keys(kind(idempotency_key=" k ")) == ("k",)
    assert write_keys(kind()) == ("",)


def test_a_post_without_a_key_is_sent_again_when_the_server_did_nothing(
    client: Client, script: Script
) -> None:
    script.refusals = [No(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")]
    client.call(client.ledger.Post, PostRequest(ledger="books"))
    assert len(script.asked) == 2


@pytest.mark.parametrize(("last_key", "attempts"), [("c", 2), ("", 1)])
def test_a_batch_is_repeated_only_if_every_operation_has_a_key(
    client: Client, script: Script, last_key: str, attempts: int
) -> None:
    script.refusals = [UNAVAILABLE]
    operations = [
        Operation(post=PostOperation(idempotency_key="a")),
        Operation(reverse=ReverseOperation(idempotency_key=last_key)),
    ]
    request = PostBatchRequest(ledger="books", operations=operations)
    if last_key:
        client.call(client.ledger.PostBatch, request)
    else:
        with pytest.raises(Refused):
            client.call(client.ledger.PostBatch, request)
    assert len(script.asked) == attempts


@pytest.mark.parametrize(
    "refusal",
    [
        No(grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS"),
        No(grpc.StatusCode.INVALID_ARGUMENT, "UNBALANCED_TRANSACTION"),
        No(grpc.StatusCode.RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE"),
        No(grpc.StatusCode.ABORTED, "ATOMIC_GROUP_REFUSED"),
    ],
)
@pytest.mark.criterion("S000-31")
def test_what_would_be_refused_again_is_not_repeated(client: Client, script: Script, refusal: No) -> None:
    script.refusals = [refusal]
    with pytest.raises(Refused) as caught:
        client.call(client.ledger.Post, PostRequest(ledger="books", idempotency_key="k"))
    assert caught.value.reason == refusal.reason
    assert len(script.asked) == 1


def test_repeating_ends_after_five_attempts(client: Client, script: Script) -> None:
    script.refusals = [UNAVAILABLE] * 9
    with pytest.raises(Refused, match="UNAVAILABLE"):
        client.call(client.ledger.GetBalance, GetBalanceRequest(ledger="books"))
    assert len(script.asked) == 5


def test_a_write_with_keys_is_repeated_until_the_deadline(client: Client, script: Script) -> None:
    script.refusals = [UNAVAILABLE] * 9
    client._chance = lambda: 0.001
    operations = [Operation(post=PostOperation(idempotency_key="a"))]
    client.call(client.ledger.PostBatch, PostBatchRequest(ledger="books", operations=operations))
    assert len(script.asked) == 10


@pytest.mark.parametrize("reason", ["", "LEDGER_INVARIANT_BROKEN"])
def test_a_lost_answer_stays_unknown_after_a_no_that_proves_nothing(
    client: Client, script: Script, reason: str
) -> None:
    later = No(grpc.StatusCode.INTERNAL, reason)
    script.refusals = [UNAVAILABLE, later]
    with pytest.raises(OutcomeUnknown) as caught:
        client.call(client.ledger.Post, PostRequest(ledger="books", idempotency_key="k"))
    assert caught.value.idempotency_key == "k"
    script.refusals = [later]
    with pytest.raises(Refused) as caught_alone:
        client.call(client.ledger.Post, PostRequest(ledger="books", idempotency_key="k"))
    assert caught_alone.value.reason == reason


def test_a_wish_to_wait_beyond_the_deadline_ends_the_call_at_once(client: Client, script: Script) -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=3600))
    script.refusals = [No(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", (retry,))]
    with pytest.raises(Refused) as caught:
        client.call(client.ledger.GetBalance, GetBalanceRequest(ledger="books"))
    assert caught.value.retry_after_s == 3600
    assert len(script.asked) == 1


def test_a_refusal_carries_reason_facts_and_violations(client: Client, script: Script) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="entries[0].amount", description="is zero")
    bad_request = error_details_pb2.BadRequest(field_violations=[violation])
    script.refusals = [No(grpc.StatusCode.INVALID_ARGUMENT, "AMOUNT_INVALID", (bad_request,))]
    with pytest.raises(Refused) as caught:
        client.call(client.ledger.Post, PostRequest())
    refused = caught.value
    assert (refused.status, refused.reason, refused.message) == ("INVALID_ARGUMENT", "AMOUNT_INVALID", "no")
    assert refused.facts == {"account": "cash"}
    assert refused.violations == (Violation("entries[0].amount", "is zero"),)


def test_an_operation_of_a_batch_is_refused_in_the_same_words() -> None:
    status = No(grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND").status()
    refused = refused_from_operation(OperationStatus.FromString(status.SerializeToString()))
    assert (refused.status, refused.reason, refused.message) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND", "no")


def test_details_that_do_not_parse_hide_no_status(client: Client, script: Script) -> None:
    class Broken(No):
        def encoded(self) -> bytes:
            return b"\xff\xff"

    script.refusals = [Broken(grpc.StatusCode.NOT_FOUND, "X")]
    with pytest.raises(Refused) as caught:
        client.call(client.ledger.GetBalance, GetBalanceRequest())
    assert (caught.value.status, caught.value.reason) == ("NOT_FOUND", "")


def test_one_detail_that_does_not_parse_hides_no_other() -> None:
    status = No(grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND").status()
    status.details.insert(0, Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff"))
    refused = refused_from_operation(OperationStatus.FromString(status.SerializeToString()))
    assert (refused.status, refused.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")


def test_pages_follow_the_tokens_to_the_end(client: Client) -> None:
    pages = client.pages(client.ledger.ListTransactions, ListTransactionsRequest(ledger="books"))
    assert [page.transactions[0].sequence for page in pages] == [1, 2, 3]


def test_a_target_where_nobody_listens_is_told_apart_from_a_refusal() -> None:
    with connect("127.0.0.1:1") as client, pytest.raises(Refused) as caught:
        client.call(client.ledger.GetBalance, GetBalanceRequest(), deadline_s=1.0)
    assert caught.value.is_unanswered
