"""Deciding what templates are asked for, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import (
    PaperBooks,
    account_draft,
    chart_draft,
    credit,
    debit,
    post_draft,
    reverse_draft,
    template_draft,
)
from sample_templates import ANN, BONUS, CHARGE, PURCHASE, SPLIT, TOP_UP, line, parameters

from ledger_server.domain import chain
from ledger_server.domain.accounts import AccountType, AssetDraft, Limit
from ledger_server.domain.charting import changes
from ledger_server.domain.charts import (
    NO_CHART,
    Chart,
    ChartAsset,
    Family,
    Kind,
    Numbering,
    ParameterType,
    chart_of,
)
from ledger_server.domain.decisions import Decision, Recorded
from ledger_server.domain.parameters import canonical
from ledger_server.domain.refusals import Refusal
from ledger_server.domain.templates import Template
from ledger_server.domain.transactions import EntryDraft, TemplateUse, Transaction

USD, PEN, INK = ChartAsset("USD", 2), ChartAsset("pen", 0), ChartAsset("ink", 0)
WALLETS = Family(
    "2000:{user}",
    {"user": ParameterType.UUID},
    AccountType.LIABILITY,
    ("USD",),
    {"USD": Limit(0, None)},
    opens_on_first_posting=True,
)
GLOBAL = tuple(
    Family(name, {}, kind)
    for name, kind in {
        "cash": AccountType.ASSET,
        "sales": AccountType.REVENUE,
        "wallet": AccountType.LIABILITY,
        "1000": AccountType.ASSET,
        "4000": AccountType.REVENUE,
        "5000": AccountType.EXPENSE,
    }.items()
)


def chart(*templates: Template, kinds: tuple[Kind, ...] = ()) -> Chart:
    return chart_of((USD,), (*GLOBAL, WALLETS), kinds, templates)


def books(*templates: Template, kinds: tuple[Kind, ...] = ()) -> PaperBooks:
    """Books with wallets, and a chart that has these templates."""
    paper = PaperBooks()
    paper.recorded(
        account_draft("1000"),
        account_draft("4000", AccountType.REVENUE),
        account_draft("5000", AccountType.EXPENSE),
        chart_draft(chart(*templates, kinds=kinds)),
    )
    return paper


def shop() -> PaperBooks:
    """Books with a customer on credit, and ten pens and inks of stock; accounts are opened by hand."""
    paper = PaperBooks()
    paper.recorded(
        AssetDraft("pen", 0, "test"),
        AssetDraft("ink", 0, "test"),
        account_draft("stock", limits={"pen": Limit(0, None), "ink": Limit(0, None)}),
        account_draft("sold", AccountType.EXPENSE),
        account_draft("supply", AccountType.EQUITY),
        account_draft("customers:jo:credit", limits={"USD": Limit(None, 5000)}),
        chart_draft(chart_of((), (), (), [PURCHASE])),
    )
    paper.recorded(
        *(post_draft(debit("stock", 10, each), credit("supply", 10, each)) for each in ("pen", "ink"))
    )
    return paper


def answered(decision: Decision) -> Any:
    """The recorded transaction, or the reason why there is none."""
    return decision.reason if isinstance(decision, Refusal) else decision.record


def one(paper: PaperBooks, name: str, key: str = "", version: int = 0, **given: Any) -> Any:
    (decision,) = paper.decide(template_draft(name, parameters(**given), key, version=version))
    return answered(decision)


def lines(recorded: Transaction) -> list[EntryDraft]:
    return [EntryDraft(e.account.name, e.is_debit, e.amount, e.asset.code) for e in recorded.entries]


# what is recorded ------------------------------------------------------------------------


def test_a_template_makes_a_transaction_that_says_so() -> None:
    paper = books(TOP_UP, BONUS)

    recorded = one(paper, "bonus", user=ANN, amount=50, reason="sorry")

    assert lines(recorded) == [debit("5000", 50), credit(f"2000:{ANN}", 50)]
    assert recorded.kind == "bonus"
    assert recorded.metadata == {"reason": "sorry"}
    assert recorded.template == TemplateUse("bonus", 1, parameters(user=ANN, amount=50, reason="sorry"))
    assert paper.balance(f"2000:{ANN}") == -50


def test_what_a_template_makes_is_judged_as_any_post() -> None:
    paper = books(
        TOP_UP, CHARGE, replace(TOP_UP, name="lost", entries=(TOP_UP.entries[0], credit_of("nowhere")))
    )
    one(paper, "topup", user=ANN, amount=100)
    before = paper.books.head

    assert one(paper, "charge", user=ANN, amount=101) == "INSUFFICIENT_FUNDS"
    assert one(paper, "lost", user=ANN, amount=1) == "ACCOUNT_NOT_FOUND"
    assert one(paper, "charge", user=ANN, amount=0) == "AMOUNT_INVALID"
    assert paper.books.head == before
    assert paper.balance(f"2000:{ANN}") == -100
    assert one(paper, "charge", user=ANN, amount=100).template.name == "charge"


def credit_of(account: str) -> Any:
    return TOP_UP.entries[1]._replace(account=account)


def test_a_kind_is_judged_and_numbered_by_what_its_template_makes() -> None:
    receipts = Kind("topup", numbering=Numbering("receipts", "2000:{user}"))
    reasoned = Kind("bonus", required_metadata=("reason",))
    paper = books(TOP_UP, BONUS, kinds=(receipts, reasoned))

    first, second = (one(paper, "topup", user=ANN, amount=1) for _ in range(2))

    assert (first.series, first.number, second.number) == (f"receipts:2000:{ANN}", 1, 2)
    assert one(paper, "bonus", user=ANN, amount=1, reason="x").number == 0


def test_the_newest_version_is_used_unless_another_is_named() -> None:
    fee = replace(TOP_UP, version=2, kind="topup-2")
    paper = books(TOP_UP, fee)

    assert one(paper, "topup", user=ANN, amount=1).template.version == 2
    older = one(paper, "topup", user=ANN, amount=1, version=1)
    assert (older.template.version, older.kind) == (1, "topup")


def test_a_template_that_the_chart_does_not_have_is_not_found() -> None:
    paper = books(TOP_UP)

    (unknown, later) = paper.decide(
        template_draft("top-up", parameters()), template_draft("topup", parameters(), version=2)
    )

    assert answered(unknown) == answered(later) == "TEMPLATE_NOT_FOUND"
    assert isinstance(unknown, Refusal)
    assert isinstance(later, Refusal)
    assert unknown.facts == {"template": "top-up"}
    assert later.facts == {"template": "topup", "version": "2", "newest_version": "1"}
    assert one(PaperBooks(), "topup") == "TEMPLATE_NOT_FOUND"


def test_trying_out_records_nothing() -> None:
    paper = books(TOP_UP)
    before = paper.books.head

    (tried,) = paper.decide(template_draft("topup", parameters(user=ANN, amount=5), "k", validate_only=True))

    assert answered(tried).sequence == 0
    assert answered(tried).template.version == 1
    assert paper.books.head == before


@pytest.mark.criterion("S001-7")
def test_an_order_of_two_products_is_one_transaction_in_three_assets() -> None:
    paper = shop()
    order = parameters(line("pen", 2, 250), line("ink", 1, 1999), line("pen", 1, 240), customer="jo")

    (recorded,) = paper.recorded(template_draft("purchase", order))

    assert paper.balance("customers:jo:credit") == 2739
    assert (paper.balance("stock", "pen"), paper.balance("stock", "ink")) == (7, 9)
    assert recorded.template.parameters == order


def test_an_order_that_one_product_or_the_credit_does_not_suffice_for_moves_nothing() -> None:
    paper = shop()
    before = paper.books.head

    for items in ([line("pen", 1, 1), line("ink", 11, 1)], [line("pen", 1, 5001)]):
        (refused,) = paper.decide(template_draft("purchase", parameters(*items, customer="jo")))
        assert answered(refused) in ("INSUFFICIENT_FUNDS", "BALANCE_LIMIT_EXCEEDED")
    (unknown,) = paper.decide(template_draft("purchase", parameters(line("pin", 1, 1), customer="jo")))
    assert answered(unknown) == "ASSET_NOT_FOUND"

    assert paper.books.head == before
    assert paper.balance("stock", "pen") == 10


def test_the_reversal_of_a_split_is_exact_to_the_cent() -> None:
    paper = PaperBooks()
    paper.recorded(
        account_draft("sellers:eve", AccountType.LIABILITY),
        account_draft("carrier", AccountType.LIABILITY),
        account_draft("house", AccountType.REVENUE),
        chart_draft(chart_of((), (), (), [SPLIT])),
    )

    (split,) = paper.recorded(template_draft("split", parameters(amount=9999, seller="eve"), "k"))
    (undone,) = paper.recorded(reverse_draft("k"))

    assert [each.amount for each in split.entries] == [9999, 6999, 2000, 1000]
    assert [each.amount for each in undone.entries] == [9999, 6999, 2000, 1000]
    assert undone.template is None
    assert all(paper.balance(name) == 0 for name in ("cash", "sellers:eve", "carrier", "house"))


# the same content ------------------------------------------------------------------------

SAME = {"user": ANN, "amount": 7, "reason": "why"}


def draft(**changes: Any) -> Any:
    given = {**SAME, **changes.pop("given", {})}
    return template_draft(changes.pop("name", "bonus"), parameters(**given), "k", **changes)


def test_the_same_again_is_answered_with_what_was_recorded() -> None:
    paper = books(BONUS)
    (first,) = paper.recorded(draft())

    for again in (draft(), draft(version=1)):
        (decision,) = paper.decide(again)
        assert isinstance(decision, Recorded)
        assert decision.replayed
        assert decision.record is first


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        (draft(name="topup"), "template"),
        (draft(version=2), "template.version"),
        (draft(given={"amount": 8}), "template.parameters"),
        (draft(given={"reason": "Why"}), "template.parameters"),
        (draft(given={"more": "x"}), "template.parameters"),
        (draft(description="x"), "description"),
        (draft(external_ref="x"), "external_ref"),
        (draft(effective_time=5), "effective_time"),
        (
            template_draft("bonus", parameters(line("a", 1, 1), **SAME), "k", description="x"),
            "template.items,description",
        ),
        (post_draft(debit("5000", 7), credit(f"2000:{ANN}", 7), key="k", kind="bonus"), "template"),
    ],
)
def test_other_content_under_a_key_names_what_differs(other: Any, differing: str) -> None:
    paper = books(BONUS)
    paper.recorded(draft())

    (refused,) = paper.decide(other)

    assert isinstance(refused, Refusal)
    assert refused.reason == "IDEMPOTENCY_KEY_REUSED"
    assert refused.facts["differing_fields"] == differing


def test_a_template_under_the_key_of_a_plain_post_or_of_a_reversal_differs() -> None:
    paper = books(BONUS)
    paper.post(debit("5000", 7), credit("sales", 7), key="k")

    (after_post,) = paper.decide(draft())
    paper.recorded(reverse_draft("k", "r"))
    (after_reversal,) = paper.decide(template_draft("bonus", parameters(**SAME), "r"))

    assert isinstance(after_post, Refusal)
    assert after_post.facts["differing_fields"] == "template"
    assert isinstance(after_reversal, Refusal)
    assert after_reversal.facts["differing_fields"] == "verb"


def test_a_retry_is_answered_whatever_the_chart_says_by_then() -> None:
    paper = books(BONUS)
    (first,) = paper.recorded(draft())
    newer = replace(BONUS, version=2, kind="promotion")

    for version, templates in enumerate(([BONUS, newer], []), 1):
        paper.recorded(chart_draft(chart(*templates), version))
        (again,) = paper.decide(draft())
        assert isinstance(again, Recorded)
        assert again.record is first
        assert again.replayed


def redacted(recorded: Transaction, given: Any) -> Transaction:
    digest = chain.details_digest(
        recorded.salt,
        recorded.description or "",
        recorded.metadata or {},
        recorded.external_ref or "",
        canonical(given),
    )
    used = recorded.template
    assert used is not None
    return recorded._replace(
        description=None,
        metadata=None,
        external_ref=None,
        details_digest=digest,
        template=used._replace(parameters=None),
    )


def test_redacted_parameters_are_compared_by_their_digest() -> None:
    paper = books(BONUS)
    (first,) = paper.recorded(draft())
    paper.books.keys["k"] = redacted(first, first.template.parameters)

    same, other = paper.decide(draft(), draft(given={"amount": 8}))

    assert isinstance(same, Recorded)
    assert same.replayed
    assert isinstance(other, Refusal)
    assert "redacted" in other.facts["differing_fields"]


# within accounts -------------------------------------------------------------------------


def test_who_may_post_to_some_accounts_only_finds_the_others_missing() -> None:
    paper = books(TOP_UP)
    given = parameters(user=ANN, amount=1)

    inside, outside = paper.decide(
        template_draft("topup", given, within=("1000", "2000")),
        template_draft("topup", given, within=("2000",)),
    )

    assert isinstance(inside, Recorded)
    assert isinstance(outside, Refusal)
    assert (outside.reason, outside.facts["account"]) == ("ACCOUNT_NOT_FOUND", "1000")


def test_what_such_a_one_may_not_see_is_not_told_of_its_key() -> None:
    paper = books(TOP_UP)
    given = parameters(user=ANN, amount=1)
    paper.recorded(template_draft("topup", given, "k"))

    (refused,) = paper.decide(template_draft("topup", given, "k", within=("2000",)))

    assert isinstance(refused, Refusal)
    assert refused.reason == "IDEMPOTENCY_KEY_REUSED"
    assert set(refused.facts) == {"idempotency_key"}


# charts ----------------------------------------------------------------------------------


def test_a_chart_names_what_changes_among_its_templates() -> None:
    newer = replace(TOP_UP, version=2)

    assert changes(NO_CHART, chart(TOP_UP)).templates.added == ["topup 1"]
    assert changes(chart(TOP_UP, BONUS), chart(TOP_UP, newer)).templates == (["topup 2"], [], ["bonus 1"])


def test_a_version_of_a_template_keeps_its_content() -> None:
    paper = books(TOP_UP)
    other = replace(TOP_UP, kind="other")

    (refused,) = paper.decide(chart_draft(chart(other), 1))
    paper.recorded(chart_draft(chart(TOP_UP, replace(other, version=2)), 1))

    assert isinstance(refused, Refusal)
    assert refused.reason == "CHART_CONFLICT"
    assert refused.violations[0].field == "templates['topup']"


def test_the_order_in_which_a_template_is_declared_makes_no_other_chart() -> None:
    turned = replace(BONUS, parameters=BONUS.parameters[::-1])
    paper = books(BONUS)

    (decision,) = paper.decide(chart_draft(chart(turned), 1))

    assert isinstance(decision, Recorded)
    assert decision.replayed
