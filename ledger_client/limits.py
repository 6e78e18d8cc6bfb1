"""The contract's bounds that the client keeps, so that no batch of its making is refused for its size."""

OPERATIONS_MAX = 8_192
BATCH_ENTRIES_MAX = 65_536
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
# One operation: what is left of a message beside the ledger's name.
OPERATION_BYTES_MAX = MESSAGE_BYTES_MAX - 2_048
