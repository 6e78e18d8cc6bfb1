"""What templates make, by the service's domain and by the reference: the same for whatever they are given."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from oracle.charted import whole
from oracle.drawing_templates import SETS, a_use
from oracle.drive import request
from oracle.forms import Fields, Refused
from oracle.templated import Templated, expanded

from ledger_server.domain.expanders import Expanders, post_of
from ledger_server.domain.parameters import Item, Parameters
from ledger_server.domain.refusals import Refusal
from ledger_server.domain.transactions import TemplateDraft, TemplateUse
from ledger_server.rpc import chart_requests
from ledger_server.rpc.requests import Form

SEED = 20_261_122


class OneChart(Templated):
    """The reference with one chart."""

    def __init__(self, templates: list[Fields]) -> None:
        super().__init__()
        self._only = whole({"templates": templates})

    def chart(self, book: Fields) -> Fields:
        return self._only

    def made(self, used: Fields) -> Any:
        """Entries, kind, metadata and the version that made them; or the refusal."""
        try:
            template = self.template({}, used)
            return {**expanded(template, used), "version": template["version"]}
        except Refused as refused:
            return refused.reason, sorted(refused.fields), refused.facts


def made_by_the_service(used: Fields, expanders: Expanders) -> Any:
    """The same by the service's code."""
    items = tuple(Item(item["group"], item["parameters"]) for item in used["items"])
    use = TemplateUse(used["name"], used["version"], Parameters(used["parameters"], items))
    post = post_of(TemplateDraft(use, "", None, "", "", "test"), expanders)
    if isinstance(post, Refusal):
        return post.reason, sorted(one.field for one in post.violations), post.facts
    assert post.template is not None
    entries = [
        {
            "account": one.account,
            "side": 1 if one.is_debit else 2,
            "amount": str(one.amount),
            "asset": one.asset,
        }
        for one in post.entries
    ]
    version = post.template.version
    return {"entries": entries, "kind": post.kind, "metadata": dict(post.metadata), "version": version}


@pytest.mark.parametrize(
    "uses", [pytest.param(5_000, id="some"), pytest.param(200_000, marks=pytest.mark.slow, id="many")]
)
def test_the_service_makes_what_the_reference_makes(uses: int) -> None:
    random = Random(SEED)
    sides = []
    for templates in SETS:
        form = Form()
        asked = request("ApplyChart", {"ledger": "x", "chart": {"templates": templates}})
        sides.append((OneChart(templates), Expanders(chart_requests.chart(asked.chart, form).templates)))  # type: ignore[attr-defined]
        assert not form.violations
    met: Counter[str] = Counter()

    for _ in range(uses):
        reference, expanders = random.choice(sides[:3])
        used = a_use(random)

        expected = reference.made(used)

        assert made_by_the_service(used, expanders) == expected, used
        met[expected[0] if isinstance(expected, tuple) else "made"] += 1

    assert set(met) == {
        "made",
        "VALIDATION_FAILED",
        "AMOUNT_INVALID",
        "AMOUNT_OVERFLOW",
        "UNBALANCED_TRANSACTION",
        "TEMPLATE_NOT_FOUND",
    }
    assert met["made"] > uses / 5
