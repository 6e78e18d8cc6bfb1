"""Three databases of the same cluster with a service each, stamped alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from clusters import Cluster
from metamorphic.staging import Stage, Stamps

from ledger_server.service import group_commit


@pytest.fixture(scope="module")
def stamps() -> Iterator[Stamps]:
    """Times and salts of every service in this process."""
    stamps = Stamps()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(group_commit, "_salts", stamps.salts)
        yield stamps


@pytest.fixture(scope="module")
def stages(cluster: Cluster, stamps: Stamps) -> Iterator[list[Stage]]:
    """The same ledger can be opened on each."""
    with ExitStack() as ends:
        stages = []
        for _ in range(3):
            stages.append(Stage(ends.enter_context(cluster.database()), stamps))
            ends.callback(stages[-1].close)
        yield stages
