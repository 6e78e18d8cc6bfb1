"""Which client calls: said with every call, so that a server can say that it is too old."""

VERSION = "0.1.0"
Metadata = tuple[tuple[str, str], ...]
METADATA: Metadata = (("ledger-client-version", VERSION),)
