"""What every client command shares: which server it speaks to, and how it says no."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from ledger_client import Client, Refused, connect

target_option = click.option(
    "--target",
    metavar="HOST:PORT",
    envvar="LEDGER_TARGET",
    default="127.0.0.1:50051",
    show_default=True,
    show_envvar=True,
    help="Where the service listens.",
)


@contextmanager
def connected(target: str) -> Iterator[Client]:
    """Answers a client; a refusal that nobody caught becomes the command's one-line error."""
    with connect(target) as client:
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
    "DATABASE_UNAVAILABLE": "; the service runs but cannot reach its PostgreSQL: see its log",
}
