"""Playing steps again on fresh books, and finding the shortest that still differ."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from clusters import Cluster
from oracle.aggregated import Aggregated
from oracle.drive import Drive, Step
from oracle.reference import Reference


def play(cluster: Cluster, steps: Sequence[Step], reference: type[Reference] = Aggregated) -> Drive:
    """Takes the steps on fresh books, each compared. Raises AssertionError where the two sides differ."""
    with cluster.database() as database, closing(Drive(cluster, database.app_url, reference())) as drive:
        for name, *arguments in steps:
            getattr(drive, name)(*arguments)
        return drive


def differs(cluster: Cluster, steps: Sequence[Step], reference: type[Reference] = Aggregated) -> bool:
    """Whether the two sides differ somewhere in these steps."""
    try:
        play(cluster, steps, reference)
    except AssertionError:
        return True
    return False


def shortened(
    cluster: Cluster, steps: Sequence[Step], within_s: float, reference: type[Reference] = Aggregated
) -> list[Step]:
    """The steps without those that are not needed to differ: halves first, then ever smaller pieces."""
    deadline = time.monotonic() + within_s
    kept = list(steps)
    size = len(kept) // 2
    while size and differs(cluster, kept, reference):
        start = 0
        while start < len(kept) and time.monotonic() < deadline:
            fewer = kept[:start] + kept[start + size :]
            if differs(cluster, fewer, reference):
                kept = fewer
            else:
                start += size
        size //= 2
    return kept
