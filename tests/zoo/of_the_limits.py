"""Faults in the limits on abuse: what one caller can take from all others."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_SILENCE = "ledger_server/rpc/interceptors/silence.py"
_LARGE = "ledger_server/rpc/interceptors/large_messages.py"
_ADMISSION = "ledger_server/rpc/interceptors/admission.py"
_VERSIONS = "ledger_server/rpc/interceptors/client_versions.py"
_ANSWERING = "ledger_server/rpc/answering.py"
_METERING = "ledger_server/rpc/metering.py"
_TRANSPORT = "ledger_server/rpc/transport.py"
_RATES = "ledger_server/service/rates.py"
_PLACES = "ledger_server/service/places.py"
_CORE = "ledger_server/cli/one_core.py"
_CHILD = "ledger_server/store/child.py"
_ON_ONE_CORE = "tests/cli/test_one_core.py::"
_OF_CALLS = "tests/rpc/test_limits_of_calls.py::"
_OF_CONNECTIONS = "tests/rpc/test_limits_of_connections.py::"
_OF_RATES = "tests/rpc/test_limits_of_rates.py::"
_OF_VERSIONS = "tests/rpc/test_limits_of_versions.py::"
_BUCKETS = "tests/service/test_rates.py::"

ANIMALS = (
    Animal(
        "silent callers left alone",
        "As many callers as there are places begin a call and send nothing, and nobody else is served.",
        (Plant(_SILENCE, "            context.cancel()\n", "            pass\n"),),
        (
            _OF_CALLS + "test_who_stays_silent_is_ended_and_leaves_room",
            _OF_CALLS + "test_the_edge_of_patience[crowd]",
        ),
    ),
    Animal(
        "patience of a crowd",
        "A caller on a slow line is cut off by a server that has room for all.",
        (
            Plant(
                _SILENCE,
                "patience_ms = limits.MESSAGE_WAIT_CROWDED_MS_MAX if self._is_crowded() else",
                "patience_ms = limits.MESSAGE_WAIT_CROWDED_MS_MAX if self._clock else",
            ),
        ),
        (_OF_CALLS + "test_a_message_may_take_its_time_where_there_is_room",),
    ),
    Animal(
        "caller without a deadline",
        "A lane that stands still takes all threads, one call after the other, until it moves.",
        (Plant(_PLACES, "timeout=-1 if left_s is None else left_s", "timeout=-1"),),
        (
            _OF_CALLS
            + "test_a_call_without_a_deadline_is_told_after_the_default_and_the_key_tells_what_became_of_it",
            _OF_CALLS + "test_a_caller_s_own_deadline_frees_the_thread_that_waited_for_him",
            _OF_CALLS + "test_a_read_that_waits_is_bounded_as_well",
        ),
    ),
    Animal(
        "deadline of a year",
        "A caller holds a thread for as long as he likes by naming a deadline that never comes.",
        (
            Plant(
                _ADMISSION,
                "    return min(asked_s, limits.DEADLINE_MS_MAX / 1_000)\n",
                "    return asked_s\n",
            ),
        ),
        (_OF_CALLS + "test_a_longer_deadline_counts_as_the_longest_and_a_shorter_one_as_it_is",),
    ),
    Animal(
        "room for every large message",
        "Twenty requests of 8 MiB, forty times as large once they are read, take all memory.",
        (Plant(_LARGE, "if not taken or taken + size_bytes <=", "if taken >= 0 or taken + size_bytes <="),),
        (_OF_CALLS + "test_only_so_many_bytes_of_large_messages_are_served_together",),
    ),
    Animal(
        "room that is never given back",
        "After some hundred batches every large one is refused until the server is started again.",
        (
            Plant(
                _LARGE,
                "                self.bytes_in_flight -= size_bytes\n",
                "                self.bytes_in_flight -= 0\n",
            ),
        ),
        (_OF_CALLS + "test_only_so_many_bytes_of_large_messages_are_served_together",),
    ),
    Animal(
        "refused requests kept",
        "Each refused request stays in memory until cycles are collected: a dozen large ones are all of it.",
        (Plant(_ANSWERING, "            refused.__traceback__ = None\n", "            pass\n"),),
        (_OF_CALLS + "test_a_refused_request_is_not_kept_until_cycles_are_collected",),
    ),
    Animal(
        "headers refused at random",
        "A caller with a long token is let in one time and not the next.",
        (
            Plant(
                _TRANSPORT,
                '        ("grpc.max_metadata_size", limits.HEADERS_BYTES_MAX + 1),\n',
                '        ("grpc.max_metadata_size", 2_048),\n',
            ),
        ),
        (_OF_CONNECTIONS + "test_headers_of_up_to_16_kib_are_taken",),
    ),
    Animal(
        "calls without number",
        "One connection opens as many calls as it likes, each of them a little memory.",
        (
            Plant(
                _TRANSPORT,
                '        ("grpc.max_concurrent_streams", limits.CALLS_PER_CONNECTION_MAX),\n',
                "",
            ),
        ),
        (
            _OF_CONNECTIONS
            + "test_a_connection_has_up_to_512_calls_at_once_and_the_next_waits_for_one_to_end",
            _OF_CONNECTIONS + "test_who_begins_more_calls_than_he_was_told_has_them_refused_unseen",
        ),
    ),
    Animal(
        "connections without number",
        "Whoever opens connections takes every file that the process may open.",
        (
            Plant(
                _TRANSPORT,
                '        ("grpc.max_allowed_incoming_connections", limits.CONNECTIONS_MAX),\n',
                "",
            ),
        ),
        (_OF_CONNECTIONS + "test_so_many_connections_may_be_open_and_the_next_is_closed_at_once",),
    ),
    Animal(
        "ping option misspelled",
        "Clients that ping as often as they are told they may are put out of long calls.",
        (
            Plant(
                _TRANSPORT,
                "grpc.http2.min_ping_interval_without_data_ms",
                "grpc.http2.min_recv_ping_interval_without_data_ms",
            ),
        ),
        (_OF_CONNECTIONS + "test_who_pings_as_often_as_he_may_stays_and_who_pings_more_often_is_put_out",),
    ),
    Animal(
        "settings nobody heard",
        "A peer that never says that it heard the settings is held to none of them.",
        (
            Plant(
                _TRANSPORT,
                '        ("grpc.http2.settings_timeout", limits.HANDSHAKE_MS_MAX),\n',
                "",
            ),
        ),
        (_OF_CONNECTIONS + "test_who_does_not_say_that_he_heard_the_server_s_settings_is_put_out",),
    ),
    Animal(
        "idle connections kept",
        "Whoever begins headers and never ends them keeps a connection for ever.",
        (
            Plant(
                _TRANSPORT,
                '        ("grpc.max_connection_idle_ms", limits.CONNECTION_IDLE_MS_MAX),\n',
                "",
            ),
        ),
        (_OF_CONNECTIONS + "test_a_connection_without_a_call_is_closed_after_a_while[half its headers]",),
    ),
    Animal(
        "connections that never age",
        "A caller whose certificate has expired goes on for as long as he keeps his connection.",
        (
            Plant(
                _TRANSPORT,
                '        ("grpc.max_connection_age_ms", limits.CONNECTION_AGE_MS_MAX),\n',
                "",
            ),
        ),
        (_OF_CONNECTIONS + "test_an_old_connection_ends_and_nobody_notices_but_who_stays_beyond_the_grace",),
    ),
    Animal(
        "watches without number",
        "One caller opens watches of health until memory is gone.",
        (
            Plant(
                _ADMISSION,
                "        if not has_room:\n            abort(",
                "        if False:\n            abort(",
            ),
        ),
        (_OF_CONNECTIONS + "test_so_many_watches_of_health_may_be_open_and_the_next_is_refused",),
    ),
    Animal(
        "batch that weighs one",
        "Who sends batches passes over the rate that binds all others.",
        (Plant(_METERING, "    return 1 if count is None else max(1, count(request))\n", "    return 1\n"),),
        (
            _OF_RATES + "test_a_batch_weighs_its_drafts_and_goes_through_a_full_bucket_however_large",
            _OF_RATES + "test_what_a_request_weighs[PostBatchRequest-8192]",
        ),
    ),
    Animal(
        "debt forgiven",
        "Whoever sends one batch larger than the burst after the other is never held back for them.",
        (
            Plant(
                _RATES,
                "self._full_at[name] = full_at + weight / self.per_second",
                "self._full_at[name] = full_at + min(weight, self.burst) / self.per_second",
            ),
        ),
        (
            _BUCKETS + "test_a_full_bucket_lets_anything_through_and_nothing_behind_it_until_it_is_paid",
            _BUCKETS + "test_over_any_time_no_more_is_given_than_rate_and_burst_and_the_heaviest",
        ),
    ),
    Animal(
        "refused and charged",
        "A caller who is told to wait is charged for asking, and by asking waits for ever.",
        (
            Plant(
                _RATES,
                "                return wait_s\n",
                "                self._full_at[name] = full_at + weight / self.per_second\n"
                "                return wait_s\n",
            ),
        ),
        (
            _BUCKETS + "test_nothing_is_taken_from_who_is_refused",
            _BUCKETS + "test_who_waits_as_long_as_he_is_told_is_let_in_and_not_a_millisecond_earlier",
        ),
    ),
    Animal(
        "names remembered for ever",
        "Whoever calls under new names, or for new ledgers, fills the server's memory with buckets.",
        (Plant(_RATES, "if len(self._full_at) > self._names_max:", "if False:"),),
        (_BUCKETS + "test_no_more_names_are_remembered_than_may_be_and_the_longest_unseen_is_forgotten",),
    ),
    Animal(
        "wait rounded down",
        "A client that comes when it was told to is refused again, each time.",
        (Plant(_METERING, "math.ceil(wait_s * 1_000)", "math.floor(wait_s * 1_000)"),),
        (_OF_RATES + "test_the_wait_is_told_in_whole_milliseconds_and_never_too_short",),
    ),
    Animal(
        "versions compared as texts",
        "Clients from 1.10 on are told that they are older than 1.9.",
        (Plant(_VERSIONS, "return tuple(map(int, found.groups()))", "return found.groups()"),),
        (_OF_VERSIONS + "test_the_minimum_and_what_is_newer_are_served[1.10.0]",),
    ),
    Animal(
        "client that says nothing of itself",
        "A server cannot keep out a client whose fault is known, because it never says which it is.",
        (
            Plant(
                "ledger_client/version.py",
                '(("ledger-client-version", VERSION),)',
                "()",
            ),
        ),
        (
            _OF_VERSIONS + "test_both_faces_of_the_client_say_their_version_with_every_call[threads]",
            _OF_VERSIONS + "test_both_faces_of_the_client_say_their_version_with_every_call[tasks]",
        ),
    ),
    Animal(
        "own work taken for others'",
        "A busy service moves from core to core for ever, away from itself.",
        (Plant(_CORE, "            used[self.core] -= (own - seen[1]) / elapsed\n", "            pass\n"),),
        (_ON_ONE_CORE + "test_every_thread_moves_and_what_the_process_itself_used_does_not_count",),
    ),
    Animal(
        "one thread on one core",
        "The threads that were there before stay spread over all cores.",
        (
            Plant(
                _CORE,
                'os.listdir("/proc/self/task")',
                "[threading.get_native_id()]",
            ),
        ),
        (_ON_ONE_CORE + "test_every_thread_moves_and_what_the_process_itself_used_does_not_count",),
    ),
    Animal(
        "database on the service's core",
        "The embedded PostgreSQL, started again by a service on one core, has that core alone.",
        (Plant(_CHILD, "    if cores:\n", "    if not cores:\n"),),
        (_ON_ONE_CORE + "test_the_service_stays_on_one_core_and_its_database_on_all",),
    ),
)
