"""Both faces of the client behind one way of calling, so that one test claims the same of both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from ledger_client import AsyncClient, Client, connect, connect_async

CALLERS_MAX = 256


class Face:
    """A client whose verbs can be started side by side; `start` answers a future, a verb its answer."""

    def start(self, verb: str, *arguments: Any, **more: Any) -> Future[Any]:
        """Begins a call on a thread or task of its own."""
        raise NotImplementedError

    def __getattr__(self, verb: str) -> Any:
        return lambda *arguments, **more: self.start(verb, *arguments, **more).result(60)


class ThreadsFace(Face):
    """Calls of threads."""

    def __init__(self, client: Client, pool: ThreadPoolExecutor) -> None:
        self._client = client
        self._pool = pool

    def start(self, verb: str, *arguments: Any, **more: Any) -> Future[Any]:
        def run() -> Any:
            answer = getattr(self._client, verb)(*arguments, **more)
            return list(answer) if isinstance(answer, Iterator) else answer

        return self._pool.submit(run)


class TasksFace(Face):
    """Calls of tasks on an event loop that runs in a thread."""

    def __init__(self, client: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def start(self, verb: str, *arguments: Any, **more: Any) -> Future[Any]:
        async def run() -> Any:
            answer = getattr(self._client, verb)(*arguments, **more)
            if isinstance(answer, AsyncIterator):
                return [one async for one in answer]
            return await answer if inspect.isawaitable(answer) else answer

        return asyncio.run_coroutine_threadsafe(run(), self._loop)


@contextmanager
def opened(face: str, target: str, **more: Any) -> Iterator[Face]:
    """A face ("threads" or "tasks") that is closed at the end, what was started first."""
    if face == "threads":
        with ThreadPoolExecutor(CALLERS_MAX) as pool, connect(target, **more) as client:
            yield ThreadsFace(client, pool)
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="loop")
    thread.start()

    async def make() -> AsyncClient:
        return connect_async(target, **more)

    client = asyncio.run_coroutine_threadsafe(make(), loop).result(60)
    try:
        yield TasksFace(client, loop)
    finally:
        asyncio.run_coroutine_threadsafe(client.aclose(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
