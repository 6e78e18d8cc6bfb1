"""Authenticated callers for tests: people with tokens, their memberships, and how they are refused."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from credentials import AUDIENCE, ISSUER, Signer, bearer, write_key_set
from ledger.v1 import (
    account_service_pb2_grpc,
    api_key_service_pb2_grpc,
    audit_service_pb2_grpc,
    chart_service_pb2_grpc,
    dev_service_pb2_grpc,
    ledger_admin_service_pb2_grpc,
    ledger_service_pb2_grpc,
    member_service_pb2_grpc,
    report_service_pb2_grpc,
)
from ledger.v1 import audit_service_pb2 as audit_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import member_service_pb2 as pb
from serving import Serving, serving

from ledger_server.domain.members import Role

ROOT = "root"
DEADLINE_S = 60.0


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Presenting(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Presents a token with every call."""

    def __init__(self, token: str) -> None:
        self._metadata = bearer(token)

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        told = _Details(
            details.method,
            details.timeout or DEADLINE_S,
            [*(details.metadata or ()), *self._metadata],
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )
        return continuation(told, request)


@dataclass
class Person(Serving):
    """A server as one authenticated caller reaches it; `principal` is what the server calls it."""

    principal: str
    members: member_service_pb2_grpc.MemberServiceStub
    charts: chart_service_pb2_grpc.ChartServiceStub
    audits: audit_service_pb2_grpc.AuditServiceStub
    api_keys: api_key_service_pb2_grpc.APIKeyServiceStub
    reports: report_service_pb2_grpc.ReportServiceStub
    dev: dev_service_pb2_grpc.DevServiceStub

    def add(
        self, ledger: str, principal: str, *roles: Role, prefixes: Sequence[str] = (), version: int = 0
    ) -> pb.AddMemberResponse:
        """Adds a member."""
        request = pb.AddMemberRequest(
            ledger=ledger,
            principal=principal,
            roles=[int(role) for role in roles],  # type: ignore[misc]
            account_prefixes=prefixes,
            version=version,
        )
        return self.members.AddMember(request)

    def remove(self, ledger: str, principal: str, version: int = 0) -> pb.RemoveMemberResponse:
        """Ends a membership."""
        return self.members.RemoveMember(
            pb.RemoveMemberRequest(ledger=ledger, principal=principal, version=version)
        )

    def events(self, ledger: str = "", **more: Any) -> list[audit_pb.AuditEvent]:
        """A page of audit events."""
        request = audit_pb.ListAuditEventsRequest(ledger=ledger, **more)
        return list(self.audits.ListAuditEvents(request).events)


class Society:
    """People who call one server that takes tokens; `root` is its platform-admin."""

    def __init__(self, server: Serving, signer: Signer) -> None:
        self.server = server
        self._signer = signer

    def person(self, name: str, server: Serving | None = None) -> Person:
        """Somebody with a token, here or on another server that takes the same."""
        at = server or self.server
        channel = grpc.intercept_channel(at.channel, _Presenting(self._signer.token(name)))
        return Person(
            at.app,
            at.target,
            channel,
            ledger_service_pb2_grpc.LedgerServiceStub(channel),
            account_service_pb2_grpc.AccountServiceStub(channel),
            ledger_admin_service_pb2_grpc.LedgerAdminServiceStub(channel),
            at.database_url,
            f"jwt:{name}",
            member_service_pb2_grpc.MemberServiceStub(channel),
            chart_service_pb2_grpc.ChartServiceStub(channel),
            audit_service_pb2_grpc.AuditServiceStub(channel),
            api_key_service_pb2_grpc.APIKeyServiceStub(channel),
            report_service_pb2_grpc.ReportServiceStub(channel),
            dev_service_pb2_grpc.DevServiceStub(channel),
        )

    def token(self, name: str) -> str:
        """Somebody's token."""
        return self._signer.token(name)

    def ledger(self, name: str = "") -> tuple[str, Person]:
        """A new ledger and its tenant-admin."""
        name = name or f"book:{secrets.token_hex(6)}"
        admin = self.person(f"admin of {name}")
        request = admin_pb.CreateLedgerRequest(name=name, tenant_admin=admin.principal)
        self.person(ROOT).admin.CreateLedger(request)
        return name, admin

    def member(self, ledger: str, admin: Person, *roles: Role, prefixes: Sequence[str] = ()) -> Person:
        """Somebody new with these roles."""
        person = self.person(secrets.token_hex(6))
        admin.add(ledger, person.principal, *roles, prefixes=prefixes)
        return person


@contextmanager
def society(database_url: str, directory: Path, **settings: Any) -> Iterator[Society]:
    """Serves a database to people with tokens until the block ends."""
    signer = Signer()
    taking = {
        "jwt_jwks": write_key_set(directory / "set.json", signer),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "platform_admins": (f"jwt:{ROOT}",),
    }
    with serving(database_url, **taking, **settings) as server:
        yield Society(server, signer)


@contextmanager
def another_server(of: Society, **settings: Any) -> Iterator[Serving]:
    """A second server on the same database, which takes the same tokens."""
    config = replace(of.server.app.config, **settings)
    names = ("jwt_jwks", "jwt_issuer", "jwt_audience", "platform_admins")
    with serving(of.server.database_url, **{name: getattr(config, name) for name in names}) as server:
        yield server
