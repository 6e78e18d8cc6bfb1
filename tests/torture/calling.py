"""A process of callers: threads that call the service and log every call before and after it.

Started as `python -m torture.calling`, with its job as one JSON line on stdin: the
callers' names, the targets, the log folder, the seed, how many operations all of
them together may make, and the deadline of a call. It ends when they are made, or
when stdin closes.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from ledger.v1 import account_service_pb2, chart_service_pb2
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.account_service_pb2_grpc import AccountServiceStub
from ledger.v1.chart_service_pb2_grpc import ChartServiceStub
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub
from torture.history import OK, REFUSED, UNKNOWN, Fields, Log
from torture.replaying import LEDGER
from torture.workload import Workload

# A call waits for the service to come back: what is unknown is then what was really cut off.
CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 200),
)
# The connection was lost, or the caller's patience, or gRPC ended the call of a server that stops.
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class Caller:
    """One caller: a workload, a channel, a log."""

    def __init__(self, channel: grpc.Channel, workload: Workload, log: Log, deadline_s: float) -> None:
        self._stub = LedgerServiceStub(channel)
        self._accounts = AccountServiceStub(channel)
        self._charts = ChartServiceStub(channel)
        self._workload = workload
        self._log = log
        self._deadline_s = deadline_s

    def run(self, name: str, may_go_on: Callable[[int], bool]) -> None:
        """Calls until told to stop."""
        for number, (verb, fields) in enumerate(self._workload):
            if not may_go_on(len(fields.get("operations", [0]))):
                return
            call = f"{name}#{number}"
            self._log.append({"name": call, "verb": verb, "fields": fields, "at": time.monotonic_ns()})
            told = self._call(verb, fields)
            self._log.append({"name": call, "at": time.monotonic_ns(), **told})

    def _call(self, verb: str, fields: Fields) -> Fields:
        count = len(fields.get("operations", [0]))
        try:
            told = getattr(self, f"_{verb}")(fields)
        except grpc.RpcError as error:
            refused = _refused(error, count)
            self._learn(fields, refused)
            return refused
        self._learn(fields, told)
        results, answer = told.get("results", []), told.get("answer", {})
        reached = [answer.get("sequence", 0), *(result.get("sequence", 0) for result in results)]
        self._workload.seen = max(self._workload.seen, *reached)
        return {"outcome": OK, **told}

    def _learn(self, fields: Fields, told: Fields) -> None:
        """Of a change, which version stands."""
        if "method" in fields and told.get("results"):
            (result,) = told["results"]
            version = result.get("version") or result.get("facts", {}).get("version")
            if version:
                self._workload.versions[fields.get("name", "")] = int(version)

    def _change(self, fields: Fields) -> Fields:
        method, asked = fields["method"], {name: one for name, one in fields.items() if name != "method"}
        is_chart = method == "ApplyChart"
        stub, module = (
            (self._charts, chart_service_pb2) if is_chart else (self._accounts, account_service_pb2)
        )
        answer = self._ask(getattr(stub, method), getattr(module, f"{method}Request"), asked)
        record, told = (answer.chart, answer.chart) if is_chart else (answer.account, answer)
        result = {"sequence": record.sequence, "version": record.version, "replayed": answer.replayed}
        return {"results": [result | {"hash": told.hash.hex()}]}

    def _post(self, fields: Fields) -> Fields:
        return {"results": [_recorded(self._ask(self._stub.Post, pb.PostRequest, fields))]}

    def _reverse(self, fields: Fields) -> Fields:
        return {"results": [_recorded(self._ask(self._stub.Reverse, pb.ReverseRequest, fields))]}

    def _batch(self, fields: Fields) -> Fields:
        answer = self._ask(self._stub.PostBatch, pb.PostBatchRequest, fields | {"view": pb.BATCH_VIEW_FULL})
        return {
            "results": [
                _reason(Status.FromString(one.status.SerializeToString()))
                if one.HasField("status")
                else _recorded(one)
                for one in answer.results
            ]
        }

    def _balance(self, fields: Fields) -> Fields:
        answer = self._ask(self._stub.GetBalance, pb.GetBalanceRequest, fields)
        balances = [{"asset": one.asset, "posted": one.posted} for one in answer.balances]
        return {"answer": {"sequence": answer.sequence, "balances": balances}}

    def _trial(self, fields: Fields) -> Fields:
        answer = self._ask(self._stub.TrialBalance, pb.TrialBalanceRequest, fields)
        totals = [
            {"asset": one.asset, "debits": one.total_debits, "credits": one.total_credits}
            for one in answer.totals
        ]
        is_ok = answer.status == pb.TRIAL_BALANCE_STATUS_OK
        return {"answer": {"sequence": answer.sequence, "totals": totals, "is_ok": is_ok}}

    def _ask(self, method: Any, kind: Any, fields: Fields) -> Any:
        request = kind(ledger=LEDGER, **fields)
        return method(request, timeout=self._deadline_s, wait_for_ready=True)


def shown(transaction: nouns.Transaction) -> Fields:
    """A transaction as the checker reads it."""
    return {
        "sequence": transaction.sequence,
        "hash": transaction.hash.hex(),
        "idempotency_key": transaction.idempotency_key,
        "kind": transaction.kind,
        "reverses": transaction.reverses,
        "series": transaction.series,
        "number": transaction.number,
        "template": _use(transaction),
        "record_time": transaction.record_time.seconds * 10**6 + transaction.record_time.nanos // 1000,
        "entries": [
            {
                "account": entry.account,
                "side": int(entry.side),
                "amount": entry.amount,
                "asset": entry.asset,
                "balance_after": entry.balance_after,
            }
            for entry in transaction.entries
        ],
    }


def _use(transaction: nouns.Transaction) -> Fields | None:
    if not transaction.HasField("template"):
        return None
    used = transaction.template
    items = [{"group": one.group, "parameters": dict(one.parameters)} for one in used.items]
    given = {"parameters": dict(used.parameters), "items": items}
    return {"name": used.name, "version": used.version, **given}


def _recorded(answer: Any) -> Fields:
    transaction = answer.transaction
    return {
        "sequence": transaction.sequence,
        "hash": transaction.hash.hex(),
        "replayed": answer.replayed,
        "balances": [entry.balance_after for entry in transaction.entries],
    }


def _refused(error: grpc.RpcError, count: int) -> Fields:
    """What an error says of each of a call's operations."""
    metadata = dict(error.trailing_metadata() or ())
    code = error.code()
    if "grpc-status-details-bin" not in metadata:
        return {"outcome": UNKNOWN if code in LOST else f"{code.name} {error.details()}"}
    result = _reason(Status.FromString(metadata["grpc-status-details-bin"]))
    if result["reason"] == "OUTCOME_UNKNOWN":
        return {"outcome": UNKNOWN}
    if result["reason"] == "LEDGER_INVARIANT_BROKEN":
        return {"outcome": f"{code.name} {error.details()}"}
    return {"outcome": REFUSED, "results": [result] * count}


