"""Ways to spoil a sound history, each with the rule that must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torture.history import NEVER_NS, OK, REFUSED, UNKNOWN, Call, Fields, History

Corruption = Callable[[History], None]
CORRUPTIONS: list[tuple[str, Corruption]] = []


def noticed_by(rule: str) -> Callable[[Corruption], Corruption]:
    """Adds a corruption."""

    def add(corrupt: Corruption) -> Corruption:
        CORRUPTIONS.append((rule, corrupt))
        return corrupt

    return add


# where to strike ------------------------------------------------------------------------


def acknowledged(history: History, verb: str = "post", *, by_template: bool = False) -> Iterator[Call]:
    """Calls that were told of their first record; of posts those with entries, or those by templates."""
    asked: dict[str, int] = {}
    for call in history.calls:
        for _, fields in call.operations:
            asked[fields["idempotency_key"]] = asked.get(fields["idempotency_key"], 0) + 1
    for call in history.calls:
        alone = all(asked[fields["idempotency_key"]] == 1 for _, fields in call.operations)
        fresh = call.results and all(one.get("replayed") is False for one in call.results)
        is_sort = verb != "post" or ("template" in call.fields) == by_template
        if call.verb == verb and call.outcome == OK and alone and fresh and is_sort:
            yield call


def changed(history: History, method: str) -> Iterator[Call]:
    """Changes that were told of their record."""
    for call in history.calls:
        is_fresh = call.is_change and call.outcome == OK and not call.results[0]["replayed"]
        if is_fresh and call.fields["method"] == method:
            yield call


def reads(history: History, verb: str = "balance") -> list[Call]:
    """Reads of the present."""
    return [call for call in history.calls if call.verb == verb and not call.fields["at_sequence"]]


def refusals(history: History, reason: str) -> Iterator[Call]:
    """Single writes that were refused so."""
    for call in history.calls:
        if call.outcome == REFUSED and call.results[0]["reason"] == reason:
            yield call


def record_of(history: History, call: Call, index: int = 0) -> Fields:
    """What a call recorded."""
    key = call.operations[index][1]["idempotency_key"]
    return next(one for one in history.journal if one["idempotency_key"] == key)


def later(history: History, call: Call) -> None:
    """Moves a call after everything."""
    end = max(one.completed for one in history.calls if one.completed < NEVER_NS)
    call.invoked, call.completed = end + 1, end + 2


def append(history: History, record: Fields) -> None:
    """A further record at the end, of a call that nobody heard of."""
    history.head += 1
    last = history.journal[-1]
    record = {**record, "sequence": history.head, "hash": f"{history.head:064x}", "kind": "sale"}
    record |= {"series": "", "number": 0, "template": None}
    history.journal.append(record | {"record_time": last["record_time"]})
    key = record["idempotency_key"]
    history.resolved[key] = history.head
    asked: Fields = {"idempotency_key": key}
    if record["reverses"]:
        asked["transaction"] = {"sequence": record["reverses"]}
    else:
        names = ("account", "side", "amount", "asset")
        asked |= {
            "entries": [{name: one[name] for name in names} for one in record["entries"]],
            "kind": record["kind"],
        }
    verb = "reverse" if record["reverses"] else "post"
    history.calls.append(Call(f"late#{key}", verb, asked, 1))


# the journal ----------------------------------------------------------------------------


@noticed_by("numbering")
def a_record_is_dropped(history: History) -> None:
    del history.journal[len(history.journal) // 2]


@noticed_by("numbering")
def the_head_is_ahead_of_the_journal(history: History) -> None:
    history.head += 1


@noticed_by("numbering")
def a_record_stands_twice_at_its_number(history: History) -> None:
    history.journal.insert(5, history.journal[5])


@noticed_by("one key")
def a_record_is_doubled_under_a_new_number(history: History) -> None:
    append(history, record_of(history, next(acknowledged(history))))


@noticed_by("acknowledged")
def the_last_acknowledged_record_is_missing(history: History) -> None:
    last = history.journal.pop()
    history.head -= 1
    for call in history.calls:
        for index, (_, fields) in enumerate(call.operations):
            if fields["idempotency_key"] == last["idempotency_key"]:
                told = {"sequence": last["sequence"], "hash": last["hash"], "replayed": False}
                balances = [entry["balance_after"] for entry in last["entries"]]
                call.results = call.results or [{} for _ in call.operations]
                call.results[index] = told | {"balances": balances}
                call.outcome = OK
    history.resolved.pop(last["idempotency_key"], None)


@noticed_by("acknowledged")
def two_records_are_swapped(history: History) -> None:
    first = record_of(history, next(acknowledged(history)))
    second = next(one for one in history.journal if one["sequence"] == first["sequence"] + 1)
    for name in ("sequence", "hash", "record_time"):
        first[name], second[name] = second[name], first[name]


@noticed_by("hash")
def a_hash_is_used_twice(history: History) -> None:
    history.journal[7]["hash"] = history.journal[8]["hash"]


@noticed_by("hash")
def a_record_has_no_hash(history: History) -> None:
    history.journal[7]["hash"] = ""


@noticed_by("record time")
def time_runs_backwards(history: History) -> None:
    history.journal[9]["record_time"] = history.journal[8]["record_time"] - 1


@noticed_by("balance")
def a_balance_after_is_wrong(history: History) -> None:
    entry = history.journal[20]["entries"][1]
    entry["balance_after"] = str(int(entry["balance_after"]) + 1)


@noticed_by("stranger")
def a_record_comes_from_nowhere(history: History) -> None:
    append(history, history.journal[3] | {"idempotency_key": "nobody's"})
    history.calls.pop()


@noticed_by("stranger")
def an_amount_is_changed(history: History) -> None:
    for entry in record_of(history, next(acknowledged(history)))["entries"]:
        entry["amount"] = str(int(entry["amount"]) + 1)


@noticed_by("stranger")
def sides_are_swapped(history: History) -> None:
    for entry in record_of(history, next(acknowledged(history)))["entries"]:
        entry["side"] = 3 - entry["side"]


@noticed_by("impossible")
def a_bound_is_passed(history: History) -> None:
    entries: list[dict[str, Any]] = [
        {"account": "users:5", "side": 1, "amount": "99999999", "asset": "USD", "balance_after": "-1"},
        {"account": "sales", "side": 2, "amount": "99999999", "asset": "USD", "balance_after": "1"},
    ]
    append(history, history.journal[3] | {"idempotency_key": "bold", "entries": entries, "reverses": 0})


@noticed_by("impossible")
def a_transaction_is_reversed_twice(history: History) -> None:
    reversal = next(one for one in history.journal if one["reverses"])
    append(history, reversal | {"idempotency_key": "again"})


@noticed_by("torn")
def half_an_atomic_batch_stands(history: History) -> None:
    call = next(one for one in acknowledged(history, "batch") if one.fields["atomic"])
    call.outcome, call.results, call.completed = UNKNOWN, [], NEVER_NS
    history.journal.remove(record_of(history, call, len(call.operations) - 1))


@noticed_by("batch order")
def a_batch_stands_in_another_order(history: History) -> None:
    call = next(one for one in acknowledged(history, "batch") if not one.fields["atomic"])
    first, second = record_of(history, call, 0), record_of(history, call, 1)
    first["sequence"], second["sequence"] = second["sequence"], first["sequence"]


# charts and accounts --------------------------------------------------------------------


def numbered(history: History) -> list[Fields]:
    """The records of one series, in order."""
    return [one for one in history.journal if one["series"] == "receipts"]


def append_change(history: History, subject: str, asked: Fields, now: Fields) -> None:
    """A further version at the end, of a call that nobody heard of."""
    history.head += 1
    known = [one["version"] for one in history.changes if one["subject"] == subject]
    last = {"record_time": history.journal[-1]["record_time"], "version": max([1, *known]) + 1}
    record = {"sequence": history.head, "hash": f"{history.head:064x}", "subject": subject, "now": now}
    history.changes.append(record | last)
    history.calls.append(Call(f"late#{subject}", "change", {**asked, "name": subject, "version": 0}, 1))


def append_post(history: History, debit: str, credit: str, amount: int) -> None:
    """A further post at the end; its balances say nothing."""
    entries = [
        {"account": name, "side": side, "amount": str(amount), "asset": "USD", "balance_after": "0"}
        for side, name in ((1, debit), (2, credit))
    ]
    append(history, history.journal[3] | {"idempotency_key": "late", "entries": entries, "reverses": 0})


@noticed_by("number")
def a_number_is_used_twice(history: History) -> None:
    first, second, *_ = numbered(history)
    second["number"] = first["number"]


@noticed_by("number")
def a_number_is_left_out(history: History) -> None:
    for one in numbered(history)[3:]:
        one["number"] += 1


@noticed_by("number")
def a_number_is_counted_in_another_series(history: History) -> None:
    one = next(one for one in history.journal if one["series"].startswith("bills:"))
    one["series"] = "bills:users:77"


@noticed_by("template")
def a_share_is_off_by_one(history: History) -> None:
    """A unit of one share is in another: everything balances."""
    shared = (one for one in history.journal if one["template"] and one["template"]["name"] == "share")
    one, other = next(record["entries"][1:3] for record in shared if len(record["entries"]) > 2)
    one["amount"], other["amount"] = str(int(one["amount"]) + 1), str(int(other["amount"]) - 1)


@noticed_by("stranger")
def a_template_was_given_something_else(history: History) -> None:
    record_of(history, next(acknowledged(history, by_template=True)))["template"]["parameters"]["amount"] += (
        "0"
    )


@noticed_by("impossible")
def a_post_to_a_frozen_account_stands(history: History) -> None:
    frozen = {"status": 2, "limits": []}
    append_change(history, "till", {"method": "UnfreezeAccount"}, frozen | {"status": 1})
    append_change(history, "till", {"method": "FreezeAccount"}, frozen)
    append_post(history, "till", "sales", 1)


@noticed_by("impossible")
def a_changed_limit_is_passed(history: History) -> None:
    limits = [{"asset": "USD", "balance_min": "5000", "balance_max": None}]
    append_change(
        history, "wallet:0", {"method": "UpdateAccount", "limits": limits}, {"status": 1, "limits": limits}
    )
    append_post(history, "wallet:0", "sales", 1)


@noticed_by("impossible")
def a_change_leaves_more_than_was_asked_for(history: History) -> None:
    sequence = next(changed(history, "UpdateAccount")).results[0]["sequence"]
    record = next(one for one in history.changes if one["sequence"] == sequence)
    record["now"]["status"] = 2


@noticed_by("acknowledged")
def an_acknowledged_change_is_missing(history: History) -> None:
    sequence = next(changed(history, "UpdateAccount")).results[0]["sequence"]
    history.changes = [one for one in history.changes if one["sequence"] != sequence]


@noticed_by("stranger")
def a_chart_comes_from_nowhere(history: History) -> None:
    append_change(history, "", {"method": "ApplyChart", "chart": {}}, {"assets": []})
    history.calls.pop()


@noticed_by("doubled")
def one_version_was_acknowledged_twice(history: History) -> None:
    call = next(changed(history, "UpdateAccount"))
    again = Call("again#0", "change", call.fields, call.invoked, outcome=OK, results=[dict(call.results[0])])
    later(history, again)
    history.calls.append(again)


@noticed_by("unjustified")
def a_version_was_refused_that_stood(history: History) -> None:
    call = next(changed(history, "UpdateAccount"))
    facts = {"account": call.fields["name"], "version": "99"}
    asked = call.fields | {"version": 98}
    refused = Call("late#0", "change", asked, call.invoked, call.completed, REFUSED)
    refused.results = [{"reason": "VERSION_MISMATCH", "facts": facts}]
    history.calls.append(refused)


@noticed_by("unjustified")
def a_frozen_account_was_refused_that_was_open(history: History) -> None:
    call = next(acknowledged(history))
    account = call.fields["entries"][0]["account"]
    facts = {"account": account, "version": "1", "sequence": "4"}
    refused = Call("late#0", "post", call.fields | {"idempotency_key": "late"}, 0, outcome=REFUSED)
    refused.results = [{"reason": "ACCOUNT_FROZEN", "facts": facts}]
    later(history, refused)
    history.calls.append(refused)


# what callers were told -----------------------------------------------------------------


@noticed_by("acknowledged")
def another_sequence_was_told(history: History) -> None:
    next(acknowledged(history)).results[0]["sequence"] -= 1


@noticed_by("acknowledged")
def another_hash_was_told(history: History) -> None:
    next(acknowledged(history)).results[0]["hash"] = "ab" * 32


@noticed_by("acknowledged")
def another_balance_was_told(history: History) -> None:
    next(acknowledged(history)).results[0]["balances"][0] = "12345678"


@noticed_by("acknowledged")
def other_content_was_acknowledged_under_a_used_key(history: History) -> None:
    call = next(acknowledged(history))
    again = Call("again#0", "post", call.fields | {"kind": "quite another"}, call.invoked, outcome=OK)
    again.results = [call.results[0] | {"replayed": True}]
    later(history, again)
    history.calls.append(again)


@noticed_by("refused")
def what_was_refused_stands(history: History) -> None:
    call = next(acknowledged(history))
    call.outcome, call.results = REFUSED, [{"reason": "DATABASE_UNAVAILABLE", "facts": {}}]


@noticed_by("doubled")
def one_key_was_acknowledged_twice_as_new(history: History) -> None:
    call = next(acknowledged(history))
    again = Call("again#0", "post", call.fields, call.invoked, outcome=OK, results=[dict(call.results[0])])
    later(history, again)
    history.calls.append(again)


@noticed_by("replay")
def the_only_answer_is_a_replay(history: History) -> None:
    next(acknowledged(history)).results[0]["replayed"] = True


@noticed_by("resolved")
def a_read_by_key_finds_nothing(history: History) -> None:
    key = next(key for key, found in history.resolved.items() if found)
    history.resolved[key] = None


@noticed_by("undocumented")
def a_call_ends_in_an_internal_error(history: History) -> None:
    call = next(acknowledged(history))
    call.outcome, call.results = "INTERNAL internal error", []


@noticed_by("undocumented")
def a_batch_is_answered_in_part(history: History) -> None:
    next(acknowledged(history, "batch")).results.pop()


# refusals -------------------------------------------------------------------------------


@noticed_by("unjustified")
def a_refusal_names_another_balance(history: History) -> None:
    facts = next(refusals(history, "INSUFFICIENT_FUNDS")).results[0]
    facts["facts"] = facts["facts"] | {"balance": "1234"}


@noticed_by("unjustified")
def a_refusal_comes_from_the_past(history: History) -> None:
    later(history, next(refusals(history, "INSUFFICIENT_FUNDS")))


@noticed_by("unjustified")
def funds_were_refused_that_were_there(history: History) -> None:
    call = Call("late#0", "post", {"idempotency_key": "late", "kind": ""}, 0, outcome=REFUSED)
    call.fields["entries"] = [
        {"account": "cash", "side": 1, "amount": "1", "asset": "USD"},
        {"account": "wallet:0", "side": 2, "amount": "1", "asset": "USD"},
    ]
    facts = next(refusals(history, "INSUFFICIENT_FUNDS")).results[0]["facts"]
    call.results = [{"reason": "INSUFFICIENT_FUNDS", "facts": facts | {"sequence": str(history.head)}}]
    later(history, call)
    history.calls.append(call)


@noticed_by("unjustified")
def a_transaction_was_not_found_that_stood(history: History) -> None:
    key = record_of(history, next(acknowledged(history)))["idempotency_key"]
    facts = {"idempotency_key": key}
    call = Call("late#0", "reverse", {"idempotency_key": "late", "transaction": facts}, 0, outcome=REFUSED)
    call.results = [{"reason": "TRANSACTION_NOT_FOUND", "facts": facts}]
    later(history, call)
    history.calls.append(call)


@noticed_by("unjustified")
def a_reversal_was_refused_before_there_was_another(history: History) -> None:
    refusal = next(refusals(history, "REVERSAL_ALREADY_EXISTS"))
    refusal.invoked, refusal.completed = 0, 1


# time and reads -------------------------------------------------------------------------


@noticed_by("stale write")
def a_record_is_older_than_its_call(history: History) -> None:
    later(history, next(acknowledged(history)))


@noticed_by("stale read")
def a_read_misses_what_was_completed(history: History) -> None:
    reads(history)[-1].answer["sequence"] = history.base


@noticed_by("stale read")
def a_trial_balance_misses_what_was_completed(history: History) -> None:
    later(history, reads(history, "trial")[0])


@noticed_by("future read")
def a_read_knows_what_was_not_asked_for_yet(history: History) -> None:
    reads(history)[0].answer["sequence"] = history.head


@noticed_by("read value")
def a_balance_is_wrong(history: History) -> None:
    one = reads(history)[-1].answer["balances"][0]
    one["posted"] = str(int(one["posted"]) - 1)


@noticed_by("read value")
def a_past_balance_is_the_present_one(history: History) -> None:
    call = next(
        one
        for one in reversed(reads(history))
        if one.fields["account"] == "cash" and int(one.answer["balances"][0]["posted"])
    )
    call.fields["at_sequence"] = history.base + 1


@noticed_by("trial balance")
def debits_and_credits_differ(history: History) -> None:
    total = reads(history, "trial")[-1].answer["totals"][0]
    total["debits"] = str(int(total["debits"]) + 1)


@noticed_by("trial balance")
def a_trial_balance_says_that_it_does_not_balance(history: History) -> None:
    reads(history, "trial")[-1].answer["is_ok"] = False


@noticed_by("read value")
def a_trial_balance_misses_an_entry(history: History) -> None:
    total = reads(history, "trial")[-1].answer["totals"][0]
    total["debits"] = total["credits"] = str(int(total["debits"]) - 1)
