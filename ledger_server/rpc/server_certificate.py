"""The server's certificate: read when a connection is made and its files have changed, no restart needed.

A new pair is taken only whole: a certificate that can be read, with the key that
belongs to it, and a readable list of client authorities. Until then the old one serves.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_log = logging.getLogger(__name__)


class CertificateError(Exception):
    """A certificate, key or list of authorities that cannot be used; the sentence says which."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the PEM files are. With `client_ca` every client must have a certificate that it signed."""

    certificate: str
    key: str
    client_ca: str | None


class ServerCertificate:
    """The pair that connections are served with; CertificateError where there is none to begin with."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        # Critical section: which files were looked at last; connections are made on several threads.
        self._lock = threading.Lock()
        self._seen = self._look()
        self._first = _read(files)

    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC serves TLS with."""
        # None, that nothing has changed, is part of the contract and missing in the stubs.
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._changed,  # type: ignore[arg-type]
            require_client_authentication=self._files.client_ca is not None,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The pair if it is another one than before, else None. Called for each new connection."""
        with self._lock:
            seen = self._look()
            if seen == self._seen:
                return None
            self._seen = seen
            try:
                return _read(self._files)
            except CertificateError as error:
                _log.warning("%s; the certificate read before stays in use", error)
                return None

    def _look(self) -> tuple[object, ...]:
        """What tells a changed file without reading it."""
        looks: list[object] = []
        for path in (self._files.certificate, self._files.key, self._files.client_ca):
            try:
                stat = Path(path).stat() if path else None
                looks.append(stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError as error:
                looks.append(error.errno)
        return tuple(looks)


def _read(files: CertificateFiles) -> grpc.ServerCertificateConfiguration:
    certificate, key = _bytes(files.certificate), _bytes(files.key)
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError as error:
        raise CertificateError(f"{files.certificate} is not a certificate in PEM") from error
    if leaf.not_valid_after_utc <= datetime.now(UTC):
        raise CertificateError(
            f"the certificate {files.certificate} expired on {leaf.not_valid_after_utc:%Y-%m-%d}"
        )
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{files.key} is not a private key in PEM without a password") from error
    if not _can_serve(private):
        raise CertificateError(
            f"TLS cannot be served with the key {files.key}: it must be RSA with 2,048 bits or more,"
            " or on the curve P-256 or P-384"
        )
    if private.public_key() != leaf.public_key():
        raise CertificateError(f"the key {files.key} is not that of the certificate {files.certificate}")
    authorities = None
    if files.client_ca is not None:
        authorities = _bytes(files.client_ca)
        try:
            x509.load_pem_x509_certificates(authorities)
        except ValueError as error:
            raise CertificateError(f"{files.client_ca} has no certificates in PEM") from error
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities)


def _can_serve(key: object) -> bool:
    """Whether clients of gRPC take such a key: of others the handshake fails, or the listening."""
    if isinstance(key, RSAPrivateKey):
        return key.key_size >= 2048
    return isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1 | SECP384R1)


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror or error}") from error
