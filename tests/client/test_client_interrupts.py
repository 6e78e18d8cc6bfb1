"""Whoever is interrupted, and whatever a call raises: the lane goes on, and what was left is not sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from client.fakes import TasksChannel, ThreadsMethod, recorded
from faults import until

from ledger_client import Client, Posted, connect, credit, debit
from ledger_client.async_posting import AsyncPosting
from ledger_client.lifetimes import TasksLifetime
from ledger_client.posting import Gate
from ledger_client.refusals import DeadlineExceeded

SALE = [debit("cash", 5, "USD"), credit("sales", 5, "USD")]


@pytest.fixture
def method() -> ThreadsMethod:
    return ThreadsMethod()


@pytest.fixture
def client(method: ThreadsMethod) -> Iterator[Client]:
    with connect("127.0.0.1:1") as client:
        client._posting._methods = [method]
        yield client


def test_a_call_that_cannot_be_begun_is_begun_again(client: Client, method: ThreadsMethod) -> None:
    method.raises = [ValueError("not now")]
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(client.post, "books", SALE, idempotency_key="mine")
        until(lambda: method.calls, "begun again")
        method.calls[0][1].set_result(recorded(7))

        assert posted.result(30).sequence == 7


def test_an_interrupt_while_a_call_is_begun_reaches_the_thread_and_closing_still_ends(
    client: Client, method: ThreadsMethod
) -> None:
    method.raises = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        client.post("books", SALE)

    closing = threading.Thread(target=client.close, daemon=True)
    closing.start()
    closing.join(10)

    assert not closing.is_alive()
    assert client._posting._lanes["books"].outstanding == 0


def test_a_thread_that_is_interrupted_while_it_waits_leaves_nothing_to_be_sent(
    client: Client, method: ThreadsMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "books", SALE, idempotency_key="first")
        until(lambda: method.calls, "the first call under way")

        def interrupted(self: Gate, timeout_s: float) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Gate, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.post("books", SALE, idempotency_key="left")
        last = pool.submit(client.post, "books", SALE, idempotency_key="last")
        until(lambda: client._posting._lanes["books"].outstanding == 2, "the last waits")
        method.calls[0][1].set_result(recorded(1))
        until(lambda: len(method.calls) == 2, "the second call")
        method.calls[1][1].set_result(recorded(2))
        first.result(30)
        last.result(30)

    assert [each.post.idempotency_key for each in method.calls[1][0].operations] == ["last"]


Scenario = Callable[[AsyncPosting, TasksChannel], Coroutine[Any, Any, None]]


def with_tasks(scenario: Scenario, outstanding_max: int = 10) -> None:
    """Runs a scenario on lanes whose calls the test answers."""

    async def run() -> None:
        channel = TasksChannel()
        posting = AsyncPosting(
            [channel],  # type: ignore[list-item]
            TasksLifetime(),
            outstanding_max=outstanding_max,
        )
        await asyncio.wait_for(scenario(posting, channel), 30)

    asyncio.run(run())


def started(posting: AsyncPosting, key: str, deadline_s: float = 20.0) -> asyncio.Task[Posted]:
    return asyncio.create_task(posting.post("books", b"", 2, key, deadline_s))


async def until_calls(channel: TasksChannel, count: int) -> None:
    while len(channel.calls) < count:
        await asyncio.sleep(0.005)


def test_a_turn_that_came_with_the_deadline_goes_to_the_next_who_waits_for_room() -> None:
    async def scenario(posting: AsyncPosting, channel: TasksChannel) -> None:
        first = started(posting, "first")
        await until_calls(channel, 1)
        late = started(posting, "late", 0.05)
        patient = started(posting, "patient")
        await asyncio.sleep(0)
        channel.calls[0][1].set_result(recorded(1))
        # A busy loop: the turn and the deadline are due in the same round.
        time.sleep(0.1)
        await first
        with pytest.raises(DeadlineExceeded):
            await late
        await until_calls(channel, 2)
        channel.calls[1][1].set_result(recorded(2))

        assert (await patient).sequence == 2

    with_tasks(scenario, outstanding_max=1)


@pytest.mark.parametrize("raised", [ValueError("not now"), asyncio.CancelledError()], ids=["error", "cancel"])
def test_a_call_of_tasks_that_ends_in_something_else_is_made_again(raised: BaseException) -> None:
    async def scenario(posting: AsyncPosting, channel: TasksChannel) -> None:
        channel.raises = [raised]
        posted = started(posting, "mine")
        await until_calls(channel, 1)
        channel.calls[0][1].set_result(recorded(7))

        assert (await posted).sequence == 7

    with_tasks(scenario)


def test_cancelling_every_task_there_is_stops_no_later_post() -> None:
    async def scenario(posting: AsyncPosting, channel: TasksChannel) -> None:
        first = started(posting, "first")
        await until_calls(channel, 1)
        for task in (first, *posting._sending):
            task.cancel()
        await asyncio.gather(first, return_exceptions=True)
        again = started(posting, "again")
        await until_calls(channel, 2)
        channel.calls[1][1].set_result(recorded(2))

        assert (await again).sequence == 2

    with_tasks(scenario)
