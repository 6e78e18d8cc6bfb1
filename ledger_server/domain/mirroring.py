"""The mirror: what a reversal's entries must be, and the check that they are.

The check repeats the making on purpose, from the other end: an origin whose rows
were damaged, or a mirror that a later change gets wrong, must never be recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger_server.domain.transactions import Entry, EntryDraft


def mirrored(entries: Sequence[Entry]) -> tuple[EntryDraft, ...]:
    """The same accounts, assets and amounts in the same order, on the other side."""
    return tuple(
        EntryDraft(entry.account.name, not entry.is_debit, entry.amount, entry.asset.code)
        for entry in entries
    )


def mirror_fault(mirror: Sequence[EntryDraft], origin: Sequence[Entry]) -> str | None:
    """What keeps entries from being the mirror of a sound transaction, or None."""
    if len(origin) < 2:
        return f"the origin has {len(origin)} entries"
    if len(mirror) != len(origin):
        return f"{len(mirror)} entries mirror {len(origin)}"
    nets: dict[str, int] = {}
    for place, (line, entry) in enumerate(zip(mirror, origin, strict=True)):
        if line.account != entry.account.name or line.asset != entry.asset.code:
            return f"entry {place} is of another account or asset"
        if line.amount != entry.amount or line.amount <= 0 or line.is_debit is entry.is_debit:
            return f"entry {place} does not undo the origin's"
        nets[line.asset] = nets.get(line.asset, 0) + (line.amount if line.is_debit else -line.amount)
    unbalanced = [asset for asset, net in nets.items() if net]
    return f"debits and credits of {unbalanced[0]} differ" if unbalanced else None
