"""Credentials for tests: a certificate authority, a signer of tokens and its key set, refusals."""

from __future__ import annotations

import base64
import ipaddress
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

ISSUER = "https://issuer.example"
AUDIENCE = "ledger"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[str, str]:
        """Both as files; answers their paths."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return str(certificate), str(key)


class Authority:
    """A certificate authority that signs whatever a test asks for."""

    def __init__(self, name: str = "tests") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {name}")])
        now = datetime.now(UTC)
        signed = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = signed.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: x509.GeneralName, expired: bool = False, key: Any = None) -> Pair:
        """A certificate with these subject alternative names, or none; of a key of its own unless given."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=-1 if expired else 1))
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return Pair(signed.public_bytes(serialization.Encoding.PEM), private_pem(key))

    def issue_server(self) -> Pair:
        """A certificate for the loopback address."""
        return self.issue(dns("localhost"), address("127.0.0.1"))


def uri(text: str) -> x509.GeneralName:
    """A URI as a subject alternative name."""
    return x509.UniformResourceIdentifier(text)


def dns(text: str) -> x509.GeneralName:
    """A DNS name as a subject alternative name."""
    return x509.DNSName(text)


def address(text: str) -> x509.GeneralName:
    """An IP address as a subject alternative name."""
    return x509.IPAddress(ipaddress.ip_address(text))


def private_pem(key: Any) -> bytes:
    """A private key in PEM, without a password."""
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


class Signer:
    """Signs tokens with one key, under one algorithm."""

    def __init__(self, algorithm: str = "ES256", key_id: str = "one") -> None:
        make: dict[str, Callable[[], Any]] = {
            "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }
        self.algorithm = algorithm
        self.key_id = key_id
        self.private = make[algorithm]()

    @property
    def public_pem(self) -> bytes:
        """The public key, as somebody may mistake it for a shared secret."""
        return bytes(
            self.private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    @property
    def described(self) -> dict[str, Any]:
        """The public key as a set lists it."""
        algorithms = {
            "RS256": jwt.algorithms.RSAAlgorithm,
            "ES256": jwt.algorithms.ECAlgorithm,
            "EdDSA": jwt.algorithms.OKPAlgorithm,
        }
        listed = algorithms[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        return {**listed, "kid": self.key_id, "use": "sig", "alg": self.algorithm}

    def token(self, subject: str = "alice", *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good token for five minutes, but for the claims that are given; one given as None is left out."""
        return jwt.encode(
            good_claims(subject, **claims),
            self.private,
            algorithm=self.algorithm,
            headers={"kid": self.key_id} | (headers or {}),
        )


def good_claims(subject: str = "alice", **changed: Any) -> dict[str, Any]:
    """What a good token says, with changes; None leaves a claim out."""
    now = int(time.time())
    claims = {"sub": subject, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 300} | changed
    return {name: value for name, value in claims.items() if value is not None}


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def write_key_set(path: Path, *signers: Signer) -> str:
    """Puts the set into the place of the one before, as a whole; answers the path."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"keys": [signer.described for signer in signers]}))
    fresh.replace(path)
    return str(path)


def bearer(credential: str) -> tuple[tuple[str, str], ...]:
    """The metadata that carries a token or a key."""
    return (("authorization", f"Bearer {credential}"),)


def refusal(call: Callable[[], object]) -> tuple[str, str, str]:
    """Status, reason and sentence of a call that must be refused; no reason where no server answered."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    assert isinstance(error, grpc.Call)
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status, info = Status.FromString(value), ErrorInfo()
            assert status.details[0].Unpack(info)
            return error.code().name, info.reason, status.message
    return error.code().name, "", error.details() or ""
