"""A client ends when what is under way has ended; it does not live on in a process that was forked off."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from callers import Teller
from client.conftest import PATIENCE_S, PostBatches
from client.faces import Face, opened
from client.fakes import ThreadsMethod
from faults import until
from serving import Serving

from ledger_client import Draft, OutcomeUnknown, Posted, connect, connect_async, credit, debit
from ledger_client.contract import GetLedgerRequest

SALE = [debit("cash", 5, "USD"), credit("sales", 5, "USD")]


def test_closing_finishes_the_posts_that_wait(
    face_name: str, server: Serving, books: Teller, batches: PostBatches
) -> None:
    with opened(face_name, server.target) as face:
        batches.gate.clear()
        posts: list[Future[Posted]] = [face.start("post", books.ledger, SALE) for _ in range(20)]
        until(lambda: batches.sizes, "a call under way")
        until(lambda: face._client._posting._lanes[books.ledger].outstanding == 20, "all posts wait")
        batches.gate.set()

    assert len({each.result(0).sequence for each in posts}) == 20


def test_closing_finishes_a_call_of_its_own_that_is_under_way(
    face_name: str, server: Serving, books: Teller, batches: PostBatches
) -> None:
    with opened(face_name, server.target) as face:
        batches.gate.clear()
        batch: Future[list[Posted]] = face.start("post_batch", books.ledger, [Draft(SALE), Draft(SALE)])
        until(lambda: batches.sizes, "the batch under way")
        opening = threading.Timer(0.3, batches.gate.set)
        opening.start()

    opening.join()
    assert [each.replayed for each in batch.result(0)] == [False, False]


def test_closing_in_a_signal_s_handler_does_not_wait_for_the_call_that_it_interrupted() -> None:
    client = connect("127.0.0.1:1")

    def interrupted(
        request: GetLedgerRequest, /, timeout: float | None = None, metadata: object = ()
    ) -> GetLedgerRequest:
        client.close()
        return request

    calling = threading.Thread(target=client.call, args=(interrupted, GetLedgerRequest()), daemon=True)
    calling.start()
    calling.join(PATIENCE_S)

    assert not calling.is_alive()


@pytest.mark.parametrize("verb", ["post", "post_batch", "get_ledger"])
def test_a_closed_client_says_so_to_every_verb(face_name: str, server: Serving, verb: str) -> None:
    arguments: dict[str, Any] = {"post": (SALE,), "post_batch": ([Draft(SALE)],), "get_ledger": ()}

    async def use_tasks() -> None:
        client = connect_async(server.target)
        await client.aclose()
        await client.aclose()
        await getattr(client, verb)("books", *arguments[verb])

    def use_threads() -> None:
        client = connect(server.target)
        client.close()
        client.close()
        getattr(client, verb)("books", *arguments[verb])

    with pytest.raises(RuntimeError, match="this client is closed"):
        use_threads() if face_name == "threads" else asyncio.run(use_tasks())


@pytest.mark.parametrize("deadline_s", [math.inf, 1e10])
def test_an_endless_deadline_is_a_long_one_and_harms_no_neighbour(
    face: Face, books: Teller, deadline_s: float
) -> None:
    assert face.post(books.ledger, SALE, deadline_s=deadline_s).sequence
    assert face.post_batch(books.ledger, [Draft(SALE)], deadline_s=deadline_s)[0].sequence
    assert face.get_balance(books.ledger, "cash", "USD", deadline_s=deadline_s).posted == 10
    assert face.post(books.ledger, SALE, deadline_s=5.0).sequence
    face.wait_until_serving(deadline_s)


def test_a_call_cancelled_by_nobody_leaves_the_outcome_unknown(
    server: Serving, books: Teller, batches: PostBatches
) -> None:
    async def scenario() -> BaseException | None:
        client = connect_async(server.target)
        batches.gate.clear()
        batch = asyncio.create_task(client.post_batch(books.ledger, [Draft(SALE, "mine")]))
        while not batches.sizes:
            await asyncio.sleep(0.005)
        # The channel is taken away under the call.
        await client._channels[0].close()
        await asyncio.wait([batch], timeout=PATIENCE_S)
        batches.gate.set()
        await client.aclose()
        return batch.exception()

    told = asyncio.run(scenario())

    assert isinstance(told, OutcomeUnknown)
    assert told.idempotency_keys == ("mine",)


def test_a_task_that_is_cancelled_in_a_call_stays_cancelled(
    server: Serving, books: Teller, batches: PostBatches
) -> None:
    async def scenario() -> bool:
        async with connect_async(server.target) as client:
            batches.gate.clear()
            batch = asyncio.create_task(client.post_batch(books.ledger, [Draft(SALE)]))
            while not batches.sizes:
                await asyncio.sleep(0.005)
            batch.cancel()
            await asyncio.wait([batch], timeout=PATIENCE_S)
            batches.gate.set()
            return batch.cancelled()

    assert asyncio.run(scenario())


def in_a_fork(act: Callable[[], object]) -> str:
    """What an act says in a process that is forked off now: its answer or its error, as a string."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            said = str(act())
        except BaseException as error:
            said = str(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    ended = time.monotonic() + PATIENCE_S
    try:
        while os.waitpid(process, os.WNOHANG) == (0, 0):
            if time.monotonic() > ended:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                pytest.fail("the forked process hangs")
            time.sleep(0.005)
        return os.read(reading, 10_000).decode()
    finally:
        os.close(reading)


def test_a_client_that_was_carried_over_a_fork_only_closes() -> None:
    method = ThreadsMethod()
    client = connect("127.0.0.1:1")
    client._posting._methods = [method]
    pool = ThreadPoolExecutor(1)
    posting = pool.submit(client.post, "books", SALE, deadline_s=1.0)
    until(lambda: method.calls, "a post under way")
    request = GetLedgerRequest(name="books")

    assert in_a_fork(client.close) == "None"
    for act in (
        client.new_key,
        lambda: client.post("books", SALE),
        lambda: client.call(client.admin.GetLedger, request),
    ):
        assert in_a_fork(act) == "this client was made before a fork; make one in each process"
    with pytest.raises(OutcomeUnknown):
        posting.result(PATIENCE_S)
    pool.shutdown()


def test_a_client_of_tasks_that_was_carried_over_a_fork_only_closes() -> None:
    async def scenario() -> None:
        client = connect_async("127.0.0.1:1")
        client._lifetime._process = os.getpid() + 1
        for act in (client.post("books", SALE), client.get_ledger("books")):
            with pytest.raises(RuntimeError, match="before a fork"):
                await act
        with pytest.raises(RuntimeError, match="before a fork"):
            client.new_key()
        await client.aclose()
        assert not client._lifetime.is_closed
        client._lifetime._process = os.getpid()
        await client.aclose()

    asyncio.run(scenario())
