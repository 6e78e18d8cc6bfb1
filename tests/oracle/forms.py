"""What requests say, as the contract words it: which fields are at fault, what passes; and the refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from unicodedata import category, is_normalized

Fields = dict[str, Any]
Time = tuple[int, int]  # seconds and nanos

REASONS = """
INVALID_ARGUMENT VALIDATION_FAILED AMOUNT_INVALID ASSET_MISMATCH UNBALANCED_TRANSACTION PAGE_TOKEN_INVALID
INVALID_ARGUMENT UNHANDLED_KIND IDEMPOTENCY_KEY_REQUIRED
NOT_FOUND LEDGER_NOT_FOUND ACCOUNT_NOT_FOUND ASSET_NOT_FOUND TRANSACTION_NOT_FOUND CHART_NOT_FOUND
NOT_FOUND TEMPLATE_NOT_FOUND ACCOUNT_SET_NOT_FOUND
ALREADY_EXISTS IDEMPOTENCY_KEY_REUSED REVERSAL_ALREADY_EXISTS
ALREADY_EXISTS LEDGER_ALREADY_EXISTS ASSET_ALREADY_EXISTS ACCOUNT_ALREADY_EXISTS
FAILED_PRECONDITION INSUFFICIENT_FUNDS BALANCE_LIMIT_EXCEEDED REVERSAL_FORBIDDEN_TYPE SEQUENCE_NOT_REACHED
FAILED_PRECONDITION ACCOUNT_FROZEN ACCOUNT_CLOSED ACCOUNT_NOT_EMPTY PRECONDITION_FAILED CHART_CONFLICT
OUT_OF_RANGE AMOUNT_OVERFLOW
ABORTED ATOMIC_GROUP_REFUSED VERSION_MISMATCH
RESOURCE_EXHAUSTED BATCH_TOO_LARGE
PERMISSION_DENIED ROLE_REQUIRED"""
CODES = {reason: line.split()[0] for line in REASONS[1:].splitlines() for reason in line.split()[1:]}


class Refused(Exception):
    """A refusal: its status, its reason, the facts, and the fields at fault."""

    def __init__(self, reason: str, fields: tuple[str, ...] = (), **facts: object) -> None:
        super().__init__(reason, fields, facts)
        self.code, self.reason, self.fields = CODES[reason], reason, fields
        self.facts = {name: str(value) for name, value in facts.items()}


def refuse(when: object, reason: str, fields: tuple[str, ...] = (), **facts: object) -> None:
    """Raises Refused in this case."""
    if when:
        raise Refused(reason, fields, **facts)


def agree(reason: str, asked: Fields, known: Fields, **facts: object) -> None:
    """What is asked for again must be what is known; else the fields that differ are named."""
    differing = [field for field, value in asked.items() if known.get(field) != value]
    named = "verb" if "verb" in differing else ",".join(differing)
    refuse(differing, reason, **facts, differing_fields=named)


def attempt(call: Callable[..., Any], *asked: Any) -> Any:
    """The answer to a call, or its refusal."""
    try:
        return call(*asked)
    except Refused as refused:
        return refused


def judge(form: str, q: Fields) -> None:
    """All faults of a request at once; then that its entries balance. Raises Refused."""
    wrong = tuple(path[1:] for path in faults(FORMS.get(form, "ledger"), q))
    are_amounts = all(path.endswith(".amount") for path in wrong)
    refuse(wrong, "AMOUNT_INVALID" if are_amounts else "VALIDATION_FAILED", wrong)
    sums = summed(q.get("entries", ()), lambda entry: entry["asset"])
    uneven = {asset: sides for asset, sides in sums.items() if sides[0] != sides[1]}
    debited, credited = ([asset for asset, sides in uneven.items() if not sides[side]] for side in (1, 0))
    is_mismatch = debited and credited and len(debited + credited) == len(uneven)
    refuse(is_mismatch, "ASSET_MISMATCH", debited=",".join(debited), credited=",".join(credited))
    for asset, (debits, credits) in uneven.items():
        facts = {"asset": asset, "debits": debits, "credits": credits, "difference": debits - credits}
        raise Refused("UNBALANCED_TRANSACTION", **facts)


def summed(entries: Iterable[Fields], place: Callable[[Fields], Any]) -> dict[Any, list[int]]:
    """Debits and credits of each place."""
    sums: dict[Any, list[int]] = {}
    for entry in entries:
        sums.setdefault(place(entry), [0, 0])[entry["side"] - 1] += int(entry["amount"])
    return sums


def micros(time: Time | None) -> int | None:
    return time[0] * 10**6 + time[1] // 1000 if time else None


def under(name: str, prefix: str) -> bool:
    return not prefix or f"{name}:".startswith(f"{prefix}:")


def passes(one: Fields, wanted: Fields) -> bool:
    """Whether a transaction matches every part of a filter."""
    names = {entry["account"] for entry in one["entries"]}
    checks = [any(under(name, wanted["account_prefix"]) for name in names)]
    checks += [wanted["account"] in ("", *names), wanted.get("reversals") in (None, bool(one["reverses"]))]
    checks += [wanted[field] in ("", one[field]) for field in ("kind", "external_ref")]
    checks += [wanted["metadata"].items() <= one["metadata"].items()]
    for field in ("effective_time", "record_time"):
        start, end = micros(wanted[f"{field}_from"]), micros(wanted[f"{field}_until"])
        checks += [start is None or start <= one[field], end is None or one[field] < end]
    return all(checks)


def faults(rule: Any, value: Any) -> list[str]:
    """The paths at fault in a value; "" is the value itself.

    A rule is a range; a list's fewest, most and rule of each; a message's rules by field; the fields that
    a message must have, which RULES judges with all that it has besides; or a test.
    """
    match rule:
        case range():
            return [""] * (value not in rule)
        case fewest, most, of:
            each = [f"[{index}]{path}" for index, one in enumerate(value) for path in faults(of, one)]
            return each if fewest <= len(value) <= most else [""]
        case dict():
            return [f".{name}{path}" for name, of in rule.items() for path in faults(of, value.get(name, ""))]
        case str():
            names = [*rule.split(), *(name for name, one in (value or {}).items() if one)]
            return faults({name: RULES.get(name, bool) for name in names}, value or {})
    found = rule(value)
    return found if isinstance(found, list) else [""] * (not found)


def like(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


def is_printable(name: str) -> bool:
    return is_normalized("NFC", name) and all(c.isprintable() or category(c) == "Zs" for c in name)


def is_path(name: str) -> bool:
    return len(name) <= 255 and is_printable(name) and all(p and p == p.strip() for p in name.split(":"))


def is_metadata(pairs: dict[str, str]) -> bool:
    each = all(like(r"[^\0]{1,64}")(key) and like(r"[^\0]{0,1024}")(pairs[key]) for key in pairs)
    return each and len(pairs) <= 64 and len("".join([*pairs, *pairs.values()]).encode()) <= 8192


def limits(values: list[Fields], *, around_zero: bool = True) -> list[str]:
    """At most one for each asset; at least one bound, and zero between them where accounts are opened."""
    wrong = []
    for index, limit in enumerate(values):
        ends = [end for end in ENDS if end in limit]
        paths = faults(" ".join(["asset", *ends]), limit)
        low, high = (0 if f".{end}" in paths else int(limit.get(end, 0)) for end in ENDS)
        is_crossed = low > high and set(ENDS) <= {*limit} and not {f".{end}" for end in ENDS} & {*paths}
        paths += [".asset"] * (limit["asset"] in [other["asset"] for other in values[:index]])
        paths += [""] * (not ends or is_crossed or (around_zero and (low > 0 or high < 0)))
        wrong += [f"[{index}]{path}" for path in paths]
    return wrong


def update(q: Fields) -> list[str]:
    """What replaces parts of an account: a version, and the parts that its mask names, each once."""
    named = q.get("update_mask", {}).get("paths", [])
    rest = {field: value for field, value in q.items() if field not in ("version", "limits")}
    wrong = faults("ledger name", rest)
    wrong += [".version"] * (q.get("version", 0) < 1)
    wrong += [".update_mask"] * (not named or len({*named}) < len(named) or not {*PARTS} >= {*named})
    wrong += [f".{part}" for part in PARTS if q.get(part) and part not in named]
    return wrong + [f".limits{path}" for path in limits(q.get("limits", []), around_zero=False)]


def precondition(one: Fields) -> list[str]:
    """An account's version, or a balance between bounds, one of which must be given."""
    for kind, said in one.items():
        if kind == "account_version":
            return [
                f".{kind}{path}" for path in faults({"account": is_path, "version": range(1, 2**63)}, said)
            ]
        ends = [end for end in ("min", "max") if end in said]
        paths = faults({"account": is_path, "asset": RULES["asset"], **dict.fromkeys(ends, is_bound)}, said)
        is_sound = len(ends) == 2 and not {".min", ".max"} & {*paths}
        paths += [""] * (not ends or (is_sound and int(said["min"]) > int(said["max"])))
        return [f".{kind}{path}" for path in paths]
    return [""]


