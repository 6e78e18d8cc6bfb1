"""APIKeyService over the wire: keys are made, listed and revoked, and their secrets told once."""

from __future__ import annotations

import re
import time

import pytest
from callers import Teller
from credentials import refusal
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import api_key_service_pb2 as pb
from ledger.v1.api_key_service_pb2_grpc import APIKeyServiceStub


@pytest.fixture
def keys(teller: Teller) -> APIKeyServiceStub:
    """The service, beside a ledger of the teller's."""
    return APIKeyServiceStub(teller.server.channel)


def _create(keys: APIKeyServiceStub, teller: Teller, **more: object) -> pb.CreateAPIKeyResponse:
    return keys.CreateAPIKey(
        pb.CreateAPIKeyRequest(ledger=teller.ledger, principal="svc:till", **more)  # type: ignore[arg-type]
    )


def test_a_key_is_answered_with_its_secret_and_listed_without(
    keys: APIKeyServiceStub, teller: Teller
) -> None:
    made = _create(keys, teller, description="the till")

    listed = keys.ListAPIKeys(pb.ListAPIKeysRequest(ledger=teller.ledger))

    assert re.fullmatch(r"lk_[0-9a-f]{16}_[0-9a-f]{64}", made.secret)
    assert made.secret.split("_")[1] == made.api_key.key_id
    assert list(listed.api_keys) == [made.api_key]
    assert made.api_key.ledger == teller.ledger
    assert (made.api_key.principal, made.api_key.description) == ("svc:till", "the till")
    assert made.api_key.created_by == "anonymous"
    assert not made.api_key.HasField("expire_time")
    assert made.secret.split("_")[2] not in str(listed)


def test_two_keys_have_nothing_in_common(keys: APIKeyServiceStub, teller: Teller) -> None:
    one, two = _create(keys, teller), _create(keys, teller)

    assert one.api_key.key_id != two.api_key.key_id
    assert one.secret.split("_")[2] != two.secret.split("_")[2]


def test_a_time_to_live_becomes_a_time(keys: APIKeyServiceStub, teller: Teller) -> None:
    made = _create(keys, teller, ttl=Duration(seconds=90, nanos=5_000)).api_key

    lives_ns = made.expire_time.ToNanoseconds() - made.create_time.ToNanoseconds()

    assert lives_ns == 90_000_005_000


def test_a_time_of_expiry_is_kept(keys: APIKeyServiceStub, teller: Teller) -> None:
    at = Timestamp(seconds=int(time.time()) + 60, nanos=123_456_000)

    assert _create(keys, teller, expire_time=at).api_key.expire_time == at


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"principal": ""}, "principal"),
        ({"principal": " till"}, "principal"),
        ({"principal": "anonymous"}, "principal"),
        ({"principal": "service"}, "principal"),
        ({"principal": "t\u0000ll"}, "principal"),
        ({"principal": "x" * 256}, "principal"),
        ({"description": "x" * 256}, "description"),
        ({"ttl": Duration()}, "ttl"),
        ({"ttl": Duration(seconds=-5)}, "ttl"),
        ({"ttl": Duration(nanos=5)}, "ttl"),
        ({"ttl": Duration(seconds=10**11)}, "ttl"),
        ({"expire_time": Timestamp(seconds=1)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=-(10**15))}, "expire_time"),
        ({"ledger": ""}, "ledger"),
        ({"principal": "spiffe://shop/till"}, "principal"),
        ({"principal": "dns:till.shop"}, "principal"),
        ({"principal": "urn:uuid:6f1d"}, "principal"),
        ({"principal": "jwt:42"}, "principal"),
    ],
    ids=lambda value: str(value)[:20].replace("\n", " "),
)
def test_a_key_that_cannot_be_is_refused(
    keys: APIKeyServiceStub, teller: Teller, more: dict[str, object], field: str
) -> None:
    given: dict[str, object] = {"ledger": teller.ledger, "principal": "svc:till"} | more

    status, reason, sentence = refusal(
        lambda: keys.CreateAPIKey(pb.CreateAPIKeyRequest(**given))  # type: ignore[arg-type]
    )

    assert (status, reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
    assert sentence.startswith(field)
    assert not keys.ListAPIKeys(pb.ListAPIKeysRequest(ledger=teller.ledger)).api_keys


def test_a_key_is_revoked_once_and_for_good(keys: APIKeyServiceStub, teller: Teller) -> None:
    key_id = _create(keys, teller).api_key.key_id
    request = pb.RevokeAPIKeyRequest(ledger=teller.ledger, key_id=key_id)

    revoked = keys.RevokeAPIKey(request).api_key
    again = keys.RevokeAPIKey(request).api_key

    assert revoked.HasField("revoke_time")
    assert again == revoked
    assert keys.ListAPIKeys(pb.ListAPIKeysRequest(ledger=teller.ledger)).api_keys[0] == revoked


@pytest.mark.criterion("S001-2")
def test_another_ledgers_key_is_not_found_there(keys: APIKeyServiceStub, teller: Teller) -> None:
    other = Teller.open(teller.server)
    key_id = _create(keys, teller).api_key.key_id

    answers = {
        refusal(
            lambda asked=asked: keys.RevokeAPIKey(pb.RevokeAPIKeyRequest(ledger=other.ledger, key_id=asked))
        )[:2]
        for asked in (key_id, "0" * 16, "", "';--", "x")
    }

    assert answers == {("NOT_FOUND", "API_KEY_NOT_FOUND")}
    assert not keys.ListAPIKeys(pb.ListAPIKeysRequest(ledger=other.ledger)).api_keys
    (mine,) = keys.ListAPIKeys(pb.ListAPIKeysRequest(ledger=teller.ledger)).api_keys
    assert not mine.HasField("revoke_time")


def test_pages_go_on_where_they_ended_whatever_is_made_meanwhile(
    keys: APIKeyServiceStub, teller: Teller
) -> None:
    made = [_create(keys, teller).api_key.key_id for _ in range(5)]
    request = pb.ListAPIKeysRequest(ledger=teller.ledger, page_size=2)
    found: list[str] = []

    while True:
        page = keys.ListAPIKeys(request)
        found += [key.key_id for key in page.api_keys]
        if not page.next_page_token:
            break
        if len(found) == 2:
            made.append(_create(keys, teller).api_key.key_id)
        request.page_token = page.next_page_token

    assert found == made


def test_a_page_token_of_another_ledger_is_refused(keys: APIKeyServiceStub, teller: Teller) -> None:
    other = Teller.open(teller.server)
    for _ in range(2):
        _create(keys, teller)
    token = keys.ListAPIKeys(pb.ListAPIKeysRequest(ledger=teller.ledger, page_size=1)).next_page_token

    status, reason, _ = refusal(
        lambda: keys.ListAPIKeys(pb.ListAPIKeysRequest(ledger=other.ledger, page_token=token))
    )

    assert (status, reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


def test_keys_of_no_ledger_are_refused(keys: APIKeyServiceStub) -> None:
    calls = (
        lambda: keys.CreateAPIKey(pb.CreateAPIKeyRequest(ledger="nowhere", principal="p")),
        lambda: keys.RevokeAPIKey(pb.RevokeAPIKeyRequest(ledger="nowhere", key_id="0" * 16)),
        lambda: keys.ListAPIKeys(pb.ListAPIKeysRequest(ledger="nowhere")),
    )

    assert {refusal(call)[:2] for call in calls} == {("NOT_FOUND", "LEDGER_NOT_FOUND")}
