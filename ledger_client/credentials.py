"""What a client shows: certificates to the connection, a token or an API key to every call."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from ledger_client.version import METADATA, Metadata


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who calls, and how the way to the server is secured. Paths are of PEM files.

    `token` is a token or an API key, or a function that answers the one to use now: it is
    asked at every call, on whatever thread makes it, so it must not wait. The way is TLS
    where `tls` is true or a file is given: `ca` has the authorities that the server's
    certificate is judged by, by default the system's; `certificate` and `key` are the
    client's own. `server_name` is the name that the server's certificate must have, where
    it is not the target's. Without TLS a token goes to this machine's own addresses only,
    unless `insecure_plaintext` says that something else encrypts.
    """

    token: str | Callable[[], str] = field(default="", repr=False)
    tls: bool = False
    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None
    server_name: str = ""
    insecure_plaintext: bool = False

    def __post_init__(self) -> None:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("a certificate and its key are given together, or neither of them")

    @property
    def is_tls(self) -> bool:
        """Whether the way is TLS."""
        return self.tls or self.ca is not None or self.certificate is not None

    def of_channel(self) -> grpc.ChannelCredentials | None:
        """What a channel is made with, None for plaintext. Raises OSError for files that cannot be read."""
        if not self.is_tls:
            return None
        return grpc.ssl_channel_credentials(_bytes(self.ca), _bytes(self.key), _bytes(self.certificate))

    def options(self) -> list[tuple[str, str]]:
        """What a channel's options have more."""
        return [("grpc.ssl_target_name_override", self.server_name)] if self.server_name else []

    def of_calls(self, target: str) -> Callable[[], Metadata]:
        """Answers the metadata of a call. Raises ValueError where the token could be read on the way."""
        token = self.token
        if not token:
            return own_metadata
        if not (self.is_tls or self.insecure_plaintext or is_this_machine(target)):
            raise ValueError(
                f"a token is not sent to {target} in the clear: use TLS, or say insecure_plaintext"
                " where something else encrypts"
            )
        if isinstance(token, str):
            metadata = (*METADATA, _authorization(token))
            return lambda: metadata
        return lambda: (*METADATA, _authorization(token()))


def own_metadata() -> Metadata:
    """What a call without a token says."""
    return METADATA


def is_this_machine(target: str) -> bool:
    """Whether a target is a unix socket or a loopback address."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = target.removeprefix("ipv4:").removeprefix("ipv6:").removeprefix("dns:").lstrip("/")
    host = host.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _authorization(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


def _bytes(path: str | Path | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
