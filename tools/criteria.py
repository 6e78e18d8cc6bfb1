"""Who claims which acceptance criterion, `./ledger criteria`: read from the tests and the scenarios.

    ./ledger criteria           each criterion that is claimed, in a sentence, with who claims it
    ./ledger criteria --open    those that nobody claims
    ./ledger criteria --keep    marks what is claimed in tests/criteria.txt, so that it cannot be lost

A test claims with @pytest.mark.criterion("S003-4"), on a function, a class, a module or a case of it;
a line of a scenario by standing behind `criterion S003-4`. Needs nothing but Python.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
CRITERIA = TREE / "tests" / "criteria.txt"
SCENARIOS = ("tests/scenarios/*.scenario", "examples/*/*.scenario")
_ROW = re.compile(r"(?P<number>\w+-\d+) (?P<mark>[+-]) (?P<sentence>.+)")


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion and whether its claim is kept: a test fails when nobody claims it any more."""

    number: str
    sentence: str
    is_kept: bool


def main(arguments: list[str]) -> int:
    """The exit code: 1 if a kept criterion is claimed by nobody, or a claim is of none that exists."""
    if len(arguments) > 1 or not set(arguments) <= {"--open", "--keep"}:
        print(__doc__, file=sys.stderr)
        return 2
    criteria, claimed = read_criteria(), read_claims()
    if arguments == ["--keep"]:
        keep(claimed)
        return 0
    for criterion in criteria:
        claimants = claimed.get(criterion.number, [])
        if bool(claimants) is (arguments != ["--open"]):
            print(f"{criterion.number}  {criterion.sentence}")
            for claimant in claimants:
                print(f"    {claimant}")
    wrong = faults(criteria, claimed)
    count = sum(criterion.number in claimed for criterion in criteria)
    print(f"{count} of {len(criteria)} are claimed.")
    for fault in wrong:
        print(f"error: {fault}", file=sys.stderr)
    return int(bool(wrong))


def read_criteria() -> list[Criterion]:
    """Every criterion, in the order of the file."""
    rows = [_ROW.fullmatch(line) for line in CRITERIA.read_text(encoding="utf-8").splitlines()]
    return [Criterion(row["number"], row["sentence"], row["mark"] == "+") for row in rows if row]


def read_claims() -> dict[str, list[str]]:
    """Who claims each number: a test by its file and name, a scenario by its lines."""
    claimed: dict[str, list[str]] = {}
    for path in sorted(TREE.glob("tests/**/test_*.py")):
        for number, name in claims_of_tests(path.read_text(encoding="utf-8")):
            claimed.setdefault(number, []).append(f"{path.relative_to(TREE)}{name}")
    for path in [path for pattern in SCENARIOS for path in sorted(TREE.glob(pattern))]:
        for number, first, last in claims_of_scenario(path.read_text(encoding="utf-8")):
            claimed.setdefault(number, []).append(f"{path.relative_to(TREE)}:{first}-{last}")
    return {number: list(dict.fromkeys(claimants)) for number, claimants in claimed.items()}


def claims_of_tests(text: str) -> Iterator[tuple[str, str]]:
    """Each number that a module claims, and the test: "::name", or nothing for the module as a whole."""
    for statement in ast.parse(text).body:
        name = getattr(statement, "name", "")
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                numbers = node.args if node.func.attr == "criterion" else []
                for number in numbers:
                    if isinstance(number, ast.Constant):
                        yield str(number.value), f"::{name}" if name else ""


def claims_of_scenario(text: str) -> Iterator[tuple[str, int, int]]:
    """Each number that a scenario claims, with the first and the last line that say something for it."""
    standing: list[str] = []
    lines: list[int] = []
    for at, line in enumerate([*text.splitlines(), "criterion"], 1):
        words = line.partition("#")[0].split()
        if words[:1] == ["criterion"]:
            yield from ((number, lines[0], lines[-1]) for number in standing if lines)
            standing, lines = words[1:], []
        elif words:
            lines.append(at)


def faults(criteria: list[Criterion], claimed: dict[str, list[str]]) -> list[str]:
    """Kept criteria that nobody claims any more, and claims of what is no criterion."""
    lost = [
        f"{criterion.number} is claimed by nobody any more: {criterion.sentence}"
        for criterion in criteria
        if criterion.is_kept and criterion.number not in claimed
    ]
    strange = sorted(claimed.keys() - {criterion.number for criterion in criteria})
    return lost + [f"{number} is no criterion; {claimed[number][0]} claims it" for number in strange]


def keep(claimed: dict[str, list[str]]) -> None:
    """Marks what is claimed; never takes a mark away."""
    lines = CRITERIA.read_text(encoding="utf-8").splitlines()
    for at, line in enumerate(lines):
        row = _ROW.fullmatch(line)
        if row and row["number"] in claimed:
            lines[at] = f"{row['number']} + {row['sentence']}"
    CRITERIA.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
