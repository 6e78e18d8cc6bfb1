"""Faults in the contract's service: status, pages, limits, admission."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_REQUESTS = "ledger_server/rpc/requests.py"
_ACCOUNTS = "ledger_server/rpc/account_requests.py"
_ADMISSION = "ledger_server/rpc/interceptors/admission.py"
_HEALTH = "ledger_server/rpc/health.py"
_NAMES = "ledger_server/domain/names.py"

_FOUND = "tests/hostile/test_found.py::"
_WIRE = "tests/rpc/test_errors_on_the_wire.py::"
_LISTS = "tests/rpc/test_lists.py::"
_EDGES = "tests/rpc/test_limits_at_their_edges.py::"

ANIMALS = (
    Animal(
        "unknown outcome told as nothing done",
        "A caller who hears ABORTED posts again under a new key, and the money moves twice.",
        (
            Plant(
                "ledger_server/rpc/status.py",
                '"OUTCOME_UNKNOWN": grpc.StatusCode.UNAVAILABLE',
                '"OUTCOME_UNKNOWN": grpc.StatusCode.ABORTED',
            ),
        ),
        ("tests/test_house.py::test_every_reason_is_explained_in_the_docs_with_its_status_and_its_retry",),
    ),
    Animal(
        "inner text told to callers",
        "The sentence of an internal error, with whatever it holds, goes to whoever called.",
        (
            Plant(
                "ledger_server/rpc/status.py",
                '            message="internal error",\n',
                "            message=refusal.message,\n",
            ),
        ),
        (_WIRE + "test_the_inner_text_of_damage_never_leaves",),
    ),
    Animal(
        "bug answered with its own text",
        "The text of an exception, with the database's password in it, goes to whoever called.",
        (
            Plant(
                "ledger_server/rpc/answering.py",
                "        except Exception:\n",
                "        except ZeroDivisionError:\n",
            ),
        ),
        (
            "tests/rpc/test_every_method.py::test_a_bug_is_answered_without_its_text",
            _WIRE + "test_a_bug_is_internal_with_a_reason_and_nothing_else",
        ),
    ),
    Animal(
        "newer field dropped",
        "The field of a newer client that says what the money is for is dropped in silence.",
        (Plant("ledger_server/rpc/answering.py", "if request.ByteSize() != size_bytes:", "if False:"),),
        (
            _WIRE + "test_unknown_fields_are_refused_wherever_they_are",
            "tests/rpc/test_every_method.py::test_a_field_of_a_newer_contract_is_refused_and_never_dropped",
        ),
    ),
    Animal(
        "page token of any request",
        "A token of one ledger's list goes on in another's, and a report mixes two tenants.",
        (
            Plant(
                "ledger_server/rpc/page_tokens.py",
                "if data[:_DIGEST_BYTES] != _digest(request):",
                "if len(data) < _DIGEST_BYTES:",
            ),
        ),
        (
            _LISTS + "test_a_token_belongs_to_its_ledger",
            _LISTS + "test_a_token_belongs_to_its_filter_order_and_method",
        ),
    ),
    Animal(
        "page of any size",
        "One call for two thousand million rows takes the server's memory with it.",
        (
            Plant(
                _REQUESTS,
                "return min(value or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)",
                "return value or limits.PAGE_SIZE_DEFAULT",
            ),
        ),
        (_LISTS + "test_a_page_has_20_rows_by_default_and_at_most_1000",),
    ),
    Animal(
        "pages of different moments",
        "The pages of one trial balance are of different sequences, and do not add up.",
        (
            Plant(
                "ledger_server/rpc/trial_balances.py",
                "answer.next_page_token = page_token(request, sums.at, offset + count)",
                "answer.next_page_token = page_token(request, 0, offset + count)",
            ),
        ),
        (
            "tests/service/test_trial_balances.py"
            "::test_the_trial_balance_by_account_is_of_one_sequence_on_all_its_pages",
        ),
    ),
    Animal(
        "key not trimmed",
        "A key that came with a space at its end is another key: the payment is made twice.",
        (Plant(_REQUESTS, "        key = key.strip()\n", "        key = str(key)\n"),),
        (
            _EDGES + "test_a_key_has_up_to_128_characters_and_is_trimmed",
            _EDGES + "test_a_key_of_spaces_is_none",
        ),
    ),
    Animal(
        "one entry more than allowed",
        "A transaction of 1,001 entries passes the door and fails behind it as an internal error.",
        (Plant(_REQUESTS, "2 <= len(given) <= ENTRIES_MAX", "2 <= len(given) <= ENTRIES_MAX + 1"),),
        (_EDGES + "test_fewer_or_more_entries_are_refused[1001]",),
    ),
    Animal(
        "malformed operation forgotten in an atomic batch",
        "An atomic batch with a malformed operation is recorded without it.",
        (
            Plant(
                "ledger_server/rpc/batches.py",
                "if atomic and len(sound) < len(drafts):",
                "if atomic and len(sound) > len(drafts):",
            ),
        ),
        ("tests/service/test_post_batch.py::test_a_malformed_operation_refuses_an_atomic_batch_whole",),
    ),
    Animal(
        "answer too large for its caller",
        "A batch is recorded and its answer is larger than a plain client takes: the caller never hears.",
        (
            Plant(
                "ledger_server/rpc/limits.py",
                "ANSWER_BYTES_MAX = 3_584 * 1024",
                "ANSWER_BYTES_MAX = 35_840 * 1024",
            ),
        ),
        (
            "tests/rpc/test_batch_answers.py"
            "::test_a_full_answer_that_could_be_too_large_is_refused_before_anything_is_decided",
        ),
    ),
    Animal(
        "everybody admitted",
        "Calls beyond the limit wait behind the others without an answer, instead of hearing OVERLOADED.",
        (Plant(_ADMISSION, "if self._pool.in_flight >= self._in_flight_max:", "if False:"),),
        ("tests/rpc/test_admission.py::test_a_full_server_refuses_in_milliseconds_and_health_still_answers",),
    ),
    Animal(
        "call counted for ever",
        "Each call takes a place for good: after some hundred calls the server refuses everybody.",
        (Plant(_ADMISSION, "            self.in_flight -= 1\n", "            self.in_flight -= 0\n"),),
        ("tests/rpc/test_admission.py::test_a_full_server_refuses_in_milliseconds_and_health_still_answers",),
    ),
    Animal(
        "bytes that do not parse are a bug",
        "A client's garbage is told as an error of the server, and pages whoever is on call.",
        (
            Plant(
                _ADMISSION,
                "        except Exception:\n            return _Garbage()\n",
                "        except ZeroDivisionError:\n            return _Garbage()\n",
            ),
        ),
        (_WIRE + "test_bytes_that_do_not_parse_are_an_invalid_argument",),
    ),
    Animal(
        "calls taken while draining",
        "A server that is being stopped takes calls that it will not answer.",
        (Plant(_ADMISSION, "        if self._draining:\n", "        if False:\n"),),
        (
            "tests/service/test_draining.py"
            "::test_sigterm_answers_who_is_in_flight_refuses_who_is_new_and_leaves_whole_books",
        ),
    ),
    Animal(
        "limits judged before they are counted",
        "One account draft with a million limits keeps every other caller waiting for seconds.",
        (Plant(_ACCOUNTS, "if len(given) > limits.LIMITS_PER_ACCOUNT_MAX:", "if False:"),),
        (_FOUND + "test_more_limits_than_an_account_may_have_are_counted_and_not_judged",),
    ),
    Animal(
        "metadata judged before it is counted",
        "One request with a million metadata keys is answered with a fault for each of them.",
        (Plant(_REQUESTS, "if len(given) > names.METADATA_KEYS_MAX:", "if False:"),),
        (_FOUND + "test_more_metadata_keys_than_there_may_be_are_counted_and_not_judged",),
    ),
    Animal(
        "refusal that waits for its request",
        "Two callers who open a call and send nothing keep a full server from refusing anybody.",
        (
            Plant(
                _ADMISSION,
                "grpc.stream_unary_rpc_method_handler(refuse,",
                "grpc.unary_unary_rpc_method_handler(refuse,",
            ),
        ),
        (_FOUND + "test_who_never_sends_a_message_does_not_keep_others_from_being_refused",),
    ),
    Animal(
        "watcher never forgotten",
        "Each client that ever watched health leaves its place behind, and is told for ever.",
        (Plant(_HEALTH, "            self._watchers.discard(watcher)\n", "            pass\n"),),
        (_FOUND + "test_watchers_who_come_and_go_do_not_stop_the_server",),
    ),
    Animal(
        "watcher of nothing remembered",
        "Whoever watches names that are no service fills the server's memory with them.",
        (
            Plant(
                _HEALTH, "        if request.service in self._states:\n", "        if request is not None:\n"
            ),
        ),
        (_FOUND + "test_watching_a_service_that_is_none_leaves_nothing_behind",),
    ),
    Animal(
        "garbage in a stream is a bug",
        "Bytes that do not parse, sent to reflection or to health, are told as an error of the server.",
        (
            Plant(
                _ADMISSION,
                "            for request in requests:\n                _refuse_garbage(request, context)\n",
                "            for request in requests:\n",
            ),
        ),
        (_FOUND + "test_garbage_ends_a_stream_after_its_good_messages_were_answered",),
    ),
    Animal(
        "name of any length remembered",
        "Some thousand callers' names of a megabyte each fill the server's memory, though all are refused.",
        (
            Plant(
                _NAMES,
                "    if len(name) > NAME_LENGTH_MAX:\n"
                '        return f"has {len(name)} characters; at most {NAME_LENGTH_MAX} are allowed"\n'
                "    return _path_fault(name)\n",
                "    return _path_fault(name)\n",
            ),
            Plant(
                _NAMES,
                "def _path_fault(name: str) -> str | None:\n",
                "def _path_fault(name: str) -> str | None:\n"
                "    if len(name) > NAME_LENGTH_MAX:\n"
                '        return f"has {len(name)} characters; at most {NAME_LENGTH_MAX} are allowed"\n',
            ),
        ),
        ("tests/hostile/test_found.py::test_names_that_are_too_long_are_not_remembered",),
    ),
)
