"""The contract's bounds that belong to requests and answers, not to the books."""

from __future__ import annotations

from ledger_server.domain import charts, names, overdue, parameters, sets
from ledger_server.domain.accounts import ACCOUNTS_PER_LEDGER_MAX
from ledger_server.domain.amounts import DIGITS_MAX
from ledger_server.domain.members import ACCOUNT_PREFIXES_MAX
from ledger_server.domain.reads import AGGREGATED_MAX, EXAMINED_MAX
from ledger_server.domain.templates import GROUPS_MAX, PARAMETERS_MAX, PATTERNS_MAX, TEMPLATES_MAX
from ledger_server.domain.transactions import ENTRIES_MAX, PRECONDITIONS_MAX
from ledger_server.domain.trial_balance_runs import OFFENDING_MAX
from ledger_server.service.trial_balance_runs import RUNS_IN_FLIGHT_MAX

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
OPERATIONS_MAX = 8_192
BATCH_ENTRIES_MAX = 65_536
ACCOUNTS_PER_BATCH_MAX = 1_000
BALANCES_PER_BATCH_MAX = 1_000
# One for each asset: far more than a ledger has, far fewer than fit into a message.
LIMITS_PER_ACCOUNT_MAX = 1_000
PAGE_SIZE_DEFAULT = 20
PAGE_SIZE_MAX = 1_000
AUDIT_PAGE_SIZE_DEFAULT = 100
PAGE_BYTES_MAX = 3 * 1024 * 1024
# A plain stub accepts 4 MiB; an answer stays below it with room for framing.
ANSWER_BYTES_MAX = 3_584 * 1024
# What the answer has for each operation of a batch: a recorded one, or a refusal. A
# refusal with longer details has them where others leave room, else a short status.
RESULT_BYTES_MAX = 400
STATUS_DETAILS_BYTES_MAX = 4 * 1024
VIOLATIONS_MAX = 20
MESSAGE_TEXT_BYTES_MAX = 512
SHORT_MESSAGE_TEXT_BYTES_MAX = 120

# Calls and connections; docs/operations.md has the reasons. A call's headers as HTTP/2 counts
# them: names, values, and 32 bytes for each.
HEADERS_BYTES_MAX = 16 * 1024
CONNECTIONS_MAX = 4_096
CALLS_PER_CONNECTION_MAX = 512
# Open watches of health; each is a little memory and no thread.
WATCHES_MAX = 1_000
# How long a call's message may be on its way, and how long where half of the calls are in flight.
MESSAGE_WAIT_MS_MAX = 20_000
MESSAGE_WAIT_CROWDED_MS_MAX = 5_000
# A message from here on is large; of all that are being served together there may be so many bytes.
LARGE_MESSAGE_BYTES_MIN = 64 * 1024
LARGE_BYTES_IN_FLIGHT_MAX = 32 * 1024 * 1024
# What a call has that names no deadline, and what it has that names a longer one.
DEADLINE_MS_DEFAULT = 30_000
DEADLINE_MS_MAX = 300_000
HANDSHAKE_MS_MAX = 5_000
PING_INTERVAL_MS_MIN = 30_000
CONNECTION_IDLE_MS_MAX = 120_000
CONNECTION_AGE_MS_MAX = 300_000
CONNECTION_GRACE_MS = 60_000

