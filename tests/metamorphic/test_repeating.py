"""Asking again changes nothing, and nobody notices that the service or its database started again."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from clusters import Cluster
from metamorphic.seeds import seeds
from metamorphic.staging import Book, Stage, Stamps
from metamorphic.stories import ASSETS, Story, key_of
from oracle.restarting import IS_OURS, restart_database

Between = Callable[[], None]


@seeds(quick=2, slow=40)
def test_a_replay_changes_nothing(stages: list[Stage], seed: int) -> None:
    """Alone, in a batch or in an atomic one, the recorded answer comes again as it was."""
    book = stages[0].open_book(f"again:{seed}")
    drafts = Story(seed).drafts(150)
    told = list(zip(drafts, book.tell_all(drafts), strict=True))
    kept = [(draft, one[1]) for draft, one in told if key_of(draft) and one[0] is None]
    conflicts = [(draft, one) for draft, one in told if one[0] and one[0].reason == "IDEMPOTENCY_KEY_REUSED"]
    before = book.everything()

    again = [draft for draft, _ in kept]
    answers = [
        [book.tell(draft) for draft in again],
        book.tell_all(again),
        book.tell_all(again, atomic=True),
    ]
    refused = [book.tell(draft) for draft, _ in conflicts]
    reopened = book.open_accounts()
    assets = [book.create_asset(code, scale) for code, scale in ASSETS.items()]

    assert len(kept) > 20
    assert conflicts
    for answer in answers:
        assert answer == [(None, transaction, True) for _, transaction in kept]
    assert refused == [one for _, one in conflicts]
    assert all(one.replayed for one in (*reopened, *assets))
    assert book.everything() == before


def life(stage: Stage, stamps: Stamps, name: str, between: Between) -> list[object]:
    """A ledger's whole life, with something between any two calls: every answer, and the books at the end."""
    between()
    stage.open_book(name)
    story = Story(name)
    stamps.start_over()
    answers: list[object] = []
    steps: list[Callable[[Book], object]] = [
        *[lambda book, cut=cut: book.tell_all(cut) for cut in story.cut(story.drafts(100), size_max=40)],
        *[lambda book, draft=draft: book.tell(draft) for draft in story.drafts(6)],
        lambda book: book.tell_all(story.drafts(6), atomic=True),
        lambda book: list(book.all_balances()),
        lambda book: book.everything(),
    ]
    for step in steps:
        between()
        answers.append(step(stage.book(name)))
        stamps.pass_time(1_500_000)
    return answers


@seeds(quick=1, slow=6)
def test_a_restart_of_the_server_between_any_two_calls_is_invisible(
    stages: list[Stage], stamps: Stamps, seed: int
) -> None:
    name = f"server:{seed}"
    undisturbed = life(stages[0], stamps, name, lambda: None)

    assert life(stages[1], stamps, name, stages[1].serve) == undisturbed


@pytest.mark.skipif(not IS_OURS, reason="LEDGER_TEST_DSN names a server that is not ours to restart")
@pytest.mark.parametrize(
    ("seed", "once_in"), [(0, 8), *[pytest.param(seed, 1, marks=pytest.mark.slow) for seed in range(1, 4)]]
)
def test_a_restart_of_the_database_between_any_two_calls_is_invisible(
    stages: list[Stage], stamps: Stamps, cluster: Cluster, seed: int, once_in: int
) -> None:
    """By an orderly end and by a crash. The server stays: what its lanes remember is still true."""
    name = f"database:{seed}"
    undisturbed = life(stages[0], stamps, name, lambda: None)
    chance = Random(name)
    restarts: list[bool] = []

    def restart_now_and_then() -> None:
        if chance.randrange(once_in) == 0:
            restarts.append(chance.random() < 0.5)
            restart_database(cluster, is_crash=restarts[-1])

    assert life(stages[1], stamps, name, restart_now_and_then) == undisturbed
    assert set(restarts) == {True, False}
