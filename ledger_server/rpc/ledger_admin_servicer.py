"""LedgerAdminService: read, do, write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from ledger.v1 import ledger_admin_service_pb2 as pb
from ledger.v1 import ledger_admin_service_pb2_grpc

from ledger_server.domain import names
from ledger_server.domain.accounts import AssetDraft, LedgerDraft
from ledger_server.domain.permissions import Permission
from ledger_server.rpc import limits, narrowing, responses
from ledger_server.rpc.answering import access, answering, caller
from ledger_server.rpc.contract import contract_digest
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.page_tokens import page_token, position
from ledger_server.rpc.requests import Form
from ledger_server.service.ledger import Ledgers


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server says of itself."""

    version: str
    schema_version: int
    limits: Mapping[str, int]
    flags: Mapping[str, bool]


class LedgerAdminServicer(ledger_admin_service_pb2_grpc.LedgerAdminServiceServicer):
    """Ledgers, assets and the server itself, over the wire."""

    def __init__(self, ledgers: Ledgers, info: ServerInfo, door: Door = OPEN_DOOR) -> None:
        self.door = door
        self._ledgers = ledgers
        self._info = info

    @answering
    def CreateLedger(
        self, request: pb.CreateLedgerRequest, context: grpc.ServicerContext
    ) -> pb.CreateLedgerResponse:
        """Creates a ledger."""
        form = Form()
        by = caller(context)
        draft = LedgerDraft(
            form.ledger(request.name, "name"),
            form.text(request.description, "description"),
            by.principal,
            request.tenant_admin,
        )
        if request.tenant_admin or not by.is_open:
            form.fault("tenant_admin", names.principal_fault(request.tenant_admin))
        form.judge()
        created, head, replayed = self._ledgers.create_ledger(draft, by)
        return pb.CreateLedgerResponse(ledger=responses.ledger(created, head), replayed=replayed)

    @answering
    def GetLedger(self, request: pb.GetLedgerRequest, context: grpc.ServicerContext) -> pb.GetLedgerResponse:
        """Answers one ledger."""
        form = Form()
        name = form.ledger(request.name, "name")
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        return pb.GetLedgerResponse(ledger=responses.ledger(*self._ledgers.reads.ledger(name, min_sequence)))

    @answering
    def ListLedgers(
        self, request: pb.ListLedgersRequest, context: grpc.ServicerContext
    ) -> pb.ListLedgersResponse:
        """Lists ledgers by name."""
        form = Form()
        count = form.page_size(request.page_size)
        form.judge()
        (after,) = position(request, str) or ("",)
        found, has_more = self._ledgers.reads.ledger_page(after, count)
        if access(context).allows(Permission.SEE_LEDGER):
            answer = pb.ListLedgersResponse(ledgers=[responses.ledger(*one) for one in found])
        else:
            answer = pb.ListLedgersResponse(ledgers=[responses.ledger_name(record) for record, _ in found])
        if has_more:
            answer.next_page_token = page_token(request, found[-1][0].name)
        return answer

    @answering
    def CreateAsset(
        self, request: pb.CreateAssetRequest, context: grpc.ServicerContext
    ) -> pb.CreateAssetResponse:
        """Creates an asset."""
        form = Form()
        ledger = form.ledger(request.ledger)
        code = form.asset(request.code, "code")
        if not 0 <= request.scale <= names.ASSET_SCALE_MAX:
            form.fault("scale", f"is {request.scale}; 0 to {names.ASSET_SCALE_MAX} are allowed")
        form.judge()
        narrowing.refuse_whole(access(context), "an asset")
        by = caller(context)
        draft = AssetDraft(code, request.scale, by.principal)
        record, replayed = self._ledgers.create_asset(ledger, draft, by)
        return pb.CreateAssetResponse(asset=responses.asset(record), hash=record.hash, replayed=replayed)

    @answering
    def ListAssets(
        self, request: pb.ListAssetsRequest, context: grpc.ServicerContext
    ) -> pb.ListAssetsResponse:
        """Lists assets by code."""
        form = Form()
        ledger = form.ledger(request.ledger)
        count = form.page_size(request.page_size)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        at, after = position(request, int, str) or (None, "")
        found, reached = self._ledgers.reads.assets(ledger, min_sequence)
        at = reached if at is None else min(at, reached)
        rest = [
            record
            for record in found
            if record.sequence <= at and record.asset.code.encode() > after.encode()
        ]
        answer = pb.ListAssetsResponse(
            assets=[responses.asset(record) for record in rest[:count]], sequence=at
        )
        if len(rest) > count:
            answer.next_page_token = page_token(request, at, rest[count - 1].asset.code)
        return answer

    @answering
    def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetServerInfoResponse:
        """Answers what the server is."""
        return pb.GetServerInfoResponse(
            version=self._info.version,
            schema_version=self._info.schema_version,
            contract_digest=contract_digest(),
            database_version=self._ledgers.reads.database_version(),
            limits={**limits.PUBLISHED, **self._info.limits},
            flags=self._info.flags,
        )
