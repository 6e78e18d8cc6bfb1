"""Writes a full run into docs/performance.md: its table, its facts, and both pictures beside it.

./ledger bench --suite full --json docs/performance.json
python -m benchmarks.page docs/performance.json
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.overload_plot import overload_svg
from benchmarks.plot import svg
from benchmarks.report import Report, read_report

_BEGIN, _END = "<!-- results: benchmarks/page.py writes them -->", "<!-- end of results -->"


def write(report: Report, document: Path) -> None:
    """Puts the report's table between the document's marks and draws its pictures beside it."""
    page = with_results(document.read_text(encoding="utf-8"), report)
    document.write_text(page, encoding="utf-8")
    write_plots(report, document.with_suffix(".svg"))


def write_plots(report: Report, ratios: Path) -> None:
    """Draws the ratios, and the overload into NAME-overload.svg where it was measured."""
    ratios.write_text(svg(report), encoding="utf-8")
    overload = overload_svg(report)
    if overload is not None:
        ratios.with_name(f"{ratios.stem}-overload.svg").write_text(overload, encoding="utf-8")


def with_results(page: str, report: Report) -> str:
    """The page with this report's results in place of those between its marks."""
    told = (
        f"`./ledger bench --suite {report.size}`, {report.taken[:10]}, {report.seconds / 60:.1f} minutes:"
        f" {report.facts()}."
    )
    results = f"{_BEGIN}\n\n{told}\n\n{report.to_markdown()}\n{_END}"
    found = re.subn(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", lambda _: results, page, flags=re.DOTALL)
    if found[1] != 1:
        raise ValueError(f"the page must hold {_BEGIN} and {_END} once")
    return found[0]


def main() -> None:
    """Writes the JSON file that is named into the document of the same name beside it."""
    file = Path(sys.argv[1])
    write(read_report(file.read_text(encoding="utf-8")), file.with_suffix(".md"))


if __name__ == "__main__":
    main()
