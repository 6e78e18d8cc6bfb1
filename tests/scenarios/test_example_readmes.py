"""What the README of an example tells to type is answered, on the chart that it applies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clusters import Database
from google.protobuf import json_format
from oracle.drive import request
from scenarios.chart_files import read_chart
from scenarios.live_side import LiveSide

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("credit_ledger", "earn_spend_adjust", "journals")
APPLIES = re.compile(r"^\./ledger apply (\S+) --ledger (\S+) --create$", re.MULTILINE)
CALLS = re.compile(r"^call \w+/(\w+) '(.*?)'$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_each_call_of_the_readme_is_answered(name: str, database: Database, tmp_path: Path) -> None:
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    ((file, ledger),) = APPLIES.findall(text)
    calls = CALLS.findall(text)

    assert len(text.splitlines()) <= 45
    assert len(calls) == 3
    with LiveSide.opened(database.app_url, tmp_path) as side:
        side.ask("CreateLedger", {"name": ledger})
        side.ask("ApplyChart", {"ledger": ledger, "chart": read_chart(EXAMPLES.parent / file)})
        for method, body in calls:
            side.send(method, json_format.Parse(body, request(method, {})))
