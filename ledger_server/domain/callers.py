"""Who calls: a principal, how it was proved, and from where.

A principal is the string that names who calls, and `created_by` of what it records:

    certificate   its SPIFFE id or first URI SAN as it stands, else `dns:` and its first DNS SAN
    token         `jwt:` and the token's `sub`
    API key       the principal that the key was made for
    none          `anonymous`, where no authentication is configured
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# Who calls where nobody is asked.
ANONYMOUS = "anonymous"
# Who made what nobody called for.
SERVICE = "service"


class Means(Enum):
    """How a principal was proved."""

    OPEN = "open"
    CERTIFICATE = "certificate"
    TOKEN = "token"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal, the means that proved it, and the address it calls from, as gRPC writes it.

    The address is empty until somebody is to be told of it. `key_ledger` is the name of the
    only ledger an API key is good for; None is any.
    """

    principal: str
    means: Means
    peer: str = ""
    key_ledger: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody was asked: no authentication is configured, and everything is allowed."""
        return self.means is Means.OPEN


def reserved_fault(principal: str) -> str | None:
    """What keeps a key from being made for a principal that is nobody's, or None."""
    if principal == ANONYMOUS:
        return "is who nobody has asked"
    if principal == SERVICE:
        return "is the service itself"
    return None


def is_proved_otherwise(principal: str) -> bool:
    """Whether only a certificate or a token proves the principal, and a key for it would pretend to one."""
    return "://" in principal or principal.startswith(("dns:", "jwt:", "urn:"))
