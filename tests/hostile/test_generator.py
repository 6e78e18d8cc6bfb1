"""The generator and the judge themselves: repeatable, everywhere, and not blind."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from hostile.anything import anything
from hostile.calls import Calls
from hostile.cases import Case, case
from hostile.ground import Ground, secret_of
from hostile.judging import DETAILS_KEY, Judge, spellings
from hostile.methods import METHODS, services_of
from hostile.mutations import MUTATIONS
from hostile.sending import Answer
from hostile.wire import decode, encode
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving

CASES = 6_000
_LISTS = ("ListTransactions", "ListEntries", "TrialBalance", "ListAccounts", "ListAssets", "ListLedgers")
GROUND = Ground(secret_of("s"), "vault:1", dict.fromkeys(_LISTS, "QUJDQUJDQUJDQUJDWzFd"), ("QUJD", "QUJE"))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """The cases of a seed."""
    return [case("s", number, GROUND) for number in range(CASES)]


def test_every_method_of_every_service_is_called(server: Serving, cases: list[Case]) -> None:
    served = services_of(server.channel)

    assert {method.service for method in METHODS} == served
    assert {one.method for one in cases} == set(METHODS)


def test_the_seed_and_the_number_make_the_case(cases: list[Case]) -> None:
    assert case("s", CASES - 1, GROUND) == cases[-1]
    assert case("other", CASES - 1, GROUND) != cases[-1]


def test_every_mutation_is_met_and_at_least_30_of_100_cases_have_exactly_one(cases: list[Case]) -> None:
    met = Counter(one.mutation for one in cases if one.mutation)

    assert sum(met.values()) >= 0.3 * CASES
    assert set(met) == {mutation.__name__.replace("_", " ") for mutation in MUTATIONS}


def test_every_method_has_valid_plain_calls(cases: list[Case]) -> None:
    plain = Counter(one.method.name for one in cases if one.is_plain)

    assert set(plain) == {method.name for method in METHODS if Calls.is_written(method)}


def test_a_method_that_no_call_is_written_for_is_called_with_anything_of_its_shape() -> None:
    draw = Random("anything")
    for method in METHODS:
        drawn = [anything(draw, method.request) for _ in range(200)]

        set_fields = {field.name for one in drawn for field, _ in one.ListFields()}
        assert set_fields >= {field.name for field in method.request.fields if field.name != "page_token"}
        assert all(one.SerializeToString() for one in drawn if "ledger" in method.request.fields_by_name)


def test_our_writer_writes_what_the_library_writes(cases: list[Case]) -> None:
    for one in cases[:1_000]:
        if one.is_plain:
            (data,) = one.messages

            assert encode(decode(data, one.method.request)) == data


# the judge ----------------------------------------------------------------------------------

_INFO = ErrorInfo(domain="ledger.v1", reason="LEDGER_NOT_FOUND")
_POST = next(method for method in METHODS if method.name == "Post")
_CASE = Case(1, _POST, "one mutation", (b"\xff",), _POST.path)


def _answer(status: Status, code: str = "NOT_FOUND", text: str = "no") -> Answer:
    return Answer(code, text, (), (), ((DETAILS_KEY, status.SerializeToString()),), 0.0)


def _status(*details: ErrorInfo | BadRequest, code: int = 5, message: str = "no") -> Status:
    status = Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _violations(count: int, text: str = "") -> BadRequest:
    return BadRequest(field_violations=[{"field": "f", "description": text}] * count)


def _faults(case: Case, answer: Answer) -> list[str]:
    return Judge(["the secret word"]).faults(case, answer)


def test_a_refusal_as_the_contract_has_it_is_sound() -> None:
    assert _faults(_CASE, _answer(_status(_INFO, _violations(20)))) == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer("UNKNOWN", "no", (), (), (), 0.0),
        Answer("INTERNAL", "no", (), (), (), 0.0),
        Answer("NOT_FOUND", "no", (), (), (), 0.0),
        Answer("DEADLINE_EXCEEDED", "no", (), (), (), 0.0),
        _answer(_status(_INFO, code=13), code="INTERNAL"),
        _answer(_status(_INFO, code=3)),
        _answer(_status(_INFO, message="yes")),
        _answer(_status()),
        _answer(_status(ErrorInfo(domain="example.com", reason="X"))),
        _answer(_status(_INFO, _violations(21))),
        _answer(_status(_INFO, _violations(9, "x" * 500))),
        _answer(_status(_INFO, message="the secret word"), text="the secret word"),
        Answer("OK", "", (b"..the secret word..",), (), (), 0.0),
        Answer("OK", "", (), (("x", "the secret word"),), (), 0.0),
        Answer("OK", "", (), (), (("x-bin", b"the secret word"),), 0.0),
        Answer("OK", "", (bytes(3_700_000),), (), (), 0.0),
    ],
    ids=lambda answer: f"{answer.code} {answer.text}",
)
def test_a_wrong_answer_is_found(answer: Answer) -> None:
    assert _faults(_CASE, answer)


def test_a_bug_inside_a_batch_is_found_though_the_call_is_ok() -> None:
    batch = next(method for method in METHODS if method.name == "PostBatch")
    result = pb.OperationResult()
    result.status.MergeFromString(_status(_INFO, code=13).SerializeToString())
    reply = pb.PostBatchResponse(results=[result]).SerializeToString()

    assert _faults(replace(_CASE, method=batch), Answer("OK", "", (reply,), (), (), 0.0))


def test_a_refused_valid_call_is_found() -> None:
    assert _faults(replace(_CASE, kind="valid"), _answer(_status(_INFO)))


def test_a_secret_is_found_in_base64_wherever_it_starts() -> None:
    import base64

    for lead in range(6):
        encoded = base64.b64encode(b"x" * lead + b"the secret word" + b"yz")
        assert any(needle in encoded for needle in spellings("the secret word"))


def test_what_grpc_says_itself_needs_no_details() -> None:
    too_large = Answer(grpc.StatusCode.RESOURCE_EXHAUSTED.name, "too large", (), (), (), 0.0)

    assert _faults(replace(_CASE, kind="oversize"), too_large) == []
    assert _faults(_CASE, too_large)
