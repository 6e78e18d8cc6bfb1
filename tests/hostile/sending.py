"""Sends cases as raw bytes, many at once, and keeps everything that comes back."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc
from hostile.cases import Case

CALLERS = 16
_CHANNELS = 4
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
Pairs = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller was told: the status, everything around it, and the messages."""

    code: str
    text: str
    replies: tuple[bytes, ...]
    initial: Pairs
    trailing: Pairs
    took_s: float


def send(channel: grpc.Channel, case: Case, token: str = "") -> Answer:
    """Makes one call. A stream that never ends is left after its first answer, which is its OK."""
    start = time.monotonic()
    call = _begin(channel, case, token)
    if case.cancel_after_s is not None:
        time.sleep(case.cancel_after_s)
        call.cancel()
    replies: list[bytes] = []
    is_left = False
    try:
        if case.method.is_response_stream:
            for reply in call:
                replies.append(reply)
                is_left = not case.method.is_request_stream
                if is_left:
                    call.cancel()
                    break
        else:
            replies.append(call.result())
    except (grpc.RpcError, grpc.FutureCancelledError):
        pass
    return Answer(
        "OK" if is_left else call.code().name,
        "" if is_left else call.details() or "",
        tuple(replies),
        _pairs(call.initial_metadata()),
        _pairs(call.trailing_metadata()),
        time.monotonic() - start,
    )


def _begin(channel: grpc.Channel, case: Case, token: str) -> Any:
    shown = (("authorization", f"Bearer {token}"),) if token else ()
    options = {"timeout": case.timeout_s, "metadata": case.metadata + shown}
    if case.method.is_request_stream:
        return channel.stream_stream(case.path)(iter(case.messages), **options)
    if case.method.is_response_stream and len(case.messages) == 1:
        return channel.unary_stream(case.path)(case.messages[0], **options)
    if case.method.is_response_stream:
        return channel.stream_stream(case.path)(iter(case.messages), **options)
    if len(case.messages) == 1:
        return channel.unary_unary(case.path).future(case.messages[0], **options)
    return channel.stream_unary(case.path).future(iter(case.messages), **options)


def _pairs(metadata: Any) -> Pairs:
    return tuple((key, value) for key, value in metadata or ())


class Callers:
    """Threads that take case after case; who has odd metadata uses connections of their own."""

    def __init__(self, target: str, tokens: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._ends = ExitStack()
        self._plain = [self._channel(target) for _ in range(_CHANNELS)]
        self._odd = [self._channel(target) for _ in range(_CHANNELS)]

    def __enter__(self) -> Callers:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def run(self, cases: Iterator[Case], heard: Callable[[Case, Answer], None]) -> None:
        """Sends every case; `heard` is called with each answer, by one thread at a time."""
        taking, hearing = threading.Lock(), threading.Lock()
        numbers = itertools.count()

        def work() -> None:
            mine = next(numbers) % _CHANNELS
            while True:
                with taking:
                    case = next(cases, None)
                if case is None:
                    return
                channel = (self._odd if case.metadata else self._plain)[mine]
                answer = send(channel, case, self._tokens.get(case.caller, ""))
                with hearing:
                    heard(case, answer)

        with ThreadPoolExecutor(CALLERS, thread_name_prefix="hostile") as pool:
            for done in [pool.submit(work) for _ in range(CALLERS)]:
                done.result()

    def _channel(self, target: str) -> grpc.Channel:
        return self._ends.enter_context(grpc.insecure_channel(target, options=_OPTIONS))
