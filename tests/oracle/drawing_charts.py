"""Charts for the stateful test: of the books as they are opened, with families, kinds and numbers in play."""

from __future__ import annotations

from random import Random
from typing import Any

from oracle.drawing import ACCOUNTS, ASSETS
from oracle.drawing_templates import SETS, by_template
from oracle.forms import Fields

Request = tuple[str, Fields]

# Opened by their first posting under a chart that has the family of them.
UNOPENED = ("customers:3", "customers:4", "customers:5")
STANDING = [
    {"pattern": name, "type": kind, "assets": list(ASSETS) if name == "sales" else []}
    for name, kind in ACCOUNTS.items()
    if ":" not in name
]
CUSTOMERS = {
    "pattern": "customers:{id}",
    "parameters": {"id": 2},
    "type": 2,
    "assets": list(ASSETS),
    "limits": [
        {"asset": "USD", "balance_min": "0", "balance_max": "200"},
        {"asset": "XAU", "balance_min": "-5"},
    ],
    "opens_on_first_posting": True,
}
ONE_ASSET = {**CUSTOMERS, "assets": ["USD"], "limits": [{"asset": "USD", "balance_min": "-50"}]}
# What is drawn for accounts of it may exclude zero.
AROUND_ZERO = {**CUSTOMERS, "limits_include_zero": True}
EVERYBODY = {"name": "*", "idempotency": 2}
SALE = {"name": "sale", "idempotency": 2, "numbering": {"name": "receipts"}}
OF_CUSTOMERS = {**SALE, "numbering": {"name": "bills", "per": "customers:{any}"}}
# The role is asked of nobody there: nobody is asked who it is.
STRICT = {"name": "sale", "idempotency": 1, "required_metadata": ["order"], "role": 5}
SILENT = {"name": "sale", "idempotency": 3}
OWED = {"name": "owed", "accounts": ["customers2"], "prefixes": ["customers"]}
TILL = {"name": "till", "accounts": ["cash", "nobody"], "description": "what is in it"}
ALL = {"name": "all", "accounts": ["cash", "customers:1"], "sets": ["till", "owed"]}
ACCOUNT_SETS = (
    [ALL, OWED, TILL],
    [OWED],
    [{**OWED, "prefixes": ["customers:1", "customers:3"]}, TILL, {"name": "all", "sets": ["till"]}],
    [],
)
CODES = [{"code": code, "scale": 2} for code in ASSETS]


def a_chart(random: Random, standing: int) -> Request:
    """Mostly one that can follow the version that stands."""
    kinds: list[list[Fields]] = [
        [EVERYBODY],
        [EVERYBODY, SALE],
        [SALE, EVERYBODY],
        [],
        [EVERYBODY, OF_CUSTOMERS],
    ]
    kinds += [[EVERYBODY, SILENT], [STRICT]]
    families: list[list[Fields]] = [
        [*STANDING, CUSTOMERS],
        [CUSTOMERS, *STANDING],
        [*STANDING, AROUND_ZERO],
        [*({**one, "limits_include_zero": True} for one in STANDING), AROUND_ZERO],
        [*STANDING, ONE_ASSET],
        [],
    ]
    families.append([*STANDING[1:], CUSTOMERS])
    chosen = random.choice(kinds)
    # A strict chart refuses templates that make a kind which it does not have.
    is_open = not chosen or EVERYBODY in chosen
    chart: dict[str, Any] = {
        "assets": random.choice([CODES, CODES, CODES[::-1], [*CODES, {"code": "C1", "scale": 2}]]),
        "families": random.choice(families),
        "kinds": chosen,
        "sets": random.choice(ACCOUNT_SETS),
        "templates": random.choice(SETS) if is_open or random.randrange(4) == 0 else [],
    }
    if random.randrange(8) == 0:
        chart["assets"] = [{"code": code, "scale": 3} for code in ASSETS]
    version = random.choice([standing, standing, standing, standing + 1, 0])
    return "ApplyChart", {
        "ledger": random.choice(["main"] * 9 + ["other", "nobody"]),
        "chart": chart,
        "version": version,
        "validate_only": random.randrange(5) == 0,
    }


def a_reading(random: Random, standing: int) -> Request:
    """The newest, or any version; or what nobody has opened."""
    ledger = random.choice(["main", "main", "main", "other"])
    if random.randrange(2):
        return "GetChart", {"ledger": ledger, "version": random.randint(0, standing + 1)}
    account, asset = random.choice(UNOPENED), random.choice(["", "USD", "XAU", "EUR"])
    return "GetBalance", {"ledger": ledger, "account": account, "asset": asset, "at_sequence": 0}


def a_customers_change(random: Random, accounts: Fields) -> Request:
    """Of an account that a chart's family may have, or that nobody has opened yet."""
    name = random.choice((*UNOPENED, "customers:1", "customers:2"))
    standing = accounts.get(name, {"version": 1})["version"]
    method = random.choice(
        (
            "UpdateAccount",
            "UpdateAccount",
            "FreezeAccount",
            "UnfreezeAccount",
            "UnfreezeAccount",
            "CloseAccount",
        )
    )
    if method == "CloseAccount" and not name.endswith(("4", "5")):
        method = "UnfreezeAccount"
    request = {"ledger": "main", "name": name, "version": random.choice((standing, standing, standing + 1))}
    if method == "UpdateAccount":
        bounds = random.choice(({"balance_min": "0"}, {"balance_min": "-50", "balance_max": "100"}))
        limits = [{"asset": code, **bounds} for code in random.sample(ASSETS, random.randint(0, 2))]
        request |= {"update_mask": {"paths": ["limits"]}, "limits": limits}
    return method, request


def conditioned(request: Request, random: Random) -> Request:
    """The same post on a condition: of an account that a chart may open, or that may have changed."""
    method, asked = request
    name = random.choice((*UNOPENED, "customers:1"))
    bounds = random.choice(({"min": "0"}, {"max": "0"}, {"min": "-50", "max": "150"}))
    condition = random.choice(
        (
            {"balance": {"account": name, "asset": random.choice(ASSETS), **bounds}},
            {"account_version": {"account": name, "version": random.choice((1, 1, 2))}},
        )
    )
    return method, {**asked, "preconditions": [condition]}


def of_all_sorts(request: Request, random: Random) -> Request:
    """The same batch, its posts made by templates, on conditions, or the first of an account."""
    method, asked = request
    operations = [
        {"post": _of_some_sort(one["post"], random)} if "post" in one else one for one in asked["operations"]
    ]
    return method, {**asked, "operations": operations}


def _of_some_sort(post: Fields, random: Random) -> Fields:
    alike = random.choice((by_template, by_template, opening, lambda same, _: same))
    made = alike(("post", post), random)
    _, asked = conditioned(made, random) if random.randrange(3) == 0 else made
    return asked


def opening(request: Request, random: Random) -> Request:
    """The same post, of which an account is one that a chart may open."""
    method, asked = request
    entries = [dict(entry) for entry in asked.get("entries", ())]
    if entries:
        entries[random.randrange(len(entries))]["account"] = random.choice(UNOPENED)
    return method, {**asked, "entries": entries}
