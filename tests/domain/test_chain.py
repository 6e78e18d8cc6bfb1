"""The chain, computed a second time from docs/chain.md alone; it shares no code with the service.

Three computations must agree: the service's (`ledger_server.domain.chain`), the one
here, and the one in chain_check.mjs, on vectors that never change and on a live journal.
"""

from __future__ import annotations

import json
import re
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from callers import Teller, lines, post_operation
from clusters import Database
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import chart_service_pb2 as chart_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import member_service_pb2 as member_pb
from ledger.v1 import member_service_pb2_grpc, template_pb2
from psycopg.rows import dict_row
from serving import Serving
from template_calls import chart_with, post_by
from tools_needed import needed

from ledger_server.domain import chain as service_chain
from ledger_server.domain import parameters
from ledger_server.domain.accounts import AccountType
from ledger_server.domain.charting import chart_canonical
from ledger_server.domain.parameters import Item, Parameter, Parameters, ParameterType
from ledger_server.domain.reads import SummedRow, trial_balance_bytes
from ledger_server.domain.templates import EntryPattern, Group, Template
from ledger_server.store.chart_rows import chart_from
from ledger_server.store.template_rows import parameters_from

HERE = Path(__file__).parent
# Vectors never change: what the chain covers later has a file of its own.
FROZEN = {
    "chain_vectors.json": "135cc7929636546c227c7065bed34812ba63c331481ec28ba7943cbdd88574af",
    "chain_vectors_members.json": "2db2af22181b52b3c0abf666714c5f90f364cb80ee59467aa97800876de75100",
    "chain_vectors_accounts.json": "2181b9679231f3139aa69ef0e60c00492c19b5a12af562d95091d4d8af823acb",
    "chain_vectors_templates.json": "d288d2927e689d0c698c5f5197308eb7b1e1c93fb883b5c3aa081de56e4cbe91",
    "chain_vectors_families.json": "043bb97a22984a72c17e0331a4d37cee6647bb9877f8b26efae52e1bc56fe56c",
    "chain_vectors_roles.json": "5e38ac8481d454ec4cd3720ce7dd0d3f4c0a480f0ec7189304ed238fcdee6dbb",
    "chain_vectors_charts.json": "637768c15e55f3e4dfc72053f5b47b70e5716c52bb194e7a5017ede46ffd9bc3",
}
VECTOR_FILES = [HERE.parent / "data" / name for name in FROZEN]
VECTORS = [json.loads(file.read_text(encoding="utf-8")) for file in VECTOR_FILES]
each_vectors = pytest.mark.parametrize("vectors", VECTORS, ids=list(FROZEN))
DOCUMENT = HERE.parents[1] / "docs" / "chain.md"


# docs/chain.md, in Python ---------------------------------------------------------------------


def number(value: int | str, length: int) -> bytes:
    return int(value).to_bytes(length, "big", signed=int(value) < 0)


def text(value: str) -> bytes:
    return number(len(value.encode("utf-8")), 4) + value.encode("utf-8")


def details_digest(record: dict[str, Any]) -> bytes:
    if record.get("details_digest"):
        return bytes.fromhex(record["details_digest"])
    metadata = record.get("metadata") or {}
    answer = bytes.fromhex(record["salt"]) + text(record.get("description") or "") + number(len(metadata), 4)
    for key in sorted(metadata, key=lambda key: key.encode("utf-8")):
        answer += text(key) + text(metadata[key])
    answer += text(record.get("external_ref") or "")
    return sha256(answer + (given(record["parameters"]) if record.get("template") else b"")).digest()


def given(parameters: dict[str, Any]) -> bytes:
    answer = pairs(parameters["values"]) + number(len(parameters["items"]), 4)
    return answer + b"".join(text(group) + pairs(values) for group, values in parameters["items"])


