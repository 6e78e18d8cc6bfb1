"""Floor 0: what the ledger keeps and decides. No I/O, no clock, no SQL, no gRPC."""
