"""Every animal is killed by every test that is named for it; without a plant the same tests pass.

Minutes of work, so `./ledger test --zoo` alone runs it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from clusters import Cluster
from zoo.animal import Animal, planted
from zoo.animals import ANIMALS
from zoo.running import copy_tree, run_tests

pytestmark = [pytest.mark.slow, pytest.mark.zoo, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree, in which one animal lives at a time."""
    return copy_tree(tmp_path_factory.mktemp("zoo") / "tree")


def test_the_named_tests_pass_where_nothing_is_planted(copied: Path, cluster: Cluster) -> None:
    named = list(dict.fromkeys(killer for animal in ANIMALS for killer in animal.killers))

    run = run_tests(copied, named, dsn=cluster.owner_url)

    # A test that is skipped here kills nothing either.
    assert [verdict for verdict in run.verdicts if verdict.outcome != "passed"] == []
    assert run.exit_code == 0, run.output


@pytest.mark.parametrize("animal", ANIMALS, ids=lambda animal: animal.name)
def test_an_animal_is_killed(animal: Animal, copied: Path, cluster: Cluster) -> None:
    with planted(copied, animal):
        run = run_tests(copied, animal.killers, dsn=cluster.owner_url)

    assert not run.faults(animal.killers), f"{animal.harm}\n{run.faults(animal.killers)}\n{run.output}"
