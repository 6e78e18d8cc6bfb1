"""What asking who calls costs: the same work by a member who shows an API key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from ledger.v1.member_service_pb2 import ROLE_POSTER, ROLE_READER, AddMemberRequest
from ledger.v1.member_service_pb2_grpc import MemberServiceStub

from benchmarks.bench import Bench, Side, rates
from benchmarks.measured import Bar, Measured
from benchmarks.opening import open_ledger
from benchmarks.processes import Server
from benchmarks.suites.batches import beside_copy
from benchmarks.suites.calls import beside_echo
from ledger_server.domain.api_keys import APIKeyDraft
from ledger_server.domain.callers import Caller, Means
from ledger_server.store.api_keys import owned_keys

_PRINCIPAL = "bench"


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A service that asks who calls, a ledger, and the key of a member who may post and read."""

    server: Server
    ledger: str
    key: str


def with_key(bench: Bench) -> Iterator[Measured]:
    """Batches beside those of nobody in particular and beside COPY; single calls beside the echo."""
    stage, size = bench.stage, bench.size
    keyed = _keyed(bench)
    but = {"key": keyed.key}
    workers = stage.workers(1)
    ours, theirs = bench.alternate(
        Side(workers, bench.batches(keyed.server, [keyed.ledger]) | but, stage.meter(keyed.server, workers)),
        Side(workers, bench.batches(bench.server, [open_ledger(bench.server.targets[0], size.accounts)])),
    )
    yield rates("with_key, batches", "transactions/s", ours, "without a key", theirs, bar=Bar(ratio_min=0.9))
    batches = bench.batches(keyed.server, [keyed.ledger]) | but
    yield from beside_copy(bench, "with_key, batches", keyed.server, batches, Bar(ratio_min=0.45))
    for verb in ("post", "balance"):
        calls = bench.calls(verb, keyed.server, [keyed.ledger]) | but
        yield from beside_echo(bench, f"with_key, {verb}", verb, keyed.server, calls, Bar(ratio_min=0.42))
    keyed.server.end()


def _keyed(bench: Bench) -> _Keyed:
    """Its ledger is made, and its member added, where nobody is asked."""
    target = bench.server.targets[0]
    ledger = open_ledger(target, bench.size.accounts)
    with grpc.insecure_channel(target) as channel:
        MemberServiceStub(channel).AddMember(
            AddMemberRequest(ledger=ledger, principal=_PRINCIPAL, roles=[ROLE_POSTER, ROLE_READER])
        )
    with owned_keys(bench.stage.owner_url, ledger) as keys:
        assert keys is not None
        _, text = keys.insert(
            APIKeyDraft(ledger, _PRINCIPAL, "", lifetime=None), Caller("operator", Means.OPEN)
        )
    return _Keyed(bench.stage.serve(options=("--api-keys",)), ledger, text)
