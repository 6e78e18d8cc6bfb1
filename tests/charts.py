"""Charts for tests, as requests have them: of a teller's ledger, and more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.v1 import chart_service_pb2 as pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import template_pb2 as templates_pb

ASSET, LIABILITY = nouns.ACCOUNT_TYPE_ASSET, nouns.ACCOUNT_TYPE_LIABILITY
UUID, INT = templates_pb.PARAMETER_TYPE_UUID, templates_pb.PARAMETER_TYPE_INT
SLUG = templates_pb.PARAMETER_TYPE_SLUG
REQUIRED, OPTIONAL = pb.IDEMPOTENCY_RULE_REQUIRED, pb.IDEMPOTENCY_RULE_OPTIONAL
NONE = pb.IDEMPOTENCY_RULE_NONE
USD = pb.ChartAsset(code="USD", scale=2)


def family(
    pattern: str, kind: int = LIABILITY, parameters: Mapping[str, Any] | None = None, **more: Any
) -> pb.AccountFamily:
    """A family of accounts."""
    return pb.AccountFamily(pattern=pattern, type=kind, parameters=parameters or {}, **more)  # type: ignore[arg-type]


def kind(name: str, idempotency: int = OPTIONAL, series: str = "", per: str = "", **more: Any) -> pb.Kind:
    """A kind of transactions, numbered where a series is named."""
    numbering = pb.Numbering(name=series, per=per) if series else None
    return pb.Kind(name=name, idempotency=idempotency, numbering=numbering, **more)  # type: ignore[arg-type]


# The accounts of a teller's ledger.
TELLERS = (
    family("cash", ASSET),
    family("other", ASSET),
    family("sales", nouns.ACCOUNT_TYPE_REVENUE),
    family("wallet"),
)
USERS = family(
    "users:{id}",
    LIABILITY,
    {"id": INT},
    assets=["USD"],
    limits=[nouns.BalanceLimit(asset="USD", balance_min="0")],
    opens_on_first_posting=True,
)
TILLS = family("shops:{shop}:till", ASSET, {"shop": SLUG}, opens_on_first_posting=True)
SALE = kind("sale", series="receipts", per="shops:{shop}")


def chart(*families: pb.AccountFamily, kinds: tuple[pb.Kind, ...] = (), **more: Any) -> pb.Chart:
    """The chart of a teller's ledger, with more families."""
    return pb.Chart(assets=[USD], families=[*TELLERS, *families], kinds=kinds, **more)
