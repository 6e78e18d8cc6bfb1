"""Wiring of the tests: one PostgreSQL for each worker, a fresh database for each test that asks.

LEDGER_TEST_DSN (a superuser's URL) runs them on a server of yours, and
LEDGER_PG_BINDIR on another version of the embedded one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster, Database, embedded_cluster, external_cluster
from serving import Serving, serving

from ledger_server.rpc.interceptors import admission
from tools.criteria import read_criteria


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server with a migrated template."""
    dsn = os.environ.get("LEDGER_TEST_DSN")
    bindir = os.environ.get("LEDGER_PG_BINDIR")
    opened = external_cluster(dsn) if dsn else embedded_cluster(bindir=Path(bindir) if bindir else None)
    with opened as cluster:
        yield cluster


@pytest.fixture(scope="session", autouse=True)
def quick_ends() -> Iterator[None]:
    """Nobody is on the way to a server that a test ends, and a thousand ends are minutes of waiting.

    Servers in processes of their own wait as they do for users.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "QUIET_S", 0.01)
        yield


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A fresh database with the newest schema and empty books."""
    with cluster.database() as database:
        yield database


@pytest.fixture
def server(database: Database) -> Iterator[Serving]:
    """The service on a loopback port, over a fresh database."""
    with serving(database.app_url) as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A criterion that a test claims is one of those that exist."""
    known = {criterion.number for criterion in read_criteria()}
    for item in items:
        for mark in item.iter_markers("criterion"):
            for number in mark.args:
                if number not in known:
                    raise pytest.UsageError(f"{item.nodeid} claims {number}, which is not in criteria.txt")
