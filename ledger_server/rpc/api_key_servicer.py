"""APIKeyService: read, do, write."""

from __future__ import annotations

import grpc
from ledger.v1 import api_key_service_pb2 as pb
from ledger.v1 import api_key_service_pb2_grpc

from ledger_server.domain import names
from ledger_server.domain.api_keys import APIKey, APIKeyDraft
from ledger_server.domain.callers import is_proved_otherwise, reserved_fault
from ledger_server.domain.refusals import PageTokenInvalid
from ledger_server.rpc import responses
from ledger_server.rpc.answering import answering, caller
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.page_tokens import page_token, position
from ledger_server.rpc.requests import MICROSECONDS_MAX, Form
from ledger_server.service.api_keys import APIKeys

_KEY_ID_LENGTH_MAX = 64
_LIFETIME_MAX_S = 100 * 366 * 24 * 3600


class APIKeyServicer(api_key_service_pb2_grpc.APIKeyServiceServicer):
    """The API keys of ledgers, over the wire."""

    def __init__(self, api_keys: APIKeys, door: Door = OPEN_DOOR) -> None:
        self.door = door
        self._api_keys = api_keys

    @answering
    def CreateAPIKey(
        self, request: pb.CreateAPIKeyRequest, context: grpc.ServicerContext
    ) -> pb.CreateAPIKeyResponse:
        """Makes a key, and tells its secret."""
        form = Form()
        form.fault("principal", names.principal_fault(request.principal))
        form.fault("principal", reserved_fault(request.principal))
        if is_proved_otherwise(request.principal):
            form.fault("principal", "is who a certificate or a token proves; give a name of the key's own")
        draft = APIKeyDraft(
            form.ledger(request.ledger),
            request.principal,
            form.text(request.description, "description"),
            form.time(request, "expire_time"),
            _lifetime(request, form),
        )
        form.judge()
        made, secret = self._api_keys.create(draft, caller(context))
        return pb.CreateAPIKeyResponse(api_key=_api_key(made), secret=secret)

    @answering
    def RevokeAPIKey(
        self, request: pb.RevokeAPIKeyRequest, context: grpc.ServicerContext
    ) -> pb.RevokeAPIKeyResponse:
        """Revokes a key."""
        form = Form()
        ledger = form.ledger(request.ledger)
        key_id = form.text(request.key_id, "key_id", _KEY_ID_LENGTH_MAX)
        form.judge()
        return pb.RevokeAPIKeyResponse(
            api_key=_api_key(self._api_keys.revoke(ledger, key_id, caller(context)))
        )

    @answering
    def ListAPIKeys(
        self, request: pb.ListAPIKeysRequest, context: grpc.ServicerContext
    ) -> pb.ListAPIKeysResponse:
        """Lists keys in the order of their making."""
        form = Form()
        ledger = form.ledger(request.ledger)
        count = form.page_size(request.page_size)
        form.judge()
        made_at, key_id = position(request, int, str) or (0, "")
        if made_at > MICROSECONDS_MAX:
            raise PageTokenInvalid("the page token is not one of this service's")
        found, has_more = self._api_keys.page(ledger, (made_at, key_id), count)
        answer = pb.ListAPIKeysResponse(api_keys=map(_api_key, found))
        if has_more:
            answer.next_page_token = page_token(request, found[-1].created_at, found[-1].key_id)
        return answer


def _lifetime(request: pb.CreateAPIKeyRequest, form: Form) -> int | None:
    """The time to live in microseconds, None where none was given; nanoseconds are cut off."""
    if not request.HasField("ttl"):
        return None
    seconds, nanos = request.ttl.seconds, request.ttl.nanos
    lifetime = seconds * 1_000_000 + nanos // 1000
    if not (0 <= seconds <= _LIFETIME_MAX_S and 0 <= nanos < 1_000_000_000 and lifetime > 0):
        form.fault("ttl", "is not more than zero and at most 100 years")
        return None
    return lifetime


def _api_key(key: APIKey) -> pb.APIKey:
    answer = pb.APIKey(
        key_id=key.key_id,
        ledger=key.ledger or "",
        principal=key.principal,
        description=key.description,
        create_time=responses.timestamp(key.created_at),
        created_by=key.created_by,
    )
    if key.expires_at is not None:
        answer.expire_time.CopyFrom(responses.timestamp(key.expires_at))
    if key.revoked_at is not None:
        answer.revoke_time.CopyFrom(responses.timestamp(key.revoked_at))
    return answer