def pairs(values: dict[str, str]) -> bytes:
    ordered = sorted(values, key=lambda name: name.encode())
    return number(len(values), 4) + b"".join(text(name) + text(values[name]) for name in ordered)


def bound(value: str | None) -> bytes:
    return number(0, 1) if value is None else number(1, 1) + number(value, 16)


def canonical(record: dict[str, Any]) -> bytes:
    common = number(record["record_time"], 8) + text(record["created_by"])
    if record["record"] == "ledger":
        return number(1, 1) + common + details_digest(record)
    if record["record"] == "asset":
        return number(2, 1) + common + text(record["code"]) + number(record["scale"], 1)
    if record["record"] == "account":
        answer = number(3, 1) + common + text(record["name"]) + number(record["type"], 1)
        answer += number(record["version"], 4) + limits(record["limits"]) + details_digest(record)
        return answer + (number(record["status"], 1) if record["version"] > 1 else b"")
    if record["record"] == "chart":
        return number(6, 1) + common + number(record["version"], 4) + chart(record["chart"])
    if record["record"] == "member":
        answer = number(5, 1) + common + text(record["principal"]) + number(record["version"], 4)
        answer += number(len(record["roles"]), 4) + b"".join(number(role, 1) for role in record["roles"])
        answer += number(len(record["account_prefixes"]), 4)
        return answer + b"".join(text(prefix) for prefix in record["account_prefixes"])
    answer = number(4, 1) + common + text(record["idempotency_key"]) + text(record["kind"])
    flags = (1 if record["effective_time_given"] else 0) + (2 if record.get("forced") else 0)
    flags += (4 if record.get("opened") else 0) + (8 if record.get("template") else 0)
    flags += 16 if record.get("number") else 0
    answer += number(record["effective_time"], 8) + number(flags, 1)
    answer += number(record["reverses"], 8) + details_digest(record) + number(len(record["entries"]), 4)
    for entry in record["entries"]:
        answer += number(entry["side"], 1) + number(0, 1) + text(entry["account"])
        answer += number(entry["amount"], 16) + text(entry["asset"])
    if record.get("opened"):
        answer += number(len(record["opened"]), 4)
        for account in record["opened"]:
            answer += text(account["name"]) + number(account["type"], 1) + limits(account["limits"])
    if record.get("template"):
        answer += text(record["template"]) + number(record["template_version"], 4)
    if record.get("number"):
        answer += text(record["series"]) + number(record["number"], 8)
    return answer


def limits(given: list[dict[str, Any]]) -> bytes:
    answer = number(len(given), 4)
    for limit in sorted(given, key=lambda limit: limit["asset"].encode("utf-8")):
        answer += text(limit["asset"]) + bound(limit["balance_min"]) + bound(limit["balance_max"])
    return answer


def texts(given: list[str]) -> bytes:
    return number(len(given), 4) + b"".join(text(one) for one in sorted(given, key=lambda one: one.encode()))


def chart(given: dict[str, Any]) -> bytes:
    answer = number(len(given["assets"]), 4)
    for asset in sorted(given["assets"], key=lambda asset: asset["code"].encode()):
        answer += text(asset["code"]) + number(asset["scale"], 1)
    answer += number(len(given["families"]), 4)
    for family in sorted(given["families"], key=lambda family: family["pattern"].encode()):
        answer += text(family["pattern"]) + number(len(family["parameters"]), 4)
        for name in sorted(family["parameters"], key=lambda name: name.encode()):
            answer += text(name) + number(family["parameters"][name], 1)
        flags = family["opens_on_first_posting"] + 2 * family.get("limits_include_zero", False)
        answer += number(family["type"], 1) + number(flags, 1)
        answer += texts(family["assets"])
        bounds = [
            {"asset": code, "balance_min": low, "balance_max": high}
            for code, (low, high) in family["limits"].items()
        ]
        answer += limits(bounds) + text(family["description"])
    answer += number(len(given["kinds"]), 4)
    for kind in sorted(given["kinds"], key=lambda kind: kind["name"].encode()):
        answer += text(kind["name"]) + number(kind["idempotency"], 1) + texts(kind["required_metadata"])
        numbering = kind["numbering"]
        role = kind.get("role")
        answer += number((numbering is not None) + 2 * (role is not None), 1)
        answer += text(numbering["name"]) + text(numbering["per"]) if numbering is not None else b""
        answer += number(role, 1) if role is not None else b""
    templates = sorted(given.get("templates", []), key=lambda one: (one["name"].encode(), one["version"]))
    answer += number(len(templates), 4) + b"".join(map(template, templates))
    sets = sorted(given.get("sets", []), key=lambda one: one["name"].encode())
    return answer + number(len(sets), 4) + b"".join(map(account_set, sets))


