"""The form of requests, as the contract words it: what is at fault with each field, and the refusal itself.

Every `bad_*` says whether a value is outside its documented bounds; every `*_faults`
answers the paths of the fields at fault.
"""

from __future__ import annotations

import re
from typing import Any
from unicodedata import category, normalize

Fields = dict[str, Any]
Time = tuple[int, int]  # seconds and nanos

CODES = {
    "INVALID_ARGUMENT": "VALIDATION_FAILED AMOUNT_INVALID ASSET_MISMATCH UNBALANCED_TRANSACTION"
    " PAGE_TOKEN_INVALID",
    "NOT_FOUND": "LEDGER_NOT_FOUND ACCOUNT_NOT_FOUND ASSET_NOT_FOUND TRANSACTION_NOT_FOUND",
    "ALREADY_EXISTS": "IDEMPOTENCY_KEY_REUSED REVERSAL_ALREADY_EXISTS"
    " LEDGER_ALREADY_EXISTS ASSET_ALREADY_EXISTS ACCOUNT_ALREADY_EXISTS",
    "FAILED_PRECONDITION": "INSUFFICIENT_FUNDS BALANCE_LIMIT_EXCEEDED"
    " REVERSAL_FORBIDDEN_TYPE SEQUENCE_NOT_REACHED",
    "OUT_OF_RANGE": "AMOUNT_OVERFLOW",
    "ABORTED": "ATOMIC_GROUP_REFUSED",
    "RESOURCE_EXHAUSTED": "BATCH_TOO_LARGE",
}


class Refused(Exception):
    """A refusal: its status, its reason, the facts, and the fields at fault."""

    def __init__(self, reason: str, fields: tuple[str, ...] = (), **facts: object) -> None:
        super().__init__(reason, fields, facts)
        self.code = next(code for code, reasons in CODES.items() if reason in reasons.split())
        self.reason = reason
        self.fields = fields
        self.facts = {name: str(value) for name, value in facts.items()}


def judge(faults: list[str]) -> None:
    """Form: all faults at once."""
    if faults:
        amounts = all(field.endswith(".amount") for field in faults)
        raise Refused("AMOUNT_INVALID" if amounts else "VALIDATION_FAILED", tuple(faults))


def unprintable(text: str) -> bool:
    return text != normalize("NFC", text) or any(
        category(c)[0] == "C" or category(c) in ("Zl", "Zp") for c in text
    )


def bad_path(name: str) -> bool:
    return (
        len(name) > 255
        or unprintable(name)
        or any(part != part.strip() or not part for part in name.split(":"))
    )


def bad_code(code: str) -> bool:
    return not 1 <= len(code) <= 32 or unprintable(code) or any(c.isspace() for c in code)


def bad_text(text: str, most: int = 255) -> bool:
    return len(text) > most or "\0" in text


def bad_metadata(pairs: dict[str, str]) -> bool:
    size = sum(len((key + value).encode()) for key, value in pairs.items())
    wrong = any(not key or bad_text(key, 64) or bad_text(value, 1024) for key, value in pairs.items())
    return len(pairs) > 64 or size > 8192 or wrong


def bad_time(time: tuple[int, int] | None) -> bool:
    return time is not None and not (-62135596800 <= time[0] <= 253402300799 and 0 <= time[1] < 10**9)


def micros(time: tuple[int, int] | None) -> int | None:
    return None if time is None else time[0] * 10**6 + time[1] // 1000


def bad_name(name: Fields | None) -> list[str]:
    """What is wrong with a transaction's name."""
    if not name:
        return ["transaction"]
    if "sequence" in name:
        return ["transaction.sequence"] if name["sequence"] <= 0 else []
    key = name["idempotency_key"].strip()
    return ["transaction.idempotency_key"] if not key or bad_text(key, 128) else []


def bad_entries(entries: list[Fields]) -> list[str]:
    if not 2 <= len(entries) <= 1000:
        return ["entries"]
    faults = []
    for index, entry in enumerate(entries):
        wrong = {
            "account": bad_path(entry["account"]),
            "side": entry["side"] not in (1, 2),
            "amount": not re.fullmatch("[1-9][0-9]{0,37}", entry["amount"]),
            "asset": bad_code(entry["asset"]),
        }
        faults += [f"entries[{index}].{field}" for field, is_wrong in wrong.items() if is_wrong]
    return faults


