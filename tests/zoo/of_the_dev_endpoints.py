"""Faults in what is there to try things out: switches that switch nothing, and doors beside the door."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_AUTHORISING = "ledger_server/rpc/authorising.py"
_REQUESTS = "ledger_server/rpc/dev_requests.py"
_ENDPOINTS = "tests/rpc/test_dev_endpoints.py::"
_SERVICE = "tests/rpc/test_dev_service.py::"
_VALIDATE = "tests/cli/test_validate_command.py::"

ANIMALS = (
    Animal(
        "dev endpoints open in production",
        "Whoever reaches a production server tops up his own credits.",
        (
            Plant(
                _AUTHORISING,
                "rule.is_dev_endpoint and dev_endpoints_off_by:",
                "rule.is_dev_endpoint and False:",
            ),
        ),
        (
            _ENDPOINTS + "test_a_switch_that_is_off_keeps_them_from_everybody_and_all_else_works",
            _ENDPOINTS + "test_where_they_are_off_no_role_helps",
            _VALIDATE + "test_a_sound_walk_passes",
        ),
    ),
    Animal(
        "development by default",
        "A server that nobody configured takes its environment for development.",
        (
            Plant(
                "ledger_server/config.py",
                'is_on=environment != "prod"',
                'is_on=environ.get("LEDGER_ENV") != "prod"',
            ),
        ),
        ("tests/test_config.py::test_the_environment_gives_development_flags_their_defaults",),
    ),
    Animal(
        "admins let through",
        "Where the dev endpoints are off, a platform-admin and a ledger's own clerk use them all the same.",
        (
            Plant(
                _AUTHORISING,
                "        rule = _offered(method, self._dev_endpoints_off_by)\n"
                "        if caller.is_open:\n"
                "            return EVERYTHING\n"
                "        if isinstance(rule, Anybody):",
                "        rule = _offered(method, self._dev_endpoints_off_by if caller.is_open else ())\n"
                "        if caller.is_open:\n"
                "            return EVERYTHING\n"
                "        if isinstance(rule, Anybody):",
            ),
        ),
        (_ENDPOINTS + "test_where_they_are_off_no_role_helps",),
    ),
    Animal(
        "a dev endpoint is a door",
        "An accountant, who may not post, posts by DevService.",
        (
            Plant(
                "ledger_server/rpc/dev_servicer.py",
                "draft = allowed(by, ledger, dev_requests.operation_draft(",
                "draft = (lambda by, ledger, draft: draft)(by, ledger, dev_requests.operation_draft(",
            ),
        ),
        (
            _ENDPOINTS + "test_it_takes_the_accountants_role_and_that_of_the_verb",
            _ENDPOINTS + "test_a_narrowed_caller_reaches_no_other_customer",
        ),
    ),
    Animal(
        "a key for a day's work",
        "The second top-up by hand is answered with the first, and the customer lacks it.",
        (Plant(_REQUESTS, 'f"dev:{uuid4()}"', 'f"dev:{template}:{request.user_id}:{request.amount}"'),),
        (_SERVICE + "test_without_a_key_each_call_is_an_intention_of_its_own",),
    ),
    Animal(
        "a key that is not used",
        "A top-up by hand that is sent again under its key is made twice.",
        (
            Plant(
                _REQUESTS,
                'form.key(request.idempotency_key) or f"dev',
                'form.key(request.idempotency_key)[:0] or f"dev',
            ),
        ),
        (
            _SERVICE + "test_an_operation_is_the_post_of_its_template",
            _VALIDATE + "test_a_sound_walk_passes",
        ),
    ),
)
