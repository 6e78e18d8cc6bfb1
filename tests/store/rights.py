"""Who may do what to which table in which context: written by hand, for the database to agree with.

A context is the ledger that a session has named: the row's own, another one, none
(NULL), or none any more ('' behind one transaction-local setting).
"""

from __future__ import annotations

from collections.abc import Mapping

CONTEXTS = ("own", "other", "unset", "empty")
ROLES = ("ledger_app", "ledger_read", "ledger_owner", "ledger_backup")
COMMANDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")

# What a command on all rows of a table does in the four contexts; an insert is of a row
# of the ledger that the context `own` names.
#   tenant   the rows of the session's ledger, and none where it names none
#   all      every ledger's rows, whatever the session names
#   done     the row is inserted, whatever the session names
#   fenced   in its own ledger the fences refuse it (23514), in others row security does (42501)
#   doubled  the same, but there is such a row already (23505)
#   welcome  the row is inserted in its own ledger; in others row security refuses it (42501)
#   revoke   the session's ledger's rows are reached, which a fence refuses to change like this
# and an SQLSTATE where it is refused with that one in all of them: 42501 by privilege or
# row security, 23514 by a fence, 23505 by a key.
EXPECTED = """
    table                role           SELECT  INSERT   UPDATE  DELETE  TRUNCATE
    directory            ledger_app     all     done     42501   42501   42501
    directory            ledger_read    all     42501    42501   42501   42501
    directory            ledger_owner   all     done     23514   23514   42501
    directory            ledger_backup  all     42501    42501   42501   42501
    heads                ledger_app     tenant  doubled  tenant  42501   42501
    heads                ledger_read    tenant  42501    42501   42501   42501
    heads                ledger_owner   all     23505    all     23514   42501
    heads                ledger_backup  all     42501    42501   42501   42501
    ledgers              ledger_app     tenant  fenced   42501   42501   42501
    ledgers              ledger_read    tenant  42501    42501   42501   42501
    ledgers              ledger_owner   all     23514    23514   23514   42501
    ledgers              ledger_backup  all     42501    42501   42501   42501
    assets               ledger_app     tenant  fenced   42501   42501   42501
    assets               ledger_read    tenant  42501    42501   42501   42501
    assets               ledger_owner   all     23514    23514   23514   42501
    assets               ledger_backup  all     42501    42501   42501   42501
    accounts             ledger_app     tenant  fenced   42501   42501   42501
    accounts             ledger_read    tenant  42501    42501   42501   42501
    accounts             ledger_owner   all     23514    23514   23514   42501
    accounts             ledger_backup  all     42501    42501   42501   42501
    transactions         ledger_app     tenant  fenced   42501   42501   42501
    transactions         ledger_read    tenant  42501    42501   42501   42501
    transactions         ledger_owner   all     23514    23514   23514   42501
    transactions         ledger_backup  all     42501    42501   42501   42501
    entries              ledger_app     tenant  fenced   42501   42501   42501
    entries              ledger_read    tenant  42501    42501   42501   42501
    entries              ledger_owner   all     23514    23514   23514   42501
    entries              ledger_backup  all     42501    42501   42501   42501
    members              ledger_app     tenant  fenced   42501   42501   42501
    members              ledger_read    tenant  42501    42501   42501   42501
    members              ledger_owner   all     23514    23514   23514   42501
    members              ledger_backup  all     42501    42501   42501   42501
    charts               ledger_app     tenant  fenced   42501   42501   42501
    charts               ledger_read    tenant  42501    42501   42501   42501
    charts               ledger_owner   all     23514    23514   23514   42501
    charts               ledger_backup  all     42501    42501   42501   42501
    audit_events         ledger_app     tenant  welcome  42501   42501   42501
    audit_events         ledger_read    tenant  42501    42501   42501   42501
    audit_events         ledger_owner   all     done     23514   23514   42501
    audit_events         ledger_backup  all     42501    42501   42501   42501
    credentials          ledger_app     tenant  welcome  revoke  42501   42501
    credentials          ledger_read    tenant  42501    42501   42501   42501
    credentials          ledger_owner   all     done     23514   23514   42501
    credentials          ledger_backup  all     42501    42501   42501   42501
    checkpoints          ledger_app     tenant  42501    42501   42501   42501
    checkpoints          ledger_read    tenant  42501    42501   42501   42501
    checkpoints          ledger_owner   all     done     all     all     42501
    checkpoints          ledger_backup  all     42501    42501   42501   42501
    checkpoint_balances  ledger_app     tenant  42501    42501   42501   42501
    checkpoint_balances  ledger_read    tenant  42501    42501   42501   42501
    checkpoint_balances  ledger_owner   all     done     all     all     42501
    checkpoint_balances  ledger_backup  all     42501    42501   42501   42501
    bounds               ledger_app     tenant  42501    42501   42501   42501
    bounds               ledger_read    tenant  42501    42501   42501   42501
    bounds               ledger_owner   all     done     all     all     42501
    bounds               ledger_backup  all     42501    42501   42501   42501
    trial_balance_runs   ledger_app     tenant  42501    42501   42501   42501
    trial_balance_runs   ledger_read    tenant  42501    42501   42501   42501
    trial_balance_runs   ledger_owner   all     done     23514   23514   42501
    trial_balance_runs   ledger_backup  all     42501    42501   42501   42501
    database_identity    ledger_app     all     23505    all     42501   42501
    database_identity    ledger_read    all     42501    42501   42501   42501
    database_identity    ledger_owner   all     23505    all     all     42501
    database_identity    ledger_backup  all     42501    42501   42501   42501
    schema_migrations    ledger_app     all     42501    42501   42501   42501
    schema_migrations    ledger_read    all     42501    42501   42501   42501
    schema_migrations    ledger_owner   all     done     all     all     42501
    schema_migrations    ledger_backup  all     42501    42501   42501   42501
    vouching             ledger_app     42501   42501    42501   42501   42501
    vouching             ledger_read    42501   42501    42501   42501   42501
    vouching             ledger_owner   all     23505    all     all     42501
    vouching             ledger_backup  all     42501    42501   42501   42501
"""

