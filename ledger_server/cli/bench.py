"""`./ledger bench`: measures this machine; the measuring itself lives in the tree's `benchmarks`."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import click

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--suite", "size", type=click.Choice(["quick", "full"]), default="quick", show_default=True)
@click.option("--only", multiple=True, metavar="NAME", help="One measurement, such as post; may be repeated.")
@click.option("--pairs", type=click.IntRange(1, 1_000), metavar="N", help="So many alternating pairs.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.05, 600),
    metavar="S",
    help="So long for each side of a pair by time.",
)
@click.option("--json", "json_file", type=_FILE, help="Write the result there too.")
@click.option(
    "--plot", "plot_file", type=_FILE, help="Draw the ratios there, as SVG, and the overload beside it."
)
def bench(
    size: str,
    only: tuple[str, ...],
    pairs: int | None,
    seconds: float | None,
    json_file: Path | None,
    plot_file: Path | None,
) -> int:
    """Measure rates, latencies and memory, each beside what this machine does without us.

    Starts an embedded PostgreSQL of its own, the service and the load, and
    removes them again. quick takes less than two minutes, full less than three
    quarters of an hour. The exit code is 1 where a figure misses its bar.
    """
    try:
        from benchmarks.page import write_plots
        from benchmarks.running import NAMES, SIZES, run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "benchmarks":
            raise
        raise click.ClickException(
            "the bench is part of the source tree, not of the installed package: run ./ledger bench there"
        ) from error
    for name in only:
        if name not in NAMES:
            raise click.UsageError(f"no measurement {name!r}; there are {', '.join(NAMES)}")
    chosen = SIZES[size]
    chosen = replace(chosen, pairs=pairs or chosen.pairs, seconds_per_run=seconds or chosen.seconds_per_run)
    # As for Ctrl-C: what was started is ended.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = run(size, only, lambda line: click.echo(line, err=True), size=chosen)
    finally:
        signal.signal(signal.SIGTERM, before)
    click.echo(report.to_table())
    if json_file is not None:
        json_file.write_text(report.to_json(), encoding="utf-8")
    if plot_file is not None:
        write_plots(report, plot_file)
    return 0 if report.is_ok else 1
