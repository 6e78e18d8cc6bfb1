"""Preconditions of posts over the wire: form, who may set which, who is told what, and races."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from callers import (
    Refused,
    Teller,
    post_operation,
    refusal_of,
    refused_operation,
    together,
    unsound,
)
from clusters import Database
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from society import Society, society
from statuses import told, told_operation

from ledger_server.domain.members import Role


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks")) as people:
        yield people


def holds(account: str = "cash", asset: str = "USD", **bounds: str) -> pb.Precondition:
    """That a balance lies between `min` and `max`."""
    return pb.Precondition(balance=pb.BalanceCondition(account=account, asset=asset, **bounds))


def stands(account: str, version: int) -> pb.Precondition:
    """That an account is at a version."""
    return pb.Precondition(account_version=pb.AccountVersionCondition(account=account, version=version))


def sale(teller: Teller, *conditions: pb.Precondition, key: str = "", **more: Any) -> pb.PostResponse:
    """A sale of 1 USD under conditions."""
    return teller.post("cash", "sales", 1, key, preconditions=conditions, **more)


def test_a_post_is_made_where_its_conditions_hold(teller: Teller) -> None:
    teller.post("cash", "sales", 5)
    conditions = [holds(min="5", max="5"), holds("sales", min="5"), stands("wallet", 1)]

    assert sale(teller, *conditions).transaction.sequence == teller.head()

    refused = refusal_of(lambda: sale(teller, *conditions))
    assert refused.reason == "PRECONDITION_FAILED"
    assert refused.facts == {
        "precondition": "0",
        "account": "cash",
        "asset": "USD",
        "balance": "6",
        "min": "5",
        "max": "5",
        "sequence": str(teller.head()),
    }
    assert refusal_of(lambda: sale(teller, *conditions, validate_only=True)) == refused


def test_the_same_post_again_is_a_replay_whatever_its_conditions_say(teller: Teller) -> None:
    first = sale(teller, holds(max="0"), key="k")

    assert sale(teller, holds(max="0"), key="k").replayed
    assert sale(teller, stands("cash", 9), key="k").transaction == first.transaction
    assert sale(teller, key="k").replayed


def test_conditions_of_a_batch_see_the_operations_before_them(
    teller: Teller, shared_database: Database
) -> None:
    def when(condition: pb.Precondition) -> pb.Operation:
        return post_operation("cash", "sales", 1, preconditions=[condition])

    results = teller.batch([when(holds(max="2")) for _ in range(5)])

    assert [one.HasField("status") for one in results] == [False, False, False, True, True]
    assert refused_operation(results[3]).facts["balance"] == "3"
    assert unsound(shared_database.owner_url, teller.ledger) == []
    atomic = teller.batch([when(holds(max="3")), when(holds(max="3"))], atomic=True)
    assert [refused_operation(one).reason for one in atomic] == [
        "ATOMIC_GROUP_REFUSED",
        "PRECONDITION_FAILED",
    ]
    assert teller.balance("cash") == 3


def test_of_many_posts_on_one_condition_one_is_made(teller: Teller) -> None:
    answers = together([lambda: sale(teller, holds(min="0", max="0")) for _ in range(16)])

    refused = [one for one in answers if isinstance(one, Refused)]
    assert len(refused) == 15
    assert {one.reason for one in refused} == {"PRECONDITION_FAILED"}
    assert teller.balance("cash") == 1


def test_who_saw_an_older_version_posts_nothing(teller: Teller) -> None:
    seen = teller.account("wallet").version
    teller.update("wallet", metadata={"price": "9"})

    refused = refusal_of(lambda: sale(teller, stands("wallet", seen)))

    assert (refused.facts["version"], refused.facts["expected_version"]) == ("2", "1")
    sale(teller, stands("wallet", 2))


MALFORMED: dict[str, tuple[list[pb.Precondition], list[str]]] = {
    "of nothing": ([pb.Precondition()], ["preconditions[0]"]),
    "a version of 0": ([stands("cash", 0)], ["preconditions[0].account_version.version"]),
    "a version below 0 of no name": (
        [stands("a::b", -1)],
        ["preconditions[0].account_version.version", "preconditions[0].account_version.account"],
    ),
    "no bound": ([holds(), holds(min="1")], ["preconditions[0].balance"]),
    "bounds that exclude all": ([holds(min="2", max="1")], ["preconditions[0].balance"]),
    "no names and no numbers": (
        [holds("", "", min="1.5", max="")],
        [f"preconditions[0].balance.{field}" for field in ("account", "asset", "min", "max")],
    ),
    "39 digits": ([holds(min="-" + "9" * 39)], ["preconditions[0].balance.min"]),
    "too many": ([stands("cash", 1)] * 65, ["preconditions"]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_conditions_are_refused_by_their_fields(teller: Teller, name: str) -> None:
    conditions, fields = MALFORMED[name]

    single = told(lambda: sale(teller, *conditions))
    operation = post_operation("cash", "sales", 1, preconditions=conditions)

    assert (single.reason, single.fields) == ("VALIDATION_FAILED", fields)
    assert told_operation(teller.batch([operation])[0]) == single


def test_64_conditions_are_as_many_as_there_may_be(teller: Teller) -> None:
    info = teller.server.admin.GetServerInfo(admin_pb.GetServerInfoRequest())

    sale(teller, *[stands("cash", 1), holds(min="-" + "9" * 38, max="9" * 38)] * 32)

    assert info.limits["preconditions_per_post_max"] == 64


def test_conditions_weigh_what_entries_do(teller: Teller) -> None:
    """A batch looks up so many places, however they are named."""
    operation = post_operation("cash", "sales", 1, preconditions=[stands("cash", 1)] * 64)

    refusal = told(lambda: teller.batch([operation] * 993))

    assert (refusal.reason, refusal.facts["entries"]) == ("BATCH_TOO_LARGE", str(993 * 66))


# who may, and who is told what ----------------------------------------------------------------------


def opened(people: Society) -> tuple[str, Any, Teller]:
    """A ledger with USD, cash and sales, its tenant-admin, and a clerk."""
    ledger, admin = people.ledger()
    clerk = Teller(people.member(ledger, admin, Role.ACCOUNTANT, Role.POSTER, Role.READER), ledger)
    clerk.create_asset("USD", 2)
    clerk.open_account("cash", nouns.ACCOUNT_TYPE_ASSET)
    clerk.open_account("sales", nouns.ACCOUNT_TYPE_REVENUE)
    return ledger, admin, clerk


def test_who_may_not_read_balances_asks_nothing_of_them(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    poster = Teller(people.member(ledger, admin, Role.POSTER), ledger)

    for conditions in ([holds(min="0")], [stands("cash", 1), holds(min="99")]):
        refused = refusal_of(lambda conditions=conditions: sale(poster, *conditions))  # type: ignore[misc]
        assert (refused.reason, refused.facts["permission"]) == ("ROLE_REQUIRED", "READ")
    operation = post_operation("cash", "sales", 1, preconditions=[holds(min="0")])
    assert refused_operation(poster.batch([operation])[0]).reason == "ROLE_REQUIRED"
    assert clerk.balance("cash") == 0


def test_who_may_not_read_is_told_which_condition_failed_and_no_more(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    poster = Teller(people.member(ledger, admin, Role.POSTER), ledger)
    sale(poster, stands("cash", 1))
    clerk.update("cash", metadata={"a": "1"})

    blind = refusal_of(lambda: sale(poster, stands("sales", 1), stands("cash", 1)))
    seeing = refusal_of(lambda: sale(clerk, stands("sales", 1), stands("cash", 1)))

    assert (blind.reason, blind.facts) == ("PRECONDITION_FAILED", {"precondition": "1", "account": "cash"})
    assert "2" not in blind.message
    assert seeing.facts["version"] == "2"


def test_what_is_out_of_reach_is_not_there(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    for name in ("shop:1", "shop:2"):
        clerk.open_account(name)
    narrowed = Teller(people.member(ledger, admin, Role.POSTER, Role.READER, prefixes=["shop"]), ledger)

    def post(*conditions: pb.Precondition) -> pb.PostResponse:
        return narrowed.post("shop:1", "shop:2", 1, preconditions=conditions)

    post(stands("shop:1", 1), holds("shop:2", min="0"))
    for condition in (stands, lambda name, _: holds(name, min="0")):
        foreign = refusal_of(lambda condition=condition: post(condition("cash", 1)))  # type: ignore[misc]
        absent = refusal_of(lambda condition=condition: post(condition("nobody", 1)))  # type: ignore[misc]
        assert (foreign.reason, foreign.facts) == ("ACCOUNT_NOT_FOUND", {"account": "cash"})
        assert foreign.message.replace("cash", "?") == absent.message.replace("nobody", "?")
