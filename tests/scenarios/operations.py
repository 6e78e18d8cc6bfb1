"""The verbs that write one record, by themselves or in a batch: their words as fields of a request."""

from __future__ import annotations

from collections.abc import Callable

from scenarios.language import Fault, Outcome, Words
from scenarios.sides import Fields
from scenarios.stage import Stage, seconds, time_text

TYPES = {"ASSET": 1, "LIABILITY": 2, "EQUITY": 3, "REVENUE": 4, "EXPENSE": 5}
SIDES = {"DR": 1, "CR": 2}
# What else each of them may say.
OF_A_REVERSAL = ("meta", "description", "effective")
OF_A_TEMPLATE = ("description", "ref", "effective", "dry")
OF_A_POST = ("kind", "meta", *OF_A_TEMPLATE)
POSTED, OPENED = "posted|replayed", "ok|replayed"


def post(stage: Stage, words: Words) -> Fields:
    """KEY, lines, and more."""
    fields: Fields = {"idempotency_key": key(words), "entries": []}
    while words:
        if name := words.skip(*OF_A_POST):
            more(fields, name, words)
            continue
        account, side = words.take("an account"), words.take_one_of("a side", *SIDES)
        amount, asset = words.take("an amount"), words.take("an asset")
        minor_units = stage.minor_units(amount, asset)
        line = {"account": account, "side": SIDES[side], "amount": minor_units, "asset": asset}
        fields["entries"].append(line)
    return fields


def template(_stage: Stage, words: Words) -> Fields:
    """KEY, a template's name, what it is given, and more."""
    fields: Fields = {"idempotency_key": key(words)}
    name, _, version = words.take("a template").partition("@")
    if not version.isdigit() and version:
        raise Fault(f"{version!r} is no version")
    used: Fields = {"name": name, "version": int(version or 0), "parameters": words.pairs(), "items": []}
    while words:
        if words.opens():
            group, given = words.bracketed()
            used["items"].append({"group": group, "parameters": given})
        elif one := words.skip(*OF_A_TEMPLATE):
            more(fields, one, words)
        else:
            words.end()
    return fields | {"template": used}


def reverse(_stage: Stage, words: Words) -> Fields:
    """KEY, the KEY of what is reversed, and more."""
    fields: Fields = {"idempotency_key": key(words)}
    fields["transaction"] = {"idempotency_key": words.take("the key of what is reversed")}
    fields["force"] = bool(words.skip("force"))
    while name := words.skip(*OF_A_REVERSAL):
        more(fields, name, words)
    words.end()
    return fields


def account(stage: Stage, words: Words) -> Fields:
    """A name, a type, bounds, metadata."""
    name = words.take("an account")
    kind = words.take_one_of("a type", *TYPES)
    fields: Fields = {"name": name, "type": TYPES[kind], "limits": limits(stage, words)}
    if words.skip("meta"):
        fields["metadata"] = words.pairs()
    words.end()
    return fields


def limits(stage: Stage, words: Words) -> list[Fields]:
    """min AMOUNT ASSET and max AMOUNT ASSET, as many as there are."""
    by_asset: dict[str, Fields] = {}
    while end := words.skip("min", "max"):
        amount, asset = words.take("an amount"), words.take("an asset")
        limit = by_asset.setdefault(asset, {"asset": asset})
        if f"balance_{end}" in limit:
            raise Fault(f"{end} of {asset} is given twice")
        limit[f"balance_{end}"] = stage.minor_units(amount, asset)
    return list(by_asset.values())


def key(words: Words) -> str:
    """An idempotency key; "-" is none."""
    return words.take("a key, or - for none").removeprefix("-")


def more(fields: Fields, name: str, words: Words) -> None:
    """What else a post, a template or a reversal may say."""
    match name:
        case "meta":
            fields["metadata"] = words.pairs()
        case "dry":
            fields["validate_only"] = True
        case "effective":
            fields["effective_time"] = seconds(words.take("a time"))
        case "ref":
            fields["external_ref"] = words.take("a reference")
        case _:
            fields[name] = words.take(f"a {name}")


def recorded(answer: Fields) -> Outcome:
    """What came of a post, a template or a reversal."""
    return Outcome("replayed" if answer["replayed"] else "posted", facts_of(answer["transaction"]))


def opened(answer: Fields) -> Outcome:
    """What came of anything else that is written."""
    return Outcome("replayed" if answer["replayed"] else "ok", {})


def facts_of(transaction: Fields) -> dict[str, str]:
    """What may be said of a recorded transaction."""
    used = transaction["template"] or {"name": "", "version": 0, "parameters": {}}
    facts = {name: transaction[name] for name in ("sequence", "kind", "description", "series", "number")}
    facts |= {"ref": transaction["external_ref"], "key": transaction["idempotency_key"]}
    facts |= {"template": used["name"], "version": used["version"], "force": transaction["forced"]}
    facts |= {name: transaction[name] for name in ("reverses", "reversed_by")}
    facts |= {"accounts": ",".join(entry["account"] for entry in transaction["entries"])}
    facts |= {"ledger": transaction["ledger"], "entries": len(transaction["entries"])}
    facts |= {"effective": time_text(transaction["effective_time"])}
    facts |= {f"meta.{name}": value for name, value in transaction["metadata"].items()}
    facts |= {f"given.{name}": value for name, value in used["parameters"].items()}
    return {
        name: str(value).lower() if value is True or value is False else str(value)
        for name, value in facts.items()
    }


# Each verb: the method it is by itself, its name in a batch, its words, what came of it, what may.
OPERATIONS: dict[str, tuple[str, str, Callable[[Stage, Words], Fields], Callable[[Fields], Outcome], str]] = {
    "post": ("Post", "post", post, recorded, POSTED),
    "template": ("Post", "post", template, recorded, POSTED),
    "reverse": ("Reverse", "reverse", reverse, recorded, POSTED),
    "account": ("CreateAccount", "open_account", account, opened, OPENED),
}
