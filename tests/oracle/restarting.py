"""Ends the tests' PostgreSQL and waits for the next one; its supervisor starts it again."""

from __future__ import annotations

import os
import signal
import time

import psycopg
from clusters import Cluster

PATIENCE_S = 60.0
# A server that LEDGER_TEST_DSN names is not ours to end.
IS_OURS = "LEDGER_TEST_DSN" not in os.environ


def restart_database(cluster: Cluster, *, is_crash: bool) -> None:
    """Every session ends: after a checkpoint, or at once and with a recovery to follow."""
    before = _postmaster(cluster)
    os.kill(before, signal.SIGQUIT if is_crash else signal.SIGINT)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if _postmaster(cluster) != before:
                return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL did not come back"
        time.sleep(0.005)


def _postmaster(cluster: Cluster) -> int:
    """The server's process id."""
    with psycopg.connect(cluster.owner_url) as connection:
        row = connection.execute("select split_part(pg_read_file('postmaster.pid'), e'\\n', 1)").fetchone()
    assert row is not None
    return int(row[0])
