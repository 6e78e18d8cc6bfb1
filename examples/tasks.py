"""Posting from tasks: docs/client.md says how it is run.

A hundred tasks pay from one wallet that holds enough for sixty of them: those that
are refused learn it by themselves, and the others do not notice.
"""

import asyncio
import sys

from ledger_client import AccountDraft, AccountType, AsyncClient, Limit, connect_async, credit, debit
from ledger_client.refusals import InsufficientFunds

LEDGER = "examples:tasks"


async def pay(client: AsyncClient, wallet: str) -> bool:
    """Pays 1.00 from the wallet; False where it holds less."""
    try:
        await client.post(LEDGER, [debit(wallet, 100, "EUR"), credit("sales", 100, "EUR")])
    except InsufficientFunds:
        return False
    return True


async def main(target: str) -> None:
    """Fills a new wallet, pays from a hundred tasks, and prints what became of it."""
    async with connect_async(target) as client:
        await client.create_ledger(LEDGER)
        await client.create_asset(LEDGER, "EUR", 2)
        wallet = f"wallets:{client.new_key()}"
        await client.create_accounts(
            LEDGER,
            [
                AccountDraft("cash", AccountType.ASSET),
                AccountDraft("sales", AccountType.REVENUE),
                AccountDraft(wallet, AccountType.LIABILITY, (Limit("EUR", balance_min=0),)),
            ],
        )
        await client.post(LEDGER, [debit("cash", 6_000, "EUR"), credit(wallet, 6_000, "EUR")], kind="top-up")
        paid = await asyncio.gather(*[pay(client, wallet) for _ in range(100)])
        print("paid:", sum(paid), "refused:", len(paid) - sum(paid))
        print("left:", (await client.get_balance(LEDGER, wallet, "EUR")).posted)
        print("entries:", len([entry async for entry in client.list_entries(LEDGER, wallet)]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"))
