"""A caller's place in a lane: where the caller waits, and is answered."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from ledger_server.domain.refusals import Refusal
from ledger_server.service import deadlines

AnswerT = TypeVar("AnswerT")


class Place(Generic[AnswerT]):
    """A caller's place in a lane: it waits until it is settled, once."""

    __slots__ = ("_answer", "_gate", "weight")

    def __init__(self, weight: int = 1) -> None:
        self.weight = weight
        self._answer: AnswerT | Refusal | None = None
        # A lock is the cheapest event there is for one waiter and one settler.
        self._gate = threading.Lock()
        self._gate.acquire()

    def settle(self, answer: AnswerT | Refusal) -> None:
        """Gives the caller its answer. The caller may have left: the commit stands all the same."""
        if self._answer is None:
            self._answer = answer
            self._gate.release()

    @property
    def is_settled(self) -> bool:
        """Whether the answer was given."""
        return self._answer is not None

    def wait(self) -> AnswerT:
        """Waits for the answer; raises it where it is a refusal, DeadlineExceeded where it comes too late.

        A worker settles every place it takes.
        """
        left_s = deadlines.left_s()
        if not self._gate.acquire(timeout=-1 if left_s is None else left_s):
            raise deadlines.passed()
        self._gate.release()
        if isinstance(self._answer, Refusal):
            raise self._answer
        assert self._answer is not None
        return self._answer
