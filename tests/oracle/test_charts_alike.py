"""Charts on both sides: what they refuse, open and number is the same, in scripted steps."""

from __future__ import annotations

from typing import Any

from clusters import Cluster
from oracle.drive import Step
from oracle.forms import Fields
from oracle.playing import play
from oracle.test_reference import BOOKS, asked, lines, post

CASH, SALES, CARD = (
    {"pattern": "cash", "type": 1},
    {"pattern": "sales", "type": 4},
    {"pattern": "card", "type": 2},
)
USERS: Fields = {
    "pattern": "users:{id}",
    "parameters": {"id": 2},
    "type": 2,
    "assets": ["USD"],
    "limits": [{"asset": "USD", "balance_min": "0", "balance_max": "100"}],
    "opens_on_first_posting": True,
}
CODES = [{"code": "XAU", "scale": 0}, {"code": "USD", "scale": 2}]
EVERYBODY, SALE = (
    {"name": "*", "idempotency": 2},
    {"name": "sale", "idempotency": 1, "required_metadata": ["n"]},
)
MASK: Fields = {"update_mask": {"paths": ["limits"]}}
NUMBERED = {"name": "bill", "idempotency": 2, "numbering": {"name": "bills", "per": "users:{any}"}}


def chart(*families: Fields, kinds: Any = (), sets: Any = (), version: int = 0, **more: Any) -> Step:
    given = {"assets": CODES, "families": list(families), "kinds": list(kinds), "sets": list(sets)}
    return asked("ApplyChart", chart=given, version=version, **more)


def total(**more: Any) -> Step:
    return asked("GetAggregateBalance", **more)


def balance(account: str, asset: str = "USD") -> Step:
    return asked("GetBalance", account=account, asset=asset)


def test_versions_differences_and_conflicts_are_alike(cluster: Cluster) -> None:
    opened = [CASH, SALES, CARD]
    drive = play(
        cluster,
        [
            *BOOKS,
            asked("GetChart"),
            chart(CASH),
            chart(CASH, SALES, {**CARD, "type": 1}),
            chart(*opened, validate_only=True),
            chart(*opened),
            chart(*opened, version=9),
            chart(*opened, USERS),
            chart(USERS, *opened, kinds=[EVERYBODY, SALE], version=1),
            asked("GetChart", version=1),
            asked("GetChart", version=3),
            asked("GetChart"),
            asked("CreateAccount", account={"name": "users:x", "type": 2}),
            asked("CreateAccount", account={"name": "users:1", "type": 3}),
            asked("CreateAccount", account={"name": "users:1", "type": 2, "limits": []}),
            post("cash", "card"),
            chart(CASH, SALES, {**CARD, "assets": ["XAU"]}, version=2),
            asked(
                "ApplyChart", chart={"assets": [{"code": "USD", "scale": 3}], "families": opened}, version=2
            ),
            asked("ApplyChart", chart={}, version=2),
        ],
    )

    for reason in ("CHART_NOT_FOUND", "CHART_CONFLICT", "VERSION_MISMATCH", "VALIDATION_FAILED"):
        assert drive.met[reason], reason


def test_posts_under_a_chart_are_alike(cluster: Cluster) -> None:
    keyed = {"kind": "sale", "idempotency_key": "k", "metadata": {"n": "1"}}
    drive = play(
        cluster,
        [
            *BOOKS,
            chart(CASH, SALES, CARD, USERS, kinds=[SALE, NUMBERED]),
            balance("users:1"),
            balance("users:1", ""),
            balance("users:1", "EUR"),
            balance("users:x"),
            post("cash", "users:1"),
            post("cash", "users:1", kind="sale"),
            post("cash", "users:1", kind="sale", idempotency_key="k"),
            post("cash", "users:1", **keyed),
            post("cash", "users:1", **keyed),
            post("cash", "users:2", "101", kind="bill"),
            post("users:2", "cash", kind="bill"),
            # An account that nobody opened has nothing, and no version.
            *(
                post("cash", "users:2", kind="bill", preconditions=[one], validate_only=True)
                for one in (
                    {"balance": {"account": "users:2", "asset": "USD", "max": "0"}},
                    {"balance": {"account": "users:2", "asset": "USD", "min": "1"}},
                    {"balance": {"account": "users:x", "asset": "USD", "max": "0"}},
                    {"account_version": {"account": "users:2", "version": 1}},
                )
            ),
            post("cash", "users:2", kind="bill", validate_only=True),
            balance("users:2"),
            post("cash", "users:2", kind="bill"),
            post("cash", "users:1", kind="bill"),
            post("cash", "users:2", kind="bill"),
            post("cash", "sales", kind="bill"),
            post("users:1", "users:2", "1", kind="bill"),
            asked("Post", entries=lines("cash", "users:3", asset="XAU"), kind="bill"),
            asked("Post", entries=lines("users:3", "users:x"), kind="bill"),
            asked(
                "PostBatch",
                operations=[
                    {"post": {"entries": lines("cash", "users:4"), "kind": "bill"}},
                    {"post": {"entries": lines("users:4", "sales"), "kind": "bill"}},
                    {"post": {"entries": lines("users:4", "sales"), "kind": "bill"}},
                ],
                view=2,
            ),
            asked("Reverse", transaction={"idempotency_key": "k"}),
            asked("GetAccount", name="users:2"),
            asked("ListTransactions", filter={}, page_size=50),
            asked("ListAccounts", page_size=50),
        ],
    )

    for reason in ("UNHANDLED_KIND", "IDEMPOTENCY_KEY_REQUIRED", "ASSET_MISMATCH", "INSUFFICIENT_FUNDS"):
        assert drive.met[reason], reason
    assert drive.met["OK"] > 15


