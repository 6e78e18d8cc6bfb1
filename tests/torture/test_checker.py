"""The history checker finds nothing in sound histories, and every corruption by the rule that it breaks."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
from torture.checker import check
from torture.corruptions import CORRUPTIONS, Corruption
from torture.history import OK, UNKNOWN, History, Log, read_logs
from torture.report import STRIKES_WITH_POWER, faults, powerless, skipped
from torture.rows import Row
from torture.sound import sound_history

SEEDS = range(1, 9)


@pytest.fixture(scope="module")
def sound() -> History:
    """A sound history with everything in it that a corruption looks for."""
    return sound_history(800, seed=2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_history_has_no_violation(seed: int) -> None:
    verdict = check(sound_history(400, seed))

    assert verdict.violations == []
    assert verdict.acknowledged > 300
    assert (verdict.lost, verdict.doubled) == (0, 0)


def test_a_sound_history_has_unknown_outcomes_of_both_kinds(sound: History) -> None:
    verdict = check(sound)

    assert verdict.unknown_committed > 0
    assert verdict.unknown_not_committed > 0


def test_sound_histories_have_every_sort_of_change_and_of_what_charts_and_accounts_refuse(
    sound: History,
) -> None:
    refused = {one.get("reason") for call in sound.calls for one in call.results}
    changed = {call.fields["method"] for call in sound.calls if call.is_change and call.outcome == OK}

    assert refused >= {"ACCOUNT_FROZEN", "TEMPLATE_NOT_FOUND", "VERSION_MISMATCH", "INSUFFICIENT_FUNDS"}
    assert changed == {"UpdateAccount", "FreezeAccount", "UnfreezeAccount", "ApplyChart"}
    assert {one["template"]["name"] for one in sound.journal if one["template"]} == {"pay", "share"}
    assert {one["series"].partition(":")[0] for one in sound.journal} == {"", "receipts", "bills"}


def test_there_are_thirty_corruptions_and_every_rule_has_one() -> None:
    rules = {
        line.split("  ")[0]
        for line in (check.__globals__["__doc__"] or "").splitlines()
        if line.startswith("    ") and "  " in line.strip()
        for line in [line.strip()]
    }

    assert len(CORRUPTIONS) >= 30
    assert rules == {rule for rule, _ in CORRUPTIONS}


@pytest.mark.parametrize(("rule", "corrupt"), CORRUPTIONS, ids=[one.__name__ for _, one in CORRUPTIONS])
def test_a_corrupted_history_is_rejected_by_the_rule_it_breaks(
    sound: History, rule: str, corrupt: Corruption
) -> None:
    history = deepcopy(sound)
    corrupt(history)

    assert rule in {violation.rule for violation in check(history).violations}


def test_a_call_without_an_answer_and_half_a_line_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "c0.jsonl"
    log = Log(path)
    log.append({"name": "c0#0", "verb": "post", "fields": {}, "at": 5})
    log.append({"name": "c0#0", "outcome": "ok", "results": [{}], "at": 9})
    log.append({"name": "c0#1", "verb": "post", "fields": {}, "at": 11})
    log.close()
    with path.open("ab") as file:
        file.write(b'{"name": "c0#1", "outc')

    first, second = read_logs([path])

    assert (first.outcome, first.invoked, first.completed) == (OK, 5, 9)
    assert (second.outcome, second.results) == (UNKNOWN, [])


def test_a_run_without_unknown_outcomes_of_both_kinds_fails() -> None:
    def dark(there: int, not_there: int, struck: int = STRIKES_WITH_POWER) -> Row:
        return Row(
            "a", 20, struck, unknown_committed=there, unknown_not_committed=not_there, leaves_unknown=True
        )

    assert powerless([dark(1, 0), dark(0, 1)]) == []
    assert powerless([dark(0, 0, STRIKES_WITH_POWER - 1)]) == []
    for row in (dark(0, 0), dark(1, 0), dark(0, 1)):
        assert any("no power" in sentence for sentence in faults([row]))


def test_a_slow_recovery_and_a_violation_fail_the_run() -> None:
    row = Row("a", 3, 3, recovery_max_s=5.1)

    assert len(faults([row])) == 1
    row.violations.append("numbering: 7 is missing")
    assert len(faults([row])) == 2


def test_a_fault_that_never_struck_fails_the_run() -> None:
    assert faults([Row("a", 3, 0)]) == ["a: never struck"]
    assert faults([Row("a", 3, 1)]) == []


@pytest.mark.parametrize(
    ("ci", "fails_ci", "fails"), [("1", True, True), ("1", False, False), ("", True, False)]
)
def test_a_skipped_fault_is_said_loudly_and_fails_only_where_ci_must_have_it(
    monkeypatch: pytest.MonkeyPatch, ci: str, fails_ci: bool, fails: bool
) -> None:
    monkeypatch.setenv("LEDGER_CI", ci)
    row = Row("a", 0, skipped="strace is missing", skipping_fails_ci=fails_ci)

    assert bool(faults([row])) == fails
    (sentence,) = skipped([row])
    assert sentence.startswith("SKIPPED a: strace is missing")