def account_set(given: dict[str, Any]) -> bytes:
    members = (texts(given[kind]) for kind in ("accounts", "prefixes", "sets"))
    return text(given["name"]) + b"".join(members) + text(given["description"])


def template(given: dict[str, Any]) -> bytes:
    answer = text(given["name"]) + number(given["version"], 4) + text(given["kind"])
    answer += declared(given["parameters"]) + number(len(given["groups"]), 4)
    for name, min_items, taken in sorted(given["groups"], key=lambda group: group[0].encode()):
        answer += text(name) + number(min_items, 4) + declared(taken)
    answer += number(len(given["entries"]), 4)
    for entry in given["entries"]:
        answer += number(entry["side"], 1) + text(entry["account"]) + text(entry["asset"])
        answer += text(entry["group"]) + number(len(entry["factors"]), 4)
        answer += b"".join(map(text, entry["factors"]))
        weight = entry["weight"]
        if weight is None:
            answer += number(0, 1)
        else:
            answer += (
                number(2, 1) + text(weight) if isinstance(weight, str) else number(1, 1) + number(weight, 8)
            )
    return answer + pairs(given["metadata"])


def declared(parameters: list[list[Any]]) -> bytes:
    ordered = sorted(parameters, key=lambda parameter: parameter[0].encode())
    return number(len(ordered), 4) + b"".join(text(name) + number(kind, 1) for name, kind in ordered)


def record_hash(ledger: str, sequence: int, previous: bytes, record: bytes) -> bytes:
    return sha256(
        number(1, 1) + text(ledger) + number(sequence, 8) + previous + sha256(record).digest()
    ).digest()


def trial_balance_digest(rows: list[dict[str, str]]) -> bytes:
    answer = number(1, 1)
    for row in sorted(rows, key=lambda row: (row["account"].encode("utf-8"), row["asset"].encode("utf-8"))):
        answer += text(row["account"]) + text(row["asset"]) + text(row["debits"]) + text(row["credits"])
    return sha256(answer).digest()


# the vectors ------------------------------------------------------------------------------------


@each_vectors
def test_the_document_is_enough_to_compute_every_vector(vectors: dict[str, Any]) -> None:
    previous = bytes(32)
    for record in vectors["records"]:
        assert canonical(record).hex() == record["canonical"]
        previous = record_hash(vectors["ledger"], record["sequence"], previous, canonical(record))
        assert previous.hex() == record["hash"]
    assert trial_balance_digest(vectors["trial_balance"]["rows"]).hex() == vectors["trial_balance"]["digest"]


