"""Admission: which calls may start, and what bytes that do not parse are answered.

gRPC for Python queues calls without bound when its threads are busy, answers
INTERNAL to bytes that do not parse, and takes every open stream for a worker. Here
a call is admitted only while fewer than the limit are in flight; the others are
answered OVERLOADED by a small pool of their own, so that saying no never waits
behind the work. While the server drains, new calls are answered SHUTTING_DOWN.
An admitted call has its message in time, and an end to its waiting, or it is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import Any

import grpc

from ledger_server.domain.refusals import Overloaded, Refusal, ShuttingDown, ValidationFailed, Violation
from ledger_server.rpc import limits
from ledger_server.rpc.answering import abort
from ledger_server.rpc.interceptors.large_messages import LargeMessages, Unread
from ledger_server.rpc.interceptors.silence import Silence
from ledger_server.service import deadlines

# A call that comes while gRPC closes its doors is told CANCELLED and no more.
QUIET_S = 0.1
# Callers who go on calling while the server drains are not waited for any longer: they
# learn by HTTP/2's GOAWAY what they did not by refusals, and call elsewhere.
_LEAVE_MAX_S = 2.0
_REFUSING_THREADS = 2
_STREAM_THREADS = 4
_WATCH_THREADS = 4
# No caller means a century.
_NO_DEADLINE_S = 100 * 365 * 86_400.0
# Health must answer when nothing else does; its Watch holds no thread.
_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = "/grpc.reflection."


class CountingPool(ThreadPoolExecutor):
    """A thread pool that knows how many of its calls are queued or running."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, thread_name_prefix="call")
        self.in_flight = 0
        self._count_lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Counts the call until it is done, however it ends."""
        with self._count_lock:
            self.in_flight += 1
        try:
            future = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._done(None)
            raise
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Future[Any] | None) -> None:
        with self._count_lock:
            self.in_flight -= 1


class _Garbage:
    """Stands for a request whose bytes did not parse."""


class Admission(grpc.ServerInterceptor):
    """Admits calls while fewer than `in_flight_max` are in flight."""

    def __init__(self, pool: CountingPool, in_flight_max: int) -> None:
        self._pool = pool
        self._in_flight_max = in_flight_max
        self._refusing = ThreadPoolExecutor(_REFUSING_THREADS, thread_name_prefix="refuse")
        # An open stream holds a thread for as long as it likes: never a call's.
        self._streams = ThreadPoolExecutor(_STREAM_THREADS, thread_name_prefix="stream")
        # A watcher holds one only until it was told, but may be slow to send and to read.
        self._watches = ThreadPoolExecutor(_WATCH_THREADS, thread_name_prefix="watch")
        self._large = LargeMessages()
        self._watches_open = 0
        self._watches_lock = threading.Lock()
        # Others need the room once half of it is taken.
        self._silence = Silence(lambda: pool.in_flight * 2 >= in_flight_max)
        self._draining = False
        # When the drain began and when a call last came in it, by the monotonic clock.
        self._draining_since = self._last_came = 0.0

    def start(self) -> None:
        """Begins to look for calls that stay silent."""
        self._silence.start()

    def drain(self) -> None:
        """From now on every new call is answered SHUTTING_DOWN."""
        self._draining_since = self._last_came = time.monotonic()
        self._draining = True

    @property
    def is_drained(self) -> bool:
        """No call is in flight, and none came for QUIET_S: what was on its way has been answered.

        Or they came for so long that they will not cease.
        """
        now = time.monotonic()
        has_left = now - self._last_came > QUIET_S or now - self._draining_since > _LEAVE_MAX_S
        return not self._pool.in_flight and has_left

    def close(self) -> None:
        """Ends the threads."""
        self._silence.close()
        self._large.close()
        self._refusing.shutdown(wait=False)
        self._streams.shutdown(wait=False)
        self._watches.shutdown(wait=False)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Runs on gRPC's one serving thread: it decides and never waits."""
        handler = continuation(details)
        if handler is None:
            return None
        if details.method.startswith(_HEALTH):
            return self._on_calls(handler) if handler.unary_stream is None else self._on_watches(handler)
        if details.method.startswith(_REFLECTION):
            return self._on_streams(handler)
        if self._draining:
            self._last_came = time.monotonic()
            return self._refusal(
                handler, ShuttingDown("the server is shutting down; try another one, or again later")
            )
        if self._pool.in_flight >= self._in_flight_max:
            return self._refusal(
                handler,
                Overloaded(
                    f"{self._in_flight_max} calls are in flight already; try again later",
                    in_flight_max=self._in_flight_max,
                ),
            )
        return self._on_calls(handler)

    def _on_calls(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """The unary handler, with bytes that do not parse answered INVALID_ARGUMENT.

        As of a stream of requests, so that the wait for the one message can be watched.
        """
        behave = handler.unary_unary
        if behave is None:
            return handler

        def receive(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            request = self._silence.message(requests, context)
            deadlines.begin(_within_s(context.time_remaining()))
            if isinstance(request, Unread):
                return receive_large(request, context)
            _refuse_garbage(request, context)
            return behave(request, context)

        def receive_large(unread: Unread, context: grpc.ServicerContext) -> Any:
            try:
                with self._large.read(unread) as request:
                    _refuse_garbage(request, context)
                    return behave(request, context)
            except Overloaded as refusal:
                abort(context, refusal)

        return grpc.stream_unary_rpc_method_handler(
            receive, _or_unread(_or_garbage(handler.request_deserializer)), handler.response_serializer
        )

    def _on_streams(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        stream = handler.stream_stream
        if stream is None:
            return handler

        def parsed(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            for request in requests:
                _refuse_garbage(request, context)
                yield request

        def converse(requests: Any, context: grpc.ServicerContext) -> Any:
            return stream(parsed(requests, context), context)

        converse.experimental_thread_pool = self._streams  # type: ignore[attr-defined]
        return grpc.stream_stream_rpc_method_handler(
            converse, _or_garbage(handler.request_deserializer), handler.response_serializer
        )

    def _on_watches(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        stream = handler.unary_stream
        assert stream is not None

        # How gRPC runs a stream is written on its function: `wraps` keeps it.
        @wraps(stream)
        def watch(requests: Iterator[Any], context: grpc.ServicerContext, *more: Any) -> Any:
            request = self._silence.message(requests, context)
            _refuse_garbage(request, context)
            self._count_watch(context)
            return stream(request, context, *more)

        watch.experimental_thread_pool = self._watches  # type: ignore[attr-defined]
        return grpc.stream_stream_rpc_method_handler(
            watch, _or_garbage(handler.request_deserializer), handler.response_serializer
        )

    def _count_watch(self, context: grpc.ServicerContext) -> None:
        with self._watches_lock:
            has_room = self._watches_open < limits.WATCHES_MAX
            self._watches_open += has_room
        if not has_room:
            abort(
                context,
                Overloaded(
                    f"{limits.WATCHES_MAX} watches are open already; use Check, or try again later",
                    watches_max=limits.WATCHES_MAX,
                ),
            )
        if not context.add_callback(self._end_watch):
            self._end_watch()

    def _end_watch(self) -> None:
        with self._watches_lock:
            self._watches_open -= 1

    def _refusal(
        self, handler: grpc.RpcMethodHandler[Any, Any], refusal: Refusal
    ) -> grpc.RpcMethodHandler[Any, Any]:
        def refuse(requests: Any, context: grpc.ServicerContext) -> Any:
            abort(context, refusal)

        # Read by gRPC when it picks the pool for a handler, as its own health service does.
        refuse.experimental_thread_pool = self._refusing  # type: ignore[attr-defined]
        # As of a stream of requests, so that saying no does not wait for a message that may never come.
        return grpc.stream_unary_rpc_method_handler(refuse, None, handler.response_serializer)


def _within_s(asked_s: float) -> float:
    """How long a call may wait: as it asked, within bounds; gRPC has no deadline as one in 292 years."""
    if asked_s > _NO_DEADLINE_S:
        return limits.DEADLINE_MS_DEFAULT / 1_000
    return min(asked_s, limits.DEADLINE_MS_MAX / 1_000)


def _or_garbage(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """The parser, which answers _Garbage where it would raise: gRPC would say INTERNAL, and log it."""
    if parse is None:
        return None

    def parse_or_garbage(data: bytes) -> Any:
        try:
            return parse(data)
        except Exception:
            return _Garbage()

    return parse_or_garbage


def _or_unread(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """The parser, which leaves a large message as it came."""
    if parse is None:
        return None

    def parse_or_leave(data: bytes) -> Any:
        return Unread(data, parse) if len(data) >= limits.LARGE_MESSAGE_BYTES_MIN else parse(data)

    return parse_or_leave


def _refuse_garbage(request: Any, context: grpc.ServicerContext) -> None:
    if request is None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the call has no message; it takes one")
    if isinstance(request, _Garbage):
        abort(
            context,
            ValidationFailed(
                "the request's bytes are not a message of this method",
                violations=(Violation("", "does not parse as protobuf"),),
            ),
        )
