"""The reference ledger with templates: what a chart's templates make of what they are given.

Written from docs/templates.md and the contract's words. Templates are taken as they come.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from oracle.charted import SHAPES, Charted
from oracle.forms import ABSENT, RULES, Fields, Refused, is_path, judge, micros, refuse

MOST = 10**38 - 1
TYPES = SHAPES | {4: r"(?s)(?!\s*\Z)[^\0]{1,255}", 5: r"[1-9][0-9]{0,37}"}
NAMES = {"account": is_path, "asset": RULES["asset"]}
NEVER = ("entries", "kind", "metadata")
Scope = dict[str, str]


class Templated(Charted):
    """All ledgers of one service, with their charts and what their templates make."""

    def answer(self, method: str, q: Fields) -> Any:
        """The answer to a call. Raises Refused."""
        if method != "Post" or not q.get("template"):
            return super().answer(method, q)
        judge_use(method, q)
        return self.by_template(self.book(q["ledger"]), ABSENT | q)

    def judge_operation(self, verb: str, q: Fields) -> None:
        (judge_use if verb == "post" and q.get("template") else judge)(verb, q)

    def operate(self, book: Fields, verb: str, q: Fields) -> Fields:
        is_made = verb == "post" and q.get("template")
        return self.by_template(book, ABSENT | q) if is_made else super().operate(book, verb, q)

    def ApplyChart(self, q: Fields) -> Fields:
        """What a template makes is of a kind that the chart has, where it says what kinds there are."""
        chart = q["chart"]
        handled = {kind["name"] for kind in chart.get("kinds", ())}
        made = [one.get("kind", "") for one in chart.get("templates", ())]
        strange = [index for index, kind in enumerate(made) if not handled & {kind, "*"}]
        wrong = tuple(f"chart.templates[{index}].kind" for index in strange if handled)
        refuse(wrong, "VALIDATION_FAILED", wrong)
        return super().ApplyChart(q)

    def by_template(self, book: Fields, q: Fields) -> Fields:
        """A post that a template makes: the key, then the template, then what it makes."""
        key, used = (
            q["idempotency_key"].strip(),
            {"version": 0, "parameters": {}, "items": []} | q["template"],
        )
        if key in book["keys"]:
            self.judge_who(book, book["journal"][book["keys"][key][1]]["kind"])
            self.same(book, key, used, q)
            return {"transaction": book["journal"][book["keys"][key][1]], "replayed": True}
        template = self.template(book, used)
        made = expanded(template, used)
        used["version"] = template["version"]
        shown = self.write(book, "post", {**q, **made, "made_by": used})
        return shown

    def judge_who(self, book: Fields, kind: str) -> None:
        """Whoever asks may post this kind, where nobody is asked who it is."""

    def same(self, book: Fields, key: str, used: Fields, q: Fields) -> None:
        content, sequence = book["keys"][key]
        facts = {"idempotency_key": key, "sequence": sequence}
        if content["verb"] != "post":
            raise Refused("IDEMPOTENCY_KEY_REUSED", **facts, differing_fields="verb")
        known = content.get("template")
        if known is None or known["name"] != used["name"]:
            raise Refused("IDEMPOTENCY_KEY_REUSED", **facts, differing_fields="template")
        differs = {
            "template.version": used["version"] not in (0, known["version"]),
            "effective_time": micros(q["effective_time"]) != content["effective_time"],
            "template.parameters": used["parameters"] != known["parameters"],
            "template.items": used["items"] != known["items"],
            "description": q["description"] != content["description"],
            "external_ref": q["external_ref"] != content["external_ref"],
        }
        differing = ",".join(field for field, is_other in differs.items() if is_other)
        refuse(differing, "IDEMPOTENCY_KEY_REUSED", **facts, differing_fields=differing)

    def template(self, book: Fields, used: Fields) -> Fields:
        """The template that is asked for, the newest unless a version is named."""
        named = {
            one["version"]: one
            for one in self.chart(book).get("templates", ())
            if one["name"] == used["name"]
        }
        refuse(not named, "TEMPLATE_NOT_FOUND", template=used["name"])
        newest = max(named)
        facts = {"template": used["name"], "version": used["version"], "newest_version": newest}
        refuse(used["version"] not in (0, *named), "TEMPLATE_NOT_FOUND", **facts)
        return named[used["version"] or newest]

    def write(self, book: Fields, verb: str, q: Fields) -> Fields:
        """What was made by a template says so, and is not the same as what was not."""
        q = ABSENT | q
        if verb == "post":
            self.judge_who(book, q["kind"])
        key, used = q["idempotency_key"].strip(), q.get("made_by")
        if verb == "post" and used is None and key in book["keys"]:
            content, sequence = book["keys"][key]
            is_made = content["verb"] == "post" and content.get("template") is not None
            facts = {"idempotency_key": key, "sequence": sequence, "differing_fields": "template"}
            refuse(is_made, "IDEMPOTENCY_KEY_REUSED", **facts)
        answer = super().write(book, verb, q)
        if not answer["replayed"]:
            answer["transaction"]["template"] = used
            if key and not q["validate_only"]:
                book["keys"][key][0]["template"] = used
        return answer


def judge_use(form: str, q: Fields) -> None:
    """The form of a post that names a template: what the template makes is not the caller's to say."""
    given = [field for field in NEVER if q.get(field)]
    refuse(given, "VALIDATION_FAILED", tuple(given))
    # Any two entries will do, where a template makes them.
    line = {"account": "x", "amount": "1", "asset": "x"}
    judge(form, q | {"entries": [line | {"side": 1}, line | {"side": 2}]})


