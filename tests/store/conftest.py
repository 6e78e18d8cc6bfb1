"""Servers without a schema, for tests of how one comes to be; a store and its server, for tests of reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from clusters import Cluster, Database, fast_directory
from serving import Serving, serving
from tools_needed import missing

from ledger_server.store.binaries import BinariesNotFound, find_binaries
from ledger_server.store.database import Database as StoreDatabase
from ledger_server.store.embedded import EmbeddedPostgres, make_ephemeral_data_dir

MAJORS = (15, 16, 18)


def bare_server(major: int) -> Iterator[EmbeddedPostgres]:
    """A server of the version, from the wheel or the system, without any of our roles."""
    try:
        bindir = find_binaries(major=major).bindir
    except BinariesNotFound:
        missing(f"PostgreSQL {major} is not on this machine")
    data_dir = make_ephemeral_data_dir(fast_directory())
    try:
        with EmbeddedPostgres.start(
            data_dir, bindir=bindir, ephemeral=True, settings={"shared_buffers": "64MB"}
        ) as postgres:
            yield postgres
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="module", params=MAJORS, ids=lambda major: f"pg{major}")
def each_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    """A bare server of each supported version that this machine has."""
    yield from bare_server(request.param)


@pytest.fixture(scope="module")
def bare() -> Iterator[EmbeddedPostgres]:
    """A bare server of the newest version."""
    yield from bare_server(18)


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster) -> Iterator[Database]:
    """A database for the whole module."""
    with cluster.database() as database:
        yield database


@pytest.fixture(scope="module")
def shared_server(shared_database: Database) -> Iterator[Serving]:
    """A server on it, to fill it."""
    with serving(shared_database.app_url) as server:
        yield server


@pytest.fixture(scope="module")
def store(shared_database: Database) -> Iterator[StoreDatabase]:
    """The store's own way to the database."""
    store = StoreDatabase(shared_database.app_url, committers=1, readers=2)
    store.open()
    yield store
    store.close()


@pytest.fixture(scope="module")
def each_database(each_server: EmbeddedPostgres) -> Iterator[Database]:
    """A database on each version, for the whole module."""
    with Cluster(each_server.owner_url, each_server.version_major).database() as database:
        yield database
