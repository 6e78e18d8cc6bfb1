"""The same drafts on every supported version of PostgreSQL: the same answers, hashes and digests."""

from __future__ import annotations

from contextlib import closing

import pytest
from clusters import embedded_cluster
from metamorphic.staging import Stage, Stamps
from metamorphic.stories import Story
from tools_needed import missing

from ledger_server.store.binaries import BinariesNotFound, find_binaries

NEWEST = 18
OTHERS = (15, 16)
FEW, MANY = range(2), range(2, 40)

# By seed: every answer, and the books at the end.
Told = dict[int, list[object]]


def told_on(major: int, stamps: Stamps, seeds: range) -> Told:
    """What becomes of each story on a version; the test ends here where this machine has it not."""
    try:
        bindir = find_binaries(major=major).bindir
    except BinariesNotFound:
        missing(f"PostgreSQL {major} is not on this machine: whether it answers alike is not tried")
    with embedded_cluster(bindir=bindir) as cluster, cluster.database() as database:
        assert cluster.version_major == major
        with closing(Stage(database, stamps)) as stage:
            return {seed: life(stage, stamps, seed) for seed in seeds}


def life(stage: Stage, stamps: Stamps, seed: int) -> list[object]:
    """A ledger told in batches of every size, with time passing."""
    book = stage.open_book(f"version:{seed}")
    story = Story(seed)
    answers: list[object] = []
    for cut in story.cut(story.drafts(120), size_max=60):
        answers += [book.tell_all(cut), book.all_balances()]
        stamps.pass_time(1_500_000)
    return [*answers, book.everything()]


@pytest.fixture(scope="module")
def newest(stamps: Stamps) -> Told:
    """Few stories on the newest version."""
    return told_on(NEWEST, stamps, FEW)


@pytest.fixture(scope="module")
def newest_at_length(stamps: Stamps) -> Told:
    """Many stories on the newest version."""
    return told_on(NEWEST, stamps, MANY)


@pytest.mark.parametrize("major", OTHERS)
def test_every_version_of_postgresql_answers_alike_to_the_hash(
    newest: Told, stamps: Stamps, major: int
) -> None:
    assert told_on(major, stamps, FEW) == newest


@pytest.mark.slow
@pytest.mark.parametrize("major", OTHERS)
def test_every_version_of_postgresql_answers_alike_at_length(
    newest_at_length: Told, stamps: Stamps, major: int
) -> None:
    assert told_on(major, stamps, MANY) == newest_at_length
