"""The denominator of single calls: the same grpc.server around nothing.

A call to /bench.Echo/N is answered with a message whose payload has N bytes.
Threads and options are the service's own, so that what differs is the ledger; with
`--one-core` it stays on one core too, as the service does and a grpc.server by itself does not.
Run as a program: prints the port, then serves until its stdin closes.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import BytesValue

from ledger_server.cli.one_core import OneCore
from ledger_server.rpc import limits
from ledger_server.rpc.server import CONCURRENT_RPCS_MAX, WORKERS

ONE_CORE = "--one-core"


class _Echo(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        payload = bytes(int(details.method.rpartition("/")[2]))

        def answer(request: BytesValue, context: grpc.ServicerContext) -> BytesValue:
            return BytesValue(value=payload)

        return grpc.unary_unary_rpc_method_handler(
            answer, BytesValue.FromString, BytesValue.SerializeToString
        )


def main() -> None:
    """Serves on a free loopback port."""
    server = grpc.server(
        ThreadPoolExecutor(WORKERS),
        handlers=[_Echo()],
        maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX,
        options=(
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", limits.MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", limits.MESSAGE_BYTES_MAX),
            ("grpc.server_handshake_timeout_ms", 5_000),
        ),
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    if ONE_CORE in sys.argv[1:]:
        OneCore().start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