def test_accounts_of_families_change_alike(cluster: Cluster) -> None:
    def update(account: str, asset: str, version: int) -> Step:
        limits = [{"asset": asset, "balance_max": "500"}]
        asked_for = {"name": account, "version": version, "limits": limits}
        return asked("UpdateAccount", **asked_for, update_mask={"paths": ["limits"]})

    drive = play(
        cluster,
        [
            *BOOKS,
            chart(CASH, SALES, CARD, USERS),
            post("cash", "users:1", "60"),
            update("users:1", "XAU", 1),
            update("users:1", "ABC", 1),
            update("cash", "XAU", 1),
            update("users:1", "USD", 1),
            post("cash", "users:1", "60"),
            asked("FreezeAccount", name="users:1", version=2),
            post("cash", "users:1", "1"),
            asked("CreateAccount", account={"name": "users:1", "type": 2}),
            asked("CreateAccount", account={"name": "users:1", "type": 2, "limits": USERS["limits"]}),
            asked("UnfreezeAccount", name="users:1", version=3),
            asked("UpdateAccount", name="users:2", version=1, limits=[], update_mask={"paths": ["limits"]}),
            post("users:1", "cash", "120"),
            asked("CloseAccount", name="users:1", version=4),
            post("cash", "users:1", "1"),
            asked("GetAccount", name="users:1"),
            asked("ListAccounts", page_size=50),
            asked("TrialBalance"),
        ],
    )

    for reason in ("VALIDATION_FAILED", "ACCOUNT_FROZEN", "ACCOUNT_ALREADY_EXISTS", "ACCOUNT_CLOSED"):
        assert drive.met[reason], reason
    assert drive.met["OK"] > 10


def test_limits_that_include_zero_are_alike(cluster: Cluster) -> None:
    around = {**USERS, "limits_include_zero": True}

    def limits(**bounds: str) -> list[Fields]:
        return [{"asset": "USD", **bounds}]

    def update(given: list[Fields], version: int) -> Step:
        return asked("UpdateAccount", name="users:1", version=version, limits=given, **MASK)

    def opened(name: str, **bounds: str) -> Fields:
        return {"name": name, "type": 2, "limits": limits(**bounds)}

    drive = play(
        cluster,
        [
            *BOOKS,
            chart(CASH, SALES, CARD, around),
            asked("GetChart"),
            asked("CreateAccount", account=opened("users:1", balance_max="-1")),
            asked("CreateAccount", account=opened("users:1", balance_max="0")),
            asked(
                "BatchCreateAccounts",
                accounts=[opened("users:2", balance_max="5"), opened("users:3", balance_min="5")],
            ),
            asked("PostBatch", operations=[{"open_account": opened("users:2", balance_max="-1")}], view=2),
            update(limits(balance_max="-1"), 1),
            update(limits(balance_min="1"), 1),
            update([{"asset": "XAU", "balance_max": "-1"}], 1),
            update(limits(balance_min="-7", balance_max="-3"), 1),
            update(limits(balance_min="0", balance_max="0"), 1),
            update(limits(balance_max="7"), 2),
            # The same family without the word.
            chart(CASH, SALES, CARD, USERS, version=1),
            update(limits(balance_max="-1"), 3),
            chart(CASH, SALES, CARD, around, version=2),
            asked("FreezeAccount", name="users:1", version=4),
            chart(CASH, SALES, CARD, around, version=2, validate_only=True),
            update([], 5),
            chart(CASH, SALES, CARD, around, version=2),
            asked("GetAccount", name="users:1"),
            # Limits of what is closed bind nothing.
            asked("UpdateAccount", name="card", version=1, limits=limits(balance_max="-1"), **MASK),
            chart(CASH, SALES, {**CARD, "limits_include_zero": True}, around, version=3),
            asked("CloseAccount", name="card", version=2),
            chart(CASH, SALES, {**CARD, "limits_include_zero": True}, around, version=3),
        ],
    )

    assert drive.met["CHART_CONFLICT"] == 3
    assert drive.met["VALIDATION_FAILED"] == 7
    assert drive.met["OK"] > 8


def test_sums_of_balances_are_alike(cluster: Cluster) -> None:
    ring = [{"name": "a", "sets": ["b"]}, {"name": "b", "accounts": ["cash"], "prefixes": ["users", "card"]}]
    shared = [{"name": "a", "accounts": ["users:1", "cash"], "sets": ["c", "b"]}, ring[1]]
    shared.append({"name": "c", "sets": ["b"], "description": "once more"})
    drive = play(
        cluster,
        [
            *BOOKS,
            chart(CASH, SALES, CARD, USERS, sets=ring),
            post("cash", "users:1"),
            total(account_set="a"),
            chart(CASH, SALES, CARD, USERS, version=1, sets=shared),
            post("cash", "users:2"),
            asked("Post", entries=lines("card", "cash", asset="XAU")),
            asked("FreezeAccount", name="users:1"),
            *(total(account_set=name, at_sequence=at) for name in "abcd" for at in range(20)),
            *(total(account_prefix=path, at_sequence=at) for path in ("users", "cash") for at in range(20)),
            *(total(account_prefix="users", asset=asset) for asset in ("USD", "XAU", "EUR", "U D")),
            total(),
            total(account_set="a:b"),
            total(account_prefix="users:"),
        ],
    )

    for reason in ("ACCOUNT_SET_NOT_FOUND", "SEQUENCE_NOT_REACHED", "ASSET_NOT_FOUND", "VALIDATION_FAILED"):
        assert drive.met[reason], reason
    assert drive.met["OK"] > 50