PUBLISHED: dict[str, int] = {
    "message_bytes_max": MESSAGE_BYTES_MAX,
    "operations_per_batch_max": OPERATIONS_MAX,
    "entries_per_batch_max": BATCH_ENTRIES_MAX,
    "entries_per_transaction_max": ENTRIES_MAX,
    "preconditions_per_post_max": PRECONDITIONS_MAX,
    "accounts_per_batch_max": ACCOUNTS_PER_BATCH_MAX,
    "balances_per_batch_max": BALANCES_PER_BATCH_MAX,
    "accounts_per_ledger_max": ACCOUNTS_PER_LEDGER_MAX,
    "limits_per_account_max": LIMITS_PER_ACCOUNT_MAX,
    "chart_assets_max": charts.ASSETS_MAX,
    "chart_families_max": charts.FAMILIES_MAX,
    "assets_per_family_max": charts.FAMILY_ASSETS_MAX,
    "chart_kinds_max": charts.KINDS_MAX,
    "chart_sets_max": sets.SETS_MAX,
    "members_per_set_max": sets.SET_MEMBERS_MAX,
    "set_name_length_max": sets.SET_NAME_LENGTH_MAX,
    "required_metadata_per_kind_max": charts.REQUIRED_METADATA_MAX,
    "parameter_name_length_max": charts.PARAMETER_NAME_LENGTH_MAX,
    "series_name_length_max": charts.SERIES_NAME_LENGTH_MAX,
    "page_size_default": PAGE_SIZE_DEFAULT,
    "page_size_max": PAGE_SIZE_MAX,
    "audit_page_size_default": AUDIT_PAGE_SIZE_DEFAULT,
    "account_prefixes_per_member_max": ACCOUNT_PREFIXES_MAX,
    "page_bytes_max": PAGE_BYTES_MAX,
    "answer_bytes_max": ANSWER_BYTES_MAX,
    "transactions_examined_max": EXAMINED_MAX,
    "overdue_days_max": overdue.DAYS_MAX,
    "overdue_accounts_examined_max": overdue.ACCOUNTS_MAX,
    "overdue_entries_examined_max": overdue.ENTRIES_MAX,
    "balances_aggregated_max": AGGREGATED_MAX,
    "trial_balance_runs_in_flight_max": RUNS_IN_FLIGHT_MAX,
    "offending_sequences_per_run_max": OFFENDING_MAX,
    "amount_digits_max": DIGITS_MAX,
    "account_name_length_max": names.NAME_LENGTH_MAX,
    "asset_code_length_max": names.ASSET_CODE_LENGTH_MAX,
    "asset_scale_max": names.ASSET_SCALE_MAX,
    "idempotency_key_length_max": names.KEY_LENGTH_MAX,
    "kind_length_max": names.KIND_LENGTH_MAX,
    "text_length_max": names.TEXT_LENGTH_MAX,
    "metadata_keys_max": names.METADATA_KEYS_MAX,
    "metadata_key_length_max": names.METADATA_KEY_LENGTH_MAX,
    "metadata_value_length_max": names.METADATA_VALUE_LENGTH_MAX,
    "metadata_bytes_max": names.METADATA_BYTES_MAX,
    "templates_per_chart_max": TEMPLATES_MAX,
    "parameters_per_template_max": PARAMETERS_MAX,
    "groups_per_template_max": GROUPS_MAX,
    "entries_per_template_max": PATTERNS_MAX,
    "template_items_max": parameters.ITEMS_MAX,
    "template_parameters_bytes_max": parameters.BYTES_MAX,
    "headers_bytes_max": HEADERS_BYTES_MAX,
    "connections_max": CONNECTIONS_MAX,
    "calls_per_connection_max": CALLS_PER_CONNECTION_MAX,
    "watches_max": WATCHES_MAX,
    "message_wait_ms_max": MESSAGE_WAIT_MS_MAX,
    "message_wait_crowded_ms_max": MESSAGE_WAIT_CROWDED_MS_MAX,
    "large_message_bytes_min": LARGE_MESSAGE_BYTES_MIN,
    "large_bytes_in_flight_max": LARGE_BYTES_IN_FLIGHT_MAX,
    "deadline_ms_default": DEADLINE_MS_DEFAULT,
    "deadline_ms_max": DEADLINE_MS_MAX,
    "handshake_ms_max": HANDSHAKE_MS_MAX,
    "ping_interval_ms_min": PING_INTERVAL_MS_MIN,
    "connection_idle_ms_max": CONNECTION_IDLE_MS_MAX,
    "connection_age_ms_max": CONNECTION_AGE_MS_MAX,
}
