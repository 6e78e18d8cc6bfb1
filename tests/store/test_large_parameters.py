"""Statements with megabytes of parameters go through a pipeline; once, they hung a connection for ever."""

from __future__ import annotations

import psycopg
import pytest
from clusters import Database

from ledger_server.store.connection import ServiceConnection


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size_bytes", [1, 1 << 20, 4 << 20, 8 << 20])
def test_a_pipeline_carries_parameters_of_any_size(database: Database, size_bytes: int) -> None:
    with ServiceConnection.connect(database.app_url, autocommit=True, prepare_threshold=0) as connection:
        texts = ["v" * 8192] * max(1, size_bytes // 8192)

        with connection.pipeline() as pipeline:
            connection.execute("begin")
            counted = connection.execute("select cardinality(%s::text[])", (texts,))
            echoed = connection.execute("select %s::text[]", (texts,))
            connection.execute("commit")
            pipeline.sync()
            assert counted.fetchone() == (len(texts),)
            assert echoed.fetchone() == (texts,)


@pytest.mark.timeout(60)
def test_an_error_behind_a_large_statement_arrives(database: Database) -> None:
    def run(connection: ServiceConnection) -> None:
        with connection.pipeline() as pipeline:
            connection.execute("select cardinality(%s::text[])", (["v" * 8192] * 512,))
            connection.execute("select 1 / 0")
            pipeline.sync()

    with ServiceConnection.connect(database.app_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            run(connection)

        assert connection.execute("select 1").fetchone() == (1,)
