"""The examples and the first snippet of the client's page run, twice, and print what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import Database
from ledger.v1.ledger_admin_service_pb2 import CreateLedgerRequest
from serving import Serving, serving

from ledger_client import Credentials, connect

TREE = Path(__file__).resolve().parents[2]
EXAMPLES = TREE / "examples"
DEFAULT_TARGET = "127.0.0.1:50051"
PRINTED = {
    "threads": ["made before: True", "cash: 1250.00 EUR", "balanced: True"],
    "tasks": ["paid: 60 refused: 40", "left: 0", "entries: 61"],
}


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PRINTED, "certificates"}


def run(*arguments: str) -> list[str]:
    """The lines that a Python program prints."""
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        env=os.environ | {"PYTHONPATH": f"{TREE}{os.pathsep}{TREE / 'generated'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_it_says_also_the_second_time(name: str, server: Serving) -> None:
    for _ in range(2):
        assert run(str(EXAMPLES / f"{name}.py"), server.target) == PRINTED[name]


def test_the_certificates_to_try_it_with_are_those_that_a_server_and_a_client_need(
    database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "certs"
    run(str(EXAMPLES / "certificates.py"), str(folder), "127.0.0.1", "spiffe://company/till")
    settings = {
        "tls_cert": str(folder / "server.pem"),
        "tls_key": str(folder / "server-key.pem"),
        "tls_client_ca": str(folder / "ca.pem"),
        "platform_admins": ("spiffe://company/till",),
    }
    shown = Credentials(
        ca=folder / "ca.pem", certificate=folder / "client.pem", key=folder / "client-key.pem"
    )

    with (
        serving(database.app_url, channel_credentials=shown.of_channel(), **settings) as server,
        connect(server.target, credentials=shown) as client,
    ):
        request = CreateLedgerRequest(name="shop", tenant_admin="svc:admin")
        created = client.call(client.admin.CreateLedger, request).ledger

    assert created.created_by == "spiffe://company/till"
    assert (folder / "server-key.pem").stat().st_mode & 0o777 == 0o600


def test_the_first_snippet_of_the_page_runs_as_written_on_fresh_books(server: Serving) -> None:
    page = (TREE / "docs" / "client.md").read_text(encoding="utf-8")
    snippet = page.split("```python\n")[1].split("```")[0]
    assert snippet.count(DEFAULT_TARGET) == 1
    snippet = snippet.replace(DEFAULT_TARGET, server.target)

    # The ledger, the asset and two accounts are the four records before it.
    assert run("-c", snippet) == ["5 1250"]
    assert run("-c", snippet) == ["6 2500"]
