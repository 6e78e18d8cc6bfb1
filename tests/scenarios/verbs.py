"""The verbs of scenarios, in one table. docs/scenarios.md says what each does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from scenarios.chart_files import ROLES, read_chart
from scenarios.language import Fault, Outcome, Words
from scenarios.operations import OPERATIONS, facts_of, limits, opened
from scenarios.sides import Refusal
from scenarios.stage import Stage, seconds

DONE = Outcome("ok", {})
BY_ACCOUNT, ASSET, EXPENSE = 1, 1, 5
STATUSES = {"freeze": "FreezeAccount", "unfreeze": "UnfreezeAccount", "close": "CloseAccount"}
# The most rows that a page has.
PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Verb:
    """What a line does, which outcomes it may have, as a pattern, and which it has where it names none."""

    do: Callable[[Stage, Words], Outcome]
    outcomes: str
    otherwise: str = ""


def operation(verb: str, stage: Stage, words: Words) -> Outcome:
    """One post, template, reversal or account by itself."""
    method, _, read, came_of, _ = OPERATIONS[verb]
    fields = read(stage, words)
    return came_of(stage.ask(method, **({"account": fields} if verb == "account" else fields)))


def chart(stage: Stage, words: Words) -> Outcome:
    """Over the version that stands."""
    (name,) = words.take_all("a file")
    said = read_chart(stage.folder / name)
    try:
        version = stage.ask("GetChart")["chart"]["version"]
    except Refusal as refusal:
        if refusal.reason != "CHART_NOT_FOUND":
            raise
        version = 0
    answer = stage.ask("ApplyChart", chart=said, version=version)
    stage.scales[stage.ledger] |= {one["code"]: one["scale"] for one in said["assets"]}
    return opened(answer)


def asset(stage: Stage, words: Words) -> Outcome:
    """CODE SCALE."""
    code, scale = words.take_all("a code", "a scale")
    if not scale.isdigit():
        raise Fault(f"{scale!r} is no scale")
    answer = stage.ask("CreateAsset", code=code, scale=int(scale))
    stage.scales[stage.ledger][code] = int(scale)
    return opened(answer)


def balance(stage: Stage, words: Words) -> Outcome:
    """ACCOUNT ASSET."""
    account, code = words.take_all("an account", "an asset")
    (found,) = stage.ask("GetBalance", account=account, asset=code)["balances"]
    return Outcome(stage.shown(found["posted"], code), {})


def trial(stage: Stage, words: Words) -> Outcome:
    """Balances of all accounts that have one, if any is named; the sums in any case."""
    asked = []
    while words:
        account, amount, code = words.take("an account"), words.take("an amount"), words.take("an asset")
        stage.minor_units(amount, code)
        asked.append(f"{account} {amount} {code}")
    answer = stage.ask("TrialBalance", rows=BY_ACCOUNT, page_size=PAGE_SIZE)
    if answer["next_page_token"]:
        raise Fault(f"more than {PAGE_SIZE} accounts")
    for one in answer["totals"]:
        if one["total_debits"] != one["total_credits"]:
            return Outcome("unbalanced", {"asset": one["asset"]})
    rows = [
        (row["account"], str(int(row["net"]) * (1 if row["type"] in (ASSET, EXPENSE) else -1)), row["asset"])
        for row in answer["rows"]
    ]
    shown = [f"{name} {stage.shown(net, code)} {code}" for name, net, code in rows if net != "0"]
    if asked and sorted(asked) != sorted(shown):
        missing = ", ".join([*(one for one in shown if one not in asked)]) or "nothing more"
        other = ", ".join([*(one for one in asked if one not in shown)]) or "nothing else"
        return Outcome(f"other balances: {missing}, instead of {other}", {})
    return Outcome("balanced", {})


def transaction(stage: Stage, words: Words) -> Outcome:
    """KEY."""
    (key,) = words.take_all("a key")
    found = stage.ask("GetTransaction", transaction={"idempotency_key": key})
    return Outcome("recorded", facts_of(found["transaction"]))


def status(verb: str, stage: Stage, words: Words) -> Outcome:
    """Freezes, unfreezes or closes an account."""
    (name,) = words.take_all("an account")
    return opened(stage.ask(STATUSES[verb], name=name))


def limit(stage: Stage, words: Words) -> Outcome:
    """Replaces the limits of an account as it stands."""
    name = words.take("an account")
    given = limits(stage, words)
    words.end()
    version = stage.ask("GetAccount", name=name)["account"]["version"]
    mask = {"paths": ["limits"]}
    return opened(stage.ask("UpdateAccount", name=name, version=version, update_mask=mask, limits=given))


def ledger(stage: Stage, words: Words) -> Outcome:
    """NAME."""
    (name,) = words.take_all("a ledger")
    stage.go_to(name)
    return DONE


def member(stage: Stage, words: Words) -> Outcome:
    """NAME ROLE…"""
    principal = f"jwt:{words.take('a name')}"
    roles = [ROLES.index(words.take_one_of("a role", *ROLES[1:]))]
    while words:
        roles.append(ROLES.index(words.take_one_of("a role", *ROLES[1:])))
    return opened(stage.ask("AddMember", principal=principal, roles=sorted(roles), version=0))


def caller(stage: Stage, words: Words) -> Outcome:
    """NAME, or nobody."""
    stage.side.caller = f"jwt:{words.take('a name')}" if words else ""
    words.end()
    return DONE


def clock(stage: Stage, words: Words) -> Outcome:
    """TIME. Never back."""
    (text,) = words.take_all("a time")
    now = seconds(text)[0] * 10**6
    if now < stage.side.now:
        raise Fault("the clock goes forward only")
    stage.side.now = now
    return DONE


VERBS: dict[str, Verb] = {
    **{
        verb: Verb(partial(operation, verb), outcomes, "ok" if verb == "account" else "")
        for verb, (*_, outcomes) in OPERATIONS.items()
    },
    "chart": Verb(chart, "ok|replayed", "ok"),
    "asset": Verb(asset, "ok|replayed", "ok"),
    "balance": Verb(balance, r"-?[0-9]+(\.[0-9]+)?"),
    "trial": Verb(trial, "balanced"),
    "transaction": Verb(transaction, "recorded"),
    **{verb: Verb(partial(status, verb), "ok|replayed", "ok") for verb in STATUSES},
    "limit": Verb(limit, "ok|replayed", "ok"),
    "ledger": Verb(ledger, "ok", "ok"),
    "member": Verb(member, "ok|replayed", "ok"),
    "as": Verb(caller, "ok", "ok"),
    "clock": Verb(clock, "ok", "ok"),
}
