"""The contract's bounds that belong to requests and answers, not to the books."""

from __future__ import annotations

from ledger_server.domain import names
from ledger_server.domain.amounts import DIGITS_MAX
from ledger_server.domain.reads import EXAMINED_MAX
from ledger_server.domain.transactions import ENTRIES_MAX

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
OPERATIONS_MAX = 8_192
BATCH_ENTRIES_MAX = 65_536
ACCOUNTS_PER_BATCH_MAX = 1_000
BALANCES_PER_BATCH_MAX = 1_000
# One for each asset: far more than a ledger has, far fewer than fit into a message.
LIMITS_PER_ACCOUNT_MAX = 1_000
PAGE_SIZE_DEFAULT = 20
PAGE_SIZE_MAX = 1_000
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

PUBLISHED: dict[str, int] = {
    "message_bytes_max": MESSAGE_BYTES_MAX,
    "operations_per_batch_max": OPERATIONS_MAX,
    "entries_per_batch_max": BATCH_ENTRIES_MAX,
    "entries_per_transaction_max": ENTRIES_MAX,
    "accounts_per_batch_max": ACCOUNTS_PER_BATCH_MAX,
    "balances_per_batch_max": BALANCES_PER_BATCH_MAX,
    "limits_per_account_max": LIMITS_PER_ACCOUNT_MAX,
    "page_size_default": PAGE_SIZE_DEFAULT,
    "page_size_max": PAGE_SIZE_MAX,
    "page_bytes_max": PAGE_BYTES_MAX,
    "answer_bytes_max": ANSWER_BYTES_MAX,
    "transactions_examined_max": EXAMINED_MAX,
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
}
