"""Accounts that change, over the wire: forms, who may, who is told what, what the audit tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from callers import Teller, answer_of, open_operation, post_operation, refusal_of, refused_operation
from clusters import Database
from google.protobuf.field_mask_pb2 import FieldMask
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns
from society import Society, society
from statuses import told, told_operation

from ledger_server.domain.members import Role

VERBS = ("Update", "Freeze", "Unfreeze", "Close")


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks")) as people:
        yield people


def opened(people: Society) -> tuple[str, Any, Teller]:
    """A ledger with USD, cash and wallet, its tenant-admin, and a clerk who may everything but narrow."""
    ledger, admin = people.ledger()
    clerk = Teller(people.member(ledger, admin, Role.ACCOUNTANT, Role.POSTER, Role.READER), ledger)
    clerk.create_asset("USD", 2)
    clerk.open_account("cash", nouns.ACCOUNT_TYPE_ASSET)
    clerk.open_account("wallet", balance_min="0")
    return ledger, admin, clerk


def asking(verb: str, name: str, version: int = 1) -> Callable[[Teller], Any]:
    """A call that would change the account."""
    parts: dict[str, Any] = {}
    if verb == "Update":
        parts = {"update_mask": FieldMask(paths=["metadata"]), "metadata": {"by": verb}}
    return lambda teller: teller.change(verb, name, version, **parts)


def limit(asset: str = "USD", **bounds: str) -> nouns.BalanceLimit:
    """A limit as it is given."""
    return nouns.BalanceLimit(asset=asset, **bounds)


MALFORMED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no version": ({"update_mask": FieldMask(paths=["limits"])}, {"version"}),
    "a version below 0": ({"version": -1, "update_mask": FieldMask(paths=["limits"])}, {"version"}),
    "no mask": ({"version": 1}, {"update_mask"}),
    "a mask that names nothing": ({"version": 1, "update_mask": FieldMask()}, {"update_mask"}),
    "a part that is none": ({"version": 1, "update_mask": FieldMask(paths=["type"])}, {"update_mask"}),
    "every part": ({"version": 1, "update_mask": FieldMask(paths=["*"])}, {"update_mask"}),
    "a part within a part": (
        {"version": 1, "update_mask": FieldMask(paths=["metadata.a"])},
        {"update_mask"},
    ),
    "a part twice": ({"version": 1, "update_mask": FieldMask(paths=["limits"] * 2)}, {"update_mask"}),
    "more parts than there are": (
        {"version": 1, "update_mask": FieldMask(paths=["limits", "metadata"] * 5_000)},
        {"update_mask"},
    ),
    "limits that the mask does not name": (
        {"version": 1, "update_mask": FieldMask(paths=["metadata"]), "limits": [limit(balance_min="0")]},
        {"limits"},
    ),
    "metadata that the mask does not name": (
        {"version": 1, "update_mask": FieldMask(paths=["limits"]), "metadata": {"a": "1"}},
        {"metadata"},
    ),
    "malformed limits and metadata": (
        {
            "version": 1,
            "update_mask": FieldMask(paths=["limits", "metadata"]),
            "limits": [limit(), limit(balance_min="1.5"), limit("EUR", balance_min="1", balance_max="0")],
            "metadata": {"": "v"},
        },
        {"limits[0]", "limits[1].asset", "limits[1].balance_min", "limits[2]", "metadata"},
    ),
    "more limits than there may be": (
        {
            "version": 1,
            "update_mask": FieldMask(paths=["limits"]),
            "limits": [limit(f"A{n}", balance_min="0") for n in range(1_001)],
        },
        {"limits"},
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_update_is_refused_by_its_fields(teller: Teller, name: str) -> None:
    fields, wrong = MALFORMED[name]
    head = teller.head()

    refusal = told(lambda: teller.change("Update", "wallet", **fields))

    assert refusal.reason == "VALIDATION_FAILED"
    assert {field.partition("[")[0] if "metadata" in field else field for field in refusal.fields} == wrong
    assert teller.head() == head


@pytest.mark.parametrize("verb", ["Freeze", "Unfreeze", "Close"])
def test_a_version_is_not_negative_and_a_name_is_one(teller: Teller, verb: str) -> None:
    refusal = told(lambda: teller.change(verb, "a::b", -1))

    assert refusal.reason == "VALIDATION_FAILED"
    assert set(refusal.fields) == {"name", "version"}


def test_limits_and_metadata_are_replaced_whole_or_stay(teller: Teller) -> None:
    both = teller.update("wallet", limits=[limit(balance_min="-5")], metadata={"a": "1", "b": "2"}).account
    metadata = teller.update("wallet", 2, metadata={"b": "3"}).account
    limits = teller.update("wallet", 3, limits=[limit(balance_max="10")]).account
    nothing = teller.update("wallet", 4, limits=[], metadata={}).account

    assert dict(both.metadata) == {"a": "1", "b": "2"}
    assert (list(metadata.limits), dict(metadata.metadata)) == (list(both.limits), {"b": "3"})
    assert (list(limits.limits), dict(limits.metadata)) == ([limit(balance_max="10")], {"b": "3"})
    assert (list(nothing.limits), dict(nothing.metadata), nothing.version) == ([], {}, 5)


def test_a_bound_may_exclude_zero_and_what_the_account_holds(teller: Teller) -> None:
    teller.post("cash", "wallet", 100)

    teller.update("wallet", limits=[limit(balance_min="150", balance_max="160")])

    refusal = refusal_of(lambda: teller.post("wallet", "sales", 1))
    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert (refusal.facts["shortfall"], refusal.facts["balance_min"]) == ("51", "150")
    teller.post("cash", "wallet", 60)
    assert refusal_of(lambda: teller.post("cash", "wallet", 1)).reason == "BALANCE_LIMIT_EXCEEDED"


def test_a_change_in_an_asset_that_is_not_there_is_refused(teller: Teller) -> None:
    refusal = refusal_of(lambda: teller.update("wallet", limits=[limit("XXX", balance_min="0")]))

    assert (refusal.reason, refusal.facts) == ("ASSET_NOT_FOUND", {"asset": "XXX"})


def test_an_accounts_status_is_read_as_of_a_page(teller: Teller) -> None:
    request = accounts_pb.ListAccountsRequest(ledger=teller.ledger, page_size=3)
    page = teller.server.accounts.ListAccounts(request)
    teller.change("Freeze", "wallet")

    request.page_token = page.next_page_token
    (wallet,) = teller.server.accounts.ListAccounts(request).accounts

    assert (wallet.name, wallet.status, wallet.version) == ("wallet", nouns.ACCOUNT_STATUS_OPEN, 1)
    assert teller.account("wallet").status == nouns.ACCOUNT_STATUS_FROZEN


# who may, and who is told what ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_a_narrowed_accountant_changes_covered_accounts_only(people: Society, verb: str) -> None:
    ledger, admin, clerk = opened(people)
    clerk.open_account("shop:1")
    narrowed = Teller(people.member(ledger, admin, Role.ACCOUNTANT, prefixes=["shop"]), ledger)
    if verb == "Unfreeze":
        for name in ("shop:1", "wallet"):
            clerk.change("Freeze", name)
    version = clerk.account("wallet").version

    refused = refusal_of(lambda: asking(verb, "wallet", version)(narrowed))
    absent = refusal_of(lambda: asking(verb, "nobody")(narrowed))

    assert (refused.reason, absent.reason) == ("ACCOUNT_NOT_FOUND", "ACCOUNT_NOT_FOUND")
    assert refused.message.replace("wallet", "?") == absent.message.replace("nobody", "?")
    assert clerk.account("wallet").version == version
    assert asking(verb, "shop:1", version)(narrowed).account.version == version + 1


def test_who_may_not_read_is_told_that_an_account_is_shut_and_nothing_of_it(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    poster = Teller(people.member(ledger, admin, Role.POSTER), ledger)
    accountant = Teller(people.member(ledger, admin, Role.ACCOUNTANT), ledger)
    clerk.post("cash", "wallet", 5)

    full = refusal_of(lambda: accountant.change("Close", "wallet"))
    assert (full.reason, full.facts) == ("ACCOUNT_NOT_EMPTY", {"account": "wallet"})
    assert "5" not in full.message
    frozen = accountant.change("Freeze", "wallet").account
    blind = refusal_of(lambda: poster.post("cash", "wallet", 1))
    assert (blind.reason, blind.facts) == ("ACCOUNT_FROZEN", {"account": "wallet"})
    seeing = refusal_of(lambda: clerk.post("cash", "wallet", 1))
    assert seeing.facts == {"account": "wallet", "version": "2", "sequence": str(frozen.sequence)}


@pytest.mark.criterion("S000-42")
def test_the_audit_tells_of_every_change_and_of_no_replay(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    before = len(admin.events(ledger))
    clerk.update("wallet", metadata={"a": "1"})
    for verb in ("Freeze", "Unfreeze", "Close"):
        clerk.change(verb, "wallet")
        clerk.change(verb, "wallet")
    assert refusal_of(lambda: clerk.change("Freeze", "wallet")).reason == "ACCOUNT_CLOSED"

    events = list(reversed(admin.events(ledger)))[before:]

    first = clerk.account("wallet").sequence - 3
    assert [(one.action, one.subject, one.sequence) for one in events] == [
        ("ACCOUNT_UPDATED", "wallet", first),
        ("ACCOUNT_FROZEN", "wallet", first + 1),
        ("ACCOUNT_UNFROZEN", "wallet", first + 2),
        ("ACCOUNT_CLOSED", "wallet", first + 3),
    ]


def test_a_change_is_denied_to_who_only_posts_and_the_denial_is_told(people: Society) -> None:
    ledger, admin, _ = opened(people)
    poster = Teller(people.member(ledger, admin, Role.POSTER, Role.READER), ledger)

    for verb in VERBS:
        refused = answer_of(lambda verb=verb: asking(verb, "wallet")(poster))  # type: ignore[misc]
        assert refused.reason == "ROLE_REQUIRED", verb


# accounts opened in a batch ---------------------------------------------------------------------------

OPENING = [post_operation("cash", "wallet", 1), open_operation("shop:9")]


def test_one_opening_that_is_forbidden_refuses_an_atomic_batch_whole(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    poster = Teller(people.member(ledger, admin, Role.POSTER), ledger)
    head = clerk.head()

    results = [refused_operation(one) for one in poster.batch(OPENING, atomic=True)]

    assert [one.reason for one in results] == ["ATOMIC_GROUP_REFUSED", "ROLE_REQUIRED"]
    assert results[1].facts == {"permission": "KEEP_CHART", "roles": "ACCOUNTANT"}
    assert clerk.head() == head


def test_in_another_batch_it_refuses_itself(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    poster = Teller(people.member(ledger, admin, Role.POSTER), ledger)
    accountant = Teller(people.member(ledger, admin, Role.ACCOUNTANT), ledger)

    posted, denied = poster.batch(OPENING)
    refused, made = accountant.batch(OPENING)

    assert posted.sequence + 1 == made.sequence == clerk.head()
    assert refused_operation(denied).reason == refused_operation(refused).reason == "ROLE_REQUIRED"


def test_a_narrowed_accountant_opens_in_a_batch_what_is_covered(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    narrowed = Teller(people.member(ledger, admin, Role.ACCOUNTANT, prefixes=["shop"]), ledger)

    inside, outside = narrowed.batch([open_operation("shop:1"), open_operation("shops:1")])

    assert inside.sequence == clerk.head()
    assert refused_operation(outside).reason == "MEMBERSHIP_NARROWED"


def test_the_audit_tells_of_accounts_that_a_batch_opened(people: Society) -> None:
    ledger, admin, clerk = opened(people)

    results = clerk.batch([open_operation("a"), post_operation("cash", "a", 1), open_operation("b")])

    newest = admin.events(ledger)[0]
    assert (newest.action, newest.subject, newest.sequence, newest.count) == (
        "ACCOUNTS_OPENED",
        "a",
        results[0].sequence,
        2,
    )
    assert clerk.server.principal == newest.actor


def test_a_malformed_account_of_a_batch_is_told_by_its_own_fields(teller: Teller) -> None:
    operation = open_operation("a::b", 0, balance_min="1.5")

    (result,) = teller.batch([operation])

    assert set(told_operation(result).fields) == {"name", "type", "limits[0].balance_min"}
