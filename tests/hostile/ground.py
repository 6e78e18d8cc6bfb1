"""The books that hostile calls are made on: ledgers with balances, and a vault that is never named.

What the vault's records hold is secret: its canaries must be found in no answer. Its
keys, account names and page tokens are the dictionary of those who try other ledgers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from callers import Teller, lines
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1.chart_service_pb2 import AccountSet
from sample_templates import AMOUNT, BONUS, CHARGE, TOP_UP
from serving import Serving
from template_calls import chart_with

from ledger_server.domain.parameters import Parameter, ParameterType
from ledger_server.domain.templates import EntryPattern, Group, Template

LEDGERS = ("fuzz:a", "fuzz:b")
# Each side applies its chart to one of its own, so that none takes away what a valid call needs.
CHARTED = {"valid": "fuzz:c", "bent": "fuzz:d"}
# What is bent may shut any account of it: nobody who must succeed comes here.
SHUT = "fuzz:shut"
ORIGINS = 12
# Who bends a chart of another ledger comes upon the versions 0, 1, 2; this one is not replaced.
CHART_VERSION = 41
SETS = (
    AccountSet(name="customers", prefixes=["customers"]),
    AccountSet(name="everybody", accounts=["cash", "customers:1"], sets=["customers"]),
)
SPLIT = Template(
    "split",
    1,
    (AMOUNT, Parameter("why", ParameterType.TEXT)),
    (
        EntryPattern("cash", True, ("amount",), "USD"),
        EntryPattern("sales", False, ("amount",), "USD", weight=3),
        EntryPattern("{till}", False, ("amount",), "USD", "tills", weight="part"),
    ),
    (Group("tills", (Parameter("till", ParameterType.SLUG), Parameter("part", ParameterType.INT)), 0),),
    kind="split",
    metadata={"why": "because {why}"},
)
# Customers of DevService: without bounds, so that whoever must succeed may spend.
USERS = tuple(str(UUID(int=number)) for number in range(1, 5))
TEMPLATES = (SPLIT, TOP_UP, CHARGE, BONUS)
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What a caller may know of the books, and what nobody may be told."""

    canary: str
    """Stands in every secret."""
    vault: str
    tokens: dict[str, str] = field(default_factory=dict)
    """A next_page_token of a list of LEDGERS[0], by method."""
    vault_tokens: tuple[str, ...] = ()


def secret_of(seed: str) -> str:
    """The canary of a run: the same for the same seed."""
    return f"canary-{Random(f'{seed} secret').getrandbits(64):016x}"


def opened(server: Serving, seed: str) -> Ground:
    """Opens the books, call by call, so that the same seed gives the same records and tokens."""
    canary = secret_of(seed)
    vault = Teller.open(server, f"vault:{canary[-8:]}")
    _fill_vault(vault, canary)
    for name in (*LEDGERS, SHUT):
        _fill(Teller.open(server, name))
        # A chart that judges nothing, and has a template and account sets.
        for version in range(CHART_VERSION):
            Teller(server, name).apply_chart(chart_with(*TEMPLATES, sets=SETS[: 2 - version % 2]), version)
    for name in CHARTED.values():
        Teller.open(server, name)
    first = Teller(server, LEDGERS[0])
    tokens = {
        "ListTransactions": first.page(page_size=2).next_page_token,
        "ListEntries": first.entries("cash", page_size=2).next_page_token,
        "TrialBalance": first.trial_balance(rows=1, page_size=1).next_page_token,
        "ListAccounts": server.accounts.ListAccounts(
            accounts_pb.ListAccountsRequest(ledger=first.ledger, page_size=2), timeout=_PATIENCE_S
        ).next_page_token,
        "ListAssets": server.admin.ListAssets(
            admin_pb.ListAssetsRequest(ledger=first.ledger, page_size=1), timeout=_PATIENCE_S
        ).next_page_token,
        "ListLedgers": server.admin.ListLedgers(
            admin_pb.ListLedgersRequest(page_size=1), timeout=_PATIENCE_S
        ).next_page_token,
    }
    assert all(tokens.values())
    vault_tokens = (
        vault.page(page_size=1).next_page_token,
        vault.entries("cash", page_size=1).next_page_token,
    )
    return Ground(canary, vault.ledger, tokens, vault_tokens)


def _fill(teller: Teller) -> None:
    """Assets, customers with bounds, and for both kinds of callers transactions to reverse."""
    teller.create_asset("EUR", 2)
    teller.create_asset("SHARE", 0)
    for number in range(8):
        bounds = {"balance_min": "0"} | ({"balance_max": "100000"} if number % 2 else {})
        teller.open_account(f"customers:{number}", **bounds)
    for name in ("1000", "4000", "5000", *(f"2000:{user}" for user in USERS)):
        teller.open_account(name)
    # As much as fits comes to stand here: the next post of it overflows.
    teller.open_account("peak", nouns.ACCOUNT_TYPE_ASSET)
    teller.open_account("abyss", nouns.ACCOUNT_TYPE_REVENUE)
    for side in ("valid", "bent"):
        # Nothing is posted to them, so it harms nobody that they are frozen, or closed for good.
        teller.open_account(f"idle:{side}")
        teller.open_account(f"gone:{side}")
    for number in range(ORIGINS):
        for side in ("valid", "bent"):
            teller.post("cash", "sales", 100 + number, f"{side}-origin-{number}")
        teller.reverse(f"valid-origin-{number}", f"valid-reversal-{number}")
    for number in range(8):
        teller.post("cash", f"customers:{number}", 5_000, metadata={"channel": "web"}, kind="top-up")
    teller.post("cash", "sales", 7, asset="EUR")


def _fill_vault(teller: Teller, canary: str) -> None:
    """Secrets wherever a record can keep one."""
    draft = accounts_pb.AccountDraft(
        name="safe", type=nouns.ACCOUNT_TYPE_ASSET, metadata={f"{canary}-k": f"{canary}-v"}
    )
    request = accounts_pb.CreateAccountRequest(ledger=teller.ledger, account=draft)
    teller.server.accounts.CreateAccount(request, timeout=_PATIENCE_S)
    for number in range(ORIGINS):
        teller.post_entries(
            lines("cash", "sales", 1_000 + number),
            f"vault-key-{number}",
            kind=f"{canary}-kind",
            description=f"{canary} in words",
            external_ref=f"{canary}-reference",
            metadata={"pin": f"{canary}-pin", f"{canary}-key": "x"},
        )


def is_in_the_vault(server: Serving, ground: Ground) -> bool:
    """Whether the secrets are there for a caller who names the ledger: else no search could find one."""
    found = server.ledgers.ListTransactions(
        pb.ListTransactionsRequest(ledger=ground.vault), timeout=_PATIENCE_S
    )
    return all(ground.canary in one.description for one in found.transactions) and bool(found.transactions)
