"""A live service as a side of scenarios, over gRPC, on a database of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.protobuf.message import Message
from oracle.drive import METHODS, plain, request, stub
from scenarios.sides import START, Fields, Refusal
from serving import Serving, serving
from statuses import Told, told_error

DEADLINE_S = 60.0


class LiveSide:
    """One server, asked through the generated stubs."""

    name = "the live service"

    def __init__(self) -> None:
        self.now = START
        self._server: Serving | None = None

    def ask(self, method: str, fields: Fields) -> Fields:
        """The answer to a method. Raises Refusal."""
        try:
            answer: Fields = plain(self.send(method, request(method, fields)))
        except grpc.RpcError as error:
            raise _refusal(told_error(error)) from None
        for one in answer.get("results", ()):
            one["status"] = one["status"] and _refusal(one["status"])
        return answer

    def send(self, method: str, message: Message) -> Message:
        """The answer as a message. Raises grpc.RpcError."""
        assert self._server is not None
        call = getattr(stub(self._server, METHODS[method]), method)
        answer: Message = call(message, timeout=DEADLINE_S)
        return answer

    @classmethod
    @contextmanager
    def opened(cls, database_url: str) -> Iterator[LiveSide]:
        """A side over an empty database, until the block ends."""
        side = cls()
        with serving(database_url, clock=lambda _: side.now) as side._server:
            yield side


def _refusal(told: Told) -> Refusal:
    # The contract names the key of metadata at fault; it is the caller's, and may be anything.
    fields = {re.sub(r"(metadata)\[.*", r"\1", field, flags=re.DOTALL) for field in told.fields}
    return Refusal(told.code.name, told.reason, dict(told.facts), tuple(sorted(fields)))
