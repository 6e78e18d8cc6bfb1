"""A served app for tests: stubs, the target, the verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from ledger.v1 import account_service_pb2_grpc, ledger_admin_service_pb2_grpc, ledger_service_pb2_grpc

from ledger_server.app import App
from ledger_server.config import Config

# More than a turn can hold: nothing is decided ahead.
AT_ONCE = 8_193


@dataclass
class Serving:
    """A running service and stubs that speak to it."""

    app: App
    target: str
    channel: grpc.Channel
    ledgers: ledger_service_pb2_grpc.LedgerServiceStub
    accounts: account_service_pb2_grpc.AccountServiceStub
    admin: ledger_admin_service_pb2_grpc.LedgerAdminServiceStub
    database_url: str


@contextmanager
def serving(
    database_url: str,
    *,
    clock: Callable[[int], int] = lambda database_time: database_time,
    failpoint: Callable[[str], None] = lambda name: None,
    committers: int = 4,
    ahead_from: int = 1,
    channel_credentials: grpc.ChannelCredentials | None = None,
    **settings: Any,
) -> Iterator[Serving]:
    """Serves a database on a free loopback port until the block ends.

    The hardest way unless said otherwise: every batch that can is decided while another is being written,
    and so none is written at once (see service/at_once.py); with `ahead_from` AT_ONCE all that can are.
    """
    # Its runs are made where a test asks for them.
    settings = {"daily_trial_balance": False, **settings}
    config = Config(
        listen="127.0.0.1:0",
        database_url=database_url,
        committers=committers,
        ahead_from=ahead_from,
        **settings,
    )
    with App(config, clock=clock, failpoint=failpoint) as app:
        target = f"127.0.0.1:{app.port}"
        options = (("grpc.use_local_subchannel_pool", 1),)
        with (
            grpc.secure_channel(target, channel_credentials, options)
            if channel_credentials
            else grpc.insecure_channel(target, options)
        ) as channel:
            yield Serving(
                app,
                target,
                channel,
                ledger_service_pb2_grpc.LedgerServiceStub(channel),
                account_service_pb2_grpc.AccountServiceStub(channel),
                ledger_admin_service_pb2_grpc.LedgerAdminServiceStub(channel),
                database_url,
            )
