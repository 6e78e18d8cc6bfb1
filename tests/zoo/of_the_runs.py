"""Faults in trial-balance runs: damage that is not seen, and days that have two runs or none."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_MIGRATION = "ledger_server/store/migrations/0008_trial_balance_runs.sql"
_DAILY = "ledger_server/service/daily_runs.py"
_RUNS = "tests/service/test_trial_balance_runs.py::"
_DAMAGE = _RUNS + "test_damage_is_a_mismatch_with_every_sequence_at_fault_and_the_difference"
_DAYS = "tests/service/test_daily_runs.py::"

ANIMALS = (
    Animal(
        "faults that cancel are no fault",
        "Two transactions are off by the same sum in opposite ways, and the run says OK.",
        (Plant(_MIGRATION, "bool_and(difference = 0) as is_balanced", "true as is_balanced"),),
        (
            f"{_DAMAGE}[two transactions whose faults cancel]",
            f"{_DAMAGE}[entries of two transactions exchanged]",
            f"{_DAMAGE}[an amount is more]",
        ),
    ),
    Animal(
        "assets added up together",
        "Four dollars too much and four euros too few in one transaction make a sound one.",
        (
            Plant(
                _MIGRATION,
                "bool_and(difference = 0) as is_balanced",
                "sum(difference) = 0 as is_balanced",
            ),
        ),
        (
            f"{_DAMAGE}[two assets whose faults cancel]",
            f"{_DAMAGE}[an entry in another asset]",
            f"{_DAMAGE}[an entry in another layer]",
        ),
    ),
    Animal(
        "entries without a transaction passed over",
        "Money that no transaction moved is in every balance, and no run says so.",
        (
            Plant(
                _MIGRATION,
                "        full join recorded using (sequence)",
                "        join recorded using (sequence)",
            ),
        ),
        (
            f"{_DAMAGE}[entries without their transaction]",
            f"{_DAMAGE}[both entries gone]",
            f"{_DAMAGE}[entries beyond the head]",
        ),
    ),
    Animal(
        "run that tells only of a hundred",
        "A run over a thousand broken transactions says that a hundred are.",
        (
            Plant(
                _MIGRATION,
                "(select count(*) from offending),",
                "(select least(count(*), 100) from offending),",
            ),
        ),
        (_RUNS + "test_a_run_names_the_lowest_hundred_and_counts_all",),
    ),
    Animal(
        "day of the session's time zone",
        "The runs of an evening are those of the next day, or cannot be kept at all.",
        (
            Plant(
                _MIGRATION,
                "run.day := (run.record_time at time zone 'UTC')::date;",
                "run.day := run.record_time::date;",
            ),
        ),
        (_RUNS + "test_a_run_is_of_the_utc_day_whatever_the_time_zone_of_server_and_database",),
    ),
    Animal(
        "daily run each minute",
        "Every look of every server adds up every ledger once more.",
        (Plant(_MIGRATION, "    if as_daily and exists (", "    if not as_daily and exists ("),),
        (
            _RUNS + "test_of_many_at_once_one_makes_the_days_run",
            _DAYS + "test_several_servers_make_one_run_of_each_ledger_a_day",
        ),
    ),
    Animal(
        "failed ledger given up until tomorrow",
        "A ledger whose run failed once, for want of a lock, has none that day.",
        (
            Plant(
                _DAILY,
                "self._failed_after, self._again_at = self._after, time.monotonic() + FAILED_S",
                "self._failed_after, self._again_at = ledger_id, time.monotonic() + FAILED_S",
            ),
        ),
        (
            _DAYS + "test_what_fails_is_told_of_passed_over_and_made_later",
            _DAYS + "test_a_run_under_way_is_waited_for_and_tried_again",
        ),
    ),
    Animal(
        "day that does not begin",
        "A server that runs on past midnight makes no run any more.",
        (
            Plant(
                _DAILY,
                "self._day, self._after, self._failed_after = day, 0, None",
                "self._day, self._failed_after = day, None",
            ),
        ),
        (_DAYS + "test_a_server_that_runs_on_begins_anew_at_midnight",),
    ),
    Animal(
        "server that waits for its night's work",
        "A server that is told to stop hangs until its largest ledger is added up.",
        (Plant(_DAILY, "            self._under_way.cancel()\n", ""),),
        (_DAYS + "test_a_server_that_stops_does_not_wait_for_its_run",),
    ),
)
