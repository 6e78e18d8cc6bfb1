"""Every reason of the contract has a class of its own, under the class of its status."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path

import pytest

from ledger_client import refusals
from ledger_client.refusals import InsufficientFunds, Refused, Violation
from ledger_client.refused import BY_REASON, BY_STATUS, class_of

ERRORS = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|", re.MULTILINE)


def test_every_documented_reason_has_its_class_and_no_other_has() -> None:
    documented = dict(ROW.findall(ERRORS.read_text(encoding="utf-8")))

    assert set(BY_REASON) == set(documented)
    for reason, status in documented.items():
        kind = class_of(status, reason)
        # "ledger" goes without saying in the reason of a broken invariant.
        assert kind.__name__.upper() in (
            reason.replace("_", ""),
            reason.removeprefix("LEDGER_").replace("_", ""),
        )
        assert issubclass(kind, BY_STATUS.get(status, Refused)), reason


def test_an_unknown_reason_arrives_as_its_status_and_an_unknown_status_as_refused() -> None:
    assert class_of("NOT_FOUND", "SOMETHING_NEW") is refusals.NotFound
    assert class_of("DATA_LOSS", "") is Refused


def test_the_tree_at_the_top_draws_every_class() -> None:
    drawn = refusals.__doc__ or ""
    classes = [
        name for name, kind in vars(refusals).items() if inspect.isclass(kind) and issubclass(kind, Refused)
    ]

    assert [name for name in classes if not re.search(rf"\b{name}\b", drawn)] == []


def test_a_refusal_given_a_key_keeps_all_else() -> None:
    refused = InsufficientFunds(
        "FAILED_PRECONDITION",
        "no",
        reason="INSUFFICIENT_FUNDS",
        facts={"account": "w", "asset": "USD", "balance": "-3", "shortfall": "8"},
        violations=[Violation("a", "b")],
        retry_after_s=1.5,
    )

    keyed = refused.of_key("k")

    assert type(keyed) is InsufficientFunds
    assert keyed.idempotency_key == "k"
    assert (keyed.account, keyed.asset, keyed.balance, keyed.shortfall) == ("w", "USD", -3, 8)
    assert (keyed.args, keyed.violations, keyed.retry_after_s) == (refused.args, refused.violations, 1.5)


def test_facts_that_a_caller_may_not_know_are_none() -> None:
    refused = InsufficientFunds("FAILED_PRECONDITION", "no", reason="INSUFFICIENT_FUNDS")

    assert (refused.account, refused.asset, refused.balance, refused.shortfall) == ("", "", None, None)


@pytest.mark.parametrize("way", [copy, deepcopy, lambda refused: pickle.loads(pickle.dumps(refused))])
def test_a_refusal_can_be_copied_and_sent_to_another_process(way: Callable[[Refused], Refused]) -> None:
    refused = InsufficientFunds(
        "FAILED_PRECONDITION",
        "no",
        reason="INSUFFICIENT_FUNDS",
        facts={"shortfall": "8"},
        violations=[Violation("a", "b")],
        retry_after_s=1.5,
    ).of_key("k", "l")

    other = way(refused)

    assert type(other) is InsufficientFunds
    assert vars(other) == vars(refused)
    assert str(other) == str(refused) == "INSUFFICIENT_FUNDS: no"
    assert (other.idempotency_key, other.idempotency_keys) == ("k", ("k", "l"))
