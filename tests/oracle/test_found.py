"""What the comparison has found, each as the shortest steps that showed it."""

from __future__ import annotations

from clusters import Cluster
from oracle.drive import Step
from oracle.playing import play

BOOKS: list[Step] = [("ask", "CreateLedger", {"name": "main"})]


def test_a_malformed_reversal_in_a_batch_is_refused_in_its_place_with_the_full_view(cluster: Cluster) -> None:
    """Sizing the full answer looked up the transaction to reverse before its name was judged; INTERNAL."""
    for name in ({"idempotency_key": "k\0"}, {"idempotency_key": " "}, {"sequence": -1}, {}):
        operations = [{"reverse": {"transaction": name}}]

        play(cluster, [*BOOKS, ("ask", "PostBatch", {"ledger": "main", "operations": operations, "view": 2})])
