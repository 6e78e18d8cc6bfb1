"""A server shared by a module's tests, and a fresh ledger on it for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from callers import Teller
from clusters import Cluster, Database
from serving import Serving, serving


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
    """A fresh ledger on the shared server: USD, cash, other, sales, and a wallet that stays at 0 or above."""
    return Teller.open(shared_server)
