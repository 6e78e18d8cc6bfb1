"""The reference ledger itself: apart from the service, in the documented order, and it finds a difference."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster
from oracle.drive import START, Drive, Step
from oracle.forms import CODES, Fields, Refused
from oracle.playing import play, shortened
from oracle.templated import Templated

HERE = Path(__file__).parent


def lines(debit: str, credit: str, amount: str = "10", asset: str = "USD") -> list[Fields]:
    return [
        {"account": debit, "side": 1, "amount": amount, "asset": asset},
        {"account": credit, "side": 2, "amount": amount, "asset": asset},
    ]


def asked(method: str, **fields: Any) -> Step:
    return "ask", method, {"ledger": "main", **fields}


def post(debit: str, credit: str, amount: str = "10", **fields: Any) -> Step:
    return asked("Post", entries=lines(debit, credit, amount), **fields)


BOUND = {"asset": "USD", "balance_min": "0", "balance_max": "100"}
BOOKS: list[Step] = [
    ("ask", "CreateLedger", {"name": "main"}),
    asked("CreateAsset", code="USD", scale=2),
    asked("CreateAsset", code="XAU", scale=0),
    asked("CreateAccount", account={"name": "cash", "type": 1}),
    asked(
        "BatchCreateAccounts",
        accounts=[
            {"name": "sales", "type": 4},
            {
                "name": "card",
                "type": 2,
                "limits": [{"asset": "USD", "balance_min": "0", "balance_max": "100"}],
            },
        ],
    ),
]


@pytest.fixture
def drive(cluster: Cluster) -> Iterator[Drive]:
    """Both sides with two assets, three accounts and one bound."""
    with cluster.database() as database:
        drive = Drive(cluster, database.app_url)
        try:
            for _, method, fields in BOOKS:
                drive.ask(method, fields)
            yield drive
        finally:
            drive.close()


def reason(drive: Drive, step: Step) -> str:
    """The reason for which both sides refuse."""
    answer = drive.ask(*step[1:])
    assert isinstance(answer, Refused), answer
    return answer.reason


def test_the_reference_imports_nothing_of_the_service_nor_of_grpc() -> None:
    imported = set()
    for name in ("accounts", "charted", "forms", "reference"):
        for node in ast.walk(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {one.name.split(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])

    assert imported <= {
        "__future__",
        "collections",
        "copy",
        "hashlib",
        "operator",
        "oracle",
        "re",
        "typing",
        "unicodedata",
    }


def test_every_reason_of_the_reference_is_documented_with_its_status() -> None:
    documented = (HERE.parents[1] / "docs" / "errors.md").read_text(encoding="utf-8")

    for reason, code in CODES.items():
        assert f"| `{reason}` | {code} |" in documented, reason


def test_a_reversed_charge_leaves_the_top_up_and_the_bonus(drive: Drive) -> None:
    drive.ask("CreateAccount", {"ledger": "main", "account": {"name": "wallet", "type": 2}})
    for step in (
        post("cash", "wallet", "1000"),
        post("wallet", "sales", "400"),
        post("cash", "wallet", "50"),
    ):
        drive.ask(*step[1:])

    drive.ask("Reverse", {"ledger": "main", "transaction": {"sequence": 9}})

    answer = drive.ask("GetBalance", {"ledger": "main", "account": "wallet"})
    assert isinstance(answer, dict)
    assert [one["posted"] for one in answer["balances"]] == ["1050"]


def test_a_post_that_deserves_every_refusal_gets_them_in_the_documented_order(drive: Drive) -> None:
    """Each step takes one fault away; the next in the order stands then."""
    drive.ask(*post("cash", "card", "60", idempotency_key="k")[1:])
    most = "9" * 38
    faulty = [
        *lines("cash", "sales", most),
        *lines("cash", "sales", most),
        *lines("nobody", "sales", "1", "EUR"),
        *lines("cash", "card", "50"),
    ]
    uneven = [*faulty, *lines("cash", "card", "1")[:1]]
    wrong = [*uneven, {"account": "cash", "side": 1, "amount": "0", "asset": "USD"}]
    unnamed: Fields = {"ledger": "nobody", "idempotency_key": "k", "entries": wrong}

    reasons = [
        reason(drive, ("ask", "Post", fields))
        for fields in (
            {**unnamed, "kind": "k" * 65},
            unnamed,
            {**unnamed, "entries": uneven},
            {**unnamed, "entries": faulty},
            {**unnamed, "ledger": "main", "entries": faulty},
            {"ledger": "main", "entries": faulty},
            {"ledger": "main", "entries": [*faulty[:4], *lines("cash", "sales", "1", "EUR"), *faulty[6:]]},
            {"ledger": "main", "entries": [*faulty[:4], *faulty[6:]]},
            {"ledger": "main", "entries": faulty[6:]},
        )
    ]

    assert reasons == [
        "VALIDATION_FAILED",
        "AMOUNT_INVALID",
        "UNBALANCED_TRANSACTION",
        "LEDGER_NOT_FOUND",
        "IDEMPOTENCY_KEY_REUSED",
        "ACCOUNT_NOT_FOUND",
        "ASSET_NOT_FOUND",
        "AMOUNT_OVERFLOW",
        "BALANCE_LIMIT_EXCEEDED",
    ]


def test_what_is_larger_than_a_request_may_be_is_refused_on_both_sides(drive: Drive) -> None:
    one = {"post": {"entries": lines("cash", "sales")}}
    wide = {"post": {"entries": lines("cash", "sales") * 500}}

    assert reason(drive, asked("PostBatch", operations=[one] * 8193)) == "BATCH_TOO_LARGE"
    assert reason(drive, asked("PostBatch", operations=[*[wide] * 65, one, *[wide]])) == "BATCH_TOO_LARGE"
    assert reason(drive, asked("Post", entries=lines("cash", "sales") * 501)) == "VALIDATION_FAILED"
    drafts = [{"name": f"a:{number}", "type": 1} for number in range(1001)]
    assert reason(drive, asked("BatchCreateAccounts", accounts=drafts)) == "VALIDATION_FAILED"


def test_pages_hold_a_thousand_at_most_on_both_sides(drive: Drive) -> None:
    wide = {"post": {"entries": lines("cash", "sales") * 500}}
    drive.ask("PostBatch", {"ledger": "main", "operations": [wide] * 3})
    for batch in range(2):
        drafts = [{"name": f"a:{batch}:{number}", "type": 1} for number in range(501)]
        drive.ask("BatchCreateAccounts", {"ledger": "main", "accounts": drafts})

    for method, rows, fields in (
        ("ListEntries", "entries", {"account": "sales"}),
        ("ListAccounts", "accounts", {"prefix": "a"}),
    ):
        asks = {"ledger": "main", **fields, "page_size": 1_001}
        first = drive.ask(method, asks)
        assert isinstance(first, dict)
        rest = drive.ask(method, {**asks, "page_token": first["next_page_token"]})
        assert isinstance(rest, dict)
        assert (len(first[rows]), rest["next_page_token"]) == (1_000, "")


def test_the_same_key_with_each_field_changed_added_or_left_out_is_refused_alike(drive: Drive) -> None:
    full: Fields = {
        "entries": lines("cash", "sales"),
        "kind": "sale",
        "effective_time": (START, 5_000),
        "description": "paid",
        "metadata": {"order": "1"},
        "external_ref": "A1",
    }
    bare = {"entries": full["entries"]}
    for key, recorded, other in (("full", full, bare), ("bare", bare, full)):
        named = {"ledger": "main", "idempotency_key": key}
        drive.ask("Post", named | recorded)
        for field in full:
            changed = {name: value for name, value in recorded.items() if name != field}
            if field == "entries":
                changed[field] = lines("cash", "sales", "11")
            elif field in other:
                changed[field] = other[field]
            assert reason(drive, ("ask", "Post", named | changed)) == "IDEMPOTENCY_KEY_REUSED"
        assert reason(drive, ("ask", "Post", named | other)) == "IDEMPOTENCY_KEY_REUSED"
        again = drive.ask("Post", named | recorded)
        assert isinstance(again, dict)
        assert again["replayed"]


def test_later_pages_show_the_books_of_the_first(drive: Drive) -> None:
    """A reversal and a post since the first page are not on the pages after it."""
    for _ in range(3):
        drive.ask(*post("cash", "sales")[1:])
    asks = {"ledger": "main", "filter": {}, "page_size": 1}
    first = drive.ask("ListTransactions", asks)
    drive.ask("Reverse", {"ledger": "main", "transaction": {"sequence": 8}})
    drive.ask(*post("cash", "sales")[1:])

    assert isinstance(first, dict)
    second = drive.ask("ListTransactions", {**asks, "page_token": first["next_page_token"]})

    assert isinstance(second, dict)
    assert [(one["sequence"], one["reversed_by"]) for one in second["transactions"]] == [(8, 0)]


class OffByOne(Templated):
    """Reads the bounds as if reaching one were passing it."""

    def judge_bounds(self, book: Fields, name: str, asset: str, after: int) -> None:
        super().judge_bounds(book, name, asset, after)
        if book["accounts"][name]["limits"] and after == 0:
            raise Refused("INSUFFICIENT_FUNDS", account=name)


def test_a_difference_is_found_and_shortened_to_the_steps_it_needs(cluster: Cluster) -> None:
    steps = [
        *BOOKS,
        post("cash", "sales"),
        post("cash", "card"),
        asked("GetBalance", account="card"),
        post("cash", "sales"),
        post("card", "sales"),
        asked("TrialBalance", rows=1),
    ]
    play(cluster, steps)

    kept = shortened(cluster, steps, 60.0, OffByOne)

    assert kept == [steps[index] for index in (0, 1, 3, 4, 6, 9)]
