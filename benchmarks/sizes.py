"""How much is measured: small for a look, large for figures that can be quoted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """How much each suite does; a run is one side of a pair."""

    pairs: int
    accounts: int
    batch: int
    transactions_per_run: int
    seconds_per_run: float
    callers: int
    client_processes: int
    imported: int
    import_batch: int
    kept: int
    """Transactions written to see what one takes on the disk."""
    ledgers: int
    ledger_batch: int
    """Drafts in a batch where many ledgers are written at once."""
    big_accounts: int
    big_entries: int
    capacity_callers: int
    """Callers that find the capacity of the slowed service: fewer than it admits at once."""
    ramp_s: int
    calm_s: int
    overload_s: int
    after_s: int


QUICK = Size(
    pairs=3,
    accounts=10_000,
    batch=1_000,
    transactions_per_run=6_000,
    seconds_per_run=0.5,
    callers=64,
    client_processes=2,
    imported=40_960,
    import_batch=8_192,
    kept=10_000,
    ledgers=100,
    ledger_batch=50,
    big_accounts=10_000,
    big_entries=240_000,
    capacity_callers=200,
    ramp_s=1,
    calm_s=2,
    overload_s=4,
    after_s=2,
)
FULL = Size(
    pairs=15,
    accounts=10_000,
    batch=1_000,
    transactions_per_run=40_000,
    seconds_per_run=3.0,
    callers=64,
    client_processes=2,
    imported=327_680,
    import_batch=8_192,
    kept=200_000,
    ledgers=100,
    ledger_batch=400,
    big_accounts=1_000_000,
    big_entries=10_000_000,
    capacity_callers=200,
    ramp_s=5,
    calm_s=10,
    overload_s=60,
    after_s=20,
)
