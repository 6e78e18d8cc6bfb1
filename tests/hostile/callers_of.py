"""Who makes a hostile call of a server that asks: the one who may, another one, a stranger, or nobody."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from credentials import AUDIENCE, ISSUER, Signer, write_key_set
from hostile.ground import CHARTED, LEDGERS, SHUT
from hostile.methods import Method
from ledger.v1 import member_service_pb2 as members_pb
from ledger.v1 import member_service_pb2_grpc
from serving import Serving

from ledger_server.domain.members import Role
from ledger_server.domain.permissions import Permission
from ledger_server.rpc.permissions import RULES, InLedger, OutsideLedgers

# The empty one: the server asks nobody.
ANYBODY, NOBODY, STRANGER = "", "nobody", "stranger"
CLERK, KEEPER, ROOT = "clerk", "keeper", "root"
ROLES = {
    CLERK: (Role.READER, Role.POSTER, Role.REVERSER, Role.ACCOUNTANT, Role.AUDITOR),
    KEEPER: (Role.TENANT_ADMIN,),
}
_KEPT = {Permission.MANAGE_MEMBERS, Permission.MANAGE_KEYS}
_PATIENCE_S = 60.0
_LIFETIME_S = 3_500


def who_may(method: Method) -> str:
    """The caller that has what the method needs, by the server's own table."""
    rule = RULES.get(method.path[1:].replace("/", "."))
    if isinstance(rule, OutsideLedgers):
        return ROOT
    return KEEPER if isinstance(rule, InLedger) and _KEPT & set(rule.any_of) else CLERK


def caller(draw: Random, method: Method) -> str:
    """Who makes the call: mostly the one who may."""
    others = [CLERK, KEEPER, ROOT, STRANGER, STRANGER, NOBODY, NOBODY]
    return who_may(method) if draw.random() < 0.6 else draw.choice(others)


def enrol(server: Serving) -> None:
    """Makes them members of the ledgers, at a server that asks nobody."""
    members = member_service_pb2_grpc.MemberServiceStub(server.channel)
    for ledger in (*LEDGERS, SHUT, *CHARTED.values()):
        for name, roles in ROLES.items():
            request = members_pb.AddMemberRequest(
                ledger=ledger, principal=f"jwt:{name}", roles=[int(role) for role in roles]
            )
            members.AddMember(request, timeout=_PATIENCE_S)


class Issued:
    """Tokens of the callers, and how a server is told to take them."""

    def __init__(self, folder: Path) -> None:
        signer = Signer()
        expires = int(time.time()) + _LIFETIME_S
        self.tokens = {name: signer.token(name, exp=expires) for name in (CLERK, KEEPER, ROOT, STRANGER)}
        self.arguments = (
            *("--jwt-jwks", write_key_set(folder / "set.json", signer)),
            *("--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE),
        )
        self.environment = {"LEDGER_PLATFORM_ADMINS": f"jwt:{ROOT}"}
