"""The gRPC server: threads, services, health, reflection, draining."""

from __future__ import annotations

import socket
import threading

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from ledger.v1 import (
    account_service_pb2_grpc,
    api_key_service_pb2_grpc,
    audit_service_pb2_grpc,
    chart_service_pb2_grpc,
    dev_service_pb2_grpc,
    ledger_admin_service_pb2_grpc,
    ledger_service_pb2_grpc,
    member_service_pb2_grpc,
    report_service_pb2_grpc,
)

from ledger_server.rpc import transport
from ledger_server.rpc.account_servicer import AccountServicer
from ledger_server.rpc.api_key_servicer import APIKeyServicer
from ledger_server.rpc.audit_servicer import AuditServicer
from ledger_server.rpc.chart_servicer import ChartServicer
from ledger_server.rpc.contract import SERVICES
from ledger_server.rpc.dev_servicer import DevServicer
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.health import Health
from ledger_server.rpc.interceptors.admission import Admission, CountingPool
from ledger_server.rpc.interceptors.client_versions import ClientVersions
from ledger_server.rpc.ledger_admin_servicer import LedgerAdminServicer, ServerInfo
from ledger_server.rpc.ledger_servicer import LedgerServicer
from ledger_server.rpc.member_servicer import MemberServicer
from ledger_server.rpc.report_servicer import ReportServicer
from ledger_server.rpc.server_certificate import ServerCertificate
from ledger_server.service.api_keys import APIKeys
from ledger_server.service.ledger import Ledgers

# Threads that serve calls; a call waits in its lane most of the time.
WORKERS = 256
# Below the threads, so that an admitted call always finds one.
IN_FLIGHT_MAX = 240
# One ledger may hold at most half of them.
WAITING_PER_LEDGER_MAX = IN_FLIGHT_MAX // 2
# gRPC's own cap, without ErrorInfo, far behind the admission.
CONCURRENT_RPCS_MAX = 1024
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
        self,
        ledgers: Ledgers,
        api_keys: APIKeys,
        info: ServerInfo,
        *,
        with_reflection: bool,
        shares_port: bool = False,
        door: Door = OPEN_DOOR,
        client_version_min: str | None = None,
    ) -> None:
        self._ledgers = ledgers
        pool = CountingPool(WORKERS)
        self._admission = Admission(pool, IN_FLIGHT_MAX)
        self._pool = pool
        self._server = grpc.server(
            pool,
            # Admission is the outermost: it answers where nothing else is reached.
            interceptors=[
                self._admission,
                *([ClientVersions(client_version_min)] if client_version_min else ()),
            ],
            maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX,
            options=transport.options(shares_port=shares_port),
        )
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(
            LedgerServicer(ledgers, door), self._server
        )
        account_service_pb2_grpc.add_AccountServiceServicer_to_server(
            AccountServicer(ledgers, door), self._server
        )
        ledger_admin_service_pb2_grpc.add_LedgerAdminServiceServicer_to_server(
            LedgerAdminServicer(ledgers, info, door), self._server
        )
        chart_service_pb2_grpc.add_ChartServiceServicer_to_server(ChartServicer(ledgers, door), self._server)
        report_service_pb2_grpc.add_ReportServiceServicer_to_server(
            ReportServicer(ledgers, door), self._server
        )
        api_key_service_pb2_grpc.add_APIKeyServiceServicer_to_server(
            APIKeyServicer(api_keys, door), self._server
        )
        member_service_pb2_grpc.add_MemberServiceServicer_to_server(
            MemberServicer(ledgers, door), self._server
        )
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(ledgers, door), self._server)
        dev_service_pb2_grpc.add_DevServiceServicer_to_server(DevServicer(ledgers, door), self._server)
        self._health = Health(SERVICES)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if with_reflection:
            names = (*SERVICES, _HEALTH, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watch_database, name="health", daemon=True)

    def listen(self, address: str, certificate: ServerCertificate | None = None) -> int:
        """Binds the address (HOST:PORT, port 0 for any; or unix:PATH) and answers the port.

        In plaintext where there is no certificate.
        """
        try:
            if certificate is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, certificate.credentials())
        except RuntimeError as error:
            raise AddressInUse(
                f"cannot listen on {address}: it is in use, or not an address of this machine"
            ) from error
        return int(port)

    def start(self) -> None:
        """Starts to answer; health says SERVING."""
        transport.make_room()
        self._ledgers.start()
        self._admission.start()
        self._server.start()
        self._health.set(health_pb2.HealthCheckResponse.SERVING)
        self._watch.start()

    def drain(self, grace_s: float) -> None:
        """Answers who is in flight, refuses who is new, commits who waits, and stops.

        Health turns NOT_SERVING first; new calls on open connections are answered
        UNAVAILABLE with SHUTTING_DOWN until the last call in flight is done and no more come,
        or have come for long enough.
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
