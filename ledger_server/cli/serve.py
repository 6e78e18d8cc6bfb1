"""`./ledger serve`: runs the service until it is told to stop."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Unpack

import click

from ledger_server import __version__
from ledger_server.cli.log_lines import LogLines
from ledger_server.cli.paced_lines import PacedLines
from ledger_server.config import WORKERS_MAX

if TYPE_CHECKING:
    from ledger_server.app import App
    from ledger_server.cli.workers import Workers
    from ledger_server.config import Config, Security

# How often a worker that has ended is looked for.
_LOOK_S = 0.2
_DEV_LINE = "  dev       DevService answers: for trying things out, not for production"


@click.command()
@click.option(
    "--listen", metavar="HOST:PORT", help="Where to listen.  [default: LEDGER_LISTEN, 127.0.0.1:50051]"
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the embedded PostgreSQL keeps the books.",
)
@click.option(
    "--database-url", metavar="URL", help="Serve from this PostgreSQL instead, as the role ledger_app."
)
@click.option("--ephemeral", is_flag=True, help="Throw the books away at the end.")
@click.option(
    "--workers",
    type=click.IntRange(1, WORKERS_MAX),
    metavar="N",
    help="How many processes share the port.  [default: LEDGER_WORKERS, 1]",
)
@click.option(
    "--tls-cert", metavar="FILE", help="Serve TLS with this certificate.  [default: LEDGER_TLS_CERT]"
)
@click.option("--tls-key", metavar="FILE", help="Its private key.  [default: LEDGER_TLS_KEY]")
@click.option(
    "--tls-client-ca",
    metavar="FILE",
    help="Take clients with a certificate of these authorities only.  [default: LEDGER_TLS_CLIENT_CA]",
)
@click.option(
    "--jwt-jwks",
    metavar="FILE|URL",
    help="Take tokens that one of these keys signed.  [default: LEDGER_JWT_JWKS]",
)
@click.option("--jwt-issuer", metavar="TEXT", help="Who issues the tokens.  [default: LEDGER_JWT_ISSUER]")
@click.option("--jwt-audience", metavar="TEXT", help="For whom they are.  [default: LEDGER_JWT_AUDIENCE]")
@click.option("--api-keys", is_flag=True, help="Take API keys.  [default: LEDGER_API_KEYS, off]")
@click.option(
    "--insecure-plaintext", is_flag=True, help="Let tokens and keys be sent in the clear, over any network."
)
def serve(
    listen: str | None,
    data_dir: Path | None,
    database_url: str | None,
    ephemeral: bool,
    workers: int | None,
    **security: Unpack[Security],
) -> None:
    """Run the service, on an embedded PostgreSQL unless a URL is given.

    Ctrl-C or SIGTERM drains it: calls in flight finish, new ones are answered
    UNAVAILABLE, what waits is committed.
    """
    from ledger_server import config
    from ledger_server.app import STARTING_ERRORS, App
    from ledger_server.cli.one_core import OneCore
    from ledger_server.cli.workers import Workers

    log_to_stderr()
    stopping = stop_on_signals()
    try:
        settings = config.load(
            listen=listen,
            database_url=database_url,
            data_dir=data_dir,
            ephemeral=ephemeral,
            workers=workers,
            security=security,
        )
        service = Workers(settings, stopping) if settings.workers > 1 else App(settings)
        service.start()
        calm_collector()
        if settings.one_core and isinstance(service, App):
            OneCore().start()
    except STARTING_ERRORS as error:
        raise click.ClickException(str(error)) from error
    try:
        if not stopping.is_set():
            click.echo(_banner(service, settings))
            sys.stdout.flush()
        while not stopping.wait(_LOOK_S):
            if isinstance(service, Workers):
                service.start_ended()
        click.echo("draining: calls in flight finish, new ones are refused", err=True)
    finally:
        service.drain()


def log_to_stderr() -> None:
    """Warnings and worse, a line each with the time; see log_lines.py and paced_lines.py."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(LogLines())
    lines.addFilter(PacedLines("psycopg.pool"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def calm_collector() -> None:
    """Makes the collector of cycles rarer: a batch makes tens of thousands of objects and no cycle.

    By default it would look through all of them, and through everything imported,
    dozens of times a batch (measured: a tenth of PostBatch's CPU).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _security(settings: Config) -> str:
    """Who is let in, and what others on the way can read."""
    kinds = [
        kind
        for kind, is_taken in (
            ("client certificates", settings.tls_client_ca),
            ("tokens", settings.jwt_jwks),
            ("API keys", settings.api_keys),
        )
        if is_taken
    ]
    who = ", ".join(kinds) if kinds else "open: no authentication"
    if settings.tls_cert:
        way = "TLS"
    elif settings.insecure_plaintext:
        way = "PLAINTEXT (--insecure-plaintext): whoever is on the way reads tokens and keys"
    else:
        way = "plaintext"
    return f"{who}, {way}" + (", reachable from this machine only" if settings.is_loopback else "")


def _banner(service: App | Workers, settings: Config) -> str:
    host = settings.listen.rpartition(":")[0]
    address = settings.listen if settings.listen.startswith("unix:") else f"{host}:{service.port}"
    if settings.database_url:
        books = "your PostgreSQL"
    elif settings.ephemeral:
        books = f"{service.data_dir} (embedded PostgreSQL, thrown away at the end)"
    else:
        books = f"{service.data_dir} (embedded PostgreSQL, fsync on)"
    schema = "" if settings.reflection else " --schema protos"
    path = address.removeprefix("unix:")
    place = f"http://{address}" if path == address else f"--unix-socket {path} http://localhost"
    return "\n".join(
        (
            f"ledger {__version__} is SERVING",
            f"  address   {address}",
            f"  books     {books}",
            *([f"  workers   {settings.workers} processes share the port"] if settings.workers > 1 else ()),
            f"  security  {_security(settings)}",
            *([] if settings.dev_endpoints_off_by else [_DEV_LINE]),
            *(
                ["  callers   send credentials: docs/operations.md, section Who calls"]
                if settings.authenticates or settings.tls_cert
                else (
                    "  try it    ./ledger demo"
                    + ("" if address.endswith(":50051") else f" --target {address}"),
                    f"  or call   buf curl{schema} --protocol grpc --http2-prior-knowledge"
                    f" {place}/ledger.v1.LedgerAdminService/GetServerInfo",
                )
            ),
        )
    )
