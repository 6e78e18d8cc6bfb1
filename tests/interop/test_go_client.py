"""Another language speaks the contract with stubs generated from protos/ alone: a Go program, built here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Serving
from tools_needed import needed

TREE = Path(__file__).resolve().parents[2]
PROTOS = TREE / "protos"
SOURCE = Path(__file__).parent / "go"
PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc",
)


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from generated stubs and go/main.go; plugins and modules are those of go.sum."""
    go = needed("go", "install Go 1.24 or newer")
    work = tmp_path_factory.mktemp("go")
    for source in SOURCE.iterdir():
        shutil.copy(source, work)

    _run(work, go, "build", "-o", "bin/", *PLUGINS)
    _run(
        work,
        *(sys.executable, "-P", "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"),
        *("--go_out=.", "--go-grpc_out=."),
        *(str(path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))),
        PATH=f"{work / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    )
    _run(work, go, "build", "-mod=readonly", "-o", "client", ".")
    return work / "client"


@pytest.mark.slow  # Building grpc-go takes a minute where nothing is cached.
@pytest.mark.criterion("CARD-6")
def test_a_go_client_posts_replays_reads_a_rich_error_and_a_balance(go_client: Path, server: Serving) -> None:
    findings = [
        json.loads(line) for line in _run(go_client.parent, str(go_client), server.target).splitlines()
    ]

    posted = {"sequence": 5, "balance_after": "1250", "hash_bytes": 32}
    assert findings == [
        {"finding": "posted", **posted, "replayed": False},
        {"finding": "posted again", **posted, "replayed": True},
        {
            "finding": "refused",
            "code": "FailedPrecondition",
            "domain": "ledger.v1",
            "reason": "INSUFFICIENT_FUNDS",
            "facts": {
                "account": "customers:42",
                "asset": "EUR",
                "balance": "1250",
                "balance_after": "-6750",
                "balance_min": "0",
                "sequence": "5",
                "shortfall": "6750",
            },
        },
        {"finding": "balance", "asset": "EUR", "posted": "1250"},
    ]


def _run(work: Path, *command: str, **environment: str) -> str:
    """What the command printed; all of its words where it fails."""
    done = subprocess.run(
        command,
        cwd=work,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