is_bound = like("0|-?[1-9][0-9]{0,37}")
PARTS = ("limits", "metadata")
ENDS = ("balance_min", "balance_max")
TIMES = [f"{time}{end}" for time in ("effective_time", "record_time") for end in ("", "_from", "_until")]
NAMED_BY = {"sequence": range(1, 2**63), "idempotency_key": lambda key: like(r"[^\0]{1,128}")(key.strip())}
RULES: dict[str, Any] = {
    **dict.fromkeys(("ledger", "name", "account", "prefix", "account_prefix"), is_path),
    "account_set": lambda name: is_path(name) and ":" not in name and len(name) <= 64,
    **dict.fromkeys(("asset", "code"), lambda code: like(r"\S{1,32}")(code) and is_printable(code)),
    **dict.fromkeys(("description", "external_ref"), like(r"[^\0]{0,255}")),
    **dict.fromkeys(ENDS, is_bound),
    **dict.fromkeys(("page_size", "at_sequence", "min_sequence", "version"), range(2**63)),
    **dict.fromkeys(("order", "rows", "view", "basis"), range(3)),
    **dict.fromkeys(TIMES, lambda t: -62135596800 <= t[0] <= 253402300799 and 0 <= t[1] < 10**9),
    **{"type": range(1, 6), "side": range(1, 3), "scale": range(37), "amount": like("[1-9][0-9]{0,37}")},
    **{"kind": like(r"[^\0]{0,64}"), "idempotency_key": lambda key: like(r"[^\0]{0,128}")(key.strip())},
    **{"metadata": is_metadata, "limits": limits, "entries": (2, 1000, "account side amount asset")},
    **{"accounts": (1, 1000, "name type"), "names": (1, 1000, "account")},
    "preconditions": (0, 64, precondition),
    # A sequence or a key, whichever is there; an account or a prefix, not both.
    "transaction": lambda name: faults({one: NAMED_BY[one] for one in name}, name) if name else [""],
    "filter": lambda q: faults("", q) + [".account_prefix"] * all(map(q.get, ("account", "account_prefix"))),
}
# What each method and each operation must say; those that are not here, a ledger.
FORMS: dict[str, Any] = {
    **{"CreateLedger": "name", "GetLedger": "name", "ListLedgers": "", "GetAccount": "ledger name"},
    **{"CreateAsset": "ledger code", "CreateAccount": {"ledger": is_path, "account": "name type"}},
    **{"BatchCreateAccounts": "ledger accounts", "PostBatch": "ledger operations", "": "operation"},
    **{"Post": "ledger entries", "post": "entries", "reverse": "transaction", "open_account": "name type"},
    **dict.fromkeys(("Reverse", "GetTransaction"), "ledger transaction"),
    **dict.fromkeys(("ListEntries", "GetBalance"), "ledger account"),
    **dict.fromkeys(("FreezeAccount", "UnfreezeAccount", "CloseAccount"), "ledger name"),
    "UpdateAccount": update,
    # Accounts by a prefix or by a set, one of them.
    "GetAggregateBalance": lambda q: faults(
        "ledger account_set" if "account_set" in q else "ledger account_prefix", q
    ),
    "BatchGetBalances": "ledger names",
}
# What a request says where it leaves a field out.
ABSENT: Fields = {name: 0 if isinstance(rule, range) else "" for name, rule in RULES.items()}
ABSENT |= dict.fromkeys(("atomic", "validate_only", "digest", "force"), False)
ABSENT |= {"page_token": "", "metadata": {}, "entries": [], "limits": [], "preconditions": []}
ABSENT |= {"update_mask": {"paths": []}}
