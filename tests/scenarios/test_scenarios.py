"""Every scenario on the reference ledger and on a live service; each line comes out as it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from clusters import Database
from scenarios.live_side import LiveSide
from scenarios.playing import claims, play
from scenarios.reference_side import ReferenceSide

TREE = Path(__file__).parents[2]
FILES = [*sorted(TREE.glob("tests/scenarios/*.scenario")), *sorted(TREE.glob("examples/*/*.scenario"))]


def each_file() -> list[object]:
    """A file each, with the criteria that it claims."""
    return [
        pytest.param(
            path,
            id=str(path.relative_to(TREE)),
            marks=[pytest.mark.criterion(number) for number in claims(path)],
        )
        for path in FILES
    ]


@pytest.mark.parametrize("path", each_file())
def test_the_reference_ledger_does_what_the_scenario_says(path: Path) -> None:
    play(path, ReferenceSide())


@pytest.mark.parametrize("path", each_file())
def test_the_live_service_does_what_the_scenario_says(path: Path, database: Database, tmp_path: Path) -> None:
    with LiveSide.opened(database.app_url, tmp_path) as side:
        play(path, side)
