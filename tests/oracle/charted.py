"""The reference ledger under charts: what ChartService and a chart's rules answer, from the contract's words.

Charts are taken as they come: what is wrong with the form of one is tried elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from oracle.accounts import CLOSED, OPEN
from oracle.forms import ABSENT, Fields, Refused, judge, refuse
from oracle.reference import Reference

SHAPES = {
    1: r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    2: r"0|[1-9][0-9]{0,18}",
    3: r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?",
}
FAMILY = {"parameters": {}, "assets": [], "limits": [], "opens_on_first_posting": False, "description": ""}
FAMILY |= {"limits_include_zero": False}
KIND = {"required_metadata": [], "numbering": None, "role": 0}
MEMBERS = ("accounts", "prefixes", "sets")
# What the parts of each list are called.
LISTS: dict[str, Callable[[Fields], str]] = {
    "assets": itemgetter("code"),
    "families": itemgetter("pattern"),
    "kinds": itemgetter("name"),
    "templates": lambda one: f"{one['name']} {one['version']}",
    "sets": itemgetter("name"),
}
TEMPLATE_ENTRY = {"group": "", "weight": None, "weight_parameter": None}
BOUNDS = {"balance_min": None, "balance_max": None}


class Charted(Reference):
    """All ledgers of one service, with their charts."""

    def answer(self, method: str, q: Fields) -> Any:
        """The answer to a call. Raises Refused."""
        if method in ("ApplyChart", "GetChart"):
            judge(method, q)
            return getattr(self, method)({"version": 0, "validate_only": False} | ABSENT | q)
        return super().answer(method, q)

    def charts(self, book: Fields) -> list[Fields]:
        return book.setdefault("charts", [])

    def chart(self, book: Fields) -> Fields:
        """What the newest chart says; nothing where there is none."""
        charts = self.charts(book)
        return charts[-1]["chart"] if charts else {key: [] for key in LISTS}

    def GetChart(self, q: Fields) -> Fields:
        book = self.book(q["ledger"], q["min_sequence"])
        charts, version = self.charts(book), q["version"]
        refuse(version > len(charts) or not charts, "CHART_NOT_FOUND", ledger=q["ledger"], version=version)
        return {"chart": charts[version - 1], "sequence": book["head"]}

    def ApplyChart(self, q: Fields) -> Fields:
        book, asked = self.book(q["ledger"]), whole(q["chart"])
        charts, standing = self.charts(book), self.chart(book)
        if charts and asked == standing:
            return {"chart": charts[-1], "changes": changes(asked, asked), "replayed": True}
        refuse(q["version"] != len(charts), "VERSION_MISMATCH", version=len(charts))
        wrong = [
            f"assets[{one['code']!r}]"
            for one in asked["assets"]
            if book["assets"].get(one["code"], one)["scale"] != one["scale"]
        ]
        versions = {LISTS["templates"](one): one for one in standing["templates"]}
        wrong += [
            f"templates[{one['name']!r}]"
            for one in asked["templates"]
            if versions.get(LISTS["templates"](one), one) != one
        ]
        if asked["families"] != standing["families"]:
            # In the order in which they were opened.
            accounts = sorted(book["accounts"].values(), key=itemgetter("sequence"))
            wrong += [f"accounts[{one['name']!r}]" for one in accounts if not self.fits(book, asked, one)]
        refuse(wrong, "CHART_CONFLICT", tuple(wrong), offenders=len(wrong))
        if q["validate_only"]:
            common = {"sequence": 0, "record_time": max(book["time"], self.now), "created_by": "anonymous"}
        else:
            common = self.record(book)
        version = {"version": len(charts) + 1, "chart": asked} | common
        if not q["validate_only"]:
            charts.append(version)
            for one in asked["assets"]:
                self.add(book, "asset", {"code": one["code"]}, {"scale": one["scale"]})
        return {"chart": version, "changes": changes(standing, asked), "replayed": False}

    def fits(self, book: Fields, chart: Fields, account: Fields) -> bool:
        """Whether an account is what a family of the chart says."""
        family = family_of(chart, account["name"])
        if family is None or family["type"] != account["type"]:
            return False
        is_around_zero = account["status"] == CLOSED or not any(map(past_zero, account["limits"]))
        within = not family["assets"] or self.used(book, account["name"]) <= set(family["assets"])
        return within and (is_around_zero or not family["limits_include_zero"])

    def used(self, book: Fields, account: str) -> set[str]:
        """The assets that an account has entries in."""
        return {line["entry"]["asset"] for line in self.lines(book, account, "")}

    def counted(self, book: Fields, series: str) -> int:
        """How many numbers a series has given."""
        return sum(one.get("series") == series for one in book["journal"].values())

    def open_account(self, book: Fields, draft: Fields) -> Fields:
        chart, name = self.chart(book), draft["name"]
        if chart["families"] and name not in book["accounts"]:
            family = family_of(chart, name)
            refuse(family is None, "VALIDATION_FAILED", ("account.name",))
            assert family is not None
            refuse(family["type"] != draft["type"], "VALIDATION_FAILED", ("account.type",))
            limited = [one["asset"] for one in draft.get("limits", ())]
            foreign = family["assets"] and not set(limited) <= set(family["assets"])
            refuse(foreign, "VALIDATION_FAILED", ("account.limits",))
        return super().open_account(book, draft)

    def write(self, book: Fields, verb: str, q: Fields) -> Fields:
        q = ABSENT | q
        series, opened = "", {}
        if verb == "post" and q["idempotency_key"].strip() not in book["keys"]:
            series, opened = self.ruled(book, q), self.opening(book, q)
        book["accounts"] |= opened
        try:
            answer = super().write(book, verb, q)
        except Refused:
            book["accounts"] = {name: one for name, one in book["accounts"].items() if name not in opened}
            raise
        shown, is_trial = answer["transaction"], q["validate_only"]
        shown.setdefault("template", None)
        if is_trial and not answer["replayed"]:
            book["accounts"] = {name: one for name, one in book["accounts"].items() if name not in opened}
            shown |= {"series": "", "number": 0}
        elif not answer["replayed"]:
            number = self.counted(book, series) + 1 if series else 0
            shown |= {"series": series, "number": number}
            for one in opened.values():
                one |= {field: shown[field] for field in ("sequence", "record_time", "created_by")}
                book["first"]["account"][one["name"]] = self.stand(book, "account", one)
        return answer

    def ruled(self, book: Fields, q: Fields) -> str:
        """The series that numbers a post; empty for none. Raises Refused where the chart says no."""
        chart = self.chart(book)
        kinds = {one["name"]: one for one in chart["kinds"]}
        kind = kinds.get(q["kind"], kinds.get("*"))
        refuse(kinds and kind is None, "UNHANDLED_KIND", kind=q["kind"])
        key = q["idempotency_key"].strip()
        if kind:
            refuse(kind["idempotency"] == 1 and not key, "IDEMPOTENCY_KEY_REQUIRED", kind=q["kind"])
            wrong = ["idempotency_key"] * (kind["idempotency"] == 3 and bool(key))
            wrong += ["metadata" for name in kind["required_metadata"] if not q["metadata"].get(name)]
            refuse(wrong, "VALIDATION_FAILED", tuple(wrong))
        for entry in q["entries"]:
            family = family_of(chart, entry["account"])
            if family and family["assets"] and entry["asset"] not in family["assets"]:
                facts = {"account": entry["account"], "asset": entry["asset"], "family": family["pattern"]}
                raise Refused("ASSET_MISMATCH", **facts)
        return series_of(kind["numbering"], q["entries"]) if kind and kind["numbering"] else ""

    def opening(self, book: Fields, q: Fields) -> Fields:
        """The accounts that the post would be the first of."""
        opened: Fields = {}
        for name in [one["account"] for one in q["entries"] if one["account"] not in book["accounts"]]:
            family = family_of(self.chart(book), name)
            if family and family["opens_on_first_posting"]:
                side = 1 if family["type"] in (1, 5) else 2
                given = {
                    "name": name,
                    "type": family["type"],
                    "normal_side": side,
                    "limits": family["limits"],
                }
                opened[name] = given | {"version": 1, "status": OPEN, "metadata": {}, "sequence": 0}
        return opened

    def judge_limits(self, book: Fields, account: str, limits: Iterable[Fields]) -> None:
        """Limits in the assets of its family only, and around zero where it says so."""
        family = family_of(self.chart(book), account)
        foreign = family and family["assets"] and {one["asset"] for one in limits} - {*family["assets"]}
        refuse(foreign, "VALIDATION_FAILED", ("limits",))
        if family and family["limits_include_zero"]:
            wrong = [f"limits[{at}].{end}" for at, one in enumerate(limits) if (end := past_zero(one))]
            refuse(wrong, "VALIDATION_FAILED", tuple(wrong))

    def before(self, book: Fields, kind: str, account: str) -> Fields:
        """Without what the post opens; what a family has and nobody opened is at zero."""
        standing = {name: one for name, one in book["accounts"].items() if one["sequence"]}
        if kind != "account_version" and account not in standing and family_of(self.chart(book), account):
            standing |= {account: {"normal_side": 1, "sequence": 0}}
        return book | {"accounts": standing}

    def shown(self, method: str, book: Fields, q: Fields, at: int) -> Fields:
        if method == "GetBalance" and q["account"] not in book["accounts"]:
            family = family_of(self.chart(book), q["account"])
            unopened = {q["account"]: {"normal_side": 1}} if family else {}
            book = book | {"accounts": book["accounts"] | unopened}
        return super().shown(method, book, q, at)


def whole(chart: Fields) -> Fields:
    """A chart with all its fields, each list in bytewise order."""
    families = [
        FAMILY | one | {"assets": sorted(one.get("assets", [])), "limits": ordered(one.get("limits", []))}
        for one in chart.get("families", [])
    ]
    kinds = [KIND | one for one in chart.get("kinds", [])]
    kinds = [
        one
        | {
            "required_metadata": sorted(one["required_metadata"]),
            "numbering": one["numbering"] and {"per": ""} | one["numbering"],
        }
        for one in kinds
    ]
    lists = {
        "assets": [{"scale": 0} | one for one in chart.get("assets", [])],
        "families": families,
        "kinds": kinds,
        "sets": [
            {"description": ""} | one | {part: sorted(one.get(part, [])) for part in MEMBERS}
            for one in chart.get("sets", [])
        ],
    }
    shown = {name: sorted(lists[name], key=lambda one: LISTS[name](one).encode()) for name in lists}
    templates = [whole_template(one) for one in chart.get("templates", [])]
    return shown | {"templates": sorted(templates, key=itemgetter("name", "version"))}


def whole_template(template: Fields) -> Fields:
    """A template with all its fields."""
    groups = [{"min_items": 1} | one for one in template.get("groups", [])]
    entries = [TEMPLATE_ENTRY | one for one in template["entries"]]
    own = {"groups": sorted(groups, key=itemgetter("name")), "entries": entries}
    return {"kind": "", "parameters": {}, "metadata": {}} | template | own


def ordered(limits: list[Fields]) -> list[Fields]:
    return sorted([BOUNDS | one for one in limits], key=itemgetter("asset"))


def past_zero(limit: Fields) -> str:
    """The bound that keeps zero out, if one does."""
    low, high = (int(limit.get(end) or 0) for end in BOUNDS)
    return "balance_min" * (low > 0) or "balance_max" * (high < 0)


def changes(before: Fields, after: Fields) -> Fields:
    """What one chart has that another has not, list by list."""
    shown = {}
    for name, key in LISTS.items():
        old, new = ({key(one): one for one in chart[name]} for chart in (before, after))
        shown[name] = {
            "added": [one for one in new if one not in old],
            "changed": [one for one in new if one in old and old[one] != new[one]],
            "removed": [one for one in old if one not in new],
        }
    return shown


def family_of(chart: Fields, name: str) -> Fields | None:
    """The one family that an account's name matches, if there is one."""
    return next((family for family in chart["families"] if matches(family, name)), None)


def matches(family: Fields, name: str) -> bool:
    asked, segments = family["pattern"].split(":"), name.split(":")
    return len(asked) == len(segments) and all(
        re.fullmatch(SHAPES[family["parameters"][want[1:-1]]], segment) if want[0] == "{" else want == segment
        for want, segment in zip(asked, segments, strict=True)
    )


def series_of(numbering: Fields, entries: list[Fields]) -> str:
    if not numbering["per"]:
        return str(numbering["name"])
    per = numbering["per"].split(":")
    found = {
        ":".join(segments[: len(per)])
        for entry in entries
        if len(segments := entry["account"].split(":")) >= len(per)
        and all(want[0] == "{" or want == own for want, own in zip(per, segments, strict=False))
    }
    refuse(len(found) != 1, "VALIDATION_FAILED", ("entries",))
    return f"{numbering['name']}:{found.pop()}"
