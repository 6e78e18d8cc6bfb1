"""Client certificates: whose they are, which are refused, and a server's own that changes while it serves."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from clusters import Database
from credentials import (
    AUDIENCE,
    ISSUER,
    Authority,
    Pair,
    Signer,
    address,
    bearer,
    dns,
    private_pem,
    refusal,
    uri,
    write_key_set,
)
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from ledger.v1 import ledger_admin_service_pb2 as pb
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from serving import Serving, serving

from ledger_server.domain.refusals import CredentialsInvalid, CredentialsMissing
from ledger_server.rpc.client_certificates import certificate_principal
from ledger_server.rpc.server_certificate import CertificateError, CertificateFiles, ServerCertificate

INFO = pb.GetServerInfoRequest()


class Ground:
    """A server that asks for certificates of its authority, and takes tokens of its signer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority()
        self.signer = Signer()
        self.pair = self.authority.issue_server()
        certificate, key = self.pair.write(directory, "server")
        authorities = directory / "authorities.pem"
        authorities.write_bytes(self.authority.certificate)
        self.settings = {
            "tls_cert": certificate,
            "tls_key": key,
            "tls_client_ca": str(authorities),
            "jwt_jwks": write_key_set(directory / "set.json", self.signer),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
        }

    def client(self, pair: Pair | None, root: bytes | None = None) -> grpc.ChannelCredentials:
        """What a client with this certificate connects with."""
        return grpc.ssl_channel_credentials(
            root or self.authority.certificate,
            pair.key if pair else None,
            pair.certificate if pair else None,
        )


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The files of a server."""
    return Ground(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def asking(shared_database: Database, ground: Ground) -> Iterator[Serving]:
    """The server."""
    known = ground.client(ground.authority.issue(uri("spiffe://tests/server")))
    with serving(shared_database.app_url, channel_credentials=known, **ground.settings) as server:
        yield server


@contextmanager
def admin(asking: Serving, credentials: grpc.ChannelCredentials) -> Iterator[LedgerAdminServiceStub]:
    """A connection of its own with these credentials."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.secure_channel(asking.target, credentials, options) as channel:
        yield LedgerAdminServiceStub(channel)


@pytest.mark.parametrize(
    ("names", "principal"),
    [
        (["spiffe://company/till/7"], "spiffe://company/till/7"),
        (["urn:service:till"], "urn:service:till"),
        (["dns:till.company"], "dns:till.company"),
        (["dns:till.company", "spiffe://company/till"], "spiffe://company/till"),
        (["dns:one.company", "dns:two.company"], "dns:one.company"),
    ],
    ids=str,
)
def test_a_certificate_is_known_by_its_names(
    asking: Serving, ground: Ground, names: list[str], principal: str
) -> None:
    pair = ground.authority.issue(
        *(dns(name[4:]) if name.startswith("dns:") else uri(name) for name in names)
    )

    with admin(asking, ground.client(pair)) as stub:
        stub.GetServerInfo(INFO, timeout=10)
        seen = refusal(lambda: stub.CreateLedger(pb.CreateLedgerRequest(name="x"), timeout=10))

    # A stranger to the platform, but known by name to the door.
    assert seen[0] == "PERMISSION_DENIED"
    assert certificate_principal(_context(names)) == principal


def _context(names: list[str]) -> dict[str, list[bytes]]:
    uris = [name.encode() for name in names if not name.startswith("dns:")]
    return {
        "x509_pem_cert": [b"pem"],
        "peer_spiffe_id": [name for name in uris if name.startswith(b"spiffe://")],
        "peer_uri": uris,
        "peer_dns": [name[4:].encode() for name in names if name.startswith("dns:")],
    }


