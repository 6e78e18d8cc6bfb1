"""Loyalty credits for tests: the example's chart, and its operations by DevService."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from callers import DEADLINE_S, Teller, transaction_name
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import dev_service_pb2 as pb
from ledger.v1 import dev_service_pb2_grpc
from serving import Serving

from ledger_server.cli.chart_file import read_chart

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "loyalty_credits"
OPERATIONS = ("TopUp", "Charge", "Bonus", "Reversal")
ON = {"enabled": True, "dev_endpoints_enabled": True}


def loyalty_chart() -> charts_pb.Chart:
    """The chart of examples/loyalty_credits."""
    return read_chart(EXAMPLE / "chart.yaml").chart


class Loyalty(Teller):
    """Speaks to a ledger of loyalty credits, by DevService too; `user` is a customer that is new."""

    def __init__(self, server: Serving, ledger: str) -> None:
        super().__init__(server, ledger)
        self.user = str(uuid4())

    @property
    def wallet(self) -> str:
        """The customer's account."""
        return f"2000:{self.user}"

    @property
    def dev(self) -> dev_service_pb2_grpc.DevServiceStub:
        """The stub of DevService."""
        return dev_service_pb2_grpc.DevServiceStub(self.server.channel)

    def credits(self) -> int:
        """The customer's balance."""
        return self.balance(self.wallet, "CREDIT")

    def top_up(self, amount: int | str, key: str = "", **more: Any) -> pb.TopUpResponse:
        """DevService.TopUp."""
        return self.dev.TopUp(pb.TopUpRequest(**self._given(amount, key), **more), timeout=DEADLINE_S)

    def charge(self, amount: int | str, key: str = "", **more: Any) -> pb.ChargeResponse:
        """DevService.Charge."""
        return self.dev.Charge(pb.ChargeRequest(**self._given(amount, key), **more), timeout=DEADLINE_S)

    def bonus(self, amount: int | str, reason: str, key: str = "") -> pb.BonusResponse:
        """DevService.Bonus."""
        return self.dev.Bonus(pb.BonusRequest(**self._given(amount, key), reason=reason), timeout=DEADLINE_S)

    def reversal(self, origin: int | str, key: str = "") -> pb.ReversalResponse:
        """DevService.Reversal."""
        request = pb.ReversalRequest(
            ledger=self.ledger, transaction=transaction_name(origin), idempotency_key=key
        )
        return self.dev.Reversal(request, timeout=DEADLINE_S)

    def try_all(self) -> dict[str, Any]:
        """A sound call of each operation, by its name; the reversal is of the key `first`."""
        return {
            "TopUp": lambda: self.top_up(1),
            "Charge": lambda: self.charge(1),
            "Bonus": lambda: self.bonus(1, "a gift"),
            "Reversal": lambda: self.reversal("first"),
        }

    def _given(self, amount: int | str, key: str) -> dict[str, Any]:
        return {
            "ledger": self.ledger,
            "user_id": self.user,
            "amount": str(amount),
            "idempotency_key": key,
        }