def expanded(template: Fields, used: Fields) -> Fields:
    """Entries, kind and metadata. Raises Refused with every violation of what is given."""
    judge_given(template, used)
    scopes: dict[str, list[Scope]] = {"": [used["parameters"]]}
    for group in template["groups"]:
        own = [item["parameters"] for item in used["items"] if item["group"] == group["name"]]
        scopes[group["name"]] = [used["parameters"] | one for one in own]
    lines: list[tuple[int, Fields]] = []
    wrong: list[str] = []
    shared: dict[Any, list[tuple[Fields, int, int]]] = {}
    for place, entry in enumerate(template["entries"]):
        for index, scope in enumerate(scopes[entry["group"]]):
            total = product(entry, scope, template["name"], place)
            names = {field: filled(entry[field], scope) for field in ("account", "asset")}
            wrong += [
                field for field, name in names.items() if "{" in entry[field] and not NAMES[field](name)
            ]
            one = names | {"side": entry["side"], "amount": total}
            lines.append((place, one))
            if (weight := entry["weight"] or entry["weight_parameter"]) is not None:
                is_own = set(entry["factors"]) - set(template["parameters"])
                # Not by the asset's code: one that is named in two ways has two totals.
                name = (
                    entry["side"],
                    entry["asset"],
                    tuple(sorted(entry["factors"])),
                    index if is_own else -1,
                )
                heavy = int(scope[weight]) if isinstance(weight, str) else weight
                shared.setdefault(name, []).append((one, total, heavy))
    wrong += ["weight" for parts in shared.values() if not any(weight for *_, weight in parts)]
    refuse(wrong, "VALIDATION_FAILED", ("template.parameters",) * len(wrong))
    for parts in shared.values():
        divide(parts)
    entries = summed_up(lines, template["name"])
    refuse(not 2 <= len(entries) <= 1000, "VALIDATION_FAILED", ("template.parameters",))
    uneven_is_refused(entries)
    metadata = {key: filled(value, used["parameters"]) for key, value in template["metadata"].items()}
    return {"entries": entries, "kind": template["kind"], "metadata": metadata}


def judge_given(template: Fields, used: Fields) -> None:
    factors = {name for entry in template["entries"] for name in entry["factors"]}
    segments = {name for entry in template["entries"] for name in re.findall(r"{(\w+)}", entry["account"])}
    wrong: list[tuple[str, bool]] = []

    def judge_values(types: dict[str, int], values: Scope, field: str) -> None:
        for name, kind in sorted(types.items()):
            value = values.get(name, "")
            is_right = re.fullmatch(TYPES[kind], value) and not (name in factors and value == "0")
            if not is_right or (name in segments and (":" in value or not is_path(value))):
                wrong.append((f"{field}.{name}", kind == 5))
        wrong.extend((field, False) for name in values if name not in types)

    groups = {group["name"]: group for group in template["groups"]}
    judge_values(template["parameters"], used["parameters"], "template.parameters")
    for index, item in enumerate(used["items"]):
        if item["group"] in groups:
            types = groups[item["group"]]["parameters"]
            judge_values(types, item["parameters"], f"template.items[{index}].parameters")
        else:
            wrong.append((f"template.items[{index}].group", False))
    for name, group in groups.items():
        if sum(item["group"] == name for item in used["items"]) < group["min_items"]:
            wrong.append(("template.items", False))
    reason = "AMOUNT_INVALID" if all(is_amounts for _, is_amounts in wrong) else "VALIDATION_FAILED"
    refuse(wrong, reason, tuple(field for field, _ in wrong))


def filled(pattern: str, scope: Scope) -> str:
    return re.sub(r"{(\w+)}", lambda name: scope[name[1]], pattern)


def product(entry: Fields, scope: Scope, template: str, place: int) -> int:
    total = 1
    for name in entry["factors"]:
        total *= int(scope[name])
    refuse(total > MOST, "AMOUNT_OVERFLOW", template=template, entry=place)
    return total


def divide(parts: list[tuple[Fields, int, int]]) -> None:
    """Exact proportions rounded down; a unit more for those that lost the most, the earlier first."""
    whole = sum(weight for *_, weight in parts)
    lost = []
    for index, (line, total, weight) in enumerate(parts):
        exact = Fraction(total * weight, whole)
        line["amount"] = int(exact)
        lost.append((line["amount"] - exact, index))
    left = parts[0][1] - sum(line["amount"] for line, *_ in parts)
    for _, index in sorted(lost)[:left]:
        parts[index][0]["amount"] += 1


def summed_up(lines: list[tuple[int, Fields]], template: str) -> list[Fields]:
    """Lines of one pattern for the same account and asset are one; of nothing there is none."""
    sums: dict[Any, Fields] = {}
    for place, line in lines:
        if line["amount"]:
            one = sums.setdefault((place, line["account"], line["asset"]), line | {"amount": 0})
            one["amount"] += line["amount"]
            refuse(one["amount"] > MOST, "AMOUNT_OVERFLOW", template=template, entry=place)
    return [one | {"amount": str(one["amount"])} for one in sums.values()]


def uneven_is_refused(entries: list[Fields]) -> None:
    """As of any post."""
    judge("Post", {"ledger": "x", "entries": entries})
