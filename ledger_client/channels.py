"""How the client's channels are set up."""

# The service's own limit for a message; a plain channel would stop at 4 MiB.
from ledger_client.limits import MESSAGE_BYTES_MAX

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # A silent peer is noticed while a call waits, and never pinged while none does.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A proxy for the web is never the way to an internal service.
    ("grpc.enable_http_proxy", 0),
)
# Channels to one target share a connection unless told otherwise, and with it one process of the server.
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)
CHANNELS_MAX = 64


def options(channels: int) -> list[tuple[str, int]]:
    """The options of each of so many channels. Raises ValueError outside 1 to CHANNELS_MAX."""
    if not 1 <= channels <= CHANNELS_MAX:
        raise ValueError(f"channels is {channels}; 1 to {CHANNELS_MAX} are allowed")
    return [*OPTIONS, OWN_CONNECTION] if channels > 1 else [*OPTIONS]