def service_canonical(record: dict[str, Any]) -> bytes:
    """The same by the service's own code."""
    time, by = int(record["record_time"]), record["created_by"]
    framed = service_chain.framed
    if record["record"] == "asset":
        return service_chain.asset_canonical(time, by, framed(record["code"]), record["scale"])
    if record["record"] == "member":
        return service_chain.member_canonical(
            time, by, record["principal"], record["version"], record["roles"], record["account_prefixes"]
        )
    if record["record"] == "chart":
        return chart_canonical(time, by, record["version"], chart_from(record["chart"]))
    redacted = record.get("details_digest")
    digest = (
        bytes.fromhex(redacted)
        if redacted
        else service_chain.details_digest(
            bytes.fromhex(record["salt"]),
            record.get("description", ""),
            record.get("metadata", {}),
            record.get("external_ref", ""),
            parameters.canonical(parameters_from(record["parameters"])) if record.get("template") else b"",
        )
    )
    if record["record"] == "ledger":
        return service_chain.ledger_canonical(time, by, digest)
    if record["record"] == "account":
        return service_chain.account_canonical(
            time,
            by,
            framed(record["name"]),
            record["type"],
            record["version"],
            bounds_of(record),
            digest,
            record.get("status", 1),
        )
    flags, more = 0, b""
    if record.get("template"):
        flags = service_chain.MADE_BY_TEMPLATE
        frame = service_chain.template_frame(record["template"], record["template_version"])
    if record.get("opened"):
        flags |= service_chain.OPENS_ACCOUNTS
        more = service_chain.frames(
            service_chain.opened_frame(framed(one["name"]), one["type"], bounds_of(one))
            for one in record["opened"]
        )
    more += frame if record.get("template") else b""
    if record.get("number"):
        flags |= service_chain.NUMBERED
        more += service_chain.number_frame(record["series"], record["number"])
    return service_chain.transaction_canonical(
        time,
        by,
        record["idempotency_key"],
        record["kind"],
        int(record["effective_time"]),
        record["effective_time_given"],
        record["reverses"],
        digest,
        [
            service_chain.entry_frame(
                framed(entry["account"]), entry["side"] == 1, int(entry["amount"]), framed(entry["asset"])
            )
            for entry in record["entries"]
        ],
        record.get("forced", False),
        flags,
        more,
    )


def bounds_of(account: dict[str, Any]) -> list[Any]:
    """Limits as the service's code takes them."""
    return [
        (limit["asset"], *(None if limit[name] is None else int(limit[name]) for name in BOUNDS))
        for limit in account["limits"]
    ]


BOUNDS = ("balance_min", "balance_max")


@each_vectors
def test_the_service_computes_every_vector(vectors: dict[str, Any]) -> None:
    previous = service_chain.GENESIS
    ledger = service_chain.framed(vectors["ledger"])
    for record in vectors["records"]:
        own = service_canonical(record)
        assert own.hex() == record["canonical"]
        previous = service_chain.record_hash(ledger, record["sequence"], previous, own)
        assert previous.hex() == record["hash"]
    rows = [
        SummedRow(row["account"], AccountType.ASSET, row["asset"], 0, int(row["debits"]), int(row["credits"]))
        for row in vectors["trial_balance"]["rows"]
    ]
    assert sha256(trial_balance_bytes(rows)).hexdigest() == vectors["trial_balance"]["digest"]


@pytest.mark.parametrize("file", VECTOR_FILES, ids=list(FROZEN))
def test_another_language_computes_every_vector(file: Path) -> None:
    node = needed("node", "install Node.js")
    records = json.loads(file.read_text(encoding="utf-8"))["records"]
    with file.open("rb") as vectors:
        done = subprocess.run(
            [node, str(HERE / "chain_check.mjs")], stdin=vectors, capture_output=True, text=True, check=False
        )

    assert (done.returncode, done.stdout) == (0, f"{len(records)} records agree\n"), done.stderr


