"""ChartService: read, do, write."""

from __future__ import annotations

import grpc
from ledger.v1 import chart_service_pb2 as pb
from ledger.v1 import chart_service_pb2_grpc

from ledger_server.domain.charting import changes
from ledger_server.domain.charts import ChartDraft
from ledger_server.rpc import chart_requests, chart_responses, narrowing
from ledger_server.rpc.answering import access, answering, caller
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.requests import Form
from ledger_server.service.ledger import Ledgers


class ChartServicer(chart_service_pb2_grpc.ChartServiceServicer):
    """What a ledger is to look like, over the wire."""

    def __init__(self, ledgers: Ledgers, door: Door = OPEN_DOOR) -> None:
        self.door = door
        self._ledgers = ledgers

    @answering
    def ApplyChart(
        self, request: pb.ApplyChartRequest, context: grpc.ServicerContext
    ) -> pb.ApplyChartResponse:
        """Applies a chart, or says what applying it would change."""
        form = Form()
        ledger = form.ledger(request.ledger)
        chart = chart_requests.chart(request.chart, form)
        version = _version(request.version, form)
        form.judge()
        narrowing.refuse_whole(access(context), "a chart")
        by = caller(context)
        draft = ChartDraft(chart, version, by.principal, request.validate_only)
        applied, replayed = self._ledgers.apply_chart(ledger, draft, by)
        made = changes(applied.chart if replayed else applied.replaced, applied.chart)
        return pb.ApplyChartResponse(
            chart=chart_responses.chart_version(applied),
            changes=chart_responses.changes(made),
            replayed=replayed,
        )

    @answering
    def GetChart(self, request: pb.GetChartRequest, context: grpc.ServicerContext) -> pb.GetChartResponse:
        """Answers a chart."""
        form = Form()
        ledger = form.ledger(request.ledger)
        version = _version(request.version, form)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        narrowing.refuse_whole(access(context), "a chart")
        found, at = self._ledgers.reads.chart(ledger, version, min_sequence)
        return pb.GetChartResponse(chart=chart_responses.chart_version(found), sequence=at)


def _version(version: int, form: Form) -> int:
    if version < 0:
        form.fault("version", f"is {version}; a version is not negative")
    return version
