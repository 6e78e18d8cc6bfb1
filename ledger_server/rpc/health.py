"""Health: grpc.health.v1, for the whole and for each service.

gRPC's own servicer sends to watchers with its lock held, and takes that lock on
gRPC's one serving thread when a watcher leaves, which is the thread that a send waits
for: a watcher who left while another one was told stopped the whole server, for good.
Here nobody is told with the lock held, and nobody is told on a thread that others need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# A watcher who does not read holds one of them; Check needs none.
_TELLING_THREADS = 4
Send = Callable[[Any], None]


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The state of each service; the empty name is the whole. NOT_SERVING until said otherwise."""

    def __init__(self, services: Sequence[str]) -> None:
        self._states = dict.fromkeys(("", *services), health_pb2.HealthCheckResponse.NOT_SERVING)
        self._watchers: set[_Watcher] = set()
        self._is_draining = False
        self._lock = Lock()
        self._telling = ThreadPoolExecutor(_TELLING_THREADS, thread_name_prefix="health-telling")

    def set(self, state: int) -> None:
        """From now on every service is in this state; without effect while draining."""
        # Critical section: a dictionary and a copy; nobody is told inside.
        with self._lock:
            if self._is_draining:
                return
            self._states = dict.fromkeys(self._states, state)
            watchers = list(self._watchers)
        for watcher in watchers:
            self._telling.submit(watcher.tell)

    def drain(self) -> None:
        """From now on nothing is served."""
        self.set(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._is_draining = True

    def close(self) -> None:
        """Ends the telling threads."""
        self._telling.shutdown(wait=False)

    def state(self, service: str) -> Any:
        """The state of a service, now."""
        return self._states.get(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """One service; NOT_FOUND where it is none, as the protocol has it."""
        if request.service not in self._states:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            return health_pb2.HealthCheckResponse()
        return health_pb2.HealthCheckResponse(status=self.state(request.service))

    def List(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Every service."""
        states = self._states
        return health_pb2.HealthListResponse(
            statuses={name: health_pb2.HealthCheckResponse(status=state) for name, state in states.items()}
        )

    def Watch(self, request: Any, context: grpc.ServicerContext, send: Send) -> None:
        """One service, as it changes, until the caller leaves; a name that is none is not remembered."""
        watcher = _Watcher(self, request.service, send)
        if request.service in self._states:
            with self._lock:
                self._watchers.add(watcher)
            if not context.add_callback(lambda: self._forget(watcher)):
                self._forget(watcher)
        watcher.tell()

    # Read by gRPC: the stream stays open when the function has returned; `send` is its third argument.
    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)


class _Watcher:
    """Who watches one service."""

    def __init__(self, health: Health, service: str, send: Send) -> None:
        self._health = health
        self._service = service
        self._send = send
        self._told: int | None = None
        self._lock = Lock()

    def tell(self) -> None:
        """Sends the state as it is now, once; waits until gRPC has taken it."""
        # Held while sending, so that an old state is never sent after a newer one.
        with self._lock:
            state = self._health.state(self._service)
            if state != self._told:
                self._told = state
                self._send(health_pb2.HealthCheckResponse(status=state))
