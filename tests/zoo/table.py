"""docs/bug-zoo.md, written from the declarations: `PYTHONPATH=tests python -m zoo.table`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.animal import Animal
from zoo.animals import ANIMALS

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "bug-zoo.md"
_HEAD = """\
# The bug zoo

Each animal is a fault as somebody could write it one day. `./ledger test --zoo` plants one after another in a copy of this tree and runs the tests named beside it there: every one of them must fail, and by what it claims, not because the code no longer runs. Without a plant the same tests pass.

The {count} animals are declared in `tests/zoo/`, and this page is written from there: `PYTHONPATH=tests .venv/bin/python -m zoo.table`. A check of every change sees to it that each plant still has its place in the code and each named test still exists.

| animal | what it would do to users | where | killed by |
|---|---|---|---|
"""  # noqa: E501


def page(animals: Sequence[Animal] = ANIMALS) -> str:
    """The whole page."""
    return _HEAD.format(count=len(animals)) + "".join(_row(animal) for animal in animals)


def _row(animal: Animal) -> str:
    files = dict.fromkeys(plant.file.removeprefix("ledger_server/") for plant in animal.plants)
    killers = dict.fromkeys(killer.partition("::")[2].partition("[")[0] for killer in animal.killers)
    cells = (
        animal.name,
        animal.harm,
        ", ".join(f"`{file}`" for file in files),
        ", ".join(f"`{killer}`" for killer in killers),
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
