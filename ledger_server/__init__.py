"""A gRPC service that keeps double-entry, append-only ledgers in PostgreSQL."""

__version__ = "0.1.0"
