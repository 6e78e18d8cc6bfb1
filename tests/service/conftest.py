"""A server shared by a module's tests, and a fresh ledger on it for each; one that can be cut off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from callers import Teller
from clusters import Cluster, Database
from faults import Faulty, faulty_server
from serving import Serving, serving

from ledger_server.store import lending


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster) -> Iterator[Database]:
    """A database for a whole module."""
    with cluster.database() as database:
        yield database


@pytest.fixture(scope="module")
def shared_server(shared_database: Database) -> Iterator[Serving]:
    """A server for a whole module."""
    with serving(shared_database.app_url) as server:
        yield server


@pytest.fixture
def teller(shared_server: Serving) -> Teller:
    """A fresh ledger on the shared server."""
    return Teller.open(shared_server)


@pytest.fixture
def faulty(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """See faulty_server. It waits for a lost database half a second instead of five."""
    monkeypatch.setattr(lending, "BORROW_TIMEOUT_S", 0.5)
    with faulty_server(database) as faulty:
        yield faulty
