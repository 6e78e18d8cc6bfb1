"""The minimum client version: who says an older one is told so, and who says none is let in."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from callers import Teller
from client.faces import opened
from clusters import Database
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from serving import Serving, serving
from statuses import told

from ledger_client.drafts import credit, debit
from ledger_client.refusals import ClientUpgradeRequired
from ledger_client.version import VERSION
from ledger_server import __version__, config

PATIENCE_S = 30.0
KEY = "ledger-client-version"
LEGS = [debit("cash", 1, "USD"), credit("sales", 1, "USD")]


@pytest.fixture(scope="module")
def picky(shared_database: Database) -> Iterator[Serving]:
    """A server that takes clients from 1.2.3 on."""
    with serving(shared_database.app_url, client_version_min="1.2.3") as server:
        yield server


def _info(server: Serving, *versions: str) -> admin_pb.GetServerInfoResponse:
    metadata = tuple((KEY, version) for version in versions)
    return server.admin.GetServerInfo(admin_pb.GetServerInfoRequest(), timeout=PATIENCE_S, metadata=metadata)


@pytest.mark.parametrize("version", ["1.2.3", "1.2.4", "1.3.0", "1.10.0", "2.0.0", "999.999.999"])
def test_the_minimum_and_what_is_newer_are_served(picky: Serving, version: str) -> None:
    assert _info(picky, version).version == __version__


def test_who_says_no_version_is_served(picky: Serving) -> None:
    assert _info(picky).limits["client_version_min"] == 1_002_003


@pytest.mark.criterion("S000-45")
@pytest.mark.parametrize("version", ["1.2.2", "1.1.99", "0.999.999", "0.0.0"])
def test_what_is_older_is_refused_with_both_versions(picky: Serving, version: str) -> None:
    refusal = told(lambda: _info(picky, version))

    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CLIENT_UPGRADE_REQUIRED",
    )
    assert refusal.facts == {"client_version": version, "client_version_min": "1.2.3"}
    assert "upgrade it to 1.2.3 or later" in refusal.message
    assert refusal.retry_after_s is None


@pytest.mark.parametrize(
    "version", ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.3-rc1", "1.2.1000", "-1.2.3", "x" * 9_000]
)
def test_what_is_no_version_is_a_violation(picky: Serving, version: str) -> None:
    refusal = told(lambda: _info(picky, version))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert refusal.fields == [KEY]


def test_of_two_versions_each_must_do(picky: Serving) -> None:
    assert _info(picky, "1.2.3", "2.0.0")
    assert told(lambda: _info(picky, "2.0.0", "1.2.2")).reason == "CLIENT_UPGRADE_REQUIRED"


def test_health_is_told_to_everybody(picky: Serving) -> None:
    stub = health_pb2_grpc.HealthStub(picky.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S, metadata=((KEY, "9.9.9"),))

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("face", ["threads", "tasks"])
def test_both_faces_of_the_client_say_their_version_with_every_call(
    picky: Serving, shared_server: Serving, face: str
) -> None:
    teller = Teller.open(shared_server)
    with opened(face, picky.target) as client:
        for verb, *arguments in (
            ("post", teller.ledger, LEGS),
            ("get_balance", teller.ledger, "cash", "USD"),
            ("post_batch", teller.ledger, []),
        ):
            with pytest.raises(ClientUpgradeRequired) as refused:
                getattr(client, verb)(*arguments)
            assert refused.value.facts == {"client_version": VERSION, "client_version_min": "1.2.3"}
    assert teller.balance("cash") == 0


@pytest.mark.parametrize("face", ["threads", "tasks"])
def test_posts_of_many_are_refused_in_one_call(picky: Serving, shared_server: Serving, face: str) -> None:
    """What is said of the client is said of all its posts: they are not halved to find the one at fault."""
    teller = Teller.open(shared_server)
    with opened(face, picky.target) as client:
        posts = [client.start("post", teller.ledger, LEGS) for _ in range(50)]
        for post in posts:
            with pytest.raises(ClientUpgradeRequired):
                post.result(PATIENCE_S)


def test_the_client_is_as_old_as_the_server() -> None:
    assert __version__ == VERSION


@pytest.mark.parametrize("text", ["1", "1.2", "v1.2.3", "1.2.1000", "latest", " "])
def test_a_minimum_that_is_no_version_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(config.ConfigError, match=r"MAJOR\.MINOR\.PATCH"):
        config.load(environ={"LEDGER_CLIENT_VERSION_MIN": text})


def test_a_minimum_that_is_a_version_is_taken() -> None:
    assert config.load(environ={"LEDGER_CLIENT_VERSION_MIN": "0.1.0"}).client_version_min == "0.1.0"
    assert config.load(environ={}).client_version_min is None
