"""`./ledger keys`: the operator's keys, on a database of yours and beside the embedded one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import psycopg
import pytest
from callers import Teller
from cli.running import Run
from clusters import Database, fast_directory
from credentials import bearer, refusal
from ledger.v1 import ledger_admin_service_pb2 as pb
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from serving import Serving, serving

from ledger_server.app import App
from ledger_server.config import Config
from ledger_server.store.data_directory import make_ephemeral_data_dir

INFO = pb.GetServerInfoRequest()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the embedded PostgreSQL's user can enter."""
    made = make_ephemeral_data_dir(fast_directory())
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def keyed(database: Database) -> Iterator[Serving]:
    """A server that takes keys, and whose platform-admin is "ops"."""
    with serving(database.app_url, api_keys=True, platform_admins=("ops",)) as server:
        yield server


def test_the_first_key_of_all_is_made_printed_and_taken(run: Run, keyed: Serving, database: Database) -> None:
    made = run("keys", "create", "--principal", "ops", "--database-url", database.owner_url)
    text = made.stdout.strip()

    created = keyed.admin.CreateLedger(
        pb.CreateLedgerRequest(name="shop", tenant_admin="svc:admin"), metadata=bearer(text), timeout=10
    )

    assert made.exit_code == 0
    assert re.fullmatch(r"lk_[0-9a-f]{16}_[0-9a-f]{64}", text)
    assert text not in made.stderr
    assert created.ledger.created_by == "ops"


def test_a_platforms_key_is_listed_apart_from_a_ledgers(
    run: Run, server: Serving, database: Database
) -> None:
    url = ("--database-url", database.owner_url)
    Teller.open(server, "shop")
    of_platform = run(
        "keys", "create", "--principal", "ops", "--description", "the first", *url
    ).stdout.strip()
    of_shop = run(
        "keys", "create", "--principal", "till", "--ledger", "shop", "--expires-in", "90d", *url
    ).stdout.strip()

    platform, shop = run("keys", "list", *url).stdout, run("keys", "list", "--ledger", "shop", *url).stdout

    assert platform.startswith(of_platform.split("_")[1] + "  ops  made ")
    assert "by operator  does not expire  the first" in platform
    assert shop.startswith(of_shop.split("_")[1] + "  till  made ")
    assert "expires 2" in shop
    assert len(platform.splitlines()) == len(shop.splitlines()) == 1
    for told in (platform, shop):
        assert of_platform.rpartition("_")[2] not in told
        assert of_shop.rpartition("_")[2] not in told


def test_a_revoked_key_is_refused_within_a_second(run: Run, keyed: Serving, database: Database) -> None:
    url = ("--database-url", database.owner_url)
    text = run("keys", "create", "--principal", "ops", *url).stdout.strip()
    keyed.admin.GetServerInfo(INFO, metadata=bearer(text), timeout=10)

    revoked = run("keys", "revoke", text.split("_")[1], *url)

    assert revoked.exit_code == 0
    assert "revoked 2" in revoked.stdout
    answers = []
    while not answers or answers[-1] is None:
        try:
            keyed.admin.GetServerInfo(INFO, metadata=bearer(text), timeout=10)
            answers.append(None)
        except Exception:
            answers.append(
                refusal(lambda: keyed.admin.GetServerInfo(INFO, metadata=bearer(text), timeout=10))
            )
        assert len(answers) < 100_000
    assert answers[-1][1] == "CREDENTIALS_INVALID"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("revoke", "0" * 16), "the platform has no key"),
        (("revoke", "0" * 16, "--ledger", "nowhere"), "there is no ledger 'nowhere'"),
        (("create", "--principal", "x", "--ledger", "nowhere"), "there is no ledger 'nowhere'"),
        (("create", "--principal", " x"), "--principal starts or ends with a space"),
        (("create", "--principal", "anonymous"), "--principal is who nobody has asked"),
        (("create", "--principal", "service"), "--principal is the service itself"),
        (("create", "--principal", "x", "--expires-in", "soon"), "as 90d"),
        (("create", "--principal", "x", "--expires-in", "0d"), "as 90d"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_line(
    run: Run, database: Database, arguments: tuple[str, ...], told: str
) -> None:
    outcome = run("keys", *arguments, "--database-url", database.owner_url)

    assert outcome.exit_code != 0
    assert told in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    assert not outcome.stdout
    with psycopg.connect(database.owner_url) as connection:
        assert connection.execute("select count(*) from ledger.credentials").fetchone() == (0,)


def test_the_services_own_role_makes_no_platform_key(run: Run, database: Database) -> None:
    outcome = run("keys", "create", "--principal", "ops", "--database-url", database.app_url)

    assert outcome.exit_code == 1
    assert "the URL must be the owner's" in outcome.stderr


def test_keys_are_made_beside_the_embedded_database_and_without_its_service(run: Run, data_dir: Path) -> None:
    settings = Config(listen="127.0.0.1:0", data_dir=data_dir, api_keys=True)
    with App(settings) as app:
        text = run("keys", "create", "--principal", "ops", "--data-dir", data_dir).stdout.strip()
        with_key = run("health", "--target", f"127.0.0.1:{app.port}", "--token", text)
        with grpc.insecure_channel(f"127.0.0.1:{app.port}") as channel:
            LedgerAdminServiceStub(channel).GetServerInfo(INFO, metadata=bearer(text), timeout=10)
    alone = run("keys", "list", "--data-dir", data_dir)

    assert with_key.stdout == "SERVING\n"
    assert alone.exit_code == 0
    assert alone.stdout.startswith(text.split("_")[1])
