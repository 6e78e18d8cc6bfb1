"""Keys are unique, in order of time, and version 7 to whoever parses them as UUIDs."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

from ledger_client.keys import Keys


def test_a_key_is_a_uuid_of_version_7_with_its_millisecond() -> None:
    key = Keys(now_ns=lambda: 1_700_000_000_123 * 1_000_000).new()

    parsed = uuid.UUID(key)

    assert str(parsed) == key
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == 1_700_000_000_123


def test_keys_sort_as_they_were_made_also_within_a_millisecond() -> None:
    times = iter([1_000_000] * 500 + [2_000_000] * 500)
    keys = Keys(now_ns=lambda: next(times))

    made = [keys.new() for _ in range(1_000)]

    assert made == sorted(made)


def test_many_threads_and_many_makers_never_make_the_same_key() -> None:
    makers = [Keys(now_ns=lambda: 7_000_000) for _ in range(8)]

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda number: makers[number % 8].new(), range(20_000)))

    assert len(set(made)) == 20_000


def test_one_maker_needs_no_chance_to_be_unique() -> None:
    keys = Keys(now_ns=lambda: 7_000_000, random_bits=lambda bits: 0)

    assert len({keys.new() for _ in range(10_000)}) == 10_000
