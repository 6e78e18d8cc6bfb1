"""How many stories a property is tried on: a few always, many where there is time."""

from __future__ import annotations

import pytest


def seeds(quick: int, slow: int) -> pytest.MarkDecorator:
    """Parametrizes `seed`; those after the first few are slow."""
    chosen = [
        seed if seed < quick else pytest.param(seed, marks=pytest.mark.slow) for seed in range(quick + slow)
    ]
    return pytest.mark.parametrize("seed", chosen)
