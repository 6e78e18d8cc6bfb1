"""Attempts: how often a writer that lost to others tries again, and how long it waits before."""

from __future__ import annotations

import random
import time

# Another writer can win this often in a row before the caller is told; with the
# lane lock held it takes a bug or a failing database to come near it.
ATTEMPTS_MAX = 8


def back_off(attempt: int) -> None:
    """Waits before another attempt: at random, and the longer the more there were."""
    time.sleep(random.uniform(0, 0.002 * 2**attempt))
