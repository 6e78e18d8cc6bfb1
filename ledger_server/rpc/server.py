"""The gRPC server: threads, services, health, reflection, draining."""

from __future__ import annotations

import socket
import threading

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from ledger.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    ledger_admin_service_pb2,
    ledger_admin_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)

from ledger_server.rpc import limits
from ledger_server.rpc.account_servicer import AccountServicer
from ledger_server.rpc.health import Health
from ledger_server.rpc.interceptors.admission import Admission, CountingPool
from ledger_server.rpc.ledger_admin_servicer import LedgerAdminServicer, ServerInfo
from ledger_server.rpc.ledger_servicer import LedgerServicer
from ledger_server.service.ledger import Ledgers

SERVICES = (
    ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name,
    account_service_pb2.DESCRIPTOR.services_by_name["AccountService"].full_name,
    ledger_admin_service_pb2.DESCRIPTOR.services_by_name["LedgerAdminService"].full_name,
)
# Threads that serve calls; a call waits in its lane most of the time.
WORKERS = 256
# Below the threads, so that an admitted call always finds one.
IN_FLIGHT_MAX = 240
# One ledger may hold at most half of them.
WAITING_PER_LEDGER_MAX = IN_FLIGHT_MAX // 2
# gRPC's own cap, without ErrorInfo, far behind the admission.
CONCURRENT_RPCS_MAX = 1024
# The system spreads connections over those that share a port, once: a connection that
# ends after a while, and is made again, finds a process that has come since. What is
# open a minute after that, a watch of health, is begun anew.
_MOVING_ON = (("grpc.max_connection_age_ms", 300_000), ("grpc.max_connection_age_grace_ms", 60_000))
_DATABASE_LOOK_S = 1.0
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
# Once no call is in flight only health's open streams are left, which never end by
# themselves, and answers on their way out.
_STREAMS_GRACE_S = 2.0


class AddressInUse(Exception):
    """The address to listen on is taken, or not this machine's."""


def refuse_taken(address: str) -> None:
    """Raises AddressInUse for a taken HOST:PORT, before anything is started for it.

    gRPC's own word for it is a line of its C++ source on stderr.
    """
    host, _, port = address.rpartition(":")
    if address.startswith("unix:") or port == "0":
        return
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # As gRPC binds: an address that is only waiting out its last connections is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise AddressInUse(
                f"cannot listen on {address}: {(error.strerror or str(error)).lower()};"
                " give another one with --listen HOST:PORT"
            ) from error


def reserve(address: str) -> socket.socket:
    """Keeps a HOST:PORT for processes that share it, port 0 for any; no call arrives at the socket itself.

    Raises AddressInUse for a taken one; who does not share it cannot take it afterwards.
    """
    refuse_taken(address)
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # An address that is only waiting out its last connections can be had with
    # SO_REUSEADDR alone, and is then kept only while somebody listens there.
    for reused in (0, 1):
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reused)
        try:
            reserved.bind((host.strip("[]"), int(port)))
        except OSError as error:
            if reused:
                reserved.close()
                raise AddressInUse(
                    f"cannot listen on {address}: {(error.strerror or str(error)).lower()}"
                ) from error
        else:
            break
    return reserved


class Server:
    """Serves the contract on one address until it is drained; beside others where the port is shared."""

    def __init__(
        self, ledgers: Ledgers, info: ServerInfo, *, with_reflection: bool, shares_port: bool = False
    ) -> None:
        self._ledgers = ledgers
        pool = CountingPool(WORKERS)
        self._admission = Admission(pool, IN_FLIGHT_MAX)
        self._pool = pool
        self._server = grpc.server(
            pool,
            interceptors=[self._admission],
            maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX,
            options=(
                # On by default on Linux, where a second server then binds the same
                # port in silence.
                ("grpc.so_reuseport", int(shares_port)),
                *(_MOVING_ON if shares_port else ()),
                ("grpc.max_receive_message_length", limits.MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", limits.MESSAGE_BYTES_MAX),
                ("grpc.server_handshake_timeout_ms", 5_000),
                # The client pings a quiet connection each minute.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
            ),
        )
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(LedgerServicer(ledgers), self._server)
        account_service_pb2_grpc.add_AccountServiceServicer_to_server(AccountServicer(ledgers), self._server)
        ledger_admin_service_pb2_grpc.add_LedgerAdminServiceServicer_to_server(
            LedgerAdminServicer(ledgers, info), self._server
        )
        self._health = Health(SERVICES)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if with_reflection:
            names = (*SERVICES, _HEALTH, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watch_database, name="health", daemon=True)

    def listen(self, address: str) -> int:
        """Binds the address (HOST:PORT, port 0 for any; or unix:PATH) and answers the port."""
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise AddressInUse(
                f"cannot listen on {address}: it is in use, or not an address of this machine"
            ) from error
        return int(port)

    def start(self) -> None:
        """Starts to answer; health says SERVING."""
        self._ledgers.start()
        self._server.start()
        self._health.set(health_pb2.HealthCheckResponse.SERVING)
        self._watch.start()

    def drain(self, grace_s: float) -> None:
        """Answers who is in flight, refuses who is new, commits who waits, and stops.

        Health turns NOT_SERVING first; new calls on open connections are answered
        UNAVAILABLE with SHUTTING_DOWN until the last call in flight is done and no more come.
        """
        self._stopping.set()
        self._health.drain()
        self._admission.drain()
        idle = threading.Event()
        deadline_s = grace_s
        while not self._admission.is_drained and deadline_s > 0:
            idle.wait(0.02)
            deadline_s -= 0.02
        stopped = self._server.stop(grace_s)
        quiet_s = 0.0
        while quiet_s < _STREAMS_GRACE_S and not stopped.wait(0.02):
            # A call that was let in as the drain began may start only now.
            quiet_s = 0.0 if self._pool.in_flight else quiet_s + 0.02
        self._server.stop(0).wait()
        self._ledgers.stop(grace_s)
        self._admission.close()
        self._health.close()
        self._pool.shutdown(wait=False)

    def _watch_database(self) -> None:
        """Health follows the database: NOT_SERVING while it does not answer."""
        serving = True
        while not self._stopping.wait(_DATABASE_LOOK_S):
            answers = self._ledgers.reads.is_serving()
            if answers != serving:
                serving = answers
                self._health.set(
                    health_pb2.HealthCheckResponse.SERVING
                    if serving
                    else health_pb2.HealthCheckResponse.NOT_SERVING
                )
