"""Acceptance criteria: what was claimed once stays claimed, by a test or by lines of a scenario."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scenarios.playing import claims

from tools import criteria
from tools.criteria import Criterion, claims_of_scenario, claims_of_tests, faults, read_claims, read_criteria

COMMAND = Path(criteria.__file__)
MODULE = '''
pytestmark = pytest.mark.criterion("S000-1")

@pytest.mark.criterion("S000-2")
@pytest.mark.criterion("S000-3", "S000-4")
def test_a() -> None:
    """Not "S000-9"."""

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.criterion("S000-5"))])
def test_b(x) -> None: ...

class TestC:
    @pytest.mark.criterion("S000-6")
    def test_d(self) -> None: ...
'''


def test_nothing_that_was_claimed_is_lost() -> None:
    """Mark what is claimed anew with `./ledger criteria --keep`."""
    assert faults(read_criteria(), read_claims()) == []


def test_every_criterion_has_its_number_once_and_a_sentence() -> None:
    lines = [line for line in criteria.CRITERIA.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    found = read_criteria()

    assert len(found) == len(lines) == 177
    assert len({one.number for one in found}) == len({one.sentence for one in found}) == len(found)
    assert all(one.sentence[-1] == "." for one in found)


def test_a_claim_that_disappears_is_a_fault_and_one_of_nothing_too() -> None:
    kept = Criterion("S000-1", "This.", is_kept=True)
    other = Criterion("S000-2", "That.", is_kept=False)

    assert faults([kept, other], {"S000-1": ["a"]}) == []
    assert faults([kept, other], {"S000-2": ["a"]}) == ["S000-1 is claimed by nobody any more: This."]
    assert faults([other], {"S000-3": ["a"]}) == ["S000-3 is no criterion; a claims it"]


def test_a_module_claims_as_a_whole_by_function_by_case_and_by_class() -> None:
    assert sorted(claims_of_tests(MODULE)) == [
        ("S000-1", ""),
        ("S000-2", "::test_a"),
        ("S000-3", "::test_a"),
        ("S000-4", "::test_a"),
        ("S000-5", "::test_b"),
        ("S000-6", "::TestC"),
    ]


def test_a_scenario_claims_by_the_lines_behind_its_criterion() -> None:
    lines = ["asset A 0", "criterion S000-1 S000-2  # both", "", "asset B 0", "asset C 0"]
    lines += ["criterion S000-3", "criterion", "asset D 0"]

    assert list(claims_of_scenario("\n".join(lines))) == [("S000-1", 4, 5), ("S000-2", 4, 5)]


@pytest.mark.parametrize(
    "path", [one for pattern in criteria.SCENARIOS for one in criteria.TREE.glob(pattern)]
)
def test_a_scenario_claims_what_its_player_says(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert {number for number, *_ in claims_of_scenario(text)} == {*claims(path)}


def test_the_command_shows_each_claimed_criterion_and_who_claims_it() -> None:
    shown = subprocess.run([sys.executable, COMMAND], capture_output=True, text=True, timeout=60, check=False)

    assert (shown.returncode, shown.stderr) == (0, "")
    told = shown.stdout.partition("S003-14")[2].partition("\nS003-15")[0].splitlines()
    assert told[0].endswith("unless somebody with the right to it forces it.")
    assert "    tests/scenarios/reversals.scenario:24-26" in told
    assert f"of {len(read_criteria())} are claimed." in shown.stdout


def test_keeping_marks_what_is_claimed_and_takes_no_mark_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "criteria.txt"
    file.write_text("# why\nS000-1 - This.\nS000-2 + That.\nS000-3 - More.\n")
    monkeypatch.setattr(criteria, "CRITERIA", file)

    criteria.keep({"S000-1": ["a"]})

    assert file.read_text() == "# why\nS000-1 + This.\nS000-2 + That.\nS000-3 - More.\n"