def test_the_vectors_reach_every_layout() -> None:
    records = [record for vectors in VECTORS for record in vectors["records"]]
    kinds_of_charts = [kind for record in records if "chart" in record for kind in record["chart"]["kinds"]]
    assert {(bool(kind["numbering"]), bool(kind.get("role"))) for kind in kinds_of_charts} == {
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    }
    families = [family for record in records if "chart" in record for family in record["chart"]["families"]]
    words = ("opens_on_first_posting", "limits_include_zero")
    assert {tuple(bool(family.get(word)) for word in words) for family in families} == {
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    }
    kinds = {"ledger", "asset", "account", "transaction", "member", "chart"}
    assert {record["record"] for record in records} == kinds
    assert {bool(record.get("account_prefixes")) for record in records if record.get("roles")} == {
        True,
        False,
    }
    assert any(record.get("roles") == [] for record in records)
    statuses = {
        record["status"] for record in records if record["record"] == "account" and "status" in record
    }
    assert statuses == {1, 2, 3}
    assert {
        (record["effective_time_given"], record["forced"]) for record in records if "forced" in record
    } == {
        (True, True),
        (False, True),
    }
    assert {(bool(record.get("opened")), bool(record.get("number"))) for record in records} == {
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    }
    assert {
        (bool(record.get("opened")), bool(record.get("number")))
        for record in records
        if record.get("template")
    } == {
        (False, False),
        (True, True),
    }
    made = [record for record in records if record.get("template")]
    assert {bool(record.get("details_digest")) for record in made} == {True, False}
    templates = [one for record in records for one in record.get("chart", {}).get("templates", ())]
    weights = {type(entry["weight"]) for one in templates for entry in one["entries"]}
    assert weights == {type(None), int, str}
    assert {kind for one in templates for _, kind in one["parameters"]} == {1, 2, 3, 4, 5}
    sets = [one for record in records for one in record.get("chart", {}).get("sets", ())]
    for part in ("accounts", "prefixes", "sets", "description"):
        assert {bool(one[part]) for one in sets} == {True, False}, part
    assert any(record.get("details_digest") for record in records)
    assert any(record.get("reverses") for record in records)
    assert any(int(record.get("effective_time", 0)) < 0 for record in records)
    assert any(len(record.get("limits", ())) > 1 for record in records)


