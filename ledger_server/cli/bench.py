"""`./ledger bench`: measures this machine; the measuring itself lives in the tree's `benchmarks`."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--suite", "size", type=click.Choice(["quick", "full"]), default="quick", show_default=True)
@click.option("--only", multiple=True, metavar="NAME", help="One measurement, such as post; may be repeated.")
@click.option("--json", "json_file", type=_FILE, help="Write the result there too.")
@click.option("--plot", "plot_file", type=_FILE, help="Draw the ratios there, as SVG.")
def bench(size: str, only: tuple[str, ...], json_file: Path | None, plot_file: Path | None) -> int:
    """Measure rates and memory, each beside what this machine does without us.

    Starts an embedded PostgreSQL of its own, the service and the load, and
    removes them again. quick takes about a minute and a half, full a quarter of
    an hour. The exit code is 1 where a figure misses its bar.
    """
    try:
        from benchmarks.plot import svg
        from benchmarks.running import NAMES, run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "benchmarks":
            raise
        raise click.ClickException(
            "the bench is part of the source tree, not of the installed package: run ./ledger bench there"
        ) from error
    for name in only:
        if name not in NAMES:
            raise click.UsageError(f"no measurement {name!r}; there are {', '.join(NAMES)}")
    report = run(size, only, lambda line: click.echo(line, err=True))
    click.echo(report.to_table())
    if json_file is not None:
        json_file.write_text(report.to_json(), encoding="utf-8")
    if plot_file is not None:
        plot_file.write_text(svg(report), encoding="utf-8")
    return 0 if report.is_ok else 1
