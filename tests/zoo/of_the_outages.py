"""Faults in coming back and in going: dead connections, a database that is away, callers who stay."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_LENDING = "ledger_server/store/lending.py"
_CONNECTION = "ledger_server/store/connection.py"

_LENT = "tests/store/test_lending.py::"
_PACED = "tests/cli/test_paced_lines.py::"

_A_READER = _LENT + "test_a_reader_does_not_wait_between_sessions_that_were_ended"
_A_COMMITTER = _LENT + "test_a_committer_does_not_wait_between_sessions_that_were_ended"

ANIMALS = (
    Animal(
        "pause between dead connections",
        "After a crash of the database callers are refused for seconds although it is back.",
        (
            Plant(
                _LENDING,
                "                self.putconn(connection)\n",
                "                self.putconn(connection)\n                time.sleep(1)\n",
            ),
        ),
        (_A_READER, _A_COMMITTER),
    ),
    Animal(
        "connection lent unasked",
        "The first CreateLedger after a pause is refused: it was lent a session that PostgreSQL had ended.",
        (
            Plant(
                _LENDING,
                "    except psycopg.Error:\n        return False\n",
                "    except psycopg.Error:\n        pass\n",
            ),
        ),
        (
            "tests/store/test_idle_lane_sessions.py"
            "::test_a_ledger_is_created_after_every_idle_session_was_ended",
        ),
    ),
    Animal(
        "reader lent unheard",
        "After a crash of the database each dead session costs one more reader his answer.",
        (Plant(_CONNECTION, "        return not poll.poll(0)\n", "        return True\n"),),
        (_A_READER,),
    ),
    Animal(
        "pauses that double",
        "After an hour away the database is not tried again for minutes.",
        (Plant(_LENDING, "RECONNECT_S = 0.25\n", "RECONNECT_S = 300.0\n"),),
        ("tests/service/test_outages.py::test_a_database_that_was_away_is_used_again_as_soon_as_it_is_back",),
    ),
    Animal(
        "outage in every line",
        "Ten minutes without a database are thousands of lines of log, in which nothing else is found.",
        (
            Plant(
                "ledger_server/cli/paced_lines.py",
                "        if said is not None and 0 <= record.created - said < PACE_S:\n"
                "            return False\n",
                "",
            ),
        ),
        (
            _PACED + "test_a_message_is_logged_once_in_its_pace",
            _PACED + "test_a_clock_that_is_set_back_silences_nothing",
        ),
    ),
    Animal(
        "pace that nobody keeps",
        "An outage fills the log, because what would thin its lines was never told to.",
        (
            Plant(
                "ledger_server/cli/serve.py",
                '    lines.addFilter(PacedLines("psycopg.pool"))\n',
                "",
            ),
        ),
        (_PACED + "test_the_service_logs_an_outage_at_that_pace",),
    ),
    Animal(
        "drain that callers put off",
        "A rollout waits twenty seconds for each server whose callers go on calling.",
        (
            Plant(
                "ledger_server/rpc/interceptors/admission.py",
                " or now - self._draining_since > _LEAVE_MAX_S",
                "",
            ),
        ),
        ("tests/service/test_draining.py::test_callers_who_go_on_calling_do_not_hold_a_server_that_stops",),
    ),
)
