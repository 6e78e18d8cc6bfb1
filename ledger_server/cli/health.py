"""`./ledger health`: one question to grpc.health.v1, for people, scripts and container health checks."""

import click

from ledger_client import Refused
from ledger_server.cli.target import connected, target_option


@click.command()
@target_option
@click.option("--service", default="", metavar="NAME", help="One service, such as ledger.v1.LedgerService.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=5.0, show_default=True)
def health(target: str, service: str, timeout_s: float) -> int:
    """Ask a running service whether it serves; exit code 0 when SERVING, else 1."""
    with connected(target) as client:
        try:
            word = client.health(service, deadline_s=timeout_s)
        except Refused as refused:
            if refused.status != "NOT_FOUND":
                raise
            raise click.ClickException(f"the service at {target} knows no {service!r}") from refused
    click.echo(word)
    return 0 if word == "SERVING" else 1
