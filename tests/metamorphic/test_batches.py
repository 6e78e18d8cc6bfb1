"""However drafts are cut into batches, the same becomes of them; an atomic batch becomes nothing or all."""

from __future__ import annotations

from callers import post_operation, refusal_of
from ledger.v1 import ledger_pb2 as nouns
from metamorphic.charted_stories import CHART, USERS, ChartedStory
from metamorphic.seeds import seeds
from metamorphic.staging import Outcome, Stage, Stamps
from metamorphic.stories import Story, key_of

# A write of more than so many is a large one, whatever way it takes.
LARGE_FROM = 32


def is_varied(outcomes: list[Outcome]) -> bool:
    """Whether a story has everything in it that these properties are about."""
    reasons = {refusal.reason for refusal, _, _ in outcomes if refusal}
    posted = [record for _, record, replayed in outcomes if record and not replayed]
    replays = [record for _, record, replayed in outcomes if record and replayed]
    return (
        len(reasons) > 2
        and len(posted) >= LARGE_FROM
        and any(isinstance(one, nouns.Transaction) and one.reverses for one in posted)
        and any(isinstance(one, nouns.Account) for one in posted)
        and "PRECONDITION_FAILED" in reasons
        and bool(replays)
    )


@seeds(quick=2, slow=40)
def test_a_batch_equals_its_drafts_one_by_one_to_the_hash(
    stages: list[Stage], stamps: Stamps, seed: int
) -> None:
    """By writes of one, by one large write, and by writes of every size in turn."""
    story = Story(seed, opens_accounts=True)
    drafts = story.drafts(150)
    cuts = story.cut(drafts, size_max=60)
    alone, together, mixed = (stage.open_book(f"cut:{seed}") for stage in stages)

    stamps.start_over()
    one_by_one = [alone.tell(draft) for draft in drafts]
    stamps.start_over()
    in_one = together.tell_all(drafts)
    stamps.start_over()
    in_cuts = [outcome for cut in cuts for outcome in mixed.tell_all(cut)]

    assert is_varied(one_by_one)
    assert in_one == one_by_one
    assert in_cuts == one_by_one
    assert together.everything() == mixed.everything() == alone.everything()


@seeds(quick=2, slow=40)
def test_a_batch_under_a_chart_equals_its_drafts_one_by_one_to_the_hash(
    stages: list[Stage], stamps: Stamps, seed: int
) -> None:
    """With families, limits, numbered kinds and templates, beside all that other stories have."""
    story = ChartedStory(seed, opens_accounts=True)
    drafts = story.drafts(280)
    cuts = story.cut(drafts, size_max=60)
    books = [stage.open_book(f"charted:{seed}", chart=CHART) for stage in stages]
    # All in one could need a larger answer than there may be.
    ways = ([[draft] for draft in drafts], [drafts[start : start + 70] for start in range(0, 280, 70)], cuts)

    told = []
    for book, batches in zip(books, ways, strict=True):
        stamps.start_over()
        is_alone = batches is ways[0]
        told.append(
            [one for cut in batches for one in ([book.tell(cut[0])] if is_alone else book.tell_all(cut))]
        )

    assert is_varied(told[0])
    assert_has_all_of_a_chart(told[0])
    assert told[1] == told[0]
    assert told[2] == told[0]
    assert books[0].everything() == books[1].everything() == books[2].everything()


def assert_has_all_of_a_chart(outcomes: list[Outcome]) -> None:
    """Numbers of both series, templates of both kinds, first postings, and what a chart refuses."""
    reasons = {refusal.reason for refusal, _, _ in outcomes if refusal}
    posted = [one for _, one, is_again in outcomes if isinstance(one, nouns.Transaction) and not is_again]
    series = [one.series.partition(":")[0] for one in posted]
    assert {"UNHANDLED_KIND", "INSUFFICIENT_FUNDS", "ACCOUNT_NOT_FOUND"} <= reasons, reasons
    assert series.count("receipts") > 2
    assert series.count("bills") > 2
    assert {one.template.name for one in posted} >= {"pay", "parted"}
    assert any(one.template.name and one.series for one in posted)
    assert len({line.account for one in posted for line in one.entries} & set(USERS)) > 3


@seeds(quick=2, slow=30)
def test_an_atomic_batch_under_a_chart_is_its_drafts_or_nothing(
    stages: list[Stage], stamps: Stamps, seed: int
) -> None:
    """No number, account or kept choice of a group that was refused is left for later drafts to meet."""
    alone, together, spoiled = (stage.open_book(f"whole:{seed}", chart=CHART) for stage in stages)
    drafts = ChartedStory(seed).drafts(90)
    stamps.start_over()
    told = [(draft, alone.tell(draft)) for draft in drafts]
    accepted = [(draft, outcome) for draft, outcome in told if outcome[0] is None]
    whole = [draft for draft, _ in accepted]
    before = spoiled.everything()

    refused = spoiled.tell_all([*whole, post_operation("cash", "nobody", 5)], atomic=True)
    is_untouched = spoiled.everything() == before
    outcomes = []
    for book in (together, spoiled):
        stamps.start_over()
        outcomes.append(book.tell_all(whole, atomic=True))

    assert all(refusal for refusal, _, _ in refused)
    assert is_untouched
    assert outcomes == [[outcome for _, outcome in accepted]] * 2
    assert together.everything() == spoiled.everything() == alone.everything()
    assert any(isinstance(one, nouns.Transaction) and one.number for _, (_, one, _) in accepted)


@seeds(quick=2, slow=30)
def test_an_atomic_batch_without_a_refusal_equals_its_drafts(
    stages: list[Stage], stamps: Stamps, seed: int
) -> None:
    alone, together = (stage.open_book(f"all:{seed}") for stage in stages[:2])
    drafts = Story(seed).drafts(90)
    stamps.start_over()
    told = [(draft, alone.tell(draft)) for draft in drafts]
    # A refused draft leaves no trace, so the others stand without it.
    accepted = [(draft, outcome) for draft, outcome in told if outcome[0] is None]

    stamps.start_over()
    outcomes = together.tell_all([draft for draft, _ in accepted], atomic=True)

    assert len(accepted) < len(told)
    assert outcomes == [outcome for _, outcome in accepted]
    assert together.everything() == alone.everything()


@seeds(quick=2, slow=30)
def test_an_atomic_batch_with_a_refusal_leaves_nothing_at_all(
    stages: list[Stage], stamps: Stamps, seed: int
) -> None:
    """Neither record nor key, nor anything in the lane's memory that later drafts could meet."""
    touched, untouched = (stage.open_book(f"none:{seed}") for stage in stages[:2])
    story = Story(seed)
    first, group = story.drafts(20), story.drafts(50)
    for book in (touched, untouched):
        stamps.start_over()
        book.tell_all(first)
    before = touched.everything()
    known = {key_of(draft) for draft in first}

    outcomes = touched.tell_all(group, atomic=True)

    reasons = [refusal.reason for refusal, _, _ in outcomes if refusal]
    assert len(reasons) == len(group)
    assert len(reasons) - reasons.count("ATOMIC_GROUP_REFUSED") == 1
    assert touched.everything() == before
    for key in {key_of(draft) for draft in group} - known - {""}:
        assert refusal_of(lambda key=key: touched.transaction(key)).reason == "TRANSACTION_NOT_FOUND"
    later = []
    for book in (touched, untouched):
        stamps.start_over()
        later.append(book.tell_all(group))
    assert later[0] == later[1]
    assert touched.everything() == untouched.everything()
