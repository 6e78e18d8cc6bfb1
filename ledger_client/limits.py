"""The contract's bounds that the client keeps, so that no batch of its making is refused for its size."""

from ledger_client.refusals import BatchTooLarge

OPERATIONS_MAX = 8_192
BATCH_ENTRIES_MAX = 65_536
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
# One operation: what is left of a message beside the ledger's name.
OPERATION_BYTES_MAX = MESSAGE_BYTES_MAX - 2_048


def check_size(size_bytes: int, bytes_max: int) -> None:
    """Raises BatchTooLarge where a message would have more bytes than it may."""
    if size_bytes > bytes_max:
        raise BatchTooLarge(
            "RESOURCE_EXHAUSTED",
            f"the message has {size_bytes} bytes; at most {bytes_max} are allowed",
            reason="BATCH_TOO_LARGE",
        )
