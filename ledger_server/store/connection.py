"""Our connection: a pipeline that has not sent everything yet goes on sending while it waits for answers.

psycopg leaves a pipeline's send loop when its last command is queued, not when it is
sent, and then waits for readable answers only. With more than some megabytes of
parameters the rest stays in libpq's buffer, the server waits for it, and both wait
for ever: a committer would never come back. So wherever a pipeline waits to read
while something is unsent, we wait for both directions and send on.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from psycopg import Connection, Cursor
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait

ResultT = TypeVar("ResultT")
Waiting = Generator[Any, Any, ResultT]
# What is waited for and what is ready, as the numbers that both enums share.
_READ, _WRITE, _EITHER = int(Wait.R), int(Wait.W), int(Wait.RW)


class ServiceConnection(Connection[Any]):
    """A connection whose pipelines may carry parameters of any size."""

    # A wait for the server that is longer than this gives the connection up: above
    # statement_timeout, within which the server speaks up by itself.
    silence_max_s = 65.0

    _queuing = False

    def __init__(self, pgconn: PGconn, *arguments: Any, **options: Any) -> None:
        super().__init__(pgconn, *arguments, **options)
        # The labels of the statements that this connection has prepared.
        self.prepared: set[bytes] = set()

    def execute(self, *arguments: Any, **options: Any) -> Cursor[Any]:
        """Executes a statement, as psycopg does; in a pipeline it is queued, and nothing waits to read."""
        self._queuing = True
        try:
            return super().execute(*arguments, **options)
        finally:
            self._queuing = False

    def wait(self, gen: Waiting[ResultT], *arguments: Any, **options: Any) -> ResultT:
        """Consumes a generator on the connection, as psycopg does."""
        if not self._queuing and self.pgconn.pipeline_status:
            gen = self._sending_on(gen)
        return super().wait(gen, *arguments, **options)

    def _sending_on(self, gen: Waiting[ResultT]) -> Waiting[ResultT]:
        """The same generator, which also waits to write while anything is unsent."""
        try:
            wanted = next(gen)
            while True:
                if wanted != _READ or self.pgconn.flush() == 0:
                    ready = yield wanted
                else:
                    ready = yield _EITHER
                    if ready == _WRITE:
                        continue
                    ready &= _READ
                wanted = gen.send(ready)
        except StopIteration as done:
            result: ResultT = done.value
            return result