# Every function of the schema but those of triggers, and what calling it reaches, by role.
#   tenant   what belongs to the session's ledger, and nothing where it names none
#   pure     nothing: it computes from what it is given
#   named    what it is told the name of, whoever's it is: a key that is asked for by its id, a ledger
FUNCTIONS = """
    function             ledger_app  ledger_read  ledger_owner  ledger_backup
    vouch                tenant      42501        tenant        42501
    write_checkpoint     tenant      42501        tenant        42501
    discard_checkpoints  tenant      42501        tenant        42501
    run_trial_balance    tenant      42501        tenant        42501
    offending_sequences  42501       42501        named         42501
    audit                welcome     42501        done          42501
    find_api_key         named       42501        named         42501
    seal                 42501       42501        pure          42501
    vouched_balances     42501       42501        pure          42501
    checkpoint_digest    pure        pure         pure          42501
    balance_checksum     pure        pure         pure          42501
    bounds_of            pure        pure         pure          42501
"""

WORDS = {
    "tenant": ("own", "other", "none", "none"),
    "fenced": ("23514", "42501", "42501", "42501"),
    "doubled": ("23505", "42501", "42501", "42501"),
    "welcome": ("done", "42501", "42501", "42501"),
    "revoke": ("23514", "23514", "none", "none"),
    "named": ("own", "own", "own", "own"),
}

# In each context, by table (or function), role and command.
Trials = Mapping[tuple[str, str, str], tuple[str, ...]]


def _table(text: str) -> tuple[list[str], list[list[str]]]:
    head, *rows = (line.split() for line in text.strip().splitlines())
    assert all(len(row) == len(head) for row in rows)
    return head, rows


def expected_commands() -> Trials:
    """What each command must do in the four contexts, by table, role and command."""
    head, rows = _table(EXPECTED)
    assert head[2:] == list(COMMANDS)
    return {
        (table, role, command): WORDS.get(word, (word,) * len(CONTEXTS))
        for table, role, *words in rows
        for command, word in zip(COMMANDS, words, strict=True)
    }


def expected_functions() -> Trials:
    """What each function must reach in the four contexts, by name and role."""
    head, rows = _table(FUNCTIONS)
    assert head[1:] == list(ROLES)
    return {
        (function, role, "CALL"): WORDS.get(word, (word,) * len(CONTEXTS))
        for function, *words in rows
        for role, word in zip(ROLES, words, strict=True)
    }
