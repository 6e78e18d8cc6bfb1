"""Faults in reports: customers who are dunned for what they paid, or not for what they owe."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_SQL = "ledger_server/store/sql/overdue.sql"
_STORE = "ledger_server/store/overdue.py"
_TESTS = "tests/rpc/test_overdue.py::"
_LONG_WAY = _TESTS + "test_reports_say_what_a_bookkeeper_says"

ANIMALS = (
    Animal(
        "newest charge paid first",
        "A customer who pays each invoice in turn is dunned for the first one for ever.",
        (
            Plant(
                _SQL,
                "sum(amount) filter (where is_charge) over (order by effective_time, sequence, index)",
                "sum(amount) filter (where is_charge) over (order by effective_time desc, sequence, index)",
            ),
        ),
        (_LONG_WAY, _TESTS + "test_what_was_paid_pays_the_oldest_charges_first"),
    ),
    Animal(
        "overdue on the last day",
        "A customer who has thirty days is dunned within them.",
        (Plant(_SQL, "where effective_time < moment.as_of -", "where effective_time <= moment.as_of -"),),
        (_LONG_WAY, _TESTS + "test_a_charge_is_overdue_a_microsecond_after_its_days_and_not_before"),
    ),
    Animal(
        "reversal of a charge as a payment",
        "A sale that was taken back pays an older one, and what is overdue looks young.",
        (
            Plant(
                _SQL,
                """            where recorded.effective_time <= moment.as_of
                and recorded.reverses is null
                and reversal.sequence is null
""",
                """            where recorded.effective_time <= moment.as_of
""",
            ),
        ),
        (_LONG_WAY, _TESTS + "test_a_reversal_takes_back_its_own_charge_and_not_the_oldest"),
    ),
    Animal(
        "tomorrow's payments counted",
        "The report of the last day of the year says paid what was paid in January.",
        (
            Plant(
                _SQL,
                """            where recorded.effective_time <= moment.as_of
                and""",
                """            where""",
            ),
        ),
        (_LONG_WAY, _TESTS + "test_who_paid_everything_is_absent_and_was_not_before"),
    ),
    Animal(
        "settled by the last payment of all",
        "Each invoice is said to be settled on the day when the customer paid most recently.",
        (Plant(_SQL, "min(effective_time) filter", "max(effective_time) filter"),),
        (_LONG_WAY,),
    ),
    Animal(
        "walk that trusts where it was told to begin",
        "A member who is narrowed to one customer reads another one's debts by a page token that he made up.",
        (
            Plant(
                _SQL,
                "and (name = %(prefix)s or starts_with(name, %(prefix)s || ':')) as is_meant",
                "as is_meant",
            ),
        ),
        (
            "tests/rpc/test_narrowed_members.py::test_reports_are_of_covered_accounts",
            _TESTS + "test_a_prefix_is_a_path_and_one_account_is_one",
        ),
    ),
    Animal(
        "account cut off where the call has read enough",
        "Of a customer with many entries the first of them are told as if they were all.",
        (Plant(_STORE, "is_cut = examined > ENTRIES_MAX", "is_cut = False"),),
        (_TESTS + "test_what_is_more_than_one_call_reads_is_on_the_next_page",),
    ),
)
