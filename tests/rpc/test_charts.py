"""Charts over the wire: form, versions, conflicts, and what a chart does to posts and reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from callers import Teller, lines, refusal_of
from charts import (
    ASSET,
    INT,
    LIABILITY,
    NONE,
    REQUIRED,
    SALE,
    SLUG,
    TELLERS,
    TILLS,
    USD,
    USERS,
    UUID,
    chart,
    family,
    kind,
)
from clusters import Database
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import chart_service_pb2 as pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as ledger_pb
from society import Society, society
from statuses import told, told_by

from ledger_server.domain.members import Role

ANN = "123e4567-e89b-12d3-a456-426614174000"
WILD = kind("*")


def get(teller: Teller, version: int = 0, **more: Any) -> pb.GetChartResponse:
    """A GetChart."""
    return teller.charts.GetChart(pb.GetChartRequest(ledger=teller.ledger, version=version, **more))


# versions -----------------------------------------------------------------------------------------


def test_a_chart_is_applied_answered_and_replayed(teller: Teller) -> None:
    asked = chart(USERS, TILLS, kinds=(SALE, WILD))
    head = teller.head()

    applied = teller.apply_chart(asked)

    assert not applied.replayed
    version = applied.chart
    assert (version.version, version.sequence, version.created_by) == (1, head + 1, "anonymous")
    assert len(version.hash) == 32
    assert [one.pattern for one in version.chart.families] == sorted(one.pattern for one in asked.families)
    assert [one.name for one in version.chart.kinds] == ["*", "sale"]
    assert get(teller).chart == get(teller, 1).chart == version
    assert teller.apply_chart(asked, 5) == pb.ApplyChartResponse(
        chart=version,
        changes=pb.ChartChanges(
            assets=pb.Difference(),
            families=pb.Difference(),
            kinds=pb.Difference(),
            templates=pb.Difference(),
            sets=pb.Difference(),
        ),
        replayed=True,
    )
    assert teller.head() == head + 1


def test_every_field_of_a_chart_comes_back(teller: Teller) -> None:
    full = family(
        "u:{a}:x y:{b}",
        LIABILITY,
        {"a": UUID, "b": SLUG},
        assets=["EUR", "USD"],
        limits=[
            nouns.BalanceLimit(asset="EUR", balance_max="9" * 38),
            nouns.BalanceLimit(asset="USD", balance_min="-5", balance_max="0"),
        ],
        opens_on_first_posting=True,
        limits_include_zero=True,
        description="d ✓",
    )
    asked = chart(full, kinds=(kind("k", NONE, "s", "u:{any}", required_metadata=["a", "b"]),))
    asked.assets.insert(0, pb.ChartAsset(code="EUR", scale=36))

    applied = teller.apply_chart(asked).chart.chart

    assert applied.families[-2] == full
    assert list(applied.kinds) == list(asked.kinds)
    assert list(applied.assets) == list(asked.assets)


def test_a_change_names_the_version_that_it_replaces(teller: Teller) -> None:
    teller.apply_chart(chart())

    for version in (0, 2):
        refusal = told(lambda version=version: teller.apply_chart(chart(USERS), version))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
        assert refusal.facts == {"version": "1"}

    second = teller.apply_chart(chart(USERS, kinds=(WILD,)), 1)
    assert second.chart.version == 2
    assert list(second.changes.families.added) == ["users:{id}"]
    assert list(second.changes.kinds.added) == ["*"]
    assert get(teller, 1).chart.chart == pb.Chart(assets=[USD], families=TELLERS)


def test_what_is_validated_only_is_not_applied(teller: Teller) -> None:
    asked = chart(USERS)
    asked.assets.add(code="EUR", scale=2)
    head = teller.head()

    tried = teller.apply_chart(asked, validate_only=True)

    assert (tried.chart.version, tried.chart.sequence, tried.chart.hash) == (1, 0, b"")
    assert list(tried.changes.assets.added) == ["EUR", "USD"]
    assert teller.head() == head
    assert refusal_of(lambda: get(teller)).reason == "CHART_NOT_FOUND"
    teller.create_asset("EUR", 5)
    conflict = refusal_of(lambda: teller.apply_chart(asked, validate_only=True))
    assert conflict.reason == "CHART_CONFLICT"


def test_a_chart_that_is_not_there_is_not_found(teller: Teller) -> None:
    refusal = told(lambda: get(teller, 3))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "CHART_NOT_FOUND")
    assert told(lambda: get(teller, -1)).fields == ["version"]


# form ---------------------------------------------------------------------------------------------

FAULTY: dict[str, tuple[pb.Chart, list[str]]] = {
    "an asset's scale and code": (
        pb.Chart(assets=[pb.ChartAsset(code="U D", scale=37)]),
        ["chart.assets[0].code", "chart.assets[0].scale"],
    ),
    "a type, a parameter's type": (
        pb.Chart(families=[family("a", 0), family("b:{x}", ASSET, {"x": 9})]),
        ["chart.families[0].type", "chart.families[1].parameters['x']"],
    ),
    "patterns": (
        pb.Chart(families=[family("a::b", ASSET), family("{x}", ASSET), family("c", ASSET, {"x": INT})]),
        ["chart.families[0].pattern", "chart.families[1].parameters", "chart.families[2].parameters"],
    ),
    "a pattern that may match what another one does": (
        pb.Chart(families=[family("a:{x}", ASSET, {"x": SLUG}), family("a:{x}", ASSET, {"x": INT})]),
        ["chart.families[1].pattern"],
    ),
    "an asset that the chart has not": (
        pb.Chart(families=[family("a", ASSET, assets=["USD"])]),
        ["chart.families[0].assets"],
    ),
    "a limit of another asset": (
        pb.Chart(
            assets=[USD, pb.ChartAsset(code="EUR", scale=2)],
            families=[
                family("a", ASSET, assets=["USD"], limits=[nouns.BalanceLimit(asset="EUR", balance_min="0")])
            ],
        ),
        ["chart.families[0].limits"],
    ),
    "a limit that excludes zero": (
        pb.Chart(
            assets=[USD],
            families=[family("a", ASSET, limits=[nouns.BalanceLimit(asset="USD", balance_min="1")])],
        ),
        ["chart.families[0].limits[0]"],
    ),
    "a kind without a rule": (pb.Chart(kinds=[pb.Kind(name="a")]), ["chart.kinds[0].idempotency"]),
    "kinds": (
        pb.Chart(
            kinds=[
                kind(""),
                kind("k" * 65),
                kind("a", required_metadata=["", "x", "x"]),
                kind("a", series="s:s"),
                kind("b", series="s", per="{X}"),
            ]
        ),
        [
            "chart.kinds[0].name",
            "chart.kinds[1].name",
            "chart.kinds[2].required_metadata[0]",
            "chart.kinds[2].required_metadata",
            "chart.kinds[3].name",
            "chart.kinds[3].numbering.name",
            "chart.kinds[4].numbering.per",
        ],
    ),
    "a description": (
        pb.Chart(families=[family("a", ASSET, description="d" * 256)]),
        ["chart.families[0].description"],
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_every_fault_of_a_chart_is_told_with_its_field(teller: Teller, name: str) -> None:
    asked, fields = FAULTY[name]

    refusal = told(lambda: teller.apply_chart(asked))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert refusal.fields == fields


def sized(**counts: int) -> pb.Chart:
    """A chart with so many of each."""
    families = [
        *TELLERS,
        *(
            family(f"f{number}:{{id}}", ASSET, {"id": UUID})
            for number in range(counts.get("families", 4) - 4)
        ),
    ]
    assets = [
        USD,
        *(pb.ChartAsset(code=f"A{number:03}", scale=0) for number in range(counts.get("assets", 1) - 1)),
    ]
    kinds = [kind(f"k{number}") for number in range(counts.get("kinds", 0))]
    of_family = [asset.code for asset in assets[: counts.get("of_family", 0)]]
    families[0] = family("cash", ASSET, assets=of_family)
    if "metadata" in counts:
        kinds.append(kind("m", required_metadata=[f"m{number}" for number in range(counts["metadata"])]))
    return pb.Chart(assets=assets, families=families, kinds=kinds)


EDGES = {
    "families": (256, {}),
    "assets": (256, {}),
    "kinds": (256, {}),
    "of_family": (64, {"assets": 70}),
    "metadata": (32, {}),
}


@pytest.mark.parametrize("what", EDGES)
def test_a_chart_has_so_many_of_each_and_no_more(teller: Teller, what: str) -> None:
    most, others = EDGES[what]

    refusal = told(lambda: teller.apply_chart(sized(**others, **{what: most + 1})))
    teller.apply_chart(sized(**others, **{what: most}))

    assert refusal.reason == "VALIDATION_FAILED"
    if what == "families":
        teller.open_account(f"f251:{ANN}", ASSET)


# conflicts ----------------------------------------------------------------------------------------


def test_a_chart_that_the_books_contradict_is_refused_with_the_offenders(teller: Teller) -> None:
    teller.create_asset("EUR", 2)
    teller.post("cash", "wallet", 5, asset="EUR")
    cash, other, sales, wallet = TELLERS
    wrong = pb.Chart(
        assets=[USD, pb.ChartAsset(code="EUR", scale=3)],
        families=[cash, family("other"), family("wallet", assets=["USD"])],
    )
    head = teller.head()

    refusal = told(lambda: teller.apply_chart(wrong))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CHART_CONFLICT")
    assert refusal.fields == [
        "assets['EUR']",
        "accounts['other']",
        "accounts['sales']",
        "accounts['wallet']",
    ]
    assert refusal.facts["offenders"] == "4"
    assert teller.head() == head
    teller.apply_chart(pb.Chart(families=[cash, other, sales, wallet]))


def test_a_limit_that_stands_and_excludes_zero_is_an_offender(teller: Teller) -> None:
    teller.create_asset("EUR", 2)
    limits = [nouns.BalanceLimit(asset=asset, balance_max="-1") for asset in ("EUR", "USD")]
    for name in ("cash", "other", "wallet"):
        teller.update(name, limits=limits)
    teller.update("other", 2, limits=[nouns.BalanceLimit(asset="USD", balance_min="-1", balance_max="0")])
    cash, other, sales, wallet = (
        family(one.pattern, one.type, limits_include_zero=one.pattern != "wallet") for one in TELLERS
    )
    asked = pb.Chart(families=[cash, other, sales, wallet])

    refusal = told(lambda: teller.apply_chart(asked))

    assert refusal.reason == "CHART_CONFLICT"
    assert refusal.violations == [
        ("accounts['cash']", "has limits in EUR, USD that exclude zero, which 'cash' may not have")
    ]
    teller.change("Close", "cash", 2)
    assert teller.apply_chart(asked).chart.version == 1


def test_a_family_that_has_accounts_cannot_be_removed(teller: Teller) -> None:
    teller.apply_chart(chart(USERS))
    teller.apply_chart(chart(), 1)
    teller.apply_chart(chart(USERS), 2)
    teller.post("cash", "users:7", 1)

    for without in (chart(), pb.Chart()):
        assert told(lambda without=without: teller.apply_chart(without, 3)).reason == "CHART_CONFLICT"


def test_many_offenders_are_counted_and_the_first_are_named(teller: Teller) -> None:
    drafts = [accounts_pb.AccountDraft(name=f"n{number}", type=ASSET) for number in range(1_000)]  # type: ignore[arg-type]
    for batch in range(6):
        for draft in drafts:
            draft.name = f"{'n' * (200 * (batch == 0) + 1)}{batch}:{draft.name.rpartition(':')[2]}"
        teller.server.accounts.BatchCreateAccounts(
            accounts_pb.BatchCreateAccountsRequest(ledger=teller.ledger, accounts=drafts), timeout=60
        )

    refusal = told(lambda: teller.apply_chart(chart()))

    assert refusal.facts["offenders"] == "6000"
    assert 1 <= len(refusal.violations) <= 20
    assert refusal.size_bytes <= 4 * 1024


# what a chart does ----------------------------------------------------------------------------------


@pytest.fixture
def charted(teller: Teller) -> Teller:
    """A ledger with users, shops, numbered sales, and gifts that need a reason."""
    gift = kind("gift", REQUIRED, required_metadata=["reason"])
    users = family(
        "users:{id}",
        LIABILITY,
        {"id": UUID},
        assets=["USD"],
        limits=[nouns.BalanceLimit(asset="USD", balance_min="0")],
        opens_on_first_posting=True,
    )
    asked = chart(users, TILLS, kinds=(SALE, gift, kind("top-up"), kind("never", NONE)))
    asked.assets.add(code="EUR", scale=2)
    teller.apply_chart(asked)
    return teller


def test_the_first_post_to_a_user_opens_the_account(charted: Teller) -> None:
    recorded = charted.post("cash", f"users:{ANN}", 100, kind="top-up").transaction

    request = accounts_pb.GetAccountRequest(ledger=charted.ledger, name=f"users:{ANN}")
    opened = charted.server.accounts.GetAccount(request).account
    assert (opened.sequence, opened.version, opened.type) == (recorded.sequence, 1, LIABILITY)
    assert opened.record_time == recorded.record_time
    assert list(opened.limits) == [nouns.BalanceLimit(asset="USD", balance_min="0")]
    assert charted.head() == recorded.sequence
    assert charted.balance(f"users:{ANN}") == 100


def test_an_account_of_a_family_that_nobody_opened_has_nothing(charted: Teller) -> None:
    name = f"users:{ANN}"

    assert charted.balance(name) == 0
    assert charted.balance(name, recompute=True) == 0
    assert list(charted.balances(name, "").balances) == []
    names = [ledger_pb.BalanceName(account=one, asset="USD") for one in (name, "cash")]
    request = ledger_pb.BatchGetBalancesRequest(ledger=charted.ledger, names=names)
    found = charted.server.ledgers.BatchGetBalances(request).accounts
    assert [(one.account, one.balances[0].posted) for one in found] == [(name, "0"), ("cash", "0")]
    assert refusal_of(lambda: charted.balance(name, "XAU")).reason == "ASSET_NOT_FOUND"
    for unknown in ("users", "users:ann", f"users:{ANN.upper()}"):
        assert refusal_of(lambda unknown=unknown: charted.balance(unknown)).reason == "ACCOUNT_NOT_FOUND"
    request = accounts_pb.GetAccountRequest(ledger=charted.ledger, name=name)  # type: ignore[assignment]
    assert refusal_of(lambda: charted.server.accounts.GetAccount(request)).reason == "ACCOUNT_NOT_FOUND"  # type: ignore[arg-type]


@pytest.mark.criterion("S001-6")
def test_no_limit_of_a_family_that_says_so_excludes_zero(teller: Teller) -> None:
    teller.apply_chart(chart(family("owed:{id}", ASSET, {"id": INT}, limits_include_zero=True)))

    def draft(number: int, **bounds: str) -> accounts_pb.AccountDraft:
        limit = nouns.BalanceLimit(asset="USD", **bounds)  # type: ignore[arg-type]
        return accounts_pb.AccountDraft(name=f"owed:{number}", type=ASSET, limits=[limit])  # type: ignore[arg-type]

    def create(given: accounts_pb.AccountDraft) -> accounts_pb.CreateAccountResponse:
        request = accounts_pb.CreateAccountRequest(ledger=teller.ledger, account=given)
        return teller.server.accounts.CreateAccount(request)

    create(draft(1, balance_max="100"))
    head = teller.head()

    batch = accounts_pb.BatchCreateAccountsRequest(
        ledger=teller.ledger, accounts=[draft(2, balance_max="5"), draft(3, balance_max="-1")]
    )
    below = [nouns.BalanceLimit(asset="USD", balance_max="-1")]
    above = [nouns.BalanceLimit(asset="USD", balance_min="1")]
    for call, fields in (
        (lambda: create(draft(2, balance_max="-1")), ["account.limits[0]"]),
        (lambda: teller.server.accounts.BatchCreateAccounts(batch), ["accounts[1].limits[0]"]),
        (lambda: teller.update("owed:1", limits=below), ["limits[0].balance_max"]),
        (lambda: teller.update("owed:1", limits=above), ["limits[0].balance_min"]),
    ):
        refusal = told(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
        assert refusal.fields == fields

    (opened,) = teller.batch([ledger_pb.Operation(open_account=draft(2, balance_max="-1"))])
    assert told_by(opened.status).fields == ["limits[0]"]
    assert teller.head() == head
    assert teller.update("owed:1", limits=[nouns.BalanceLimit(asset="USD", balance_max="0")])
    # Families that do not say so may have a balance that they must keep.
    assert teller.update("cash", limits=above).account.version == 2


REFUSALS: dict[str, tuple[Callable[[Teller], object], grpc.StatusCode, str]] = {
    "an unknown kind": (
        lambda teller: teller.post("cash", "sales", 1, kind="what"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "UNHANDLED_KIND",
    ),
    "no kind": (
        lambda teller: teller.post("cash", "sales", 1),
        grpc.StatusCode.INVALID_ARGUMENT,
        "UNHANDLED_KIND",
    ),
    "no key": (
        lambda teller: teller.post("cash", "sales", 1, kind="gift", metadata={"reason": "x"}),
        grpc.StatusCode.INVALID_ARGUMENT,
        "IDEMPOTENCY_KEY_REQUIRED",
    ),
    "a key": (
        lambda teller: teller.post("cash", "sales", 1, "k", kind="never"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "VALIDATION_FAILED",
    ),
    "no reason": (
        lambda teller: teller.post("cash", "sales", 1, "k", kind="gift"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "VALIDATION_FAILED",
    ),
    "another asset": (
        lambda teller: teller.post("cash", f"users:{ANN}", 1, kind="top-up", asset="EUR"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "ASSET_MISMATCH",
    ),
    "no user": (
        lambda teller: teller.post("cash", "users", 1, kind="top-up"),
        grpc.StatusCode.NOT_FOUND,
        "ACCOUNT_NOT_FOUND",
    ),
    "no money": (
        lambda teller: teller.post(f"users:{ANN}", "cash", 1, kind="top-up"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "INSUFFICIENT_FUNDS",
    ),
    "no shop": (
        lambda teller: teller.post("cash", "sales", 1, kind="sale"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "VALIDATION_FAILED",
    ),
    "an account of no family": (
        lambda teller: teller.open_account("users:7"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "VALIDATION_FAILED",
    ),
}


@pytest.mark.criterion("S002-1")
@pytest.mark.criterion("S002-4")
@pytest.mark.criterion("S003-6")
@pytest.mark.parametrize("what", REFUSALS)
def test_what_the_chart_does_not_allow_is_refused(charted: Teller, what: str) -> None:
    call, code, reason = REFUSALS[what]
    head = charted.head()

    refusal = told(lambda: call(charted))

    assert (refusal.code, refusal.reason) == (code, reason)
    assert charted.head() == head


def test_a_sale_is_numbered_and_keeps_its_number(charted: Teller) -> None:
    first = charted.post("shops:a:till", "sales", 5, "k", kind="sale").transaction
    again = charted.post("shops:a:till", "sales", 5, "k", kind="sale")
    tried = charted.post("shops:a:till", "sales", 5, kind="sale", validate_only=True).transaction
    undone = charted.reverse("k").transaction
    second = charted.post_entries(
        [*lines("shops:a:till", "sales", 1), *lines("cash", "sales", 1)], kind="sale"
    )

    assert (first.series, first.number) == ("receipts:shops:a", 1)
    assert again.replayed
    assert again.transaction == first
    assert (tried.series, tried.number, tried.sequence) == ("", 0, 0)
    assert (undone.series, undone.number) == ("", 0)
    assert second.transaction.number == 2
    assert charted.transaction("k").number == 1
    assert [one.number for one in charted.walk()] == [2, 0, 1]


# who may ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks")) as people:
        yield people


def test_a_chart_is_audited_and_not_for_narrowed_members(people: Society) -> None:
    ledger, admin = people.ledger()
    clerk = Teller(people.member(ledger, admin, Role.ACCOUNTANT), ledger)
    narrowed = Teller(people.member(ledger, admin, Role.ACCOUNTANT, prefixes=("shops",)), ledger)

    applied = clerk.apply_chart(pb.Chart(kinds=[WILD]))

    for call in (lambda: narrowed.apply_chart(pb.Chart(), 1), lambda: get(narrowed)):
        assert refusal_of(call).reason == "MEMBERSHIP_NARROWED"
    (event,) = [one for one in admin.events(ledger) if one.action == "CHART_APPLIED"]
    assert (event.subject, event.sequence) == ("1", applied.chart.sequence)
    assert applied.chart.created_by == event.actor


def test_a_narrowed_poster_opens_accounts_within_reach_and_sees_numbers_near(people: Society) -> None:
    ledger, admin = people.ledger()
    clerk = Teller(people.member(ledger, admin, Role.ACCOUNTANT, Role.POSTER, Role.READER), ledger)
    clerk.apply_chart(
        pb.Chart(
            assets=[USD], families=[TILLS, family("cash", opens_on_first_posting=True)], kinds=[SALE, WILD]
        )
    )
    roles = (Role.POSTER, Role.READER)
    till = Teller(people.member(ledger, admin, *roles, prefixes=("shops:a", "cash")), ledger)
    cash = Teller(people.member(ledger, admin, *roles, prefixes=("cash",)), ledger)

    sold = till.post("shops:a:till", "cash", 5, kind="sale").transaction
    refusal = refusal_of(lambda: till.post("shops:b:till", "cash", 5, kind="sale"))

    assert sold.number == 1
    assert refusal.reason == "ACCOUNT_NOT_FOUND"
    assert refusal_of(lambda: till.balance("shops:b:till")).reason == "ACCOUNT_NOT_FOUND"
    assert till.transaction(sold.sequence).series == "receipts:shops:a"
    assert (cash.transaction(sold.sequence).series, cash.transaction(sold.sequence).number) == ("", 0)
