"""Templates for the stateful test, and posts that name them, mostly with what they take."""

from __future__ import annotations

from random import Random
from typing import Any

from oracle.forms import Fields

Request = tuple[str, Fields]

UUID, INT, SLUG, TEXT, AMOUNT = range(1, 6)
DEBIT, CREDIT = 1, 2


def entry(account: str, side: int, *factors: str, asset: str = "USD", **more: Any) -> Fields:
    """A line of a template."""
    return {"account": account, "side": side, "factors": list(factors), "asset": asset, **more}


SALE = {
    "name": "sale",
    "version": 1,
    "kind": "sale",
    "parameters": {"amount": AMOUNT, "order": TEXT},
    "entries": [entry("cash", DEBIT, "amount"), entry("sales", CREDIT, "amount")],
    "metadata": {"order": "{order}", "by": "template"},
}
LATER = {**SALE, "version": 2, "entries": [entry("bank", DEBIT, "amount"), entry("sales", CREDIT, "amount")]}
OTHER = {**LATER, "kind": ""}
TOP_UP = {
    "name": "topup",
    "version": 1,
    "kind": "sale",
    "parameters": {"amount": AMOUNT, "customer": SLUG, "asset": TEXT},
    "entries": [
        entry("bank", DEBIT, "amount", asset="{asset}"),
        entry("customers:{customer}", CREDIT, "amount", asset="{asset}"),
    ],
}
ORDER = {
    "name": "order",
    "version": 1,
    "parameters": {"customer": INT},
    "groups": [
        {"name": "lines", "parameters": {"quantity": INT, "price": AMOUNT, "asset": TEXT}, "min_items": 1}
    ],
    "entries": [
        entry("customers:{customer}", DEBIT, "quantity", "price", asset="{asset}", group="lines"),
        entry("sales", CREDIT, "price", "quantity", asset="{asset}", group="lines"),
    ],
}
SPLIT = {
    "name": "split",
    "version": 1,
    "parameters": {"amount": AMOUNT, "least": INT},
    "groups": [{"name": "others", "parameters": {"who": SLUG, "part": INT}, "min_items": 0}],
    "entries": [
        entry("bank", DEBIT, "amount"),
        entry("equity", CREDIT, "amount", weight_parameter="least"),
        entry("customers:{who}", CREDIT, "amount", group="others", weight_parameter="part"),
        entry("cash", CREDIT, "amount", weight=3),
    ],
}
# The caller gives the total and its parts, and may be wrong.
BILL = {
    "name": "bill",
    "version": 1,
    "parameters": {"total": AMOUNT},
    "groups": [{"name": "lines", "parameters": {"price": AMOUNT}, "min_items": 0}],
    "entries": [entry("cash", DEBIT, "total"), entry("sales", CREDIT, "price", group="lines")],
}
SETS = [[SALE, TOP_UP, ORDER, SPLIT, BILL], [LATER, SALE, TOP_UP, SPLIT, ORDER], [OTHER, BILL, ORDER], []]
AMOUNTS = ("1", "2", "7", "60", "100", "9" * 38)
WRONG = ("0", "", "-1", "1.0", "x")


def _amount(random: Random) -> str:
    return random.choice(WRONG if random.randrange(30) == 0 else AMOUNTS)


def _customer(random: Random) -> str:
    return random.choice(
        ["1", "2", "1", "2", "3", "4", "5", "no", "A", ""] if random.randrange(3) else ["1", "2"]
    )


def _asset(random: Random) -> str:
    return random.choice(["USD", "XAU", "EUR", "U D"] if random.randrange(6) == 0 else ["USD"])


def _number(random: Random) -> str:
    return random.choice(["0", "1", "1", "2", "3", "10", "x" if random.randrange(20) == 0 else "5"])


def _given(random: Random, name: str) -> tuple[Fields, list[Fields]]:
    items: list[Fields] = []
    some = range(random.choice([0, 1, 1, 2, 3]))
    match name:
        case "sale":
            return {"amount": _amount(random), "order": random.choice(["17", "a: b", " ", "é {x}"])}, items
        case "topup":
            return {"amount": _amount(random), "customer": _customer(random), "asset": _asset(random)}, items
        case "order":
            for _ in some:
                line = {"quantity": _number(random), "price": _amount(random), "asset": _asset(random)}
                items.append({"group": "lines", "parameters": line})
            return {"customer": _customer(random)}, items
        case "split":
            for _ in some:
                items.append(
                    {"group": "others", "parameters": {"who": _customer(random), "part": _number(random)}}
                )
            return {"amount": _amount(random), "least": _number(random)}, items
    for _ in some:
        items.append({"group": "lines", "parameters": {"price": _amount(random)}})
    total = sum(int(item["parameters"]["price"]) for item in items if item["parameters"]["price"].isdigit())
    return {"total": str(total or 5) if random.randrange(5) else _amount(random)}, items


def a_use(random: Random) -> Fields:
    """A template with what it is given; now and then with too much, too little, or of no such name."""
    name = random.choice(["sale", "sale", "topup", "order", "split", "bill"])
    parameters, items = _given(random, name)
    if random.randrange(15) == 0:
        parameters = parameters | {"more": "x"}
    if random.randrange(15) == 0:
        parameters.pop(next(iter(parameters)))
    if random.randrange(20) == 0:
        items = [*items, {"group": "nobody", "parameters": {}}]
    version = random.choice([0, 0, 0, 1, 2, 3])
    if random.randrange(20) == 0:
        name = "Sale"
    return {"name": name, "version": version, "parameters": parameters, "items": items}


def by_template(request: Request, random: Random) -> Request:
    """The same post, made by a template."""
    method, asked = request
    asked = {field: value for field, value in asked.items() if field not in ("entries", "kind", "metadata")}
    return method, asked | {"template": a_use(random)}
