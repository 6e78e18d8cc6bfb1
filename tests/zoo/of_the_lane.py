"""Faults in the commit path: when callers hear, what is tried again."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_COMMITTING = "ledger_server/service/group_commit.py"
_LANES = "ledger_server/service/lanes.py"
_TURNS = "ledger_server/service/turns.py"
_BOOKS = "ledger_server/store/books.py"
_POSTING = "ledger_server/store/posting.py"
_OUTCOMES = "ledger_server/store/outcomes.py"

_TENURES = "ledger_server/service/tenures.py"

_SQL = "ledger_server/store/sql/lane.sql"

_AHEAD = "tests/service/test_ahead.py::"
_AT_ONCE = "tests/service/test_at_once.py::"
_PASSED_ON = "tests/service/test_sessions_passed_on.py::"
_SHARED = "tests/races/test_two_servers.py::"
_FAULTS = "tests/service/test_commit_faults.py::"
_REFUSALS = "tests/service/test_database_refusals.py::"
_TORTURED = "tests/torture/test_found.py::"
_SQLSTATES = "tests/store/test_outcomes.py::"

ANIMALS = (
    Animal(
        "reads moved inside BEGIN",
        "Ledgers that are busy at the same time abort each other, and most of their work is done twice.",
        (
            Plant(
                _BOOKS,
                "        self._trip.ask(_SQL.lock, lane=lane_lock(ledger_id))\n",
                "        self._trip.ask(_SQL.lock, lane=lane_lock(ledger_id))\n"
                "        self._trip.sync()\n        self._trip.ask(_SQL.begin)\n",
            ),
        ),
        (
            "tests/races/test_many_ledgers.py"
            "::test_four_ledgers_at_once_with_batches_of_every_size_abort_next_to_nothing",
        ),
    ),
    Animal(
        "key inserted in another database transaction",
        "A post that was refused or lost has used its key up: its retry is refused for ever.",
        (
            Plant(
                "ledger_server/store/migrations/0001_journal.sql",
                "-- Which database this is;",
                "create table ledger.claimed_keys (ledger_id bigint, key text, unique (ledger_id, key));\n"
                "-- Which database this is;",
            ),
            Plant(
                "ledger_server/store/migrations/0001_journal.sql",
                "grant insert (name) on ledger.directory to ledger_app;",
                "grant insert (name) on ledger.directory to ledger_app;\n"
                "grant insert on ledger.claimed_keys to ledger_app;",
            ),
            Plant(
                "ledger_server/store/sql/lane.sql",
                "-- name: transactions_by_sequences\n",
                "-- name: claim_keys\n-- Takes keys.\n"
                "insert into ledger.claimed_keys (ledger_id, key)\n"
                "select %(ledger_id)s, unnest(%(keys)s::text[]) on conflict do nothing returning key;\n\n"
                "-- name: transactions_by_sequences\n",
            ),
            Plant(
                _BOOKS,
                "        found = {row[0]: row for ",
                "        from ledger_server.domain.refusals import IdempotencyKeyReused\n\n"
                "        claimed = Asking(self._trip, ledger_id)(_SQL.claim_keys, keys=sorted(wanted.keys))\n"
                "        self._trip.go()\n"
                "        ours = {row[0] for row in claimed.rows()}\n"
                "        if not wanted.keys <= ours | {row[2] for row in (keys.rows() if keys else ())}:\n"
                '            raise IdempotencyKeyReused("the key is taken", differing_fields="")\n'
                "        found = {row[0]: row for ",
            ),
        ),
        (
            "tests/service/test_idempotency.py::test_a_refused_post_burns_no_key",
            _REFUSALS + "test_a_passing_failure_is_tried_again_and_no_caller_hears_of_it",
        ),
    ),
    Animal(
        "error of the disk taken for a rollback",
        "A COMMIT that failed while it was flushed is called undone, though it may stand: money moves twice.",
        (Plant(_OUTCOMES, '"44", "55", "P0"', '"44", "55", "58", "P0"'),),
        (
            _SQLSTATES + "test_an_sqlstate_says_what_became_of_the_commit",
            _SQLSTATES
            + "test_every_sqlstate_that_psycopg_knows_is_unknown_unless_its_class_proves_a_rollback",
        ),
    ),
    Animal(
        "lost connection taken for a rollback",
        "A connection lost in COMMIT is called undone when the last error it knew looked harmless.",
        (Plant(_OUTCOMES, "if connection_lost or state is None or", "if state is None or"),),
        (_SQLSTATES + "test_with_a_lost_connection_nothing_is_certain",),
    ),
    Animal(
        "serialization failure told to callers",
        "Callers are told of a bug where two writers only met.",
        (
            Plant(
                _OUTCOMES,
                'frozenset({"40001", "40P01", LOCK_TIMEOUT, "0A000"})',
                'frozenset({LOCK_TIMEOUT, "0A000"})',
            ),
        ),
        (
            _SQLSTATES + "test_an_sqlstate_says_what_became_of_the_commit",
            _REFUSALS + "test_a_passing_failure_is_tried_again_and_no_caller_hears_of_it",
        ),
    ),
    Animal(
        "full lane that takes one more",
        "A ledger's waiting callers are not bounded at the number that is published.",
        (Plant(_LANES, " >= self._waiting_max:", " > self._waiting_max:"),),
        ("tests/service/test_lanes.py::test_a_lane_holds_so_many_and_refuses_the_next",),
    ),
    Animal(
        "turn without a bound",
        "One turn takes all who wait, and its one database transaction grows beyond memory and patience.",
        (Plant(_LANES, "[0].weight <= ", "[0].weight <= 10**9 + "),),
        ("tests/service/test_lanes.py::test_a_turn_takes_who_waits_in_order_up_to_its_weight",),
    ),
    Animal(
        "lane served twice at once",
        "Two committers serve one ledger at once, and a later caller is served before an earlier one.",
        (Plant(_LANES, "        if not lane.turns:\n", "        if lane.waiting:\n"),),
        ("tests/service/test_lanes.py::test_a_lane_is_served_by_one_worker_at_a_time",),
    ),
    Animal(
        "early turn that does not wait",
        "A turn that began early is finished before the one it follows, on money that may never move.",
        (Plant(_TURNS, "        if not is_alone:\n", "        if is_alone is None:\n"),),
        ("tests/service/test_lanes.py::test_a_turn_that_begins_early_enters_after_the_one_before_has_left",),
    ),
    Animal(
        "busy lane served first",
        "A ledger that always has someone waiting keeps the committers from every other ledger.",
        (Plant(_LANES, ".popitem(last=False)", ".popitem(last=True)"),),
        ("tests/service/test_lanes.py::test_lanes_are_served_in_order_of_arrival",),
    ),
    Animal(
        "idle lane kept",
        "Each ledger that ever posted leaves a queue behind, until the server's memory is full of them.",
        (Plant(_LANES, "nothing behind.\n                del ", "nothing behind.\n                _ = "),),
        ("tests/service/test_lanes.py::test_an_idle_lane_leaves_nothing_behind",),
    ),
    Animal(
        "stopped with callers waiting",
        "A restart leaves waiting callers without an answer until their deadline.",
        (
            Plant(
                _LANES,
                "            with self._change:\n                line = ",
                "            with self._change:\n"
                "                if self._stopping:\n                    return None\n"
                "                line = ",
            ),
        ),
        ("tests/service/test_lanes.py::test_who_waits_is_served_before_the_workers_stop",),
    ),
    Animal(
        "failed turn left unsettled",
        "After a bug in one turn its callers wait until their deadline.",
        (Plant(_LANES, "                if not place.is_settled:\n", "                if False:\n"),),
        ("tests/service/test_lanes.py::test_a_turn_that_fails_settles_everybody_and_the_lane_goes_on",),
    ),
    Animal(
        "outcome judged without its hash",
        "Another server's record at our sequence is taken for ours: a payment that is lost is confirmed.",
        (
            Plant(
                _POSTING,
                "return row is not None and bytes(row[0]) == record_hash",
                "return row is not None",
            ),
        ),
        ("tests/store/test_posting.py::test_an_unknown_outcome_is_looked_for_by_sequence_and_hash",),
    ),
    Animal(
        "answer before COMMIT",
        "A caller is told of a payment that the next power cut takes back.",
        (
            Plant(
                _COMMITTING,
                "            batch = self._batch(before, opened, work, decisions)\n",
                "            for item, decided in zip(work, decisions, strict=True):\n"
                "                if len(decided) == len(item.place.drafts):\n"
                "                    item.place.settle(decided)\n"
                "            batch = self._batch(before, opened, work, decisions)\n",
            ),
        ),
        (_FAULTS + "test_nobody_hears_of_a_post_before_it_is_durable_nor_of_one_that_was_rolled_back",),
    ),
    Animal(
        "UNKNOWN taken for not committed",
        "A batch whose answer was lost is written again: posts without a key are made twice.",
        (Plant(_COMMITTING, "if not was_committed(self._seat, ledger_id, error):", "if error is not None:"),),
        (_FAULTS + "test_a_commit_whose_answer_is_lost_is_found_and_answered",),
    ),
    Animal(
        "UNKNOWN taken for committed",
        "A batch that was lost with its connection is confirmed to its callers.",
        (Plant(_COMMITTING, "if not was_committed(self._seat, ledger_id, error):", "if error is None:"),),
        (_FAULTS + "test_a_session_that_is_ended_anywhere_on_the_path_costs_the_caller_nothing",),
    ),
    Animal(
        "atomic group split on retry",
        "Half of an atomic group is recorded when its other half is refused by the database.",
        (
            Plant(
                _COMMITTING,
                "if self.place.atomic or self.stop - self.start == 1:",
                "if self.stop - self.start == 1:",
            ),
        ),
        (_REFUSALS + "test_an_atomic_group_stays_whole_while_its_neighbours_are_parted",),
    ),
    Animal(
        "poison draft that takes its neighbours along",
        "One draft that the database refuses fails every caller of the same turn.",
        (Plant(_COMMITTING, "                if halves is not None:\n", "                if False:\n"),),
        (_REFUSALS + "test_a_poison_draft_fails_alone_and_its_neighbours_are_recorded",),
    ),
    Animal(
        "clock that runs back",
        "After a failover to a machine whose clock is behind, every post is refused as an internal error.",
        (
            Plant(
                _COMMITTING,
                "max(self._clock(opened.clock), books.head.record_time)",
                "self._clock(opened.clock)",
            ),
        ),
        ("tests/service/test_balances.py::test_record_times_never_go_back_when_the_clock_does",),
    ),
    Animal(
        "full disk called contention",
        "Where the disk is full every caller is told that other writers won, and tries again at once.",
        (Plant(_COMMITTING, "raise DatabaseLost(str(error)) from error", "raise HeadMoved from error"),),
        (_TORTURED + "test_a_full_disk_is_not_called_contention",),
    ),
    Animal(
        "silent holder never ended",
        "A server that stands still in the middle of a round trip keeps its ledger from all others.",
        (
            Plant(
                _COMMITTING,
                "                    self._seat.free_lane(ledger_id)\n",
                "                    pass\n",
            ),
        ),
        (_TORTURED + "test_a_server_that_stops_in_the_middle_of_a_pipeline_does_not_keep_its_lane",),
    ),
    Animal(
        "refusal of books left behind",
        "A payment is refused for want of money that another server has recorded before it was asked for.",
        (Plant(_COMMITTING, "before if is_ahead else None", "None"),),
        (_AHEAD + "test_what_writes_nothing_is_answered_at_the_head_too",),
    ),
    Animal(
        "tenure never over",
        "A busy server keeps a ledger from every other one for as long as it is busy.",
        (
            Plant(
                _TENURES,
                "return session.holds_lane and time.monotonic() - session.locked_at > TENURE_S",
                "return False",
            ),
        ),
        (_SHARED + "test_a_lane_is_kept_for_as_long_as_a_tenure_and_another_server_is_answered",),
    ),
    Animal(
        "lane kept for nobody",
        "A ledger whose callers have gone is locked to every other server.",
        (
            Plant(_COMMITTING, "keeps_lane = not is_last and turn.is_followed()", "keeps_lane = True"),
            Plant(_TENURES, "        if turn.is_followed(at_work=True):\n", "        if True:\n"),
        ),
        (_SHARED + "test_a_lane_that_nobody_follows_is_held_by_nobody",),
    ),
    Animal(
        "written at once through a held lane",
        "A batch is written while another server has the lane, and one of the two is written in vain.",
        (
            Plant(
                _SQL,
                "case when pg_try_advisory_xact_lock(%(lane)s) then",
                "case when pg_try_advisory_xact_lock(%(lane)s) is not null then",
            ),
        ),
        (_AT_ONCE + "test_a_lane_that_somebody_holds_is_waited_for_and_not_written_through",),
    ),
    Animal(
        "refused at once",
        "A retry of a payment that spent everything is told that there is no money, not that it was made.",
        (Plant(_COMMITTING, "if are_all_new(decisions) else None", "if new_records(decisions) else None"),),
        (_AT_ONCE + "test_what_the_books_at_hand_refuse_is_told_by_nobody_before_its_key_is_looked_for",),
    ),
    Animal(
        "tried at once and not taken back",
        "A payment that was not made again is in the balances that the next ones are judged by.",
        (Plant(_COMMITTING, "            books.undo(mark)\n", "            pass\n"),),
        (
            _AT_ONCE + "test_a_replay_that_was_tried_leaves_the_books_as_they_were"
            "_and_others_are_read_for_a_while",
        ),
    ),
    Animal(
        "session that forgets",
        "Every batch asks first for what its session has been told before, and writes wait for it.",
        (Plant(_POSTING, "if self.connection.row_types is None:", "if True:"),),
        (_PASSED_ON + "test_what_a_session_knows_is_asked_once_however_often_it_is_passed_on",),
    ),
    Animal(
        "session given back for another one",
        "Whenever a lane is passed on a session is borrowed anew, with a round trip to see whether it lives.",
        (
            Plant(
                _TENURES,
                "unused = self._tenures.leave(own) if own is not None else None",
                "unused = own",
            ),
        ),
        (_PASSED_ON + "test_what_a_session_knows_is_asked_once_however_often_it_is_passed_on",),
    ),
    Animal(
        "session left to nobody",
        "A session lies where nobody keeps it alive; who finds it after a pause loses the time of a batch.",
        (
            Plant(
                _TENURES,
                "        elif left is not None:\n            self._database.give_back(left, broken=False)\n",
                "",
            ),
        ),
        (_PASSED_ON + "test_who_is_idle_takes_a_session_that_was_left_or_gives_it_back",),
    ),
    Animal(
        "batch sent in pieces",
        "PostgreSQL waits three times for the rest of a batch, each time until some thread has its turn.",
        (
            Plant(
                "ledger_server/store/database.py",
                "    interlock.check(connection)\n    _make_room(connection)\n",
                "    interlock.check(connection)\n",
            ),
        ),
        (_PASSED_ON + "test_a_local_socket_takes_a_batch_at_once",),
    ),
    Animal(
        "clock that nobody set",
        "Payments are recorded at times that have not come yet.",
        (Plant("ledger_server/store/heard_clock.py", "passed * 1_000_000", "passed * 9_000_000 + 9_000"),),
        (
            _AT_ONCE + "test_record_times_are_the_databases_and_never_ahead_of_it",
            "tests/store/test_heard_clock.py::test_what_passes_here_is_added_to_what_was_said_for_a_second",
        ),
    ),
)
