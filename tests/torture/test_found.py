"""What the torture found in the service, each as small as it can be shown."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest
from callers import Teller, refusal_of
from clusters import Database
from serving import Serving

from ledger_server.store.books import lane_lock
from ledger_server.store.database import Database as StoreDatabase

# A lane lock is waited for 5 s, then its silent holder is ended.
GOES_ON_MAX_S = 9.0


@pytest.mark.slow
def test_a_server_that_stops_in_the_middle_of_a_pipeline_does_not_keep_its_lane(
    server: Serving, database: Database
) -> None:
    """A stopped server held its lane lock, and the ledger of all other servers, until it went on."""
    teller = Teller.open(server)
    stopped = StoreDatabase(database.app_url, committers=1, readers=1)
    stopped.open()
    try:
        ledger_id = stopped.ledger_id(teller.ledger)
        assert ledger_id is not None
        session = stopped.lane_session()
        with (
            psycopg.connect(database.owner_url) as eyes,
            # Its end is what the others wait for.
            suppress(psycopg.OperationalError),
            session.connection.pipeline(),
        ):
            session.connection.execute("select pg_advisory_lock(%s)", [lane_lock(ledger_id)]).fetchone()
            state = eyes.execute(
                "select state from pg_stat_activity where pid = %s", [session.backend_pid]
            ).fetchone()
            assert state == ("active",)

            answer = teller.post("cash", "wallet", 1, "k", timeout=GOES_ON_MAX_S)

        assert not answer.replayed
    finally:
        stopped.give_back(session, broken=True)
        stopped.close()


def test_a_full_disk_is_not_called_contention(server: Serving, database: Database) -> None:
    """Where no table could grow, every writer was told that other writers kept winning."""
    teller = Teller.open(server)
    with psycopg.connect(database.owner_url) as connection:
        connection.execute(
            "create function public.be_full() returns trigger language plpgsql as"
            " $$begin raise 'no room' using errcode = 'disk_full'; end$$"
        )
        connection.execute(
            "create trigger be_full before insert on ledger.entries"
            " for each statement execute function public.be_full()"
        )

    refusal = refusal_of(lambda: teller.post("cash", "wallet", 1, "k"))

    assert refusal.reason == "DATABASE_UNAVAILABLE"
    assert teller.balance("wallet") == 0
