"""Ledgers for a bench: one asset, and accounts by number."""

from __future__ import annotations

import secrets

import grpc
from ledger.v1.account_service_pb2 import AccountDraft, BatchCreateAccountsRequest
from ledger.v1.account_service_pb2_grpc import AccountServiceStub
from ledger.v1.chart_service_pb2 import ApplyChartRequest, Chart
from ledger.v1.chart_service_pb2_grpc import ChartServiceStub
from ledger.v1.ledger_admin_service_pb2 import CreateAssetRequest, CreateLedgerRequest
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from ledger.v1.ledger_pb2 import ACCOUNT_TYPE_ASSET, BalanceLimit

from benchmarks.drafts import ASSET, account_name

_ACCOUNTS_AT_ONCE = 1_000
_DIRECT = (("grpc.enable_http_proxy", 0),)


def open_ledger(target: str, accounts: int, *, is_bounded: bool = False) -> str:
    """Makes a ledger with one asset and so many accounts, and answers its name."""
    return open_ledgers(target, 1, accounts, is_bounded=is_bounded)[0]


def open_ledgers(target: str, count: int, accounts: int, *, is_bounded: bool = False) -> list[str]:
    """Makes ledgers, each with one asset and so many accounts, and answers their names."""
    limits = [BalanceLimit(asset=ASSET, balance_min="-1000000000000")] if is_bounded else []
    names = [f"bench-{secrets.token_hex(6)}" for _ in range(count)]
    with grpc.insecure_channel(target, options=_DIRECT) as channel:
        admin, opener = LedgerAdminServiceStub(channel), AccountServiceStub(channel)
        for ledger in names:
            admin.CreateLedger(CreateLedgerRequest(name=ledger))
            admin.CreateAsset(CreateAssetRequest(ledger=ledger, code=ASSET, scale=2))
            for start in range(0, accounts, _ACCOUNTS_AT_ONCE):
                opener.BatchCreateAccounts(
                    BatchCreateAccountsRequest(
                        ledger=ledger,
                        accounts=[
                            AccountDraft(name=account_name(number), type=ACCOUNT_TYPE_ASSET, limits=limits)
                            for number in range(start, min(start + _ACCOUNTS_AT_ONCE, accounts))
                        ],
                    )
                )
    return names


def apply_chart(target: str, ledger: str, chart: Chart) -> None:
    """Gives a ledger its first chart."""
    with grpc.insecure_channel(target, options=_DIRECT) as channel:
        ChartServiceStub(channel).ApplyChart(ApplyChartRequest(ledger=ledger, chart=chart))
