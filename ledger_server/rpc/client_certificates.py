"""The principal of a client certificate: what its subject alternative names say.

gRPC has verified the certificate against the client CA when the connection was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ledger_server.domain.names import principal_fault
from ledger_server.domain.refusals import CredentialsInvalid, CredentialsMissing

# Names that other means give: a certificate authority must not be able to speak for them.
_OTHERS = ("jwt:", "dns:")


def certificate_principal(auth_context: Mapping[str, Iterable[bytes]]) -> str:
    """Its SPIFFE id or first URI as it stands, else `dns:` and its first DNS name.

    Raises CredentialsMissing without a certificate, CredentialsInvalid without such a name.
    """
    if not any(auth_context.get("x509_pem_cert", ())):
        raise CredentialsMissing("the connection has no client certificate; connect with one")
    name = _first(auth_context, "peer_spiffe_id") or _first(auth_context, "peer_uri")
    if name is not None and (name.startswith(_OTHERS) or ":" not in name):
        raise CredentialsInvalid(
            "the client certificate's URI must have a scheme, and one that is neither 'jwt:' nor 'dns:'"
        )
    if name is None:
        dns = _first(auth_context, "peer_dns")
        if dns is None:
            raise CredentialsInvalid(
                "the client certificate names nobody; it must have a SPIFFE id, a URI or a DNS name"
                " as its subject alternative name"
            )
        name = f"dns:{dns}"
    fault = principal_fault(name)
    if fault is not None:
        raise CredentialsInvalid(f"the client certificate's name {fault}")
    return name


def _first(auth_context: Mapping[str, Iterable[bytes]], name: str) -> str | None:
    for value in auth_context.get(name, ()):
        # What is not UTF-8 becomes unprintable, which no principal is.
        return value.decode("utf-8", "surrogateescape")
    return None
