"""What a connection may do: gRPC's own limits, which hold before any code of ours runs."""

from __future__ import annotations

import resource

from ledger_server.rpc import limits

# A peer that is gone is noticed while one of its calls is open; a connection without calls is idle.
_PING_MS = 60_000
_PING_TIMEOUT_MS = 20_000
# What the process opens beside its callers' connections, with plenty to spare.
_OTHER_FILES = 1_024


def make_room() -> None:
    """Lets the process open as many files as it takes connections, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS_MAX + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def options(*, shares_port: bool) -> tuple[tuple[str, int], ...]:
    """The options of a server; one that shares its port lets other processes bind it too."""
    return (
        # On by default on Linux, where a second server then binds the same port in silence.
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.max_receive_message_length", limits.MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", limits.MESSAGE_BYTES_MAX),
        # Refused from here on; between the two gRPC would refuse at random.
        ("grpc.max_metadata_size", limits.HEADERS_BYTES_MAX + 1),
        ("grpc.absolute_max_metadata_size", limits.HEADERS_BYTES_MAX + 1),
        ("grpc.max_allowed_incoming_connections", limits.CONNECTIONS_MAX),
        ("grpc.max_concurrent_streams", limits.CALLS_PER_CONNECTION_MAX),
        # Else a call that begins before gRPC has let go of one that ended counts as too many, and is
        # reset without a word: of a crowd of 3,000 on one connection hundreds were UNAVAILABLE.
        ("grpc.http.overload_protection", 0),
        ("grpc.server_handshake_timeout_ms", limits.HANDSHAKE_MS_MAX),
        # Until the peer has said that it heard the settings, gRPC does not hold it to headers and calls.
        ("grpc.http2.settings_timeout", limits.HANDSHAKE_MS_MAX),
        # The client pings a quiet connection each minute.
        ("grpc.http2.min_ping_interval_without_data_ms", limits.PING_INTERVAL_MS_MIN),
        ("grpc.keepalive_time_ms", _PING_MS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.max_connection_idle_ms", limits.CONNECTION_IDLE_MS_MAX),
        # The system spreads connections over processes that share a port, once: one that ends
        # after a while, and is made again, finds a process that has come since; and who calls
        # proves himself again. What is open after the grace, a watch of health, is begun anew.
        ("grpc.max_connection_age_ms", limits.CONNECTION_AGE_MS_MAX),
        ("grpc.max_connection_age_grace_ms", limits.CONNECTION_GRACE_MS),
    )
