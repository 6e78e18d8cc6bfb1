"""A kind may ask for a role of whoever posts it: judged with the chart of the moment, before the key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import PaperBooks, chart_draft, credit, debit, post_draft, reverse_draft, template_draft

from ledger_server.domain.accounts import AccountType
from ledger_server.domain.chart_form import chart_faults
from ledger_server.domain.charting import changes, chart_canonical
from ledger_server.domain.charts import NO_CHART, Chart, ChartAsset, Family, Kind, Numbering, chart_of
from ledger_server.domain.decisions import Decision, Recorded
from ledger_server.domain.members import Role
from ledger_server.domain.parameters import Parameter, Parameters, ParameterType
from ledger_server.domain.permissions import EVERYTHING, NOTHING
from ledger_server.domain.refusals import Refusal, RoleRequired
from ledger_server.domain.templates import EntryPattern, Template
from ledger_server.store.chart_rows import chart_from, chart_json

FAMILIES = (
    Family("cash", {}, AccountType.ASSET),
    Family("sales", {}, AccountType.REVENUE),
    Family("wallet", {}, AccountType.LIABILITY),
)
ADJUST = Kind("adjust", role=Role.ACCOUNTANT)
FIX = Template(
    name="fix",
    version=1,
    parameters=(Parameter("amount", ParameterType.AMOUNT),),
    entries=(
        EntryPattern(account="cash", is_debit=True, factors=("amount",), asset="USD"),
        EntryPattern(account="sales", is_debit=False, factors=("amount",), asset="USD"),
    ),
    kind="adjust",
)
POSTER, ACCOUNTANT = frozenset({Role.POSTER}), frozenset({Role.POSTER, Role.ACCOUNTANT})


def chart(*kinds: Kind) -> Chart:
    return chart_of((ChartAsset("USD", 2),), FAMILIES, kinds, (FIX,))


def books(*kinds: Kind) -> PaperBooks:
    """Books under a chart with these kinds."""
    paper = PaperBooks()
    paper.recorded(chart_draft(chart(*kinds)))
    return paper


def reasons(decisions: list[Decision]) -> list[str]:
    """Why each was refused; empty for none."""
    return [one.reason if isinstance(one, Refusal) else "" for one in decisions]


def by_template(key: str = "", **more: object) -> object:
    return template_draft("fix", Parameters({"amount": "5"}), key=key, **more)


@pytest.mark.criterion("S004-4")
def test_a_post_of_a_kind_with_a_role_needs_the_role() -> None:
    paper = books(ADJUST, Kind("*"))
    before = paper.books.head

    refused = paper.decide(
        post_draft(kind="adjust", roles=POSTER),
        by_template(roles=POSTER),
        post_draft(kind="adjust", roles=frozenset()),
    )

    assert reasons(refused) == ["ROLE_REQUIRED"] * 3
    assert isinstance(refused[0], RoleRequired)
    assert refused[0].facts == {"permission": "POST", "roles": "ACCOUNTANT", "kind": "adjust"}
    assert paper.books.head == before
    assert (
        reasons(
            paper.decide(
                post_draft(kind="adjust", roles=ACCOUNTANT),
                by_template(roles=ACCOUNTANT),
                # Nobody asks who it is.
                post_draft(kind="adjust"),
                by_template(),
                post_draft(kind="sale", roles=POSTER),
            )
        )
        == [""] * 5
    )


def test_the_wildcard_may_ask_for_a_role_of_every_other_kind() -> None:
    paper = books(Kind("sale"), replace(ADJUST, name="*"))

    assert reasons(
        paper.decide(post_draft(kind="sale", roles=POSTER), post_draft(kind="any", roles=POSTER))
    ) == ["", "ROLE_REQUIRED"]


def test_the_role_is_judged_before_the_key_so_that_nobody_is_answered_what_he_may_not_ask() -> None:
    paper = books(ADJUST)
    post, made = post_draft(kind="adjust", key="k", roles=ACCOUNTANT), by_template("t", roles=ACCOUNTANT)
    assert reasons(paper.decide(post, made)) == ["", ""]

    again = paper.decide(replace(post, roles=POSTER), replace(made, roles=POSTER), post, made)

    assert reasons(again) == ["ROLE_REQUIRED", "ROLE_REQUIRED", "", ""]
    assert [one.replayed for one in again if isinstance(one, Recorded)] == [True, True]


def test_the_role_is_judged_before_what_else_the_chart_says() -> None:
    paper = books(replace(ADJUST, required_metadata=("reason",)))

    assert reasons(
        paper.decide(post_draft(kind="adjust", roles=POSTER), post_draft(kind="adjust", roles=ACCOUNTANT))
    ) == ["ROLE_REQUIRED", "VALIDATION_FAILED"]


def test_one_forbidden_draft_refuses_an_atomic_group_whole() -> None:
    paper = books(ADJUST, Kind("*"))
    before = paper.books.head

    decided = paper.decide(
        post_draft(roles=POSTER),
        post_draft(kind="adjust", roles=POSTER),
        post_draft(roles=POSTER),
        atomic=True,
    )

    assert reasons(decided) == ["ATOMIC_GROUP_REFUSED", "ROLE_REQUIRED", "ATOMIC_GROUP_REFUSED"]
    assert paper.books.head == before


def test_a_chart_of_the_same_moment_is_the_one_that_counts() -> None:
    """The role is asked where the chart is known, not where the call came in."""
    paper = books(Kind("adjust"))
    draft = post_draft(kind="adjust", roles=POSTER)
    assert reasons(paper.decide(draft)) == [""]

    paper.recorded(chart_draft(chart(ADJUST), 1))

    assert reasons(paper.decide(draft)) == ["ROLE_REQUIRED"]


def test_a_reversal_asks_for_no_role_of_its_kind() -> None:
    paper = books(ADJUST)
    paper.recorded(post_draft(debit("cash", 5), credit("sales", 5), kind="adjust", key="k"))

    (reversal,) = paper.recorded(reverse_draft("k"))

    assert reversal.kind == "adjust"


def test_a_role_is_a_difference_and_in_the_canonical_form() -> None:
    numbered = replace(ADJUST, numbering=Numbering("n"))
    forms = [
        chart_canonical(0, "ops", 1, chart(kind))
        for kind in (Kind("adjust"), ADJUST, replace(ADJUST, role=Role.POSTER), numbered)
    ]

    assert len(set(forms)) == len(forms)
    assert changes(chart(Kind("adjust")), chart(ADJUST)).kinds.changed == ["adjust"]
    assert changes(NO_CHART, chart(ADJUST)).kinds.added == ["adjust"]
    assert chart_faults(chart(ADJUST)) == []


def test_a_role_that_nobody_who_posts_can_have_is_refused_with_the_chart() -> None:
    """A tenant-admin holds no role that posts."""
    faults = {role: chart_faults(chart(replace(ADJUST, role=role))) for role in Role}

    assert [role for role, found in faults.items() if found] == [Role.TENANT_ADMIN]
    ((field, fault),) = faults[Role.TENANT_ADMIN]
    assert field == "kinds[0].role"
    assert fault.startswith("nobody could post it: ")


def test_a_stored_chart_keeps_its_roles() -> None:
    given = chart(ADJUST, Kind("*"))

    assert chart_from(chart_json(given)) == given


def test_who_is_not_asked_has_every_role_and_a_stranger_none() -> None:
    assert EVERYTHING.roles is None
    assert NOTHING.roles == frozenset()
