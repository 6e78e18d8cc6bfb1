"""A family may say that zero lies within every limit of its accounts, for as long as they stand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import PaperBooks, account_draft, change_draft, chart_draft, close_draft

from ledger_server.domain.accounts import AccountType, Limit
from ledger_server.domain.chart_form import chart_faults
from ledger_server.domain.charting import changes, chart_canonical
from ledger_server.domain.charts import Chart, ChartAsset, Family, ParameterType, chart_of
from ledger_server.domain.decisions import Draft
from ledger_server.domain.refusals import ChartConflict, ValidationFailed
from ledger_server.store.chart_rows import chart_from, chart_json

TELLERS = (
    Family("cash", {}, AccountType.ASSET),
    Family("sales", {}, AccountType.REVENUE),
    Family("wallet", {}, AccountType.LIABILITY),
)
OWED = Family("owed:{who}", {"who": ParameterType.SLUG}, AccountType.ASSET, limits_include_zero=True)
FREE = replace(OWED, limits_include_zero=False)


def chart(family: Family) -> Chart:
    return chart_of((ChartAsset("USD", 2), ChartAsset("EUR", 2)), (*TELLERS, family), ())


@pytest.fixture
def paper() -> PaperBooks:
    """Books in which ann may owe up to 100, in a family whose limits include zero."""
    paper = PaperBooks()
    paper.recorded(chart_draft(chart(OWED)))
    paper.recorded(account_draft("owed:ann", AccountType.ASSET, limits={"USD": Limit(None, 100)}))
    return paper


def fields(paper: PaperBooks, draft: Draft) -> list[str]:
    """The fields for which the draft is refused; nothing is recorded by it."""
    head = paper.books.head
    (found,) = paper.decide(draft)
    assert isinstance(found, ValidationFailed), found
    assert paper.books.head == head
    return [one.field for one in found.violations]


@pytest.mark.criterion("S001-6")
def test_no_later_limit_of_such_a_family_excludes_zero(paper: PaperBooks) -> None:
    for limits, wrong in (
        ({"USD": Limit(None, -1)}, ["limits[0].balance_max"]),
        ({"USD": Limit(1, None)}, ["limits[0].balance_min"]),
        ({"EUR": Limit(None, 0), "USD": Limit(-9, -5)}, ["limits[1].balance_max"]),
        ({"EUR": Limit(3, 4), "USD": Limit(None, -5)}, ["limits[0].balance_min", "limits[1].balance_max"]),
    ):
        assert fields(paper, change_draft("owed:ann", 1, limits=limits)) == wrong

    for version, limits in enumerate(({"USD": Limit(0, 0)}, {"USD": Limit(-5, None)}, {}), 1):
        (changed,) = paper.recorded(change_draft("owed:ann", version, limits=limits))
        assert changed.limits == limits


@pytest.mark.criterion("S001-6")
def test_no_account_of_such_a_family_is_opened_with_a_limit_that_excludes_zero(paper: PaperBooks) -> None:
    draft = account_draft("owed:bob", AccountType.ASSET, limits={"USD": Limit(None, -1)})

    assert fields(paper, draft) == ["account.limits[0].balance_max"]


def test_families_that_do_not_say_so_may_exclude_zero(paper: PaperBooks) -> None:
    for name in ("cash", "wallet"):
        (changed,) = paper.recorded(change_draft(name, 1, limits={"USD": Limit(None, -1)}))
        assert changed.version == 2

    paper.recorded(chart_draft(chart(FREE), 1))
    assert paper.recorded(change_draft("owed:ann", 1, limits={"USD": Limit(5, None)}))


def test_a_limit_that_stands_and_excludes_zero_contradicts_a_chart(paper: PaperBooks) -> None:
    paper.recorded(chart_draft(chart(FREE), 1))
    paper.recorded(change_draft("owed:ann", 1, limits={"EUR": Limit(None, 5), "USD": Limit(5, None)}))
    paper.recorded(account_draft("owed:bob", AccountType.ASSET))
    paper.recorded(change_draft("owed:bob", 1, limits={"USD": Limit(None, -1)}))
    paper.recorded(close_draft("owed:bob", 2))

    (refusal,) = paper.decide(chart_draft(chart(OWED), 2))

    assert isinstance(refusal, ChartConflict)
    # Limits of what is closed bind nothing.
    assert [(one.field, one.description) for one in refusal.violations] == [
        ("accounts['owed:ann']", "has limits in USD that exclude zero, which 'owed:{who}' may not have")
    ]
    paper.recorded(change_draft("owed:ann", 2, limits={}))
    assert paper.recorded(chart_draft(chart(OWED), 2))


def test_limits_of_the_family_itself_include_zero() -> None:
    ((field, fault),) = chart_faults(chart(replace(OWED, limits={"USD": Limit(None, -1)})))

    assert (field, fault) == ("families[1].limits", "excludes zero, where a new account stands")


def test_the_word_is_a_difference_kept_and_in_the_canonical_form() -> None:
    families = [
        replace(OWED, limits_include_zero=zero, opens_on_first_posting=opens)
        for zero in (False, True)
        for opens in (False, True)
    ]

    assert len({chart_canonical(0, "ops", 1, chart(one)) for one in families}) == 4
    assert [chart_from(chart_json(chart(one))) for one in families] == list(map(chart, families))
    assert changes(chart(FREE), chart(OWED)).families.changed == ["owed:{who}"]
