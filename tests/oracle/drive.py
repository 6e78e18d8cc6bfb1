"""Both sides: one request goes to the live service and to the reference, and must be answered alike."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from typing import Any

import grpc
from clusters import Cluster
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from ledger.v1 import (
    account_service_pb2,
    chart_service_pb2,
    chart_service_pb2_grpc,
    ledger_admin_service_pb2,
    ledger_service_pb2,
    member_service_pb2,
    member_service_pb2_grpc,
    report_service_pb2,
    report_service_pb2_grpc,
)
from oracle.aggregated import Aggregated
from oracle.forms import Fields, Refused
from oracle.reference import Reference
from oracle.restarting import restart_database
from serving import AT_ONCE, Serving, serving
from statuses import Told, told_by, told_error

# Where the service's clock starts: after every real one, so that the journal's times are all ours.
START = 4_102_444_800
# More violations than this may be cut for the size of the answer.
_FIELDS_SURELY_WHOLE = 8
# The filters that an index answers whole; under any other a last page may still name a next one.
_INDEXED: tuple[list[str], ...] = ([], ["account"], ["reversals"])

# What is met beside reasons and "OK".
RESTARTED = "the database restarted"

# A method of Drive and its arguments.
Step = tuple[Any, ...]

METHODS = {
    **dict.fromkeys(("CreateLedger", "GetLedger", "ListLedgers", "CreateAsset", "ListAssets"), "admin"),
    **dict.fromkeys(("CreateAccount", "BatchCreateAccounts", "GetAccount", "ListAccounts"), "accounts"),
    **dict.fromkeys(("UpdateAccount", "FreezeAccount", "UnfreezeAccount", "CloseAccount"), "accounts"),
    **dict.fromkeys(("Post", "PostBatch", "Reverse", "GetTransaction", "ListTransactions"), "ledgers"),
    **dict.fromkeys(("ListEntries", "GetBalance", "BatchGetBalances", "TrialBalance"), "ledgers"),
    **dict.fromkeys(("RunTrialBalance", "ListTrialBalanceRuns", "GetAggregateBalance"), "ledgers"),
    **dict.fromkeys(("ApplyChart", "GetChart"), "charts"),
    "AddMember": "members",
    **dict.fromkeys(("ListOverdueBalances", "ListCharges"), "reports"),
}
_MODULES = {
    "admin": ledger_admin_service_pb2,
    "accounts": account_service_pb2,
    "ledgers": ledger_service_pb2,
    "charts": chart_service_pb2,
    "members": member_service_pb2,
    "reports": report_service_pb2,
}


def request(method: str, fields: Fields) -> Message:
    """The request of a method as a message."""
    kind = getattr(_MODULES[METHODS[method]], f"{method}Request")
    return kind(**_for_constructor(fields))


def stub(server: Serving, service: str) -> Any:
    if service == "charts":
        return chart_service_pb2_grpc.ChartServiceStub(server.channel)
    if service == "members":
        return member_service_pb2_grpc.MemberServiceStub(server.channel)
    if service == "reports":
        return report_service_pb2_grpc.ReportServiceStub(server.channel)
    return getattr(server, service)


def _for_constructor(value: Any) -> Any:
    if isinstance(value, tuple):
        return {"seconds": value[0], "nanos": value[1]}
    if isinstance(value, dict):
        return {name: _for_constructor(one) for name, one in value.items() if one is not None}
    return [_for_constructor(one) for one in value] if isinstance(value, list) else value


def plain(message: Any) -> Any:
    """A message as a dict of all its fields: absent ones None, times in microseconds."""
    if isinstance(message, Timestamp):
        return message.seconds * 10**6 + message.nanos // 1000
    if message.DESCRIPTOR.name == "OperationStatus":
        return told_by(Status.FromString(message.SerializeToString()))
    shown: Fields = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            shown[field.name] = dict(value)
        elif field.is_repeated:
            shown[field.name] = [plain(one) for one in value] if field.message_type else list(value)
        elif field.has_presence and not message.HasField(field.name):
            shown[field.name] = None
        else:
            shown[field.name] = plain(value) if field.message_type else value
    return shown


class Drive:
    """A service over one database, one or two servers of it, and the reference beside them."""

    def __init__(self, cluster: Cluster, database_url: str, reference: Reference | None = None) -> None:
        self.reference = reference or Aggregated()
        self.reference.now = START * 10**6
        self._cluster = cluster
        self._database_url = database_url
        self._ends = ExitStack()
        self._servers: list[Serving] = []
        self._turn = 0
        # What was once told of a record must be told ever after.
        self._hashes: dict[tuple[str, int], bytes] = {}
        self._created: dict[str, int] = {}
        # The runs of each ledger, newest first.
        self._runs: dict[str, list[Any]] = {}
        # The service's page tokens by the reference's.
        self._tokens: dict[str, str] = {}
        # What was asked of this drive, for `play`, and how often what was answered.
        self.steps: list[Step] = []
        self.met: Counter[str] = Counter()
        self._serve(1)

    def start(self, servers: int) -> None:
        """Ends the servers that run, and starts so many."""
        self.steps.append(("start", servers))
        self._serve(servers)

    def restart_database(self, is_crash: bool) -> None:
        """PostgreSQL ends, in good order or not, and is there again; the servers stay."""
        self.steps.append(("restart_database", is_crash))
        restart_database(self._cluster, is_crash=is_crash)
        self.met[RESTARTED] += 1

    def pass_time(self, microseconds: int) -> None:
        """The service's clock goes on, or back."""
        self.steps.append(("pass_time", microseconds))
        self.reference.now += microseconds

    def run_trial_balance(self, ledger: str) -> None:
        """A run is OK, of the head, and what the reference's entries add up to; and it is kept."""
        self.steps.append(("run_trial_balance", ledger))
        book = self._compared("TrialBalance", {"ledger": ledger})
        if isinstance(book, Refused):
            return
        made = plain(self.send("RunTrialBalance", {"ledger": ledger}))["run"]
        self._runs[ledger] = [made, *self._runs.get(ledger, ())]
        kept = plain(self.send("ListTrialBalanceRuns", {"ledger": ledger, "page_size": 1000}))
        compare(f"the runs of {ledger}", kept, {"runs": self._runs[ledger], "next_page_token": ""})
        self._hash(ledger, made["sequence"], made["hash"])
        expected = {
            "number": len(self._runs[ledger]),
            "sequence": book["sequence"],
            "totals": book["totals"],
            "status": book["status"],
            "basis": book["basis"],
            "offending_count": 0,
            "offending_sequences": [],
            "daily": False,
            "created_by": "anonymous",
        }
        found = {name: made[name] for name in expected}
        compare(f"run {made['number']} of {ledger}", found, expected)
        self.met["OK"] += 1

    def leave(self, post: Fields, timeout_s: float) -> None:
        """Posts, waits too shortly, and posts again: recorded once, whichever of the two it was."""
        self.steps.append(("leave", post, timeout_s))
        try:
            self.send("Post", post, timeout_s=timeout_s)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
        self._compared("Post", post, may_be_replayed=True)

    def _serve(self, servers: int) -> None:
        self.close()
        self._servers = [
            self._ends.enter_context(
                serving(self._database_url, clock=lambda _: self.reference.now, ahead_from=AT_ONCE)
            )
            for _ in range(servers)
        ]

    def close(self) -> None:
        """Ends the servers."""
        self._ends.close()

    def send(self, method: str, fields: Fields, *, timeout_s: float = 60.0) -> Message:
        """One call, of the servers in turn. Raises grpc.RpcError."""
        self._turn += 1
        server = self._servers[self._turn % len(self._servers)]
        if token := fields.get("page_token"):
            fields = {**fields, "page_token": self._tokens.get(token, token)}
        call = getattr(stub(server, METHODS[method]), method)
        return call(request(method, fields), timeout=timeout_s)

    def ask(self, method: str, fields: Fields) -> Fields | Refused:
        """One call to both sides, compared; answers what the reference answered."""
        self.steps.append(("ask", method, fields))
        return self._compared(method, fields)

    def _compared(self, method: str, fields: Fields, *, may_be_replayed: bool = False) -> Fields | Refused:
        expected: Fields | Refused
        try:
            expected = self.reference.answer(method, fields)
        except Refused as refusal:
            expected = refusal
        where = f"{method}({fields})"
        try:
            message = self.send(method, fields)
        except grpc.RpcError as error:
            told = told_error(error)
            assert isinstance(expected, Refused), f"{where}: {told}, but expected {expected}"
            compare_refusal(where, told, expected)
            self.met[expected.reason] += 1
            return expected
        assert isinstance(expected, dict), f"{where}: expected {expected!r}, but answered {message}"
        shown = plain(message)
        self._check_hashes(fields, shown)
        if "next_page_token" in shown:
            self._keep_token(method, fields, shown, expected)
        if may_be_replayed:
            shown["replayed"] = expected["replayed"]
        compare(where, shown, expected)
        refused = [one["status"].reason for one in expected.get("results", ()) if one["status"]]
        self.met.update(["OK", *refused])
        return expected

    def _keep_token(self, method: str, fields: Fields, shown: Fields, expected: Fields) -> None:
        """Tokens are opaque: each side gets its own; they must be there on the same pages."""
        token = shown.pop("next_page_token")
        own = expected["next_page_token"]
        if token and not own and method == "ListTransactions" and not _is_indexed(fields["filter"]):
            last = plain(self.send(method, {**fields, "page_token": token}))
            assert last == {"transactions": [], "next_page_token": "", "sequence": expected["sequence"]}
            token = ""
        if token and not own and method == "ListOverdueBalances":
            # What is left of the accounts owes nothing.
            assert plain(self.send(method, {**fields, "page_token": token}))["balances"] == []
            token = ""
        assert bool(token) == bool(own), f"{method}({fields}): next_page_token {token!r}, expected {own!r}"
        if own:
            self._tokens[own] = token
        shown["next_page_token"] = own

    def _check_hashes(self, fields: Fields, shown: Fields) -> None:
        """Takes the hashes out of an answer: each record has one, its own, for ever."""
        ledger = fields.get("ledger", "")
        for one in [shown, *shown.get("results", ()), *shown.get("accounts", ())]:
            record = one.get("account") or one.get("asset") or one
            if "hash" in one and isinstance(record, dict):
                self._hash(ledger, record["sequence"], one.pop("hash"))
        if "changes" in shown or isinstance(shown.get("chart"), dict):
            self._hash(ledger, shown["chart"]["sequence"], shown["chart"].pop("hash"))
        whole = [shown.get("transaction"), *shown.get("transactions", ())]
        whole += [one["transaction"] for one in shown.get("results", ())]
        for one in filter(None, whole):
            self._hash(one["ledger"], one["sequence"], one.pop("hash"))
        for one in filter(None, [shown.get("ledger"), *shown.get("ledgers", ())]):
            self._hash(one["name"], one["sequence"], one.pop("hash"))
            known = self._created.setdefault(one["name"], one["record_time"])
            assert one.pop("record_time") == known, f"ledger {one['name']} changed its record_time"

    def _hash(self, ledger: str, sequence: int, digest: bytes) -> None:
        if sequence == 0:
            assert digest == b""
            return
        assert len(digest) == 32
        known = self._hashes.setdefault((ledger, sequence), digest)
        assert known == digest, f"record {sequence} of {ledger!r} changed its hash"

    def check_journal(self) -> None:
        """Every record's hash is its own, and the reference's journal has no gap."""
        assert len(set(self._hashes.values())) == len(self._hashes)
        for book in self.reference.ledgers.values():
            others = (*book["versions"], *book.get("charts", ()))
            # Accounts that a posting opened have its sequence.
            records = {1, *(one["sequence"] for one in others), *book["journal"]}
            assert sorted(records) == list(range(1, book["head"] + 1))


