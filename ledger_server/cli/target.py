"""What every client command shares: which server it speaks to, and how it says no."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ledger_client import Client, Credentials, Refused, connect

# Authorities that the system trusts, instead of a file.
_SYSTEM = "system"
_target = click.option(
    "--target",
    metavar="HOST:PORT",
    envvar="LEDGER_TARGET",
    default="127.0.0.1:50051",
    show_default=True,
    show_envvar=True,
    help="Where the service listens.",
)


def target_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command its --target, and the options that `connected` takes credentials from."""
    return _target(credentials_options(command))


def credentials_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that `connected` takes credentials from."""
    for name, metavar, variable, sentence in (
        ("--server-name", "NAME", "LEDGER_TLS_SERVER_NAME", "The name in the server's certificate."),
        ("--tls-key", "FILE", "LEDGER_TLS_KEY", "The private key of --tls-cert."),
        ("--tls-cert", "FILE", "LEDGER_TLS_CERT", "Our own certificate, where the server asks for one."),
        ("--tls-ca", "FILE", "LEDGER_TLS_CA", f"Who signs the server's certificate, or {_SYSTEM!r}."),
        ("--token", "TEXT", "LEDGER_TOKEN", "A token or API key; others see it on the command line."),
    ):
        option = click.option(
            name,
            metavar=metavar,
            envvar=variable,
            show_envvar=True,
            expose_value=False,
            callback=_keep,
            help=sentence,
        )
        command = option(command)
    insecure = click.option(
        "--insecure-plaintext",
        is_flag=True,
        expose_value=False,
        callback=_keep,
        help="Send the token to another machine without TLS.",
    )
    return insecure(command)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[f"{__name__}.{parameter.name}"] = value


def _credentials() -> Credentials:
    def kept(name: str) -> Any:
        return click.get_current_context().meta.get(f"{__name__}.{name}") or None

    ca = kept("tls_ca")
    return Credentials(
        token=kept("token") or "",
        tls=ca == _SYSTEM,
        ca=None if ca == _SYSTEM else ca,
        certificate=kept("tls_cert"),
        key=kept("tls_key"),
        server_name=kept("server_name") or "",
        insecure_plaintext=bool(kept("insecure_plaintext")),
    )


@contextmanager
def connected(target: str) -> Iterator[Client]:
    """Answers a client; a refusal that nobody caught becomes the command's one-line error."""
    try:
        client = connect(target, credentials=_credentials())
    except ValueError as error:
        raise click.ClickException(
            str(error).replace("insecure_plaintext", "--insecure-plaintext")
        ) from error
    with client:
        try:
            yield client
        except Refused as refused:
            raise click.ClickException(explain(refused, target)) from refused


def explain(refused: Refused, target: str) -> str:
    """The refusal in one line, with the next step where we know one."""
    if refused.is_unanswered:
        next_step = "start one with `./ledger serve`, or give --target HOST:PORT"
        return f"no ledger service answers at {target}; {next_step}"
    if refused.status == "DEADLINE_EXCEEDED":
        return f"the service at {target} did not answer in time; see `./ledger health --target {target}`"
    if refused.status == "UNIMPLEMENTED":
        return f"what listens at {target} is not this ledger service: {refused.message}"
    violations = "".join(f"; {each.field}: {each.description}" for each in refused.violations)
    return f"{describe(refused)}{violations}{_NEXT_STEPS.get(refused.reason, '')}"


def describe(refused: Refused) -> str:
    """The refusal's sentence and, for whoever looks it up, its reason."""
    sentence = refused.message.strip().removesuffix(".").replace("\n", " ")
    return f"{sentence} [{refused.reason or refused.status}]"


_NEXT_STEPS = {
    "LEDGER_NOT_FOUND": "; `./ledger import` and `./ledger demo` create one",
    "LEDGER_INVARIANT_BROKEN": "; run `./ledger verify` to find the first bad record",
    "CREDENTIALS_MISSING": "; set LEDGER_TOKEN, or --tls-cert and --tls-key",
    "DATABASE_UNAVAILABLE": "; the service runs but cannot reach its PostgreSQL: see its log",
}
