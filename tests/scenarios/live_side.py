"""A live service as a side of scenarios, over gRPC, on a database of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
from google.protobuf.message import Message
from oracle.drive import METHODS, plain, request, stub
from scenarios.sides import START, Fields, Refusal
from serving import AT_ONCE, Serving, serving
from society import Person, Society, society
from statuses import Told, told_error

DEADLINE_S = 60.0


class LiveSide:
    """A server that asks nobody who it is; and for those who call as somebody another, which takes tokens."""

    name = "the live service"

    def __init__(self, database_url: str, directory: Path) -> None:
        self.now = START
        self.caller = ""
        self._database_url = database_url
        self._directory = directory
        self._ends = ExitStack()
        self._server: Serving | None = None
        self._society: Society | None = None
        self._people: dict[str, Person] = {}

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
        server = self._as_somebody() if self.caller else self._as_nobody()
        call = getattr(stub(server, METHODS[method]), method)
        answer: Message = call(message, timeout=DEADLINE_S)
        return answer

    def _as_nobody(self) -> Serving:
        if self._server is None:
            serve = serving(self._database_url, clock=lambda _: self.now, ahead_from=AT_ONCE)
            self._server = self._ends.enter_context(serve)
        return self._server

    def _as_somebody(self) -> Serving:
        if self._society is None:
            serve = society(self._database_url, self._directory, clock=lambda _: self.now)
            self._society = self._ends.enter_context(serve)
        if self.caller not in self._people:
            self._people[self.caller] = self._society.person(self.caller.removeprefix("jwt:"))
        return self._people[self.caller]

    @classmethod
    @contextmanager
    def opened(cls, database_url: str, directory: Path) -> Iterator[LiveSide]:
        """A side over an empty database, until the block ends; the directory is for keys."""
        side = cls(database_url, directory)
        with side._ends:
            yield side


def _refusal(told: Told) -> Refusal:
    # The contract names the key of metadata at fault; it is the caller's, and may be anything.
    fields = {re.sub(r"(metadata)\[.*", r"\1", field, flags=re.DOTALL) for field in told.fields}
    return Refusal(told.code.name, told.reason, dict(told.facts), tuple(sorted(fields)))
