"""The Python client of the ledger service: it knows the contract and nothing of the server.

    with connect("127.0.0.1:50051") as client:
        posted = client.post("shop", [debit("cash", 1250, "EUR"), credit("sales", 1250, "EUR")])
        balance = client.get_balance("shop", "cash", "EUR").posted

    async with connect_async("127.0.0.1:50051") as client:
        posted = await client.post("shop", [debit("cash", 1250, "EUR"), credit("sales", 1250, "EUR")])

Posts of many threads or tasks share calls by themselves. Every refusal arrives as a
`Refused`; `ledger_client.refusals` draws their tree. Messages of the contract are in
`ledger_client.contract`, decimals become amounts in `ledger_client.decimals`.
"""

from ledger_client.aggregates import Below, InSet
from ledger_client.async_client import AsyncClient
from ledger_client.client import Client
from ledger_client.connecting import connect, connect_async
from ledger_client.credentials import Credentials
from ledger_client.drafts import Draft, Line, ReversalDraft, credit, debit
from ledger_client.lane import Posted
from ledger_client.membership import AuditEvent, Member, Role
from ledger_client.refusals import OutcomeUnknown, Refused, Violation
from ledger_client.values import AccountDraft, AccountStatus, AccountType, Limit, Side

__all__ = [
    "AccountDraft",
    "AccountStatus",
    "AccountType",
    "AsyncClient",
    "AuditEvent",
    "Below",
    "Client",
    "Credentials",
    "Draft",
    "InSet",
    "Limit",
    "Line",
    "Member",
    "OutcomeUnknown",
    "Posted",
    "Refused",
    "ReversalDraft",
    "Role",
    "Side",
    "Violation",
    "connect",
    "connect_async",
    "credit",
    "debit",
]
