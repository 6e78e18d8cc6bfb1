"""The first record of a journal that is wrong, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from ledger_server.domain.transactions import EntryDraft, Transaction
from ledger_server.store.stored import StoredTransaction


class BadRecord(Exception):
    """The first sequence of a journal at which something is wrong, and what."""

    def __init__(self, sequence: int, fault: str) -> None:
        super().__init__(f"record {sequence} {fault}")
        self.sequence = sequence
        self.fault = fault


def compare_mirror(stored: StoredTransaction, record: Transaction, asked: Sequence[EntryDraft]) -> None:
    """A reversal is the exact mirror of its origin."""
    mirror = [
        (entry.account.name, entry.is_debit, entry.amount, entry.asset.code) for entry in record.entries
    ]
    if mirror != list(asked):
        raise BadRecord(stored.sequence, f"is not the mirror of {stored.reverses}, which it reverses")
    if stored.kind != record.kind or stored.external_ref:
        raise BadRecord(
            stored.sequence, f"differs from the reversal of {stored.reverses} in kind or external_ref"
        )