def draft_faults(q: Fields) -> list[str]:
    """What a post and a reversal share."""
    wrong = {
        "idempotency_key": bad_text(q.get("idempotency_key", "").strip(), 128),
        "kind": bad_text(q.get("kind", ""), 64),
        "effective_time": bad_time(q.get("effective_time")),
        "description": bad_text(q.get("description", "")),
        "metadata": bad_metadata(q.get("metadata", {})),
        "external_ref": bad_text(q.get("external_ref", "")),
    }
    return [field for field, is_wrong in wrong.items() if is_wrong]


def judge_balance(entries: list[Fields]) -> None:
    """Debits equal credits in every asset."""
    sums: dict[str, list[int]] = {}
    for entry in entries:
        sums.setdefault(entry["asset"], [0, 0])[entry["side"] - 1] += int(entry["amount"])
    uneven = {asset: total for asset, total in sums.items() if total[0] != total[1]}
    debited = [asset for asset, total in uneven.items() if not total[1]]
    credited = [asset for asset, total in uneven.items() if not total[0]]
    if debited and credited and len(debited) + len(credited) == len(uneven):
        raise Refused("ASSET_MISMATCH", debited=",".join(debited), credited=",".join(credited))
    for asset, (debits, credits) in uneven.items():
        raise Refused(
            "UNBALANCED_TRANSACTION", asset=asset, debits=debits, credits=credits, difference=debits - credits
        )


def judge_draft(verb: str, q: Fields, faults: list[str]) -> None:
    if verb == "post":
        judge(faults + bad_entries(q.get("entries", [])) + draft_faults(q))
        judge_balance(q["entries"])
    else:
        judge(faults + bad_name(q.get("transaction")) + draft_faults(q))


def account_faults(draft: Fields, at: str) -> list[str]:
    faults = [f"{at}.name"] * bad_path(draft.get("name", "")) + [f"{at}.type"] * (
        draft.get("type") not in range(1, 6)
    )
    seen = set()
    for index, limit in enumerate(draft.get("limits", [])):
        place, code = f"{at}.limits[{index}]", limit.get("asset", "")
        faults += [f"{place}.asset"] * (bad_code(code) or code in seen)
        seen.add(code)
        bounds = {name: limit[name] for name in ("balance_min", "balance_max") if name in limit}
        wrong = [name for name, text in bounds.items() if not re.fullmatch("0|-?[1-9][0-9]{0,37}", text)]
        low, high = (
            int(bounds.get(name, 0)) if name not in wrong else 0 for name in ("balance_min", "balance_max")
        )
        faults += [f"{place}.{name}" for name in wrong] + [place] * (not bounds or low > 0 or high < 0)
    return faults + [f"{at}.metadata"] * bad_metadata(draft.get("metadata", {}))


def read_faults(q: Fields) -> list[str]:
    """What reads share."""
    negative = ("page_size", "at_sequence", "min_sequence")
    faults = ["ledger"] * bad_path(q.get("ledger", "")) + ["order"] * (q.get("order", 0) not in range(3))
    return faults + [field for field in negative if q.get(field, 0) < 0]


def asset_faults(code: str, field: str = "asset") -> list[str]:
    """An asset's code that may be left out."""
    return [field] * bool(code and bad_code(code))


def filter_faults(wanted: Fields) -> list[str]:
    """Which transactions a list shows."""
    both = bool(wanted.get("account") and wanted.get("account_prefix"))
    faults = ["account_prefix"] * both + ["metadata"] * bad_metadata(wanted.get("metadata", {}))
    faults += [name for name in ("account", "account_prefix") if wanted.get(name) and bad_path(wanted[name])]
    faults += ["kind"] * bad_text(wanted.get("kind", ""), 64) + ["external_ref"] * bad_text(
        wanted.get("external_ref", "")
    )
    times = [f"{name}_{end}" for name in ("effective_time", "record_time") for end in ("from", "until")]
    return [f"filter.{field}" for field in faults + [name for name in times if bad_time(wanted.get(name))]]
