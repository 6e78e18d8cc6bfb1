"""Writes a full run into docs/performance.md: its table, its facts, and both pictures beside it.

./ledger bench --suite full --json docs/performance.json
python -m benchmarks.page docs/performance.json

Runs of single suites, taken later, follow it with tables and facts of their own:

./ledger bench --suite full --only charts --json docs/performance-charts.json
python -m benchmarks.page docs/performance.json docs/performance-charts.json
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.overload_plot import overload_svg
from benchmarks.plot import svg
from benchmarks.report import Report, read_report

_BEGIN, _END = "<!-- results: benchmarks/page.py writes them -->", "<!-- end of results -->"


def write(report: Report, document: Path, *parts: Report) -> None:
    """Puts the tables of a run, and of runs of single suites, between the document's marks.

    The pictures beside it are of the first.
    """
    page = with_results(document.read_text(encoding="utf-8"), report, *parts)
    document.write_text(page, encoding="utf-8")
    write_plots(report, document.with_suffix(".svg"))


def write_plots(report: Report, ratios: Path) -> None:
    """Draws the ratios, and the overload into NAME-overload.svg where it was measured."""
    ratios.write_text(svg(report), encoding="utf-8")
    overload = overload_svg(report)
    if overload is not None:
        ratios.with_name(f"{ratios.stem}-overload.svg").write_text(overload, encoding="utf-8")


def with_results(page: str, report: Report, *parts: Report) -> str:
    """The page with these reports' results in place of those between its marks."""
    told = [_told(report, ""), *(_told(part, _only(part)) for part in parts)]
    tables = "\n".join(told)
    results = f"{_BEGIN}\n\n{tables}\n{_END}"
    found = re.subn(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", lambda _: results, page, flags=re.DOTALL)
    if found[1] != 1:
        raise ValueError(f"the page must hold {_BEGIN} and {_END} once")
    return found[0]


def _told(report: Report, only: str) -> str:
    command, minutes = f"`./ledger bench --suite {report.size}{only}`", f"{report.seconds / 60:.1f} minutes"
    return f"{command}, {report.taken[:10]}, {minutes}: {report.facts()}.\n\n{report.to_markdown()}"


def _only(report: Report) -> str:
    """The suites of a part, which its rows are named after."""
    return "".join(
        f" --only {name}" for name in dict.fromkeys(one.suite.partition(",")[0] for one in report.measured)
    )


def main() -> None:
    """Writes the JSON files that are named into the document of the first one's name beside it."""
    first, *others = map(Path, sys.argv[1:])
    reports = [read_report(file.read_text(encoding="utf-8")) for file in (first, *others)]
    write(reports[0], first.with_suffix(".md"), *reports[1:])


if __name__ == "__main__":
    main()
