"""Templates over the wire, in few words."""

from __future__ import annotations

from typing import Any

from callers import DEADLINE_S, Teller
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb

from ledger_server.domain.parameters import Parameters
from ledger_server.domain.templates import Template
from ledger_server.domain.transactions import TemplateUse
from ledger_server.rpc import template_responses


def chart_with(*templates: Template, **more: Any) -> charts_pb.Chart:
    """A chart that has these templates, and says nothing else unless it is told."""
    return charts_pb.Chart(templates=[template_responses.template(one) for one in templates], **more)


def use(name: str, given: Parameters, version: int = 0) -> nouns.TemplateUse:
    """A template with what it is given."""
    used = template_responses.template_use(TemplateUse(name, version, given))
    assert used is not None
    return used


def post_by(
    teller: Teller, name: str, given: Parameters, key: str = "", *, version: int = 0, **more: Any
) -> pb.PostResponse:
    """Posts what a template makes."""
    request = pb.PostRequest(
        ledger=teller.ledger, idempotency_key=key, template=use(name, given, version), **more
    )
    return teller.server.ledgers.Post(request, timeout=DEADLINE_S)


def operation_by(name: str, given: Parameters, key: str = "", **more: Any) -> pb.Operation:
    """The same as an operation of a batch."""
    return pb.Operation(post=pb.PostOperation(idempotency_key=key, template=use(name, given), **more))


def lines_of(recorded: nouns.Transaction) -> list[tuple[str, str, int, str]]:
    """A transaction's entries as (account, D or C, amount, asset)."""
    return [
        (one.account, "D" if one.side == nouns.SIDE_DEBIT else "C", int(one.amount), one.asset)
        for one in recorded.entries
    ]