@pytest.mark.parametrize(
    ("context", "refused"),
    [
        ({}, CredentialsMissing),
        ({"x509_pem_cert": [b""]}, CredentialsMissing),
        ({"x509_pem_cert": [b"pem"]}, CredentialsInvalid),
        ({"x509_pem_cert": [b"pem"], "x509_common_name": [b"alice"]}, CredentialsInvalid),
        ({"x509_pem_cert": [b"pem"], "peer_uri": [b"jwt:alice"]}, CredentialsInvalid),
        ({"x509_pem_cert": [b"pem"], "peer_uri": [b"dns:till"]}, CredentialsInvalid),
        ({"x509_pem_cert": [b"pem"], "peer_uri": [b"urn:\xff"]}, CredentialsInvalid),
        ({"x509_pem_cert": [b"pem"], "peer_uri": [b"urn:a\nb"]}, CredentialsInvalid),
        ({"x509_pem_cert": [b"pem"], "peer_uri": [b"urn:" + b"x" * 300]}, CredentialsInvalid),
        ({"x509_pem_cert": [b"pem"], "peer_uri": [b"anonymous"]}, CredentialsInvalid),
    ],
    ids=str,
)
def test_a_certificate_without_a_good_name_is_nobody(
    context: dict[str, list[bytes]], refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        certificate_principal(context)


def test_a_certificate_without_names_is_refused_with_what_to_do(asking: Serving, ground: Ground) -> None:
    with admin(asking, ground.client(ground.authority.issue())) as stub:
        status, reason, sentence = refusal(lambda: stub.GetServerInfo(INFO, timeout=10))

    assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    assert "subject alternative name" in sentence


def test_no_certificate_an_expired_one_and_a_strangers_reach_no_handler(
    asking: Serving, ground: Ground
) -> None:
    stranger = Authority("a stranger")
    name = uri("spiffe://company/till")
    for pair in (None, ground.authority.issue(name, expired=True), stranger.issue(name)):
        with admin(asking, ground.client(pair)) as stub:
            status, reason, _ = refusal(lambda stub=stub: stub.GetServerInfo(INFO, timeout=10))

        assert (status, reason) == ("UNAVAILABLE", "")


def test_a_token_without_a_certificate_does_not_get_in(asking: Serving, ground: Ground) -> None:
    with admin(asking, ground.client(None)) as stub:
        metadata = bearer(ground.signer.token())
        status, reason, _ = refusal(lambda: stub.GetServerInfo(INFO, metadata=metadata, timeout=10))

    assert (status, reason) == ("UNAVAILABLE", "")


def test_plaintext_does_not_get_in(asking: Serving) -> None:
    with grpc.insecure_channel(asking.target) as channel:
        stub = LedgerAdminServiceStub(channel)
        status, reason, _ = refusal(lambda: stub.GetServerInfo(INFO, timeout=10))

    assert (status, reason) == ("UNAVAILABLE", "")


def test_a_wrong_token_is_not_saved_by_a_good_certificate(asking: Serving, ground: Ground) -> None:
    with admin(asking, ground.client(ground.authority.issue(uri("spiffe://company/till")))) as stub:
        for credential in ("garbage", Signer().token(), "lk_" + "0" * 16 + "_" + "0" * 64):
            metadata = bearer(credential)
            status, reason, _ = refusal(
                lambda metadata=metadata: stub.GetServerInfo(INFO, metadata=metadata, timeout=10)
            )

            assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


def test_a_token_names_the_end_user_of_a_connection_without_a_name(asking: Serving, ground: Ground) -> None:
    with admin(asking, ground.client(ground.authority.issue())) as stub:
        stub.GetServerInfo(INFO, metadata=bearer(ground.signer.token("alice")), timeout=10)


# the server's own ---------------------------------------------------------------------------


def _serial(target: str, authority: Authority, client: Pair, directory: Path) -> int:
    """The serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    context.load_cert_chain(*client.write(directory, "looking"))
    context.set_alpn_protocols(["h2"])
    host, _, port = target.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        shown = wrapped.getpeercert()
    assert shown is not None
    return int(str(shown["serialNumber"]), 16)


def test_a_new_pair_is_served_without_a_restart_and_no_call_fails(database: Database, tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    client = ground.authority.issue(uri("spiffe://company/till"))
    failures: list[grpc.RpcError] = []
    calls = 0
    stopping = threading.Event()
    with serving(database.app_url, channel_credentials=ground.client(client), **ground.settings) as server:

        def call_on() -> None:
            nonlocal calls
            while not stopping.is_set():
                # A connection for every few calls, so that many are made while files change.
                with admin(server, ground.client(client)) as stub:
                    for _ in range(3):
                        try:
                            stub.GetServerInfo(INFO, timeout=10)
                            calls += 1
                        except grpc.RpcError as error:
                            failures.append(error)

        threads = [threading.Thread(target=call_on) for _ in range(4)]
        for thread in threads:
            thread.start()
        serials = {_serial(server.target, ground.authority, client, tmp_path)}
        for _ in range(10):
            before = calls
            fresh = ground.authority.issue_server()
            # First one file and then the other: the pair does not fit in between.
            Path(ground.settings["tls_cert"]).write_bytes(fresh.certificate)
            serials.add(_serial(server.target, ground.authority, client, tmp_path))
            Path(ground.settings["tls_key"]).write_bytes(fresh.key)
            serials.add(_serial(server.target, ground.authority, client, tmp_path))
            _until(lambda before=before: calls > before + 10)
        stopping.set()
        for thread in threads:
            thread.join()

    assert not failures
    assert len(serials) == 11
    assert calls > 100


@pytest.mark.parametrize("name", ["tls_cert", "tls_key", "tls_client_ca"])
@pytest.mark.parametrize("damage", ["half", "empty", "gone", "of another pair"])
def test_files_that_cannot_be_used_keep_the_old_pair_and_are_told_of_once(
    tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    ground = Ground(tmp_path)
    served = ServerCertificate(
        CertificateFiles(*(ground.settings[each] for each in ("tls_cert", "tls_key", "tls_client_ca")))
    )
    path = Path(ground.settings[name])
    good = path.read_bytes()
    other = {"tls_cert": "certificate", "tls_key": "key"}.get(name)
    match damage:
        case "half":
            path.write_bytes(good[: len(good) // 2])
        case "empty":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
        case _ if other:
            path.write_bytes(getattr(ground.authority.issue_server(), other))
        case _:
            path.write_bytes(b"no certificate")

    with caplog.at_level(logging.WARNING):
        answers = [served._changed() for _ in range(3)]
        told = caplog.text.count("stays in use")
        path.write_bytes(good)
        after = served._changed()

    assert answers == [None, None, None]
    assert told == 1
    assert after is not None
    assert "PRIVATE KEY" not in caplog.text


@pytest.mark.parametrize("name", ["tls_cert", "tls_key", "tls_client_ca"])
def test_a_server_does_not_start_on_a_file_that_is_none(tmp_path: Path, name: str) -> None:
    ground = Ground(tmp_path)
    Path(ground.settings[name]).write_text("-----BEGIN NOTHING-----")

    with pytest.raises(CertificateError, match=Path(ground.settings[name]).name):
        ServerCertificate(
            CertificateFiles(*(ground.settings[each] for each in ("tls_cert", "tls_key", "tls_client_ca")))
        )


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (lambda: rsa.generate_private_key(65_537, 1_024), "2,048 bits"),
        (ed25519.Ed25519PrivateKey.generate, "P-256"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "P-256"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "P-256"),
    ],
    ids=["short", "Ed25519", "P-521", "secp256k1"],
)
def test_a_key_that_no_client_would_take_is_refused_before_it_is_served(
    tmp_path: Path, key: Callable[[], Any], told: str
) -> None:
    certificate, path = Authority().issue_server().write(tmp_path, "server")
    Path(path).write_bytes(private_pem(key()))

    with pytest.raises(CertificateError, match=told):
        ServerCertificate(CertificateFiles(certificate, path, None))


@pytest.mark.parametrize(
    "key",
    [lambda: rsa.generate_private_key(65_537, 2_048), lambda: ec.generate_private_key(ec.SECP384R1())],
    ids=["RSA", "P-384"],
)
def test_the_keys_that_are_promised_are_served(
    shared_database: Database, tmp_path: Path, key: Callable[[], Any]
) -> None:
    authority = Authority()
    pair = authority.issue(dns("localhost"), address("127.0.0.1"), key=key())
    certificate, path = pair.write(tmp_path, "server")
    trusting = grpc.ssl_channel_credentials(authority.certificate)

    with serving(
        shared_database.app_url, channel_credentials=trusting, tls_cert=certificate, tls_key=path
    ) as server:
        server.admin.GetServerInfo(INFO, timeout=10)


def test_an_expired_certificate_is_refused_at_the_start_and_kept_out_later(tmp_path: Path) -> None:
    authority = Authority()
    expired = authority.issue(dns("localhost"), expired=True)
    files = CertificateFiles(*expired.write(tmp_path, "server"), None)
    with pytest.raises(CertificateError, match="expired on 20"):
        ServerCertificate(files)
    authority.issue(dns("localhost")).write(tmp_path, "server")
    served = ServerCertificate(files)

    expired.write(tmp_path, "server")

    assert served._changed() is None


def _until(is_so: Callable[[], bool]) -> None:
    """Waits until it is so, at most twenty seconds."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)
