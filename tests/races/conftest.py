"""One server, or two servers on one database, shared by a module's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from callers import Teller
from clusters import Cluster, Database
from serving import AT_ONCE, Serving, serving


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster) -> Iterator[Database]:
    """A database for a whole module."""
    with cluster.database() as database:
        yield database


@pytest.fixture(scope="module", params=[1, 2], ids=["one server", "two servers"])
def servers(request: pytest.FixtureRequest, shared_database: Database) -> Iterator[list[Serving]]:
    """Servers on one database: one decides ahead what it can, the second writes at once what it can."""
    with serving(shared_database.app_url) as first:
        if request.param == 1:
            yield [first]
        else:
            with serving(shared_database.app_url, ahead_from=AT_ONCE) as second:
                yield [first, second]


@pytest.fixture
def tellers(servers: list[Serving]) -> list[Teller]:
    """A fresh ledger, seen from each server."""
    first = Teller.open(servers[0])
    return [first, *(first.at(server) for server in servers[1:])]
