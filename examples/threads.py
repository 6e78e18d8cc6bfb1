"""Posting from threads: docs/client.md says how it is run.

Each thread posts one sale at a time and waits for it; the client sends what waits
together. The last sale is made twice on purpose: the second answer is the first record.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from ledger_client import AccountDraft, AccountType, Client, Posted, connect, credit, debit
from ledger_client.decimals import from_minor_units
from ledger_client.refusals import LedgerNotFound

LEDGER = "examples:threads"


def sell(client: Client, number: int) -> Posted:
    """Records a sale of 12.50."""
    lines = [debit("cash", 1250, "EUR"), credit("sales", 1250, "EUR")]
    return client.post(LEDGER, lines, idempotency_key=f"sale {number}", kind="sale")


def main(target: str) -> None:
    """Makes a ledger, sells 100 things from 16 threads, and prints the balance."""
    with connect(target) as client:
        try:
            client.get_ledger(LEDGER)
        except LedgerNotFound:
            client.create_ledger(LEDGER)
        client.create_asset(LEDGER, "EUR", 2)
        client.create_accounts(
            LEDGER, [AccountDraft("cash", AccountType.ASSET), AccountDraft("sales", AccountType.REVENUE)]
        )
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda number: sell(client, number), range(100)))
        print("made before:", sell(client, 99).replayed)
        balance = client.get_balance(LEDGER, "cash", "EUR")
        print("cash:", from_minor_units(balance.posted, 2), "EUR")
        print("balanced:", client.trial_balance(LEDGER).is_balanced)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
