"""What `./ledger serve` says when it serves can be believed, and pasted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from clusters import Database
from tools_needed import needed

from ledger_server.app import App
from ledger_server.cli.serve import _banner
from ledger_server.config import Config

TREE = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:{folder}/socket"])
@pytest.mark.parametrize("reflection", [True, False])
def test_the_call_of_the_banner_is_answered_as_it_stands(
    listen: str, reflection: bool, database: Database, tmp_path: Path
) -> None:
    buf = needed("buf", "./ledger test installs it")
    settings = Config(
        listen=listen.format(folder=tmp_path), database_url=database.app_url, reflection=reflection
    )
    with App(settings) as app:
        _, _, call = _banner(app, settings).partition("or call")

        answer = subprocess.run(
            ["sh", "-c", call],
            cwd=TREE,
            env={
                **os.environ,
                "PATH": f"{Path(buf).parent}{os.pathsep}{os.environ['PATH']}",
                "BUF_CACHE_DIR": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert answer.returncode == 0, answer.stderr
    assert '"schemaVersion"' in answer.stdout


@pytest.mark.parametrize(("enabled", "endpoints"), [(True, True), (True, False), (False, True)])
def test_the_banner_says_when_dev_endpoints_are_on(enabled: bool, endpoints: bool) -> None:
    settings = Config(enabled=enabled, dev_endpoints_enabled=endpoints)

    told = [line for line in _banner(App(settings), settings).splitlines() if line.startswith("  dev ")]

    assert told == ["  dev       DevService answers: for trying things out, not for production"] * (
        enabled and endpoints
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Config(), "open: no authentication, plaintext, reachable from this machine only"),
        (Config(api_keys=True), "API keys, plaintext, reachable from this machine only"),
        (
            Config(listen="0.0.0.0:1", api_keys=True, insecure_plaintext=True),
            "API keys, PLAINTEXT (--insecure-plaintext): whoever is on the way reads tokens and keys",
        ),
        (
            Config(listen="0.0.0.0:1", tls_cert="c", tls_key="k", tls_client_ca="a", jwt_jwks="j"),
            "client certificates, tokens, TLS",
        ),
    ],
    ids=["open", "keys", "insecure", "tls"],
)
def test_the_banner_says_who_is_let_in_and_what_can_be_read(settings: Config, told: str) -> None:
    lines = _banner(App(settings), settings).splitlines()

    assert f"  security  {told}" in lines
