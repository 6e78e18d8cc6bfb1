"""What the client's tests share: both faces, and a live server whose PostBatch calls are watched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from callers import Teller
from client.faces import Face, opened
from clusters import Database
from serving import Serving, serving

from ledger_server.rpc.ledger_servicer import LedgerServicer

PATIENCE_S = 30.0


@dataclass
class PostBatches:
    """The server's PostBatch calls: how many operations each had; held while the gate is closed."""

    sizes: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    # Done once, after the next call is recorded and before it is answered.
    once_recorded: Callable[[], None] | None = None


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> PostBatches:
    """Watches the PostBatch calls of every server of the test."""
    watch = PostBatches()
    watch.gate.set()
    original = LedgerServicer.PostBatch

    def watched(self: LedgerServicer, request: Any, context: Any) -> Any:
        watch.sizes.append(len(request.operations))
        assert watch.gate.wait(PATIENCE_S)
        answer = original(self, request, context)
        act, watch.once_recorded = watch.once_recorded, None
        if act:
            act()
        return answer

    monkeypatch.setattr(LedgerServicer, "PostBatch", watched)
    return watch


@pytest.fixture
def server(batches: PostBatches, database: Database) -> Iterator[Serving]:
    """The service on a loopback port, its PostBatch calls watched."""
    with serving(database.app_url) as server:
        yield server


@pytest.fixture
def books(server: Serving) -> Teller:
    """A ledger with cash, other, sales and a wallet that stays at 0 or above; in USD."""
    return Teller.open(server)


@pytest.fixture(params=["threads", "tasks"])
def face_name(request: pytest.FixtureRequest) -> str:
    """Each face in turn."""
    return str(request.param)


@pytest.fixture
def face(face_name: str, server: Serving) -> Iterator[Face]:
    """A client of the live server."""
    with opened(face_name, server.target) as face:
        yield face
