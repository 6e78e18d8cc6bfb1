"""Sums of balances over the wire: what is asked for, and how it is answered."""

from __future__ import annotations

from ledger.v1 import ledger_service_pb2 as pb

from ledger_server.domain.names import path_fault
from ledger_server.domain.reads import AggregateAnswer, AggregateAsk
from ledger_server.domain.set_faults import set_name_fault
from ledger_server.rpc.requests import Form
from ledger_server.rpc.responses import timestamp


def aggregate_ask(request: pb.GetAggregateBalanceRequest, form: Form) -> AggregateAsk:
    """Which sums. Faults go to the form."""
    match request.WhichOneof("accounts"):
        case "account_prefix":
            form.fault("account_prefix", path_fault(request.account_prefix))
        case "account_set":
            form.fault("account_set", set_name_fault(request.account_set))
        case _:
            form.fault("account_prefix", "must be given, or account_set")
    return AggregateAsk(
        request.account_prefix,
        request.account_set,
        form.asset(request.asset, optional=True),
        form.sequence(request.at_sequence, "at_sequence"),
    )


def aggregate_response(answer: AggregateAnswer) -> pb.GetAggregateBalanceResponse:
    """The sums."""
    return pb.GetAggregateBalanceResponse(
        balances=[
            pb.AggregateBalance(
                asset=one.asset,
                posted=str(one.posted),
                last_sequence=one.last_sequence,
                last_record_time=timestamp(one.last_record_time) if one.last_sequence else None,
                account_count=one.accounts,
            )
            for one in answer.balances
        ],
        account_count=answer.accounts,
        chart_version=answer.chart_version,
        sequence=answer.sequence,
    )
