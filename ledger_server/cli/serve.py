"""`./ledger serve`: runs the service until it is told to stop."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from ledger_server import __version__

if TYPE_CHECKING:
    from ledger_server.app import App
    from ledger_server.config import Config


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
def serve(listen: str | None, data_dir: Path | None, database_url: str | None, ephemeral: bool) -> None:
    """Run the service, on an embedded PostgreSQL unless a URL is given.

    Ctrl-C or SIGTERM drains it: calls in flight finish, new ones are answered
    UNAVAILABLE, what waits is committed.
    """
    from ledger_server import config
    from ledger_server.app import STARTING_ERRORS, App

    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        settings = config.load(
            listen=listen, database_url=database_url, data_dir=data_dir, ephemeral=ephemeral
        )
        app = App(settings)
        app.start()
        _calm_collector()
    except STARTING_ERRORS as error:
        raise click.ClickException(str(error)) from error
    try:
        click.echo(_banner(app, settings))
        sys.stdout.flush()
        while not stopping.wait(1.0):
            pass
        click.echo("draining: calls in flight finish, new ones are refused", err=True)
    finally:
        app.drain()


def _calm_collector() -> None:
    """Makes the collector of cycles rarer: a batch makes tens of thousands of objects and no cycle.

    By default it would look through all of them, and through everything imported,
    dozens of times a batch (measured: a tenth of PostBatch's CPU).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _banner(app: App, settings: Config) -> str:
    host = settings.listen.rpartition(":")[0]
    address = settings.listen if settings.listen.startswith("unix:") else f"{host}:{app.port}"
    if settings.database_url:
        books = "your PostgreSQL"
    elif settings.ephemeral:
        books = f"{app.data_dir} (embedded PostgreSQL, thrown away at the end)"
    else:
        books = f"{app.data_dir} (embedded PostgreSQL, fsync on)"
    schema = "" if settings.reflection else " --schema protos"
    path = address.removeprefix("unix:")
    place = f"http://{address}" if path == address else f"--unix-socket {path} http://localhost"
    return "\n".join(
        (
            f"ledger {__version__} is SERVING",
            f"  address   {address}",
            f"  books     {books}",
            "  security  open: no authentication, plaintext, reachable from this machine only",
            "  try it    ./ledger demo" + ("" if address.endswith(":50051") else f" --target {address}"),
            f"  or call   buf curl{schema} --protocol grpc --http2-prior-knowledge"
            f" {place}/ledger.v1.LedgerAdminService/GetServerInfo",
        )
    )
