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

from psycopg import Connection, pq
from psycopg.waiting import Ready, Wait

ResultT = TypeVar("ResultT")
Waiting = Generator[Any, Any, ResultT]


class FlushingConnection(Connection[Any]):
    """A connection whose pipelines may carry parameters of any size."""

    def wait(self, gen: Waiting[ResultT], *arguments: Any, **options: Any) -> ResultT:
        """Consumes a generator on the connection, as psycopg does."""
        if self.pgconn.pipeline_status != pq.PipelineStatus.OFF:
            gen = self._sending_on(gen)
        return super().wait(gen, *arguments, **options)

    def _sending_on(self, gen: Waiting[ResultT]) -> Waiting[ResultT]:
        """The same generator, which also waits to write while anything is unsent."""
        try:
            wanted = next(gen)
            while True:
                if wanted != Wait.R or self.pgconn.flush() == 0:
                    ready = yield wanted
                else:
                    ready = yield Wait.RW
                    if ready == Ready.W:
                        continue
                    ready &= Ready.R
                wanted = gen.send(ready)
        except StopIteration as done:
            result: ResultT = done.value
            return result
