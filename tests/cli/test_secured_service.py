"""`./ledger serve` with TLS, client certificates, tokens and API keys, as processes that share a port."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cli.crews import open_files, refused_start, worker_pids
from cli.running import Run
from clusters import Cluster, Database
from credentials import AUDIENCE, ISSUER, Authority, Signer, bearer, refusal, uri, write_key_set
from ledger.v1 import ledger_admin_service_pb2 as pb
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from torture.processes import Server

from ledger_server.service.remembered import REMEMBERED_S

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems do not spread connections over processes"
)
INFO = pb.GetServerInfoRequest()
CHANNELS_MAX = 64


@dataclass
class Secured:
    """A running service of two processes, and everything that its callers need."""

    folder: Path
    server: Server
    authority: Authority
    signer: Signer
    database: Database
    client: tuple[str, str]

    def of_client(self) -> list[str]:
        """Options of client commands."""
        certificate, key = self.client
        return [
            *("--target", self.server.target, "--tls-ca", str(self.folder / "ca.pem")),
            *("--tls-cert", certificate, "--tls-key", key),
        ]


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Database]:
    """A database for the whole module."""
    with cluster.database() as database:
        yield database


@pytest.fixture(scope="module")
def secured(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The service."""
    folder = tmp_path_factory.mktemp("secured")
    authority, signer = Authority(), Signer()
    (folder / "ca.pem").write_bytes(authority.certificate)
    certificate, key = authority.issue_server().write(folder, "server")
    arguments = [
        *("--database-url", database.app_url, "--workers", "2", "--api-keys"),
        *("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", str(folder / "ca.pem")),
        *("--jwt-jwks", write_key_set(folder / "set.json", signer)),
        *("--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE),
    ]
    with ExitStack() as ends:
        server = Server(folder / "server.log", arguments)
        server.start()
        ends.callback(server.end)
        client = authority.issue(uri("spiffe://tests/client")).write(folder, "client")
        yield Secured(folder, server, authority, signer, database, client)


def _connected_to_each(secured: Secured, ends: ExitStack) -> list[LedgerAdminServiceStub]:
    """Connections that reach every process."""
    certificate, key = (Path(path).read_bytes() for path in secured.client)
    credentials = grpc.ssl_channel_credentials(secured.authority.certificate, key, certificate)
    stubs: list[LedgerAdminServiceStub] = []
    while len(stubs) < 4 or not _every_worker_is_spoken_to(secured):
        assert len(stubs) < CHANNELS_MAX
        options = (("grpc.use_local_subchannel_pool", 1),)
        channel = ends.enter_context(grpc.secure_channel(secured.server.target, credentials, options))
        grpc.channel_ready_future(channel).result(30)
        stubs.append(LedgerAdminServiceStub(channel))
    return stubs


def _every_worker_is_spoken_to(secured: Secured) -> bool:
    port = int(secured.server.target.rpartition(":")[2])
    rows = [
        row.split()
        for name in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == "01" and row[1].endswith(f":{port:04X}")}
    workers = worker_pids(secured.server.pid)
    return len(workers) == 2 and all(sockets & set(open_files(pid)) for pid in workers)


def test_every_process_takes_certificates_tokens_and_keys_and_a_revocation_within_a_second(
    secured: Secured, run: Run
) -> None:
    url = ("--database-url", secured.database.owner_url)
    key = run("keys", "create", "--principal", "svc:till", *url).stdout.strip()
    with ExitStack() as ends:
        stubs = _connected_to_each(secured, ends)
        for stub in stubs:
            stub.GetServerInfo(INFO, timeout=10)
            stub.GetServerInfo(INFO, metadata=bearer(secured.signer.token()), timeout=10)
            stub.GetServerInfo(INFO, metadata=bearer(key), timeout=10)

        assert run("keys", "revoke", key.split("_")[1], *url).exit_code == 0
        revoked_at = time.monotonic()
        last = {index: revoked_at for index in range(len(stubs))}
        waiting = set(last)
        while waiting:
            for index in tuple(waiting):
                came = time.monotonic()
                try:
                    stubs[index].GetServerInfo(INFO, metadata=bearer(key), timeout=10)
                    last[index] = came
                except grpc.RpcError:
                    waiting.discard(index)
            assert time.monotonic() < revoked_at + 10

        assert max(last.values()) - revoked_at < REMEMBERED_S
        for stub in stubs:
            told = refusal(lambda stub=stub: stub.GetServerInfo(INFO, metadata=bearer(key), timeout=10))
            assert told[1] == "CREDENTIALS_INVALID"


def test_client_commands_show_what_they_are_given(
    secured: Secured, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_options = run("health", *secured.of_client())
    for name, value in (
        ("TARGET", secured.server.target),
        ("TLS_CA", str(secured.folder / "ca.pem")),
        ("TLS_CERT", secured.client[0]),
        ("TLS_KEY", secured.client[1]),
        ("TOKEN", secured.signer.token("alice")),
    ):
        monkeypatch.setenv(f"LEDGER_{name}", value)
    by_environment = run("health")
    as_alice = run("trial-balance", "--ledger", "nowhere")
    monkeypatch.setenv("LEDGER_TOKEN", "garbage")
    as_nobody = run("trial-balance", "--ledger", "nowhere")

    assert by_options.stdout == by_environment.stdout == "SERVING\n"
    assert "[LEDGER_NOT_FOUND]" in as_alice.stderr
    assert "[CREDENTIALS_INVALID]" in as_nobody.stderr


def test_without_a_certificate_nothing_is_answered(secured: Secured, run: Run) -> None:
    outcome = run(
        "health", "--target", secured.server.target, "--tls-ca", secured.folder / "ca.pem", "--timeout", 3
    )

    assert outcome.exit_code == 1
    assert "no ledger service answers" in outcome.stderr


def test_a_command_sends_no_token_in_the_clear(run: Run) -> None:
    outcome = run("health", "--target", "ledger.example:443", "--token", "canary")

    assert outcome.exit_code == 1
    assert "in the clear" in outcome.stderr
    assert "--insecure-plaintext" in outcome.stderr
    assert "canary" not in outcome.stderr


def test_a_command_says_which_file_it_cannot_read(run: Run, tmp_path: Path) -> None:
    outcome = run("health", "--tls-ca", tmp_path / "nothing.pem")

    assert outcome.exit_code == 1
    assert "nothing.pem: No such file" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--api-keys", "--tls-cert", "{here}/none.pem", "--tls-key", "{here}/none.pem"], "cannot be read"),
        (["--jwt-jwks", "{here}/none.json", "--jwt-issuer", "i", "--jwt-audience", "a"], "cannot be read"),
        (["--jwt-jwks", "{here}/none.json"], "LEDGER_JWT_ISSUER"),
    ],
    ids=str,
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_that_could_not_know_its_callers_does_not_start(
    database: Database, tmp_path: Path, arguments: list[str], told: str, workers: str
) -> None:
    given = [each.format(here=tmp_path) for each in arguments]

    complaint = refused_start("--database-url", database.app_url, "--workers", workers, *given)

    assert told in complaint
    assert len(complaint.splitlines()) == 1


def test_the_log_of_the_service_has_no_credential(secured: Secured) -> None:
    """After all that was sent above; and its command line has none either."""
    log = (secured.folder / "server.log").read_text()
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout

    assert "lk_" not in log
    assert "eyJ" not in log
    assert "PRIVATE" not in log
    assert not [line for line in listed.splitlines() if "ledger_server.cli" in line and "lk_" in line]
