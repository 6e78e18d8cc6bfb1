"""The idempotency keys of an import: what a transaction says, and its place among those that say the same.

The key depends on nothing else: not on the file's name, the transaction's number or
the column order. So the same file again posts nothing, a longer version of it posts
what is new, and two coffees for 2.80 on one day stay two coffees. An amount counts
by its value: "2.80" and "2.8" are one content.
"""

import hashlib

from ledger_client.decimals import plain
from ledger_server.cli.journal_csv import CsvTransaction

_VERSION = "journal-csv-1"


class ContentKeys:
    """Hands out keys in the file's order; one instance for one pass over a file."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def key(self, transaction: CsvTransaction) -> str:
        """The key of the next transaction: at most 128 characters, equal for equal content and ordinal."""
        digest = content_digest(transaction)
        ordinal = self._seen.get(digest, 0) + 1
        self._seen[digest] = ordinal
        return f"import:{digest.hex()}:{ordinal}"


def content_digest(transaction: CsvTransaction) -> bytes:
    """SHA-256 of date, description and entries in order, each part framed by its length."""
    parts = [_VERSION, transaction.date.isoformat(), transaction.description]
    for entry in transaction.entries:
        parts += (entry.account, plain(entry.amount), entry.commodity)
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()