def test_the_documents_example_is_right() -> None:
    (example,) = re.findall(r"```\n(details {2,}.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    given: dict[str, str] = {}
    name = ""
    for line in example.splitlines():
        name = line[:15].strip() or name
        given[name] = given.get(name, "") + line[15:81].replace(" ", "")
    details = bytes.fromhex(given["details"])
    record = bytes.fromhex(given["canonical"])
    hashed = bytes.fromhex(given["hashed"])

    made = {
        "record": "transaction",
        "record_time": 1_704_067_200_000_000,
        "created_by": "ann",
        "idempotency_key": "k1",
        "kind": "sale",
        "effective_time": 1_704_067_200_000_000,
        "effective_time_given": False,
        "reverses": 0,
        "salt": bytes(range(16)).hex(),
        "description": "lunch",
        "metadata": {"table": "4"},
        "external_ref": "",
        "entries": [
            {"side": 1, "account": "cash", "amount": "1250", "asset": "USD"},
            {"side": 2, "account": "sales", "amount": "1250", "asset": "USD"},
        ],
    }
    assert sha256(details).hexdigest() == given["details digest"] == details_digest(made).hex()
    assert record == canonical(made)
    assert sha256(record).hexdigest() == given["SHA-256"]
    assert sha256(hashed).hexdigest() == given["hash"]
    assert record_hash("example", 5, b"\x11" * 32, record).hex() == given["hash"]


# a live journal -----------------------------------------------------------------------------------


def test_a_live_journal_agrees_with_the_document(server: Serving, database: Database) -> None:
    teller = Teller.open(server, "läger:\U0001f600")
    teller.create_asset("EUR", 0)
    teller.open_account("club", asset="EUR", balance_min="-5", balance_max="90000000000000000000000")
    teller.post("cash", "club", 7, "k1", asset="EUR", effective_time=Timestamp(seconds=-5, nanos=1_000))
    teller.post_entries(
        [*lines("cash", "wallet", 10**37), *lines("cash", "club", 3, "EUR")],
        kind="both",
        description="a ✓",
        metadata={"\uffff": "1", "\U0001f600": "2", "a": ""},
        external_ref="r",
    )
    teller.reverse("k1", "undo", metadata={"why": "test"})
    members = member_service_pb2_grpc.MemberServiceStub(server.channel)
    for roles in ([member_pb.ROLE_POSTER, member_pb.ROLE_READER], [member_pb.ROLE_READER]):
        members.AddMember(
            member_pb.AddMemberRequest(
                ledger=teller.ledger,
                principal="jwt:zoë",
                roles=roles,
                account_prefixes=["\ufb00", "\U0001f600", "cash"],
                version=len(roles) % 2,
            )
        )
    members.RemoveMember(member_pb.RemoveMemberRequest(ledger=teller.ledger, principal="jwt:zoë"))
    teller.update("other", limits=[nouns.BalanceLimit(asset="EUR", balance_max="-1")], metadata={"é": "1"})
    teller.change("Freeze", "other")
    teller.change("Close", "other", 3)
    teller.post("wallet", "cash", 10**37, "spend")
    teller.reverse(teller.post("cash", "wallet", 5).transaction.sequence, "forced", force=True)
    teller.batch([post_operation("cash", "sales", 1 + number, f"b{number}") for number in range(50)])
    teller.apply_chart(CHART)
    teller.post_entries([*lines("cash", "user:7", 1), *lines("cash", "user:8", 2)], "n", kind="sale")
    teller.post("cash", "user:7", 1, kind="sale")
    teller.post("cash", "user:9", 1)
    chart = chart_pb.Chart.FromString(CHART.SerializeToString())
    chart.templates.MergeFrom(chart_with(DIVIDED).templates)
    teller.apply_chart(chart, 1)
    shares = [Item("users", {"user": str(one), "part": str(one)}) for one in (7, 8, 10)]
    post_by(teller, "divided", Parameters({"amount": "1000", "why": "€ ✓"}, tuple(shares)), "split")
    answered = {found.sequence: found for found in teller.walk(page_size=1_000)}

    previous = bytes(32)
    records = read_journal(database, teller.ledger)
    for sequence, record in enumerate(records, 1):
        assert record["sequence"] == sequence
        previous = record_hash(teller.ledger, sequence, previous, canonical(record))
        assert previous == record["hash"], record
        if record["record"] == "transaction":
            assert answered[sequence].hash == previous
    assert len(records) == teller.head() == max(answered)
    balance = teller.trial_balance(rows=pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, page_size=1_000, digest=True)
    assert balance.digest == trial_balance_digest(
        [
            {"account": row.account, "asset": row.asset, "debits": row.debits, "credits": row.credits}
            for row in balance.rows
        ]
    )


DIVIDED = Template(
    "divided",
    3,
    (Parameter("amount", ParameterType.AMOUNT), Parameter("why", ParameterType.TEXT)),
    (
        EntryPattern("cash", True, ("amount",), "USD"),
        EntryPattern("user:{user}", False, ("amount",), "USD", "users", weight="part"),
        EntryPattern("club", False, ("amount",), "USD", weight=5),
    ),
    (Group("users", (Parameter("user", ParameterType.INT), Parameter("part", ParameterType.INT))),),
    kind="sale",
    metadata={"why": "{why}!"},
)
CHART = chart_pb.Chart(
    assets=[chart_pb.ChartAsset(code="USD", scale=2), chart_pb.ChartAsset(code="PT", scale=0)],
    families=[
        *(
            chart_pb.AccountFamily(pattern=name, type=kind)
            for name, kind in (
                ("cash", nouns.ACCOUNT_TYPE_ASSET),
                ("other", nouns.ACCOUNT_TYPE_ASSET),
                ("sales", nouns.ACCOUNT_TYPE_REVENUE),
                ("wallet", nouns.ACCOUNT_TYPE_LIABILITY),
                ("club", nouns.ACCOUNT_TYPE_LIABILITY),
            )
        ),
        chart_pb.AccountFamily(
            pattern="user:{id}",
            parameters={"id": template_pb2.PARAMETER_TYPE_INT},
            type=nouns.ACCOUNT_TYPE_LIABILITY,
            assets=["USD", "PT"],
            limits=[nouns.BalanceLimit(asset="USD", balance_min="0", balance_max="900")],
            opens_on_first_posting=True,
            limits_include_zero=True,
            description="wer ✓",
        ),
    ],
    kinds=[
        chart_pb.Kind(
            name="sale",
            idempotency=chart_pb.IDEMPOTENCY_RULE_OPTIONAL,
            numbering=chart_pb.Numbering(name="receipts"),
            role=member_pb.ROLE_POSTER,
        ),
        chart_pb.Kind(name="fix", idempotency=chart_pb.IDEMPOTENCY_RULE_NONE, role=member_pb.ROLE_ACCOUNTANT),
        chart_pb.Kind(name="*", idempotency=chart_pb.IDEMPOTENCY_RULE_OPTIONAL, required_metadata=[]),
    ],
    sets=[
        chart_pb.AccountSet(name="owed", accounts=["wallet"], prefixes=["user"], description="alle ✓"),
        chart_pb.AccountSet(name="all", accounts=["other", "cash"], sets=["owed"]),
    ],
)


def read_journal(database: Database, name: str) -> list[dict[str, Any]]:
    """The records of a ledger as the document names their fields, straight from the tables."""
    with psycopg.connect(database.owner_url, row_factory=dict_row) as connection:

        def rows(relation: str, order: str = "sequence") -> list[dict[str, Any]]:
            return connection.execute(
                f"select * from ledger.{relation} where ledger_id ="
                f" (select ledger_id from ledger.directory where name = %s) order by {order}".encode(),
                [name],
            ).fetchall()

        codes = {row["asset_id"]: row["code"] for row in rows("assets")}
        accounts = {row["account_id"]: row["name"] for row in rows("accounts")}
        entries: dict[int, list[dict[str, Any]]] = {}
        for row in rows("entries", "sequence, index"):
            entries.setdefault(row["sequence"], []).append(
                {
                    "side": row["side"],
                    "account": accounts[row["account_id"]],
                    "amount": str(row["amount"]),
                    "asset": codes[row["asset_id"]],
                }
            )
        found = [
            {**row, "record": relation.removesuffix("s")}
            for relation in ("ledgers", "assets", "accounts", "members", "charts", "transactions")
            for row in rows(relation)
        ]
    for record in found:
        for field in ("record_time", "effective_time"):
            if field in record:
                moment = record[field]
                record[field] = int(moment.timestamp()) * 1_000_000 + moment.microsecond
                if moment.timestamp() < 0 and moment.microsecond:
                    record[field] -= 1_000_000
        if "salt" in record:
            record["salt"] = record["salt"].hex()
        if record["record"] == "account":
            record["limits"] = [
                {"asset": codes[int(asset_id)], "balance_min": None, "balance_max": None, **bounds}
                for asset_id, bounds in (record["limits"] or {}).items()
            ]
        if record["record"] == "transaction":
            record["opened"] = [
                one for one in found if one.get("opened_by_posting") and one["sequence"] == record["sequence"]
            ]
            record["entries"] = entries[record["sequence"]]
            record["idempotency_key"] = record["idempotency_key"] or ""
            record["reverses"] = record["reverses"] or 0
    alone = (record for record in found if not record.get("opened_by_posting"))
    return sorted(alone, key=lambda record: record["sequence"])


@pytest.mark.parametrize("file", VECTOR_FILES, ids=list(FROZEN))
def test_the_vectors_are_frozen(file: Path) -> None:
    # Whoever must change a line of FROZEN has changed the chain of every journal that exists.
    assert sha256(file.read_bytes()).hexdigest() == FROZEN[file.name]