def _is_indexed(wanted: Fields) -> bool:
    return list(wanted) in _INDEXED and wanted.get("reversals", True)


def compare(where: str, shown: Any, expected: Any) -> None:
    """An answer is the expected one, in every field; each difference is named."""
    if isinstance(expected, Refused) and isinstance(shown, Told):
        compare_refusal(where, shown, expected)
    elif isinstance(expected, dict) and isinstance(shown, dict):
        assert shown.keys() == expected.keys(), f"{where}: has {sorted(shown)}, expected {sorted(expected)}"
        for field, value in expected.items():
            compare(f"{where}.{field}", shown[field], value)
    elif isinstance(expected, list) and isinstance(shown, list):
        assert len(shown) == len(expected), f"{where}: {shown}, expected {expected}"
        for index, value in enumerate(expected):
            compare(f"{where}[{index}]", shown[index], value)
    else:
        assert shown == expected, f"{where}: {shown!r}, expected {expected!r}"


def compare_refusal(where: str, told: Told, expected: Refused) -> None:
    """A refusal is the expected one: status, reason, facts, fields at fault."""
    assert (told.code.name, told.reason) == (expected.code, expected.reason), f"{where}: {told}"
    facts = {name: cut(value) for name, value in expected.facts.items()}
    assert told.facts == facts, f"{where}: {told}, expected {facts}"
    fields = {re.sub(r"(metadata)\[.*", r"\1", field, flags=re.DOTALL) for field in told.fields}
    assert bool(fields) == bool(expected.fields), f"{where}: {told}, expected {expected.fields}"
    whole = len(expected.fields) <= _FIELDS_SURELY_WHOLE
    assert fields == set(expected.fields) if whole else fields <= set(expected.fields), (
        f"{where}: {told}, expected {expected.fields}"
    )
    assert told.retry_after_s is None, f"{where}: {told}"
    assert told.size_bytes <= 4096, f"{where}: {told}"


def cut(text: str) -> str:
    """A fact longer than its bound, as the contract's ellipsis cuts it."""
    data = text.encode()
    return text if len(data) <= 512 else data[:509].decode("utf-8", "ignore") + "…"
