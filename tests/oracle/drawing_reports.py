"""What the stateful test asks of reports."""

from __future__ import annotations

from random import Random

from oracle.drawing import ACCOUNT_NAMES, AWAITED, CODES, LEDGERS, Pool, Request
from oracle.drive import START
from oracle.forms import Fields

PREFIXES = Pool("customers", "cash", "bank", "sales", once_in=12, edges=("custom", "a:", "", "users"))
# The drawn transactions are of about the service's start, some of an hour or a day beside it.
MOMENTS = Pool(
    *((START + 7_200, 0), (START + 3 * 86_400, 0), (START + 40 * 86_400, 0), (START + 1, 0)),
    once_in=8,
    edges=((START, 0), (START, 1_000), (253_402_300_799, 999_999_999), (0, 0), (START, -1)),
)
DAYS = Pool(0, 0, 1, 30, once_in=15, edges=(-1, 3_650, 3_651))
AT = Pool(0, 0, 0, 12, 20, once_in=15, edges=(-1, 1, 2_000))
ORDERS = Pool(0, 1, 2, once_in=20, edges=(3,))


def a_report(random: Random) -> Request:
    """Who owes what, or the charges of one account."""
    request: Fields = {
        name: pool.draw(random)
        for name, pool in {
            "ledger": LEDGERS,
            "asset": CODES,
            "as_of": MOMENTS,
            "at_sequence": AT,
            "min_sequence": AWAITED,
        }.items()
    }
    request |= {"page_size": random.choice((0, 1, 1, 2, 1000)), "page_token": ""}
    if random.randrange(2):
        request |= {"account": ACCOUNT_NAMES.draw(random), "unpaid_only": bool(random.randrange(2))}
        return "ListCharges", request
    request |= {"days": DAYS.draw(random), "order": ORDERS.draw(random)}
    which = random.choice(("account", "account_prefix", "account_prefix", "account_prefix"))
    request[which] = (ACCOUNT_NAMES if which == "account" else PREFIXES).draw(random)
    if random.randrange(25) == 0:
        request["account"] = "cash"
    return "ListOverdueBalances", request