def _reason(status: Status) -> Fields:
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return {"reason": info.reason, "facts": dict(info.metadata)}


def main() -> None:
    """Runs a job's callers until they are done."""
    job = json.loads(sys.stdin.readline())
    left = [job["operations"]]
    guard = threading.Lock()
    stopping = threading.Event()

    def may_go_on(count: int) -> bool:
        # Critical section: counts what is left.
        with guard:
            left[0] -= count
            return left[0] + count > 0 and not stopping.is_set()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stopping.set()

    threading.Thread(target=wait_for_the_end, name="end", daemon=True).start()
    threads, logs, channels = [], [], []
    for number, name in enumerate(job["names"]):
        channel = grpc.insecure_channel(job["targets"][number % len(job["targets"])], options=CHANNEL)
        log = Log(Path(job["folder"]) / f"{name}.jsonl")
        others = [other for other in job["everyone"] if other != name]
        workload = Workload(name, others, job["seed"])
        caller = Caller(channel, workload, log, job["deadline_s"])
        threads.append(threading.Thread(target=caller.run, args=(name, may_go_on), name=name))
        logs.append(log)
        channels.append(channel)
    print("READY", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for channel in channels:
        channel.close()
    for log in logs:
        log.close()
    print("DONE", flush=True)


if __name__ == "__main__":
    main()
