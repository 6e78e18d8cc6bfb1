"""Faults in the life of accounts: frozen, closed, versions, later limits; and in conditions on them."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_POSTING = "ledger_server/domain/posting.py"
_RECORDING = "ledger_server/domain/recording.py"
_CHANGING = "ledger_server/domain/changing.py"
_FENCES = "ledger_server/store/migrations/0009_account_life.sql"

_LIFE = "tests/domain/test_account_life.py::"
_IN_LANES = "tests/service/test_account_life.py::"
_CHANGES = "tests/rpc/test_account_changes.py::"
_CONDITIONS = "tests/domain/test_preconditions.py::"
_REFUSES = "tests/store/test_account_fences.py::test_the_database_refuses["

ANIMALS = (
    Animal(
        "frozen in name only",
        "Money goes on leaving an account that was frozen because of fraud, until the database refuses it.",
        (Plant(_RECORDING, "        if version.status is not AccountStatus.OPEN:", "        if False:"),),
        (_LIFE + "test_nothing_is_posted_to_a_frozen_account_until_it_is_unfrozen",),
    ),
    Animal(
        "force past a freeze",
        "Who may reverse with force takes money out of a frozen account.",
        (
            Plant(
                _RECORDING,
                "    for entry in entries:",
                "    for entry in () if forced else entries:",
            ),
        ),
        (_LIFE + "test_no_reversal_touches_a_frozen_account_not_even_with_force",),
    ),
    Animal(
        "closed and opened again",
        "A closed account comes back, and nobody who was told that it is gone looks at it.",
        (Plant(_CHANGING, "    if standing.status is AccountStatus.CLOSED:", "    if False:"),),
        (_LIFE + "test_a_closed_account_is_closed_for_good",),
    ),
    Animal(
        "closed with something in it",
        "What a customer had is shut in for good.",
        (Plant(_CHANGING, "        if balance:\n", "        if balance < 0:\n"),),
        (_LIFE + "test_an_account_is_closed_at_zero_in_every_asset",),
    ),
    Animal(
        "version not compared",
        "Of two accountants who change an account at once, one undoes the other unseen.",
        (Plant(_CHANGING, "    if draft.version not in (0, standing.version):", "    if False:"),),
        (
            _LIFE + "test_another_version_than_the_one_that_stands_is_refused",
            _IN_LANES + "test_of_many_changes_of_one_version_one_is_made",
        ),
    ),
    Animal(
        "limit unseen by a lane that knows the account",
        "From the day an account in use is given a limit, every post to it is an internal error.",
        (Plant("ledger_server/store/books.py", "        if wanted.changed:\n", "        if False:\n"),),
        (_IN_LANES + "test_an_account_that_is_limited_when_its_lane_knows_it_well_is_bounded_from_then_on",),
    ),
    Animal(
        "opening compared with what stands",
        "The retry of a CreateAccount is refused as soon as somebody has set a limit.",
        (
            Plant(
                "ledger_server/domain/opening.py",
                "existing = standing if standing.version == 1 else books.openings[draft.name]",
                "existing = standing",
            ),
        ),
        (_LIFE + "test_an_account_is_opened_again_as_it_was_opened_whatever_was_changed_since",),
    ),
    Animal(
        "status outside the chain",
        "Whoever can write the tables unfreezes an account, and every hash still fits.",
        (
            Plant(
                "ledger_server/domain/chain.py",
                '            bytes((status,)) if version > 1 else b"",\n',
                "",
            ),
        ),
        ("tests/domain/test_chain.py::test_the_service_computes_every_vector",),
    ),
    Animal(
        "new limit not vouched for",
        "A post behind a new limit, in the same atomic batch, fails as an internal error.",
        (
            Plant(
                "ledger_server/store/books.py",
                "if name in wanted.changed:\n                    # It may",
                "if False:\n                    # It may",
            ),
        ),
        (_IN_LANES + "test_the_database_knows_the_balance_that_a_new_limit_meets",),
    ),
    Animal(
        "head that knows of nothing shut",
        "The database lets a bug post to a frozen account.",
        (Plant(_FENCES, "set has_shut = true where", "set has_shut = has_shut where"),),
        (_REFUSES + "a_post_to_a_frozen_account]", _REFUSES + "a_post_to_what_this_batch_froze]"),
    ),
    Animal(
        "fence that looks below zero only",
        "The database lets a bug close an account that holds something.",
        (Plant(_FENCES, "and newest.balance_after <> 0", "and newest.balance_after < 0"),),
        (_REFUSES + "closed_with_something_in_it]",),
    ),
    Animal(
        "fence that lets the closed return",
        "The database lets a bug open a closed account again.",
        (Plant(_FENCES, "and previous.status = 3)", "and previous.status > 3)"),),
        (_REFUSES + "opened_after_closing]", _REFUSES + "limited_after_closing]"),
    ),
    Animal(
        "account opened by a poster",
        "Who may only post opens accounts as he likes, by doing it in a batch.",
        (
            Plant(
                "ledger_server/rpc/narrowing.py",
                "        if not access.allows(Permission.KEEP_CHART):",
                "        if False:",
            ),
        ),
        (_CHANGES + "test_one_opening_that_is_forbidden_refuses_an_atomic_batch_whole",),
    ),
    Animal(
        "openings untold",
        "Accounts that a batch opens are in no audit.",
        (
            Plant(
                "ledger_server/rpc/batches.py",
                " or isinstance(draft, AccountDraft)",
                "",
            ),
        ),
        (_CHANGES + "test_the_audit_tells_of_accounts_that_a_batch_opened",),
    ),
    Animal(
        "precondition taken for said",
        "What the caller wanted to be so before the post is read and not looked at.",
        (Plant(_POSTING, "    if draft.preconditions:", "    if False:"),),
        (
            _CONDITIONS + "test_a_balance_lies_within_its_bounds_and_on_them",
            _CONDITIONS + "test_what_is_so_instead_is_told",
        ),
    ),
    Animal(
        "< for <= in a precondition",
        "A post on the condition of just enough is refused where there is just enough.",
        (
            Plant(
                "ledger_server/domain/conditions.py",
                "balance < condition.low",
                "balance <= condition.low",
            ),
        ),
        (_CONDITIONS + "test_a_balance_lies_within_its_bounds_and_on_them",),
    ),
    Animal(
        "balance found by asking",
        "Who may only post finds any balance out, by halves, with conditions on it.",
        (
            Plant(
                "ledger_server/rpc/narrowing.py",
                "        if not access.allows(Permission.READ) and any(",
                "        if False and any(",
            ),
        ),
        ("tests/rpc/test_preconditions.py::test_who_may_not_read_balances_asks_nothing_of_them",),
    ),
)
