"""Deciding under a chart, without a database: charts, kinds, families, numbers, each sentence a claim."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import PaperBooks, account_draft, chart_draft, credit, debit, post_draft, reverse_draft

from ledger_server.domain.accounts import AccountType, AssetDraft, Limit
from ledger_server.domain.charting import changes
from ledger_server.domain.charts import (
    NO_CHART,
    Chart,
    ChartAsset,
    ChartVersion,
    Family,
    Idempotency,
    Kind,
    Numbering,
    ParameterType,
    chart_of,
)
from ledger_server.domain.decisions import Decision, Recorded
from ledger_server.domain.refusals import Refusal

ANN = "users:123e4567-e89b-12d3-a456-426614174000"
BOB = "users:00000000-0000-0000-0000-000000000001"
USD, EUR = ChartAsset("USD", 2), ChartAsset("EUR", 2)
STANDING = (
    Family("cash", {}, AccountType.ASSET),
    Family("sales", {}, AccountType.REVENUE, ("USD",)),
    Family("wallet", {}, AccountType.LIABILITY),
)
USERS = Family(
    "users:{id}",
    {"id": ParameterType.UUID},
    AccountType.LIABILITY,
    ("USD",),
    {"USD": Limit(0, 500)},
    opens_on_first_posting=True,
)
SHOPS = Family(
    "shops:{shop}:till", {"shop": ParameterType.SLUG}, AccountType.ASSET, opens_on_first_posting=True
)
SALE = Kind("sale", numbering=Numbering("receipts", "shops:{shop}"))


def chart(*families: Family, kinds: tuple[Kind, ...] = ()) -> Chart:
    """The accounts of the paper books, and more."""
    return chart_of((USD, EUR), (*STANDING, *families), kinds)


def books(*families: Family, kinds: tuple[Kind, ...] = ()) -> PaperBooks:
    """Books under a chart."""
    paper = PaperBooks()
    paper.recorded(chart_draft(chart(*families, kinds=kinds)))
    return paper


def reason(decision: Decision) -> str:
    """Why not; empty where it was recorded."""
    return decision.reason if isinstance(decision, Refusal) else ""


# charts -------------------------------------------------------------------------------------------


def test_a_chart_is_applied_replayed_and_followed() -> None:
    paper = PaperBooks()
    first, second = chart(), chart(USERS)

    (applied,) = paper.decide(chart_draft(first))
    (again,) = paper.decide(chart_draft(first, 7))
    (stale,) = paper.decide(chart_draft(second))
    (followed,) = paper.decide(chart_draft(second, 1))

    assert isinstance(applied, Recorded)
    assert isinstance(again, Recorded)
    assert isinstance(followed, Recorded)
    assert (again.record, again.replayed) == (applied.record, True)
    assert reason(stale) == "VERSION_MISMATCH"
    assert isinstance(followed.record, ChartVersion)
    assert (followed.record.version, followed.record.replaced) == (2, first)
    assert followed.record.hash != applied.record.hash


def test_a_trial_of_a_chart_leaves_the_books_as_they_were() -> None:
    paper = PaperBooks()
    before = paper.snapshot()

    (tried,) = paper.decide(chart_draft(chart(USERS), validate_only=True))

    assert isinstance(tried, Recorded)
    assert (tried.record.sequence, tried.record.hash) == (0, b"")
    assert paper.snapshot() == before


def test_the_difference_names_what_is_new_other_and_gone() -> None:
    before = chart_of((USD, EUR), (STANDING[0], STANDING[1]), (Kind("a"), Kind("b")))
    after = chart_of(
        (USD,), (replace(STANDING[1], assets=()), USERS), (Kind("b", Idempotency.NONE), Kind("c"))
    )

    made = changes(before, after)

    assert made.assets == ([], [], ["EUR"])
    assert made.families == (["users:{id}"], ["sales"], ["cash"])
    assert made.kinds == (["c"], ["b"], ["a"])
    assert changes(NO_CHART, before).families == (["cash", "sales"], [], [])


def conflict(*families: Family, assets: tuple[ChartAsset, ...] = (USD, EUR)) -> list[str]:
    """Which records contradict a chart of these families: the fields at fault."""
    paper = PaperBooks()
    paper.post(debit("cash", 5, "EUR"), credit("wallet", 5, "EUR"))
    (decision,) = paper.decide(chart_draft(chart_of(assets, families, ())))
    if isinstance(decision, Recorded):
        return []
    assert reason(decision) == "CHART_CONFLICT"
    assert decision.facts["offenders"] == str(len(decision.violations))
    return [violation.field for violation in decision.violations]


def test_what_is_recorded_and_contradicts_a_chart_is_named() -> None:
    cash, sales, wallet = STANDING

    assert conflict(cash, sales, wallet) == []
    assert conflict() == []
    assert conflict(cash, sales) == ["accounts['wallet']"]
    assert conflict(cash, sales, replace(wallet, type=AccountType.EQUITY)) == ["accounts['wallet']"]
    assert conflict(cash, sales, replace(wallet, assets=("USD",))) == ["accounts['wallet']"]
    assert conflict(cash, sales, replace(wallet, assets=("EUR",))) == []
    scales = (ChartAsset("EUR", 3), ChartAsset("USD", 2))
    assert conflict(cash, sales, wallet, assets=scales) == ["assets['EUR']"]
    assert conflict(cash, assets=scales) == ["assets['EUR']", "accounts['sales']", "accounts['wallet']"]


def test_an_atomic_group_that_is_refused_takes_its_chart_back() -> None:
    paper = PaperBooks()
    before = paper.snapshot()

    decisions = paper.decide(chart_draft(chart(USERS)), AssetDraft("USD", 9, "test"), atomic=True)

    assert [reason(one) for one in decisions] == ["ATOMIC_GROUP_REFUSED", "ASSET_ALREADY_EXISTS"]
    assert paper.snapshot() == before


# accounts -----------------------------------------------------------------------------------------


def test_a_first_posting_opens_its_accounts_with_the_limits_of_their_family() -> None:
    paper = books(USERS)

    recorded = paper.post(debit("cash", 300), credit(ANN, 100), credit(BOB, 150), credit(ANN, 50))

    assert [version.account.name for version in recorded.opened] == [ANN, BOB]
    ann = paper.books.accounts[ANN]
    assert ann is not None
    assert (ann.sequence, ann.hash, ann.limits) == (recorded.sequence, recorded.hash, {"USD": Limit(0, 500)})
    assert (ann.account.type, ann.version, ann.created_by) == (AccountType.LIABILITY, 1, "test")
    assert (paper.balance(ANN), paper.balance(BOB), paper.balance(ANN, "EUR")) == (-150, -150, 0)
    assert paper.post(debit("cash", 1), credit(ANN, 1)).opened == ()


def test_a_refused_post_opens_nothing() -> None:
    paper = books(USERS)
    before = paper.snapshot()

    decisions = [
        *paper.decide(post_draft(debit(ANN, 1), credit("cash", 1))),
        *paper.decide(post_draft(debit("cash", 501), credit(ANN, 501))),
        *paper.decide(post_draft(debit("cash", 1, "EUR"), credit(ANN, 1, "EUR"))),
        *paper.decide(post_draft(debit("cash", 1), credit(ANN, 1), debit("nobody", 1), credit("cash", 1))),
        *paper.decide(post_draft(debit("cash", 1), credit("users:ann", 1))),
        *paper.decide(post_draft(debit("cash", 1), credit(ANN, 1), validate_only=True)),
    ]

    assert [reason(one) for one in decisions] == [
        "INSUFFICIENT_FUNDS",
        "BALANCE_LIMIT_EXCEEDED",
        "ASSET_MISMATCH",
        "ACCOUNT_NOT_FOUND",
        "ACCOUNT_NOT_FOUND",
        "",
    ]
    for name in (ANN, "nobody", "users:ann"):
        before[4][name] = None
    assert paper.snapshot() == before


def test_a_family_that_does_not_open_its_accounts_has_them_opened() -> None:
    paper = books(replace(USERS, opens_on_first_posting=False))

    (refused,) = paper.decide(post_draft(debit("cash", 1), credit(ANN, 1)))
    paper.recorded(account_draft(ANN, AccountType.LIABILITY))

    assert reason(refused) == "ACCOUNT_NOT_FOUND"
    paper.post(debit("cash", 1), credit(ANN, 1))


@pytest.mark.criterion("S003-2")
def test_an_account_to_open_must_be_one_of_a_family() -> None:
    paper = books(USERS)
    drafts = {
        "account.name": account_draft("users", AccountType.LIABILITY),
        "account.type": account_draft(ANN, AccountType.ASSET),
        "account.limits": account_draft(ANN, AccountType.LIABILITY, {"EUR": Limit(0, None)}),
    }

    for field, draft in drafts.items():
        (refused,) = paper.decide(draft)
        assert isinstance(refused, Refusal)
        assert (refused.reason, refused.violations[0].field) == ("VALIDATION_FAILED", field)
    paper.recorded(account_draft(ANN, AccountType.LIABILITY, {"USD": Limit(-5, None)}))


def test_a_chart_without_families_leaves_accounts_alone() -> None:
    paper = PaperBooks()
    paper.recorded(chart_draft(chart_of((), (), (Kind("*"),))))

    paper.recorded(account_draft("anything"))
    (refused,) = paper.decide(post_draft(debit("cash", 1), credit("nobody", 1)))

    assert reason(refused) == "ACCOUNT_NOT_FOUND"


# kinds --------------------------------------------------------------------------------------------


@pytest.mark.criterion("S002-1")
def test_an_unknown_kind_is_refused_unless_the_chart_has_one_for_every_other() -> None:
    strict, permissive = books(kinds=(Kind("sale"),)), books(kinds=(Kind("sale"), Kind("*")))

    assert [reason(one) for one in strict.decide(post_draft(kind="sale"), post_draft(kind="gift"))] == [
        "",
        "UNHANDLED_KIND",
    ]
    assert reason(strict.decide(post_draft())[0]) == "UNHANDLED_KIND"
    assert reason(permissive.decide(post_draft(kind="gift"))[0]) == ""
    assert reason(books().decide(post_draft(kind="gift"))[0]) == ""


@pytest.mark.criterion("S002-4")
def test_a_kind_says_whether_its_posts_have_keys() -> None:
    paper = books(
        kinds=(Kind("must", Idempotency.REQUIRED), Kind("may"), Kind("never", Idempotency.NONE)),
    )

    found = {
        (kind, key): reason(paper.decide(post_draft(kind=kind, key=key))[0])
        for kind in ("must", "may", "never")
        for key in ("", f"key of {kind}")
    }

    assert {place: why for place, why in found.items() if why} == {
        ("must", ""): "IDEMPOTENCY_KEY_REQUIRED",
        ("never", "key of never"): "VALIDATION_FAILED",
    }


@pytest.mark.criterion("S003-6")
def test_metadata_that_a_kind_requires_must_be_there() -> None:
    paper = books(kinds=(Kind("bonus", required_metadata=("reason", "by")),))

    (bare,) = paper.decide(post_draft(kind="bonus", metadata={"reason": "", "note": "x"}))

    assert isinstance(bare, Refusal)
    assert [one.field for one in bare.violations] == ["metadata['by']", "metadata['reason']"]
    paper.post(kind="bonus", metadata={"reason": "birthday", "by": "ann"})


def test_the_key_is_judged_before_the_chart() -> None:
    paper = books(kinds=(Kind("sale"),))
    draft = post_draft(kind="sale", key="k")
    paper.recorded(draft)
    paper.recorded(chart_draft(chart(kinds=(Kind("gift"),)), 1))

    (again,) = paper.decide(draft)

    assert isinstance(again, Recorded)
    assert again.replayed


# numbers ------------------------------------------------------------------------------------------


@pytest.mark.criterion("S000-30")
def test_numbers_have_no_gap_in_each_series_and_a_refused_post_burns_none() -> None:
    paper = books(SHOPS, kinds=(SALE, Kind("fee", numbering=Numbering("fees")), Kind("*")))

    def sale(shop: str, amount: int = 5, kind: str = "sale") -> tuple[str, int]:
        (decision,) = paper.decide(
            post_draft(debit(f"shops:{shop}:till", amount), credit("sales", amount), kind=kind)
        )
        record = decision.record if isinstance(decision, Recorded) else None
        return (record.series, record.number) if record is not None else (reason(decision), 0)  # type: ignore[union-attr]

    wallet = post_draft(debit("wallet", 9), credit("shops:a:till", 9), kind="sale")

    assert sale("a") == ("receipts:shops:a", 1)
    assert sale("a") == ("receipts:shops:a", 2)
    assert sale("b") == ("receipts:shops:b", 1)
    assert reason(paper.decide(wallet)[0]) == "INSUFFICIENT_FUNDS"
    assert sale("a") == ("receipts:shops:a", 3)
    assert sale("a", kind="fee") == ("fees", 1)
    assert sale("b", kind="fee") == ("fees", 2)
    assert sale("b", kind="other") == ("", 0)


def test_a_numbered_post_touches_exactly_one_prefix() -> None:
    paper = books(SHOPS, kinds=(SALE,))

    none = post_draft(kind="sale")
    two = post_draft(debit("shops:a:till", 1), credit("shops:b:till", 1), kind="sale")

    assert [reason(one) for one in paper.decide(none, two)] == ["VALIDATION_FAILED"] * 2


def test_a_replay_answers_its_number_and_a_reversal_takes_none() -> None:
    paper = books(SHOPS, kinds=(SALE,))
    draft = post_draft(debit("shops:a:till", 1), credit("sales", 1), kind="sale", key="k")
    (first,) = paper.recorded(draft)

    (again,) = paper.recorded(draft)
    (reversal,) = paper.recorded(reverse_draft("k"))
    (tried,) = paper.recorded(replace(draft, idempotency_key="", validate_only=True))

    assert (again.number, reversal.number, tried.number) == (first.number, 0, 0)
    assert (reversal.kind, reversal.series) == ("sale", "")
