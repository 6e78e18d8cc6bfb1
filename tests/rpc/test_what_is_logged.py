"""Logs hold nothing of what is in the books, whatever goes wrong and however much is logged."""

from __future__ import annotations

import logging
from contextlib import suppress
from itertools import islice
from random import Random

import grpc
import psycopg
import pytest
from callers import Teller, refusal_of
from clusters import APP_PASSWORD, Database
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from logs import logged
from races.tenants import Tenant, words_in
from serving import Serving, serving

from ledger_server.cli.log_lines import LogLines

AMOUNT = 77_777_771
CALLS = 500
QUOTING = f"a bug that quotes zqcanary000 and {AMOUNT}"


@pytest.mark.criterion("S003-35")
def test_a_log_at_every_level_tells_nothing_of_accounts_keys_metadata_or_amounts(database: Database) -> None:
    number = 0

    def fail(name: str) -> None:
        nonlocal number
        number += name == "decided"
        if name == "decided" and number % 20 == 0:
            raise RuntimeError(QUOTING)

    with (
        logged(LogLines(), logging.Formatter()) as (ours, pythons),
        serving(database.app_url, failpoint=fail) as server,
    ):
        tenant = Tenant(0, Random(0), [])
        tenant.open(server)
        _refuse_words_in_the_database(database)
        for call in islice(tenant.calls(), CALLS):
            with suppress(grpc.RpcError):
                server.channel.unary_unary(call.path)(call.request, timeout=30)
        for _ in range(3):
            _provoke(server, tenant)
        _break_reading(database)
        assert refusal_of(lambda: Teller(server, tenant.ledger).page()).code is grpc.StatusCode.INTERNAL

    log = ours.getvalue()
    # What was meant to go wrong did, and can be found.
    assert "builtins.RuntimeError" in log
    assert "sqlstate=23514 constraint=no_such_kind" in log
    assert "sqlstate=23514 constraint=no_such_description" in log
    assert "psycopg.errors.UndefinedColumn (sqlstate=42703" in log
    assert "psycopg.pool" in log
    assert words_in(pythons.getvalue()) != [], "nothing was there to be told"
    assert words_in(log) == []
    assert str(AMOUNT) not in log
    assert APP_PASSWORD not in log


def _refuse_words_in_the_database(database: Database) -> None:
    """The database refuses what the service accepts, and quotes the whole row."""
    with psycopg.connect(database.owner_url) as owner:
        for table, column, name in (
            ("transactions", "kind", "no_such_kind"),
            ("ledgers", "description", "no_such_description"),
        ):
            owner.execute(
                f"alter table ledger.{table} add constraint {name}"
                f" check ({column} <> 'zqcanary000 poison') not valid".encode()
            )


def _provoke(server: Serving, tenant: Tenant) -> None:
    """A post and a ledger that only the database refuses, and a post beyond a bound."""
    teller = Teller(server, tenant.ledger)
    cash, wallet = tenant.account("cash"), tenant.account("wallet")
    refusals = [
        refusal_of(
            lambda: teller.post(cash, wallet, 1, kind="zqcanary000 poison", description="zqcanary000")
        ),
        refusal_of(lambda: teller.post(wallet, cash, AMOUNT)),
        refusal_of(
            lambda: server.admin.CreateLedger(
                admin_pb.CreateLedgerRequest(name="new", description="zqcanary000 poison"), timeout=30
            )
        ),
    ]
    assert {one.code for one in refusals} <= {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.FAILED_PRECONDITION,
    }


def _break_reading(database: Database) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("alter table ledger.transactions rename column external_ref to zqcanary000")
