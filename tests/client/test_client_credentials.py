"""What the client shows, on both faces: certificates, tokens that change, API keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import Teller
from client.faces import opened
from clusters import Database
from credentials import AUDIENCE, ISSUER, Authority, Signer, uri, write_key_set
from ledger.v1 import api_key_service_pb2 as keys_pb
from ledger.v1 import member_service_pb2 as members_pb
from ledger.v1.api_key_service_pb2_grpc import APIKeyServiceStub
from ledger.v1.member_service_pb2_grpc import MemberServiceStub
from serving import Serving, serving

from ledger_client import Credentials, connect, credit, debit
from ledger_client.credentials import is_this_machine
from ledger_client.refusals import CredentialsInvalid, CredentialsMissing
from ledger_client.retries import write_keys
from ledger_client.version import METADATA

LINES = [debit("cash", 5, "USD"), credit("sales", 5, "USD")]


@pytest.fixture
def books(database: Database) -> Iterator[Teller]:
    """A ledger in which several principals may post and read, on a server that asks nobody."""
    with serving(database.app_url) as server:
        teller = Teller.open(server)
        for principal in ("svc:till", "jwt:alice", "jwt:bob", "spiffe://tests/till"):
            MemberServiceStub(server.channel).AddMember(
                members_pb.AddMemberRequest(
                    ledger=teller.ledger,
                    principal=principal,
                    roles=[members_pb.ROLE_POSTER, members_pb.ROLE_READER, members_pb.ROLE_REVERSER],
                )
            )
        yield teller


def _creators(books: Teller) -> list[str]:
    return [each.created_by for each in books.walk()]


def _key(books: Teller) -> str:
    request = keys_pb.CreateAPIKeyRequest(ledger=books.ledger, principal="svc:till")
    return APIKeyServiceStub(books.server.channel).CreateAPIKey(request).secret


@pytest.fixture
def keyed(books: Teller, database: Database) -> Iterator[Serving]:
    """A server on the same books that takes API keys."""
    with serving(database.app_url, api_keys=True) as server:
        yield server


def test_an_api_key_goes_with_every_kind_of_call(face_name: str, books: Teller, keyed: Serving) -> None:
    with opened(face_name, keyed.target, credentials=Credentials(token=_key(books))) as face:
        posted = face.post(books.ledger, LINES)
        face.reverse(books.ledger, posted.sequence)
        face.get_balance(books.ledger, "cash", "USD")
        face.list_transactions(books.ledger)
        face.post_whole(books.ledger, _draft())
        assert face.health() == "SERVING"

    assert _creators(books) == ["svc:till"] * 3


def _draft() -> object:
    from ledger_client import Draft

    return Draft(LINES)


def test_refusals_of_the_door_have_their_own_classes(face_name: str, books: Teller, keyed: Serving) -> None:
    with opened(face_name, keyed.target) as face:
        for verb, arguments in (("get_balance", ("cash", "USD")), ("post", (LINES,))):
            with pytest.raises(CredentialsMissing):
                getattr(face, verb)(books.ledger, *arguments)
    with (
        opened(face_name, keyed.target, credentials=Credentials(token="garbage")) as face,
        pytest.raises(CredentialsInvalid),
    ):
        face.post(books.ledger, LINES)

    assert not books.walk()


def test_a_token_is_asked_for_at_every_call(
    face_name: str, books: Teller, database: Database, tmp_path: Path
) -> None:
    signer = Signer()
    now = ["alice"]
    settings = {
        "jwt_jwks": write_key_set(tmp_path / "set.json", signer),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    with (
        serving(database.app_url, **settings) as server,
        opened(face_name, server.target, credentials=Credentials(token=lambda: signer.token(now[0]))) as face,
    ):
        face.post(books.ledger, LINES)
        now[0] = "bob"
        face.post(books.ledger, LINES)

    assert sorted(_creators(books)) == ["jwt:alice", "jwt:bob"]


def test_a_client_with_a_certificate_is_known_by_it(
    face_name: str, books: Teller, database: Database, tmp_path: Path
) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    server_files = authority.issue_server().write(tmp_path, "server")
    ours = authority.issue(uri("spiffe://tests/till")).write(tmp_path, "client")
    settings = {
        "tls_cert": server_files[0],
        "tls_key": server_files[1],
        "tls_client_ca": str(tmp_path / "ca.pem"),
    }
    shown = Credentials(ca=tmp_path / "ca.pem", certificate=ours[0], key=ours[1])
    with (
        serving(database.app_url, **settings) as server,
        opened(face_name, server.target, credentials=shown, channels=2) as face,
    ):
        face.post(books.ledger, LINES)

    assert _creators(books) == ["spiffe://tests/till"]


def test_a_token_is_not_sent_in_the_clear_to_another_machine() -> None:
    with pytest.raises(ValueError, match="in the clear"):
        connect("ledger.example:443", credentials=Credentials(token="secret"))

    for allowed in (
        Credentials(token="secret", insecure_plaintext=True),
        Credentials(token="secret", tls=True),
        Credentials(),
    ):
        connect("ledger.example:443", credentials=allowed).close()


@pytest.mark.parametrize(
    ("target", "is_ours"),
    [
        ("127.0.0.1:50051", True),
        ("127.9.9.9:1", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("unix:/run/ledger.sock", True),
        ("ipv4:127.0.0.1:50051", True),
        ("dns:///localhost:50051", True),
        ("ledger:50051", False),
        ("10.0.0.1:50051", False),
        ("0.0.0.0:50051", False),
        ("localhost.evil.example:50051", False),
        ("127.0.0.1.evil.example:50051", False),
        ("dns:///127.0.0.1.evil.example:1", False),
    ],
)
def test_this_machine_is_told_from_others(target: str, is_ours: bool) -> None:
    assert is_this_machine(target) is is_ours


def test_a_token_is_in_no_text_of_its_credentials() -> None:
    assert "canary" not in f"{Credentials(token='canary')!r}{Credentials(token='canary')}"


def test_half_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="together"):
        Credentials(certificate="client.pem")


def test_without_credentials_only_the_clients_version_is_said() -> None:
    assert Credentials().of_calls("ledger.example:443")() == METADATA


def test_a_key_is_not_made_twice_for_a_lost_answer() -> None:
    assert write_keys(keys_pb.CreateAPIKeyRequest(ledger="shop", principal="till")) == ("",)
    assert write_keys(keys_pb.RevokeAPIKeyRequest(ledger="shop")) == ()
