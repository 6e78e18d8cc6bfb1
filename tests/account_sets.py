"""Account sets for tests: random ones that share members, and which accounts they reach, by brute force."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ledger.v1 import chart_service_pb2 as pb


def random_sets(random: Random, accounts: Sequence[str], count: int) -> list[pb.AccountSet]:
    """So many sets, each of some of the accounts, of prefixes of them, and of sets before it; shuffled."""
    made: list[pb.AccountSet] = []
    for number in range(count):
        named = random.sample(accounts, random.randint(0, 3))
        parts = [name.split(":") for name in random.sample(accounts, random.randint(0, 2))]
        prefixes = {":".join(one[: random.randint(1, len(one))]) for one in parts}
        inner = random.sample(made, min(len(made), random.randint(0, 3)))
        if not (named or prefixes or inner):
            named = [accounts[0]]
        one = pb.AccountSet(
            name=f"s{number}",
            accounts=[*named, *(["nobody:here"] * (random.randrange(4) == 0))],
            prefixes=sorted(prefixes),
            sets=[other.name for other in inner],
        )
        made.append(one)
    random.shuffle(made)
    return made


def reached(sets: Sequence[pb.AccountSet], name: str, accounts: Sequence[str]) -> set[str]:
    """Which of the accounts a set reaches: each is asked for by itself, along every way there is."""
    (one,) = (each for each in sets if each.name == name)
    found = {account for account in accounts if account in one.accounts}
    for prefix in one.prefixes:
        leading = prefix.split(":")
        found |= {account for account in accounts if account.split(":")[: len(leading)] == leading}
    for inner in one.sets:
        found |= reached(sets, inner, accounts)
    return found
