"""Every limit from both sides: the last that is taken, and the first that is refused."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from builders import CREDIT, DEBIT, entry
from callers import Teller, lines, post_operation, transaction_name
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from statuses import told

from ledger_server.domain.amounts import AMOUNT_MAX

YEAR_1, YEAR_9999 = -62_135_596_800, 253_402_300_799


def _lines_of(count: int) -> list[nouns.EntryDraft]:
    """As many balanced lines."""
    debits = [entry("cash", DEBIT, "1") for _ in range(count - 1)]
    return [*debits, entry("sales", CREDIT, str(count - 1))]


@pytest.mark.parametrize("count", [2, 1000])
def test_a_transaction_has_2_to_1000_entries(teller: Teller, count: int) -> None:
    posted = teller.post_entries(_lines_of(count))

    assert len(posted.transaction.entries) == count
    assert teller.balance("cash") == count - 1


@pytest.mark.parametrize("entries", [[], _lines_of(2)[:1], _lines_of(1001)], ids=["0", "1", "1001"])
def test_fewer_or_more_entries_are_refused(teller: Teller, entries: list[nouns.EntryDraft]) -> None:
    refusal = told(lambda: teller.post_entries(entries))

    assert refusal.reason == "VALIDATION_FAILED"
    assert refusal.fields == ["entries"]


def test_a_batch_has_up_to_8192_operations(teller: Teller) -> None:
    operations = [post_operation("cash", "sales", 1)] * 8192

    assert len(teller.batch(operations)) == 8192
    refusal = told(lambda: teller.batch([*operations, operations[0]]))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE")
    assert refusal.facts["operations"] == "8193"
    assert teller.balance("cash") == 8192


def test_a_batch_has_up_to_65536_entries(teller: Teller) -> None:
    thousand = pb.Operation(post=pb.PostOperation(entries=_lines_of(1000)))
    rest = pb.Operation(post=pb.PostOperation(entries=_lines_of(536)))
    more = pb.Operation(post=pb.PostOperation(entries=_lines_of(537)))

    refusal = told(lambda: teller.batch([*[thousand] * 65, more]))
    results = teller.batch([*[thousand] * 65, rest])

    assert refusal.reason == "BATCH_TOO_LARGE"
    assert refusal.facts["entries"] == "65537"
    assert all(result.sequence for result in results)


def test_an_empty_batch_is_refused(teller: Teller) -> None:
    assert told(lambda: teller.batch([])).fields == ["operations"]


@pytest.mark.criterion("S004-7")
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("k" * 128, "k" * 128),
        ("é" * 128, "é" * 128),
        (" \t k \n", "k"),
        ("\u2003" + "k" * 128 + "\u00a0", "k" * 128),
        ("a b", "a b"),
    ],
)
def test_a_key_has_up_to_128_characters_and_is_trimmed(teller: Teller, given: str, kept: str) -> None:
    posted = teller.post("cash", "sales", 1, given)

    assert posted.transaction.idempotency_key == kept
    assert teller.post("cash", "sales", 1, kept).replayed
    assert teller.transaction(given).sequence == posted.transaction.sequence


@pytest.mark.criterion("S004-7")
@pytest.mark.parametrize("key", ["k" * 129, "k\x00"])
def test_a_longer_key_is_refused(teller: Teller, key: str) -> None:
    refusal = told(lambda: teller.post("cash", "sales", 1, key))

    assert (refusal.reason, refusal.fields) == ("VALIDATION_FAILED", ["idempotency_key"])


@pytest.mark.criterion("S004-7")
@pytest.mark.parametrize("key", ["", " ", "\t\n\u2003"])
def test_a_key_of_spaces_is_none(teller: Teller, key: str) -> None:
    first = teller.post("cash", "sales", 1, key)
    second = teller.post("cash", "sales", 1, key)

    assert not second.replayed
    assert first.transaction.idempotency_key == second.transaction.idempotency_key == ""
    assert told(lambda: teller.transaction(key or " ")).fields == ["transaction.idempotency_key"]


@pytest.mark.criterion("S004-13")
@pytest.mark.parametrize(("field", "length_max"), [("description", 255), ("external_ref", 255), ("kind", 64)])
def test_texts_are_kept_as_they_are_up_to_their_length(teller: Teller, field: str, length_max: int) -> None:
    text = ("a 'quoted' \\ é🎉\n\t" * 20)[:length_max]

    posted = teller.post("cash", "sales", 1, **{field: text})
    refusal = told(lambda: teller.post("cash", "sales", 1, **{field: text + "x"}))

    assert getattr(teller.transaction(posted.transaction.sequence), field) == text
    assert (refusal.reason, refusal.fields) == ("VALIDATION_FAILED", [field])
    assert told(lambda: teller.post("cash", "sales", 1, **{field: "\x00"})).fields == [field]


@pytest.mark.parametrize(
    "metadata",
    [
        {f"key {number}": "" for number in range(64)},
        {"k" * 64: "v" * 1024},
        {f"{number}": "v" * 1023 for number in range(8)},
        {'"quoted"': '{"json": \\u0000}', "é": "🎉", "a.b": "\n"},
    ],
    ids=["64 keys", "longest", "8 KiB", "odd characters"],
)
def test_metadata_up_to_its_bounds_is_kept(teller: Teller, metadata: dict[str, str]) -> None:
    posted = teller.post("cash", "sales", 1, "k", metadata=metadata)

    assert dict(teller.transaction(posted.transaction.sequence).metadata) == metadata
    assert teller.post("cash", "sales", 1, "k", metadata=metadata).replayed


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({f"{number}": "" for number in range(65)}, "metadata"),
        ({"k" * 65: ""}, "metadata"),
        ({"k": "v" * 1025}, "metadata['k']"),
        ({f"{number}": "v" * 1024 for number in range(8)}, "metadata"),
        ({"": "v"}, "metadata"),
        ({"k": "\x00"}, "metadata['k']"),
    ],
    ids=["65 keys", "long key", "long value", "8 KiB and more", "empty key", "null character"],
)
def test_metadata_beyond_its_bounds_is_refused(teller: Teller, metadata: dict[str, str], field: str) -> None:
    refusal = told(lambda: teller.post("cash", "sales", 1, metadata=metadata))

    assert (refusal.reason, refusal.fields) == ("VALIDATION_FAILED", [field])


@pytest.mark.parametrize(
    "name", ["x" * 255, "é" * 255, "a b:c d", "資産:現金", "$:€", "\U0001f4b0", "a'b\"c\\d%s"]
)
def test_account_names_are_kept_as_they_are(teller: Teller, name: str) -> None:
    teller.open_account(name)
    teller.post("cash", name, 3)

    assert teller.balance(name) == 3
    assert teller.page(filter=pb.TransactionFilter(account=name)).transactions[0].entries[1].account == name


@pytest.mark.parametrize(
    "name",
    ["", "x" * 256, "a::b", ":a", "a:", " a", "a: b", "a\tb", "a\x00", "cafe\u0301", "a\u200bb", "a\u2028b"],
)
def test_account_names_of_another_form_are_refused_everywhere(teller: Teller, name: str) -> None:
    opened = told(lambda: teller.open_account(name))
    posted = told(lambda: teller.post(name, "sales", 1))
    read = told(lambda: teller.balance(name))

    assert (opened.reason, opened.fields) == ("VALIDATION_FAILED", ["account.name"])
    assert (posted.reason, posted.fields) == ("VALIDATION_FAILED", ["entries[0].account"])
    assert (read.reason, read.fields) == ("VALIDATION_FAILED", ["account"])


@pytest.mark.parametrize("name", ["", "a:", "x" * 256])
def test_a_ledger_s_name_has_the_form_of_an_account_s(teller: Teller, name: str) -> None:
    create = admin_pb.CreateLedgerRequest(name=name)

    assert told(lambda: teller.server.admin.CreateLedger(create)).fields == ["name"]
    assert told(lambda: Teller(teller.server, name).post("cash", "sales", 1)).fields == ["ledger"]


@pytest.mark.parametrize(("code", "scale"), [("x" * 32, 0), ("€", 36), ("BTC", 8)])
def test_assets_up_to_their_bounds_are_created(teller: Teller, code: str, scale: int) -> None:
    teller.create_asset(code, scale)
    teller.post("cash", "sales", AMOUNT_MAX, asset=code)

    assert teller.balance("cash", code) == AMOUNT_MAX


@pytest.mark.parametrize(
    ("code", "scale", "field"),
    [("", 2, "code"), ("x" * 33, 2, "code"), ("U D", 2, "code"), ("USD", -1, "scale"), ("USD", 37, "scale")],
)
def test_assets_beyond_their_bounds_are_refused(teller: Teller, code: str, scale: int, field: str) -> None:
    refusal = told(lambda: teller.create_asset(code, scale))

    assert (refusal.reason, refusal.fields) == ("VALIDATION_FAILED", [field])


@pytest.mark.criterion("S003-9", "S004-3")
@pytest.mark.parametrize("amount", ["1", str(2**63 - 1), str(2**63), "9" * 38])
def test_amounts_of_1_to_38_digits_are_exact(teller: Teller, amount: str) -> None:
    posted = teller.post("cash", "sales", amount)

    assert [one.amount for one in posted.transaction.entries] == [amount, amount]
    assert [one.balance_after for one in posted.transaction.entries] == [amount, amount]
    assert teller.balance("sales") == int(amount)


@pytest.mark.criterion("S003-9", "S004-5")
@pytest.mark.parametrize(
    "amount", ["0", "-1", "01", "+1", "1e3", "1.0", " 1", "1 ", "", "١", "1" + "0" * 38, "0x1", "1_0", "NaN"]
)
def test_anything_else_is_no_amount(teller: Teller, amount: str) -> None:
    refusal = told(lambda: teller.post("cash", "sales", amount))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "AMOUNT_INVALID")
    assert refusal.fields == ["entries[0].amount", "entries[1].amount"]


@pytest.mark.criterion("S004-3")
@pytest.mark.parametrize("side", [0, 3, -1])
def test_a_side_is_debit_or_credit(teller: Teller, side: int) -> None:
    refusal = told(lambda: teller.post_entries([entry("cash", side, "1"), entry("sales", CREDIT, "1")]))

    assert (refusal.reason, refusal.fields) == ("VALIDATION_FAILED", ["entries[0].side"])


@pytest.mark.criterion("S003-9")
def test_a_balance_that_would_need_39_digits_is_refused_and_never_wraps(teller: Teller) -> None:
    teller.post("cash", "sales", AMOUNT_MAX)

    up = told(lambda: teller.post("cash", "other", 1))
    down = told(lambda: teller.post("other", "sales", 1))

    assert (up.code, up.reason) == (grpc.StatusCode.OUT_OF_RANGE, "AMOUNT_OVERFLOW")
    assert (up.facts, down.facts) == (
        {"account": "cash", "asset": "USD"},
        {"account": "sales", "asset": "USD"},
    )
    assert teller.balance("cash") == AMOUNT_MAX
    # Gross sums may be longer than a balance.
    teller.post("sales", "cash", AMOUNT_MAX)
    assert teller.trial_balance().totals[0].total_debits == str(2 * AMOUNT_MAX)


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        ({"balance_min": "-0"}, "balance_min"),
        ({"balance_min": "1" + "0" * 38}, "balance_min"),
        ({"balance_max": ""}, "balance_max"),
        ({"balance_max": "١"}, "balance_max"),
        ({"balance_min": "1"}, ""),
        ({"balance_max": "-1"}, ""),
        ({"balance_min": "1", "balance_max": "0"}, ""),
    ],
)
def test_bounds_are_numbers_that_let_a_new_account_stand(
    teller: Teller, bounds: dict[str, str], field: str
) -> None:
    refusal = told(lambda: teller.open_account("jar", **bounds))

    assert refusal.reason == "VALIDATION_FAILED"
    assert refusal.fields == [f"account.limits[0].{field}".rstrip(".")]


def test_bounds_of_38_digits_are_kept(teller: Teller) -> None:
    opened = teller.open_account("jar", balance_min=str(-AMOUNT_MAX), balance_max=str(AMOUNT_MAX))

    assert opened.account.limits[0].balance_min == str(-AMOUNT_MAX)
    teller.post("cash", "jar", AMOUNT_MAX)
    assert teller.balance("jar") == AMOUNT_MAX


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Timestamp(seconds=YEAR_1), Timestamp(seconds=YEAR_1)),
        (Timestamp(seconds=YEAR_9999, nanos=999_999_999), Timestamp(seconds=YEAR_9999, nanos=999_999_000)),
        (Timestamp(), Timestamp()),
        (Timestamp(seconds=-1, nanos=1_999), Timestamp(seconds=-1, nanos=1_000)),
    ],
    ids=["year 1", "year 9999", "1970", "before 1970"],
)
def test_times_of_years_1_to_9999_are_kept_in_microseconds(
    teller: Teller, given: Timestamp, kept: Timestamp
) -> None:
    posted = teller.post("cash", "sales", 1, "k", effective_time=given)
    until = Timestamp(seconds=kept.seconds, nanos=kept.nanos)
    listed = teller.page(filter=pb.TransactionFilter(effective_time_from=until)).transactions

    assert teller.transaction(posted.transaction.sequence).effective_time == kept
    assert [one.sequence for one in listed] == [posted.transaction.sequence]
    assert teller.post("cash", "sales", 1, "k", effective_time=given).replayed


@pytest.mark.parametrize(
    "time",
    [
        Timestamp(seconds=YEAR_1 - 1),
        Timestamp(seconds=YEAR_9999 + 1),
        Timestamp(nanos=-1),
        Timestamp(nanos=1_000_000_000),
    ],
    ids=["year 0", "year 10000", "negative nanos", "too many nanos"],
)
def test_other_times_are_refused(teller: Teller, time: Timestamp) -> None:
    posted = told(lambda: teller.post("cash", "sales", 1, effective_time=time))
    listed = told(lambda: teller.page(filter=pb.TransactionFilter(record_time_from=time)))

    assert (posted.reason, posted.fields) == ("VALIDATION_FAILED", ["effective_time"])
    assert listed.fields == ["filter.record_time_from"]


@pytest.mark.parametrize("name", [0, -1])
def test_a_sequence_that_names_is_positive(teller: Teller, name: int) -> None:
    request = pb.GetTransactionRequest(ledger=teller.ledger, transaction=transaction_name(name))

    assert told(lambda: teller.server.ledgers.GetTransaction(request)).fields == ["transaction.sequence"]


def test_a_read_asks_for_no_negative_sequence(teller: Teller) -> None:
    at = told(lambda: teller.balance("cash", at_sequence=-1, min_sequence=-1))

    assert at.fields == ["at_sequence", "min_sequence"]


def test_1000_balances_and_1000_accounts_are_asked_for_at_once(teller: Teller) -> None:
    from ledger.v1 import account_service_pb2 as accounts_pb

    drafts = [accounts_pb.AccountDraft(name=f"a:{n}", type=nouns.ACCOUNT_TYPE_ASSET) for n in range(1000)]
    names = [pb.BalanceName(account=draft.name, asset="USD") for draft in drafts]

    def open_all(drafts: list[Any]) -> Any:
        request = accounts_pb.BatchCreateAccountsRequest(ledger=teller.ledger, accounts=drafts)
        return teller.server.accounts.BatchCreateAccounts(request, timeout=30)

    def balances(names: list[Any]) -> Any:
        request = pb.BatchGetBalancesRequest(ledger=teller.ledger, names=names)
        return teller.server.ledgers.BatchGetBalances(request, timeout=30)

    assert len(open_all(drafts).accounts) == 1000
    assert {one.balances[0].posted for one in balances(names).accounts} == {"0"}
    assert told(lambda: open_all([*drafts, drafts[0]])).fields == ["accounts"]
    assert told(lambda: open_all([])).fields == ["accounts"]
    assert told(lambda: balances([*names, names[0]])).fields == ["names"]
    assert told(lambda: balances([])).fields == ["names"]


def test_every_violation_is_told_at_once_within_20_and_4_kib(teller: Teller) -> None:
    request = pb.PostRequest(
        ledger="",
        idempotency_key="k" * 129,
        kind="k" * 65,
        entries=[entry("", 0, "-1", "")] * 2,
        metadata={"": ""},
    )

    refusal = told(lambda: teller.server.ledgers.Post(request))

    assert refusal.fields == [
        "ledger",
        *(f"entries[{index}].{part}" for index in (0, 1) for part in ("account", "side", "amount", "asset")),
        "idempotency_key",
        "kind",
        "metadata",
    ]
    assert "and 11 more" in refusal.message


@pytest.mark.parametrize("name", ["x" * 256, "é" * 300, "\u0007" * 300])
def test_a_status_stays_within_4_kib_whatever_is_wrong(teller: Teller, name: str) -> None:
    faulty = [entry(name, 0, name, name)] * 1000

    refusal = told(lambda: teller.post_entries(faulty, name, metadata={name: name}))

    assert 1 <= len(refusal.violations) <= 20
    assert refusal.size_bytes <= 4096
    assert all(refusal.violations)


@pytest.mark.parametrize("letter", ["x", "é", "資"])
def test_the_facts_of_a_refusal_stay_within_4_kib(teller: Teller, letter: str) -> None:
    name = letter * 255
    teller.open_account(name, balance_min=str(-AMOUNT_MAX + 1))

    refusal = told(lambda: teller.post(name, "cash", AMOUNT_MAX))

    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert refusal.facts["account"].startswith(letter * 100)
    assert refusal.size_bytes <= 4096


def test_lines_of_one_account_may_stand_on_both_sides(teller: Teller) -> None:
    posted = teller.post_entries(lines("cash", "cash", 5))

    assert [one.balance_after for one in posted.transaction.entries] == ["5", "0"]
