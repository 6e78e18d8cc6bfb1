"""The form of requests, as the contract words it: which fields are at fault, and the refusal itself.

A rule takes a value, None where the field is absent, and the field's path; it
answers the paths at fault. FORMS has one for each method and each operation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from unicodedata import category, normalize

Fields = dict[str, Any]
Time = tuple[int, int]  # seconds and nanos
Rule = Callable[[Any, str], list[str]]

REASONS = """
INVALID_ARGUMENT VALIDATION_FAILED AMOUNT_INVALID ASSET_MISMATCH UNBALANCED_TRANSACTION PAGE_TOKEN_INVALID
NOT_FOUND LEDGER_NOT_FOUND ACCOUNT_NOT_FOUND ASSET_NOT_FOUND TRANSACTION_NOT_FOUND
ALREADY_EXISTS IDEMPOTENCY_KEY_REUSED REVERSAL_ALREADY_EXISTS
ALREADY_EXISTS LEDGER_ALREADY_EXISTS ASSET_ALREADY_EXISTS ACCOUNT_ALREADY_EXISTS
FAILED_PRECONDITION INSUFFICIENT_FUNDS BALANCE_LIMIT_EXCEEDED REVERSAL_FORBIDDEN_TYPE SEQUENCE_NOT_REACHED
OUT_OF_RANGE AMOUNT_OVERFLOW
ABORTED ATOMIC_GROUP_REFUSED
RESOURCE_EXHAUSTED BATCH_TOO_LARGE
"""
CODES = {reason: line.split()[0] for line in REASONS.strip().splitlines() for reason in line.split()[1:]}


class Refused(Exception):
    """A refusal: its status, its reason, the facts, and the fields at fault."""

    def __init__(self, reason: str, fields: tuple[str, ...] = (), **facts: object) -> None:
        super().__init__(reason, fields, facts)
        self.code, self.reason, self.fields = CODES[reason], reason, fields
        self.facts = {name: str(value) for name, value in facts.items()}


def judge(form: str, q: Fields) -> None:
    """All faults of a request at once; then that its entries balance. Raises Refused."""
    if faults := FORMS[form](q, ""):
        amounts = all(field.endswith(".amount") for field in faults)
        raise Refused("AMOUNT_INVALID" if amounts else "VALIDATION_FAILED", tuple(faults))
    sums: dict[str, list[int]] = {}
    for entry in q.get("entries", []):
        sums.setdefault(entry["asset"], [0, 0])[entry["side"] - 1] += int(entry["amount"])
    uneven = {asset: total for asset, total in sums.items() if total[0] != total[1]}
    debited, credited = ([asset for asset, total in uneven.items() if not total[side]] for side in (1, 0))
    if debited and credited and len(debited) + len(credited) == len(uneven):
        raise Refused("ASSET_MISMATCH", debited=",".join(debited), credited=",".join(credited))
    for asset, (debits, credits) in uneven.items():
        facts = {"asset": asset, "debits": debits, "credits": credits, "difference": debits - credits}
        raise Refused("UNBALANCED_TRANSACTION", **facts)


def rule(is_good: Callable[[Any], object], absent: Any = "") -> Rule:
    return lambda value, at: [] if is_good(absent if value is None else value) else [at]


def optional(of: Rule) -> Rule:
    return lambda value, at: of(value, at) if value else []


def fields(**rules: Rule) -> Rule:
    def faults(value: Fields | None, at: str) -> list[str]:
        places = {name: f"{at}.{name}" if at else name for name in rules}
        return [fault for name, one in rules.items() for fault in one((value or {}).get(name), places[name])]

    return faults


def every(fewest: int, most: int, of: Rule) -> Rule:
    def faults(values: list[Any] | None, at: str) -> list[str]:
        if not fewest <= len(values or []) <= most:
            return [at]
        return [fault for index, one in enumerate(values or []) for fault in of(one, f"{at}[{index}]")]

    return faults


def printable(text: str) -> bool:
    unseen = (c for c in text if category(c)[0] == "C" or category(c) in ("Zl", "Zp"))
    return text == normalize("NFC", text) and not any(unseen)


def is_text(text: str, most: int = 255) -> bool:
    return len(text) <= most and "\0" not in text


def is_path(name: str) -> bool:
    return len(name) <= 255 and printable(name) and all(p and p == p.strip() for p in name.split(":"))


def is_code(code: str) -> bool:
    return 1 <= len(code) <= 32 and printable(code) and not any(c.isspace() for c in code)


def is_metadata(pairs: dict[str, str]) -> bool:
    size = sum(len((key + value).encode()) for key, value in pairs.items())
    each = all(key and is_text(key, 64) and is_text(value, 1024) for key, value in pairs.items())
    return len(pairs) <= 64 and size <= 8192 and each


def transaction_name(name: Fields | None, at: str) -> list[str]:
    """A sequence or a key, whichever is there."""
    good = {"sequence": lambda n: n > 0, "idempotency_key": lambda k: k.strip() and is_text(k.strip(), 128)}
    return [f"{at}.{field}" for field, value in name.items() if not good[field](value)] if name else [at]


def limits(values: list[Fields] | None, at: str) -> list[str]:
    """At most one for each asset; at least one bound, and zero between them."""
    faults, seen = [], set()
    for index, limit in enumerate(values or []):
        bounds = {name: limit[name] for name in ("balance_min", "balance_max") if name in limit}
        wrong = [name for name, text in bounds.items() if not re.fullmatch("0|-?[1-9][0-9]{0,37}", text)]
        low, high = (int(bounds.get(b, 0)) if b not in wrong else 0 for b in ("balance_min", "balance_max"))
        faults += [f"{at}[{index}].{name}" for name in wrong]
        faults += [f"{at}[{index}].asset"] * (not is_code(limit["asset"]) or limit["asset"] in seen)
        faults += [f"{at}[{index}]"] * (not bounds or low > 0 or high < 0)
        seen.add(limit["asset"])
    return faults


def transaction_filter(wanted: Fields | None, at: str) -> list[str]:
    """An account or a prefix, not both."""
    both = bool(wanted and wanted.get("account") and wanted.get("account_prefix"))
    return [f"{at}.account_prefix"] * both + FILTER(wanted, at)


path, code, text, metadata = rule(is_path), rule(is_code), rule(is_text), rule(is_metadata, {})
kind, key = rule(lambda text: is_text(text, 64)), rule(lambda text: is_text(text.strip(), 128))
time = rule(lambda t: t is None or (-62135596800 <= t[0] <= 253402300799 and 0 <= t[1] < 10**9), None)
natural, scale = rule(lambda number: number >= 0, 0), rule(range(37).__contains__, 0)
one_of_three, one_of_six = rule(range(3).__contains__, 0), rule(range(6).__contains__, 0)
amount, side = rule(re.compile("[1-9][0-9]{0,37}").fullmatch), rule((1, 2).__contains__)
ENTRY = fields(account=path, side=side, amount=amount, asset=code)
ACCOUNT = fields(name=path, type=rule(range(1, 6).__contains__), limits=limits, metadata=metadata)
FILTER = fields(
    **{"account": optional(path), "account_prefix": optional(path), "kind": kind, "external_ref": text},
    **dict.fromkeys(("effective_time_from", "effective_time_until"), time),
    **dict.fromkeys(("record_time_from", "record_time_until"), time),
    metadata=metadata,
)
READ = {"ledger": path, "order": one_of_three} | dict.fromkeys(
    ("page_size", "at_sequence", "min_sequence"), natural
)
DRAFT = {"idempotency_key": key, "effective_time": time, "description": text, "metadata": metadata}
POST = DRAFT | {"entries": every(2, 1000, ENTRY), "kind": kind, "external_ref": text}
REVERSE = DRAFT | {"transaction": transaction_name}
BALANCE = {"account": path, "asset": optional(code)}
FORMS = {
    "CreateLedger": fields(name=path, description=text),
    "GetLedger": fields(name=path, min_sequence=natural),
    "ListLedgers": fields(page_size=natural),
    "CreateAsset": fields(ledger=path, code=code, scale=scale),
    "ListAssets": fields(**READ),
    "CreateAccount": fields(ledger=path, account=ACCOUNT),
    "BatchCreateAccounts": fields(ledger=path, accounts=every(1, 1000, ACCOUNT)),
    "GetAccount": fields(**READ, name=path),
    "ListAccounts": fields(**READ, prefix=optional(path), type=one_of_six),
    "Post": fields(ledger=path, **POST),
    "post": fields(**POST),
    "Reverse": fields(ledger=path, **REVERSE),
    "reverse": fields(**REVERSE),
    "PostBatch": fields(ledger=path, operations=rule(bool), view=one_of_three),
    "GetTransaction": fields(**READ, transaction=transaction_name),
    "ListTransactions": fields(**READ, filter=transaction_filter),
    "ListEntries": fields(**READ, **BALANCE),
    "GetBalance": fields(**READ, **BALANCE),
    "BatchGetBalances": fields(**READ, names=every(1, 1000, fields(**BALANCE))),
    "TrialBalance": fields(**READ, rows=one_of_three),
}
