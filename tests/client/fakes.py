"""Channels that answer when the test says so, and not before."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ledger.v1.ledger_service_pb2 import OperationResult, PostBatchRequest, PostBatchResponse


def recorded(*sequences: int) -> PostBatchResponse:
    """The answer to a batch whose operations have these sequences."""
    return PostBatchResponse(results=[OperationResult(sequence=sequence) for sequence in sequences])


@dataclass
class ThreadsMethod:
    """PostBatch for threads; each call is a future that the test settles."""

    raises: list[BaseException] = field(default_factory=list)
    calls: list[tuple[PostBatchRequest, Future[Any]]] = field(default_factory=list)

    def future(self, request: bytes, timeout: float, metadata: Any) -> Future[Any]:
        """Begins a call, or raises what was planned."""
        if self.raises:
            raise self.raises.pop(0)
        answer: Future[Any] = Future()
        self.calls.append((PostBatchRequest.FromString(request), answer))
        return answer


@dataclass
class TasksChannel:
    """A channel for tasks; each call is a future that the test settles."""

    raises: list[BaseException] = field(default_factory=list)
    calls: list[tuple[PostBatchRequest, asyncio.Future[Any]]] = field(default_factory=list)

    def unary_unary(self, *arguments: Any) -> Any:
        """The one method that posts need."""

        def call(request: bytes, timeout: float, metadata: Any) -> asyncio.Future[Any]:
            if self.raises:
                raise self.raises.pop(0)
            answer = asyncio.get_running_loop().create_future()
            self.calls.append((PostBatchRequest.FromString(request), answer))
            return answer

        return call
