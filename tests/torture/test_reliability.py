"""docs/reliability.md says what a run of the torture said, and every fault that was found has its test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from torture.corruptions import CORRUPTIONS
from torture.rounds import NAMES

TREE = Path(__file__).resolve().parents[2]
DOCS = TREE / "docs"
RESULT = json.loads((DOCS / "reliability.json").read_text(encoding="utf-8"))
FOUND = tomllib.loads((DOCS / "reliability.toml").read_text(encoding="utf-8"))["found"]


def test_the_document_is_what_the_generator_writes_from_the_committed_result(tmp_path: Path) -> None:
    fresh = tmp_path / "reliability.md"
    command = [sys.executable, str(TREE / "tools" / "reliability.py"), str(fresh)]

    subprocess.run(command, check=True, capture_output=True, timeout=60)

    assert fresh.read_text(encoding="utf-8") == (DOCS / "reliability.md").read_text(encoding="utf-8")


def test_the_committed_result_has_every_fault_that_there_is() -> None:
    assert [row["fault"] for row in RESULT["faults"]] == list(NAMES)
    assert RESULT["size"] in ("ci", "full")


def test_the_document_names_as_many_rules_and_corruptions_as_there_are() -> None:
    text = (DOCS / "reliability.md").read_text(encoding="utf-8")
    source = (TREE / "tests" / "torture" / "checker.py").read_text(encoding="utf-8")
    rules = re.findall(r"^    [a-z][a-z ]*[a-z]  +\S", source.split('"""')[1], re.MULTILINE)

    assert f"by {len(rules)} rules" in text
    assert f"held to {len(CORRUPTIONS)} spoiled histories" in text


@pytest.mark.parametrize("one", FOUND, ids=lambda one: one["test"].rpartition("/")[2])
def test_every_fault_that_was_found_has_its_test(one: dict[str, str]) -> None:
    file, _, name = one["test"].partition("::")

    source = (TREE / file).read_text(encoding="utf-8")

    if name:
        assert re.search(rf"^def {name}\(", source, re.MULTILINE)
    is_open = bool(one.get("is_open"))
    assert is_open == bool(name and re.search(rf"xfail\([^@]*\)\ndef {name}\(", source))
