"""Allocation: a total in whole shares that add up to it, by the largest remainder."""

from __future__ import annotations

from collections.abc import Sequence


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """The total in proportion to the weights, in whole units that add up to it exactly.

    Each share is its exact proportion rounded down; what is left over goes, a unit
    each, to the largest remainders, to the earlier one where two are equal. So a share
    is less than a unit away from its proportion, a weight of 0 gets nothing, and a
    heavier weight never gets less than a lighter one. Neither the total nor a weight is
    negative, and at least one weight is positive; else ValueError.
    """
    whole = sum(weights)
    if total < 0 or whole <= 0 or min(weights) < 0:
        raise ValueError("a total and its weights are not negative, and at least one weight is positive")
    parts = [divmod(total * weight, whole) for weight in weights]
    given = [share for share, _ in parts]
    # A stable sort: equal remainders keep their order. Fewer units are left than there are remainders.
    largest = sorted(range(len(parts)), key=lambda place: parts[place][1], reverse=True)
    for place in largest[: total - sum(given)]:
        given[place] += 1
    return given
