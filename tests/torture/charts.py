"""The charts that callers apply in turn, for the same accounts: other kinds, families and templates."""

from __future__ import annotations

from typing import Any

from torture.history import Fields

ASSETS = ("USD", "EUR")
UUID, INT, SLUG, TEXT, AMOUNT = range(1, 6)
DEBIT, CREDIT = 1, 2
REQUIRED, OPTIONAL, NEVER = 1, 2, 3

CODES = [{"code": code, "scale": 2} for code in ASSETS]
STANDING = [
    {"pattern": "cash", "type": 1},
    {"pattern": "sales", "type": 4},
    {"pattern": "card", "type": 1},
    {"pattern": "till", "type": 1},
    {"pattern": "wallet:{number}", "type": 2, "parameters": {"number": INT}},
]
USERS = {
    "pattern": "users:{number}",
    "type": 2,
    "parameters": {"number": INT},
    "assets": list(ASSETS),
    "limits": [{"asset": "USD", "balance_min": "0"}],
    "opens_on_first_posting": True,
}
# Opened from here on they may owe a little; and none is opened any more.
OTHER_USERS = {**USERS, "limits": [{"asset": code, "balance_min": "-100"} for code in ASSETS]}
CLOSED_TO_NEW = {**USERS, "opens_on_first_posting": False}

EVERY = {"name": "*", "idempotency": OPTIONAL}
RECEIPT = {"name": "receipt", "idempotency": REQUIRED, "numbering": {"name": "receipts"}}
BILL = {"name": "bill", "idempotency": OPTIONAL, "numbering": {"name": "bills", "per": "users:{any}"}}
# Every caller gives a key, and none gives metadata.
KEYLESS = {"name": "bill", "idempotency": NEVER}
STRICT = {"name": "receipt", "idempotency": OPTIONAL, "required_metadata": ["order"]}


def _line(account: str, side: int, **more: Any) -> Fields:
    return {"account": account, "side": side, "factors": ["amount"], "asset": "{asset}", **more}


PAY = {
    "name": "pay",
    "version": 1,
    "kind": "bill",
    "parameters": {"amount": AMOUNT, "asset": TEXT, "user": INT},
    "entries": [_line("cash", DEBIT), _line("users:{user}", CREDIT)],
}
PAY_BY_CARD = {
    **PAY,
    "version": 2,
    "kind": "",
    "entries": [_line("till", DEBIT), _line("users:{user}", CREDIT)],
    "metadata": {"by": "till"},
}
SHARE = {
    "name": "share",
    "version": 1,
    "kind": "receipt",
    "parameters": {"amount": AMOUNT, "asset": TEXT, "rest": INT},
    "groups": [{"name": "users", "parameters": {"user": INT, "part": INT}}],
    "entries": [
        _line("cash", DEBIT),
        _line("users:{user}", CREDIT, group="users", weight_parameter="part"),
        _line("sales", CREDIT, weight_parameter="rest"),
    ],
}


def _chart(users: Fields, kinds: list[Fields], templates: list[Fields]) -> Fields:
    return {"assets": CODES, "families": [*STANDING, users], "kinds": kinds, "templates": templates}


CHARTS = (
    _chart(USERS, [EVERY, RECEIPT, BILL], [PAY, SHARE]),
    _chart(USERS, [EVERY, RECEIPT, BILL], [PAY, PAY_BY_CARD, SHARE]),
    _chart(OTHER_USERS, [EVERY, RECEIPT], [PAY, SHARE]),
    _chart(CLOSED_TO_NEW, [EVERY, RECEIPT, BILL], [PAY, SHARE]),
    _chart(USERS, [EVERY, STRICT, KEYLESS], [PAY]),
)
