"""What a chart costs: batches that it judges, numbers or makes, beside the same on a plain ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from ledger.v1.chart_service_pb2 import (
    IDEMPOTENCY_RULE_REQUIRED,
    AccountFamily,
    Chart,
    Kind,
    Numbering,
)
from ledger.v1.ledger_pb2 import ACCOUNT_TYPE_ASSET, SIDE_CREDIT, SIDE_DEBIT
from ledger.v1.template_pb2 import (
    PARAMETER_TYPE_AMOUNT,
    PARAMETER_TYPE_INT,
    Template,
    TemplateEntry,
)

from benchmarks.bench import Bench, Side, rates
from benchmarks.drafts import ACCOUNT_PREFIX, AMOUNT, ASSET, CREDITED, DEBITED, KIND
from benchmarks.measured import Bar, Measured
from benchmarks.opening import apply_chart, open_ledger

SUITE = "charts"
_BAR = Bar(ratio_min=0.85)
_FAMILIES = Chart(
    families=[
        AccountFamily(
            pattern=f"{ACCOUNT_PREFIX}{{user}}",
            type=ACCOUNT_TYPE_ASSET,
            parameters={"user": PARAMETER_TYPE_INT},
            opens_on_first_posting=True,
        ),
        AccountFamily(pattern="cash", type=ACCOUNT_TYPE_ASSET),
    ],
    kinds=[
        Kind(name=KIND, idempotency=IDEMPOTENCY_RULE_REQUIRED, required_metadata=["order"]),
        Kind(name="refund", idempotency=IDEMPOTENCY_RULE_REQUIRED),
    ],
)
_NUMBERED = Chart(
    kinds=[Kind(name=KIND, idempotency=IDEMPOTENCY_RULE_REQUIRED, numbering=Numbering(name="transfers"))]
)
_TEMPLATE = Template(
    name=KIND,
    version=1,
    kind=KIND,
    parameters={
        AMOUNT: PARAMETER_TYPE_AMOUNT,
        DEBITED: PARAMETER_TYPE_INT,
        CREDITED: PARAMETER_TYPE_INT,
    },
    entries=[
        TemplateEntry(account=f"{ACCOUNT_PREFIX}{{{name}}}", side=side, factors=[AMOUNT], asset=ASSET)
        for name, side in ((DEBITED, SIDE_DEBIT), (CREDITED, SIDE_CREDIT))
    ],
    metadata={"order": "1234"},
)
# What is measured: the chart that the ledger has, and what a figure must reach.
_CHARTED: dict[str, tuple[Chart, Bar]] = {
    "families and kinds": (_FAMILIES, _BAR),
    "limits": (Chart(), _BAR),
    "template": (Chart(templates=[_TEMPLATE]), _BAR),
    "numbered kind": (_NUMBERED, Bar()),
}


def charts(bench: Bench) -> Iterator[Measured]:
    """Each on a ledger of its own, in turn with the plain one."""
    server, target, accounts = bench.server, bench.server.targets[0], bench.size.accounts
    workers = bench.stage.workers(1)
    meter = bench.stage.meter(server, workers)
    by_template = {"shape": asdict(replace(bench.shape, template=KIND))}
    sides = [Side(workers, bench.batches(server, [open_ledger(target, accounts)]))]
    for name, (chart, _) in _CHARTED.items():
        ledger = open_ledger(target, accounts, is_bounded=name == "limits")
        if chart.ByteSize():
            apply_chart(target, ledger, chart)
        more = by_template if name == "template" else {}
        sides.append(Side(workers, bench.batches(server, [ledger], **more), meter))
    plain, *others = bench.alternate(*sides)
    for (name, (_, bar)), runs in zip(_CHARTED.items(), others, strict=True):
        yield rates(f"{SUITE}, {name}", "transactions/s", runs, "plain batches", plain, bar=bar)
