"""The command line, `./ledger COMMAND`: every command is a module of its own, imported when it is asked for.

Listing the commands imports none of them, so `--help` costs what click costs and
a broken dependency of one command breaks no other.
"""

import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from ledger_server import __version__

# Where each command lives, and the line that `--help` shows for it.
COMMANDS = {
    "serve": ("ledger_server.cli.serve:serve", "Run the service, on a PostgreSQL of its own or on yours."),
    "migrate": ("ledger_server.cli.migrate:migrate", "Create or upgrade the schema and the roles."),
    "health": ("ledger_server.cli.health:health", "Ask a running service whether it serves."),
    "demo": ("ledger_server.cli.demo:demo", "Walk through the five verbs on a fresh ledger."),
    "validate": ("ledger_server.cli.validate:validate", "Walk through loyalty credits, and judge each step."),
    "apply": ("ledger_server.cli.apply:apply", "Give a ledger its chart, from a YAML file."),
    "import": ("ledger_server.cli.import_journal:import_journal", "Post a journal CSV into a ledger."),
    "export": ("ledger_server.cli.export:export", "Write a ledger out as CSV or as an hledger journal."),
    "trial-balance": (
        "ledger_server.cli.trial_balance:trial_balance",
        "Show every balance, and whether debits equal credits.",
    ),
    "verify": ("ledger_server.cli.verify:verify", "Replay a journal and prove every record of it."),
    "keys": ("ledger_server.cli.keys:keys", "Make, revoke and list API keys, as the operator."),
    "bench": ("ledger_server.cli.bench:bench", "Measure this machine."),
    "torture": ("ledger_server.cli.torture:torture", "Kill it under load, and judge what is left."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it or to show its own help."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="./ledger", message="%(prog)s %(version)s")
def cli() -> None:
    """Double-entry, append-only ledgers over gRPC, kept in PostgreSQL.

    Start with `./ledger serve`, and in another terminal `./ledger demo`.
    """


# Who calls, and the password, in a URL.
_CREDENTIALS = re.compile(r"//\S*@")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and answers the exit code: 0 done, 1 refused or failed, 2 wrongly called.

    Whatever goes wrong is one line on stderr, never a traceback.
    """
    try:
        result = cli.main(args=arguments, prog_name="./ledger", standalone_mode=False)
        # Here, where a reader who has left is no surprise, rather than when the interpreter ends.
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "./ledger"
        return _complain(f"{error.format_message().rstrip('.')}; see `{path} --help`", error.exit_code)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    except Exception as error:
        return _complain(_describe_bug(error), 1)
    return result if isinstance(result, int) else 0


def _complain(sentence: str, exit_code: int) -> int:
    # Words that were given in the wrong place are repeated, and may be a URL.
    click.echo(f"error: {_CREDENTIALS.sub('//…@', sentence)}", err=True)
    return exit_code


def _describe_bug(error: Exception) -> str:
    """Enough to find the place, in one line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"unexpected {type(error).__name__}{place}: {error}; this is a bug of ours, please report it"
