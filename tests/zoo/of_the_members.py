"""Faults in who may: permissions, narrowed memberships, facts for strangers, the audit, force."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_AUTHORISING = "ledger_server/rpc/authorising.py"
_PERMISSIONS = "tests/rpc/test_permissions.py::"
_TENANTS = "tests/rpc/test_tenants.py::"
_NARROWED = "tests/rpc/test_narrowed_members.py::"
_AUDIT = "tests/rpc/test_audit.py::"

ANIMALS = (
    Animal(
        "method nobody listed",
        "A new method that was forgotten in the table of permissions is everybody's.",
        (
            Plant(
                _AUTHORISING,
                "        raise not_listed(method)\n    if isinstance(rule, InLedger)",
                "        return Anybody(behind_door=False)\n    if isinstance(rule, InLedger)",
            ),
        ),
        (_PERMISSIONS + "test_a_method_without_a_rule_is_denied_to_everybody",),
    ),
    Animal(
        "key for every ledger",
        "An API key of one tenant reads the books of another where its principal has a namesake.",
        (Plant(_AUTHORISING, "if caller.key_ledger not in (None, ledger):", "if False:"),),
        (_PERMISSIONS + "test_a_ledgers_key_is_good_in_that_ledger_only",),
    ),
    Animal(
        "foreign ledger told apart",
        "A tenant finds out which other tenants there are, by guessing their names.",
        (
            Plant(
                _AUTHORISING,
                "            raise ledger_not_found(ledger)\n        permissions",
                "            if self._memberships.exists(ledger):\n"
                '                raise NotAMember("no member")\n'
                "            raise ledger_not_found(ledger)\n        permissions",
            ),
        ),
        (_TENANTS + "test_anothers_ledger_is_answered_as_one_that_does_not_exist",),
    ),
    Animal(
        "removal that waits",
        "Who was dismissed goes on posting for as long as the server remembers him.",
        (
            Plant(
                "ledger_server/service/ledger.py",
                "            self.memberships.forget(ledger, draft.principal)\n",
                "            pass\n",
            ),
        ),
        (_TENANTS + "test_a_removed_member_is_out_at_once_where_it_was_removed",),
    ),
    Animal(
        "membership read before it ended",
        "A read that was under way while a membership ended puts it back into the memory.",
        (
            Plant(
                "ledger_server/service/remembered.py",
                "if changes == self._changes and (value is not None or self._keeps_absence):",
                "if value is not None or self._keeps_absence:",
            ),
        ),
        ("tests/service/test_memberships.py::test_what_was_read_before_a_change_is_not_remembered_after_it",),
    ),
    Animal(
        "neighbour's account",
        "Customer 42 reads and spends what belongs to customer 421.",
        (
            Plant(
                "ledger_server/domain/names.py",
                'name.startswith(prefix + ":")',
                "name.startswith(prefix)",
            ),
        ),
        (_NARROWED + "test_random_prefixes_cover_what_the_model_says",),
    ),
    Animal(
        "reversal of what is out of reach",
        "A narrowed member undoes the transactions of others.",
        (
            Plant(
                "ledger_server/domain/posting.py",
                "    if origin is None or not origin.is_within(draft.within):",
                "    if origin is None:",
            ),
        ),
        (_NARROWED + "test_random_prefixes_cover_what_the_model_says",),
    ),
    Animal(
        "balance told to a poster",
        "Who may only post learns every balance, by posting too much.",
        (
            Plant(
                "ledger_server/rpc/confiding.py",
                "    if told is None:\n        return refusal",
                "    if True:\n        return refusal",
            ),
        ),
        (_NARROWED + "test_who_may_not_read_is_told_no_balance",),
    ),
    Animal(
        "act without its event",
        "Memberships change and accounts are opened, and nobody can say by whom and from where.",
        (Plant("ledger_server/store/inserting.py", "    if acts:\n", "    if False:\n"),),
        (
            _AUDIT + "test_every_act_is_told_of_with_who_did_it_and_from_where",
            _AUDIT + "test_neither_the_act_nor_its_event_stands_without_the_other",
        ),
    ),
    Animal(
        "force for everybody",
        "The fence lets every transaction pass a bound once it has met one that may.",
        (
            Plant(
                "ledger_server/store/migrations/0013_vouched_bounds.sql",
                "                                and transactions.forced)",
                "                            )",
            ),
        ),
        ("tests/store/test_member_fences.py::test_a_reversal_without_force_does_not",),
    ),
    Animal(
        "last administrator gone",
        "A ledger is left with nobody who can let anybody in.",
        (
            Plant(
                "ledger_server/domain/membership.py",
                " or _last_admin_refusal(draft, present, books)",
                "",
            ),
        ),
        ("tests/domain/test_members.py::test_the_last_tenant_admin_stays",),
    ),
    Animal(
        "narrowing outside the chain",
        "Whoever can write the tables widens a membership, and every hash still fits.",
        (
            Plant(
                "ledger_server/domain/chain.py",
                "            *map(framed, account_prefixes),\n",
                "",
            ),
        ),
        ("tests/domain/test_chain.py::test_the_service_computes_every_vector",),
    ),
)
