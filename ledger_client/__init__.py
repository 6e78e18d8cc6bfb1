"""The Python client of the ledger service: it knows the contract and nothing of the server.

    with connect("127.0.0.1:50051") as client:
        answer = client.call(client.ledger.GetBalance, GetBalanceRequest(ledger="shop", account="cash"))

Messages come from `ledger_client.contract`; every refusal arrives as `Refused`.
"""

from ledger_client.client import Client, connect
from ledger_client.refused import Refused, Violation

__all__ = ["Client", "Refused", "Violation", "connect"]
