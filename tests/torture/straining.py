"""A way to PostgreSQL that is slow, or that gives a few bytes at a time: nothing may depend on either."""

from __future__ import annotations

import random
import socket
import time

from proxies import Proxy, close
from torture.rows import Row
from torture.run import Run, recorded
from torture.stage import shared_stage

DELAY_S = (0.01, 0.5)
PIECE_BYTES = (1, 7)
# A write waits for two answers at least, so for four delays.
LATENCY_MIN_S = 4 * DELAY_S[0]
CHUNK_BYTES = 65536


class StrainingProxy(Proxy):
    """Forwards everything as it comes, until it is told to be slow or to cut it into pieces."""

    def __init__(self, url: str, chance: random.Random) -> None:
        super().__init__(url)
        self._chance = chance
        # `slow`, `split` or nothing.
        self.how = ""
        # How many chunks were late or cut, and into how many pieces.
        self.strained = 0
        self.pieces = 0

    def __exit__(self, *error: object) -> None:
        for opened in list(self._open):
            close(opened)
        super().__exit__(None, None, None)

    def serve(self, client: socket.socket, startup: bytes) -> None:
        server = self.connect(startup)
        self.start(lambda: self._forward(server, client))
        self._forward(client, server)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := source.recv(CHUNK_BYTES):
                if self.how == "slow":
                    # Small ones are as likely as great ones: 10 to 20 ms as 250 to 500.
                    least, most = DELAY_S
                    self.strained += 1
                    time.sleep(least * (most / least) ** self._chance.random())
                if self.how == "split" and len(chunk) > PIECE_BYTES[1]:
                    self.strained += 1
                    self._send_in_pieces(chunk, sink)
                else:
                    sink.sendall(chunk)
        except OSError:
            pass
        finally:
            close(source)
            close(sink)

    def _send_in_pieces(self, chunk: bytes, sink: socket.socket) -> None:
        start = 0
        while start < len(chunk):
            stop = start + self._chance.randint(*PIECE_BYTES)
            self.pieces += 1
            sink.sendall(chunk[start:stop])
            start = stop


def delays(run: Run, row: Row) -> None:
    """Whatever goes between server and PostgreSQL arrives 10 to 500 ms late."""
    _strain(run, row, "slow")


def pieces(run: Run, row: Row) -> None:
    """Whatever goes between server and PostgreSQL arrives in pieces of 1 to 7 bytes."""
    _strain(run, row, "split")


def _strain(run: Run, row: Row, how: str) -> None:
    with (
        StrainingProxy(run.postgres.url("ledger", "ledger_app"), run.random) as proxy,
        shared_stage(run.postgres, 1, proxy=proxy) as stage,
    ):
        proxy.how = how
        with run.calling(stage, row.n) as callers:
            run.work_through(callers)
        proxy.how = ""
        row.struck = proxy.strained
        history = stage.history()
        latencies = [(call.completed - call.invoked) / 1e9 for call in recorded(history)]
        quickest = min(latencies, default=0.0)
        if how == "slow" and quickest < LATENCY_MIN_S:
            row.violations.append(f"a write took {quickest:.3f} s: the delays delayed nothing")
        run.judge(stage, row, history)
