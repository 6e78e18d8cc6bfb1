"""API keys at the door: which are taken, by which process, and what nobody is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from clusters import Database
from credentials import AUDIENCE, ISSUER, Signer, bearer, refusal, write_key_set
from google.protobuf.duration_pb2 import Duration
from ledger.v1 import api_key_service_pb2 as keys_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.api_key_service_pb2_grpc import APIKeyServiceStub
from serving import Serving, serving

from ledger_server.service.remembered import REMEMBERED_S

INFO = admin_pb.GetServerInfoRequest()


@pytest.fixture(scope="module")
def opened(shared_database: Database) -> Iterator[Serving]:
    """A server that asks nobody, to make keys with; it has a ledger "shop"."""
    with serving(shared_database.app_url) as server:
        server.admin.CreateLedger(admin_pb.CreateLedgerRequest(name="shop"))
        yield server


@pytest.fixture(scope="module")
def asking(shared_database: Database, opened: Serving) -> Iterator[Serving]:
    """A server on the same database that takes keys and nothing else."""
    with serving(shared_database.app_url, api_keys=True) as server:
        yield server


def _made(opened: Serving, **more: object) -> tuple[str, str]:
    request = keys_pb.CreateAPIKeyRequest(ledger="shop", principal="svc:till", **more)  # type: ignore[arg-type]
    made = APIKeyServiceStub(opened.channel).CreateAPIKey(request)
    return made.api_key.key_id, made.secret


def _revoke(opened: Serving, key_id: str) -> None:
    APIKeyServiceStub(opened.channel).RevokeAPIKey(keys_pb.RevokeAPIKeyRequest(ledger="shop", key_id=key_id))


def _answer(asking: Serving, credential: str) -> tuple[str, str, str]:
    return refusal(lambda: asking.admin.GetServerInfo(INFO, metadata=bearer(credential), timeout=10))


def test_a_key_lets_in_and_no_key_does_not(asking: Serving, opened: Serving) -> None:
    _, secret = _made(opened)

    asking.admin.GetServerInfo(INFO, metadata=bearer(secret), timeout=10)

    status, reason, sentence = refusal(lambda: asking.admin.GetServerInfo(INFO, timeout=10))
    assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_MISSING")
    assert "an API key" in sentence


def test_a_bad_key_is_refused_in_the_same_words_whatever_is_wrong(asking: Serving, opened: Serving) -> None:
    revoked_id, revoked = _made(opened)
    _revoke(opened, revoked_id)
    expired = _made(opened, ttl=Duration(nanos=1_000))[1]
    good_id, good = _made(opened)
    secret = good.rpartition("_")[2]
    wrong = (
        revoked,
        expired,
        f"lk_{good_id}_{'0' * 64}",
        f"lk_{'0' * 16}_{secret}",
        f"lk_{good_id}",
        "lk_garbage",
        good + "0",
    )

    answers = {_answer(asking, each) for each in wrong}

    assert len(answers) == 1
    (status, reason, sentence) = answers.pop()
    assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    assert "ask for a new one" in sentence


def test_a_token_is_not_taken_where_tokens_are_not_configured(asking: Serving) -> None:
    status, reason, sentence = _answer(asking, "e30.e30.e30")

    assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    assert "takes no tokens" in sentence


def test_a_key_that_another_process_revoked_is_refused_within_its_bound(
    asking: Serving, opened: Serving
) -> None:
    key_id, secret = _made(opened)
    asking.admin.GetServerInfo(INFO, metadata=bearer(secret), timeout=10)

    _revoke(opened, key_id)
    revoked_at = time.monotonic()
    last_let_in = revoked_at
    while time.monotonic() < revoked_at + 3 * REMEMBERED_S:
        try:
            came = time.monotonic()
            asking.admin.GetServerInfo(INFO, metadata=bearer(secret), timeout=10)
            last_let_in = came
        except grpc.RpcError:
            break

    assert last_let_in - revoked_at < REMEMBERED_S
    assert _answer(asking, secret)[1] == "CREDENTIALS_INVALID"


def test_a_server_that_asks_nobody_refuses_credentials_that_it_cannot_check(opened: Serving) -> None:
    _, secret = _made(opened)
    for credential in (secret, "garbage"):
        assert _answer(opened, credential)[:2] == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


def test_every_method_of_every_service_is_behind_the_door(asking: Serving) -> None:
    calls = (
        lambda: asking.ledgers.Post(pb.PostRequest(ledger="shop"), timeout=10),
        lambda: asking.ledgers.PostBatch(pb.PostBatchRequest(ledger="shop"), timeout=10),
        lambda: asking.ledgers.GetBalance(pb.GetBalanceRequest(ledger="shop"), timeout=10),
        lambda: asking.admin.ListLedgers(admin_pb.ListLedgersRequest(), timeout=10),
        lambda: APIKeyServiceStub(asking.channel).ListAPIKeys(
            keys_pb.ListAPIKeysRequest(ledger="shop"), timeout=10
        ),
    )

    assert {refusal(call)[1] for call in calls} == {"CREDENTIALS_MISSING"}


def test_no_secret_is_ever_in_a_log_or_an_answer(
    asking: Serving,
    opened: Serving,
    shared_database: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    canary = "c0ffee" * 10 + "cafe"
    signer = Signer()
    good = (_made(opened)[1], signer.token())
    sent = [f"lk_{'0' * 16}_{canary}", f"canary.{canary}.canary", f"lk_{canary}", canary, *good]
    secrets = (canary, good[0].rpartition("_")[2], good[1].rpartition(".")[2])
    jwks = write_key_set(tmp_path / "set.json", signer)
    told: list[str] = []
    with (
        caplog.at_level(logging.DEBUG),
        serving(
            shared_database.app_url, jwt_jwks=jwks, jwt_issuer=ISSUER, jwt_audience=AUDIENCE
        ) as of_tokens,
    ):
        for server in (asking, opened, of_tokens):
            for credential in sent:
                for header in (f"Bearer {credential}", f"Basic {credential}", credential):
                    metadata = (("authorization", header),)
                    try:
                        told.append(str(server.admin.GetServerInfo(INFO, metadata=metadata, timeout=10)))
                    except grpc.RpcError as error:
                        told.append(f"{error}{error.trailing_metadata()}")

    assert len(told) == 3 * 6 * 3
    assert not [text for text in (*told, caplog.text) for secret in secrets if secret in text]
