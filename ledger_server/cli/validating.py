"""The walk of `./ledger validate` through loyalty credits: each step says what it did, expected and got."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from uuid import uuid4

from ledger_client import Client, Refused
from ledger_client.contract import (
    ApplyChartRequest,
    BonusRequest,
    ChargeRequest,
    Chart,
    GetChartRequest,
    GetServerInfoRequest,
    PostRequest,
    ReversalRequest,
    Side,
    TemplateUse,
    TopUpRequest,
    Transaction,
    TransactionName,
)

ASSET = "CREDIT"
FLAGS = ("ledger_enabled", "dev_endpoints_enabled")
FORBIDDEN = "PERMISSION_DENIED FORBIDDEN_DEV_ENDPOINT"
_MIRRORED = {Side.SIDE_DEBIT: Side.SIDE_CREDIT, Side.SIDE_CREDIT: Side.SIDE_DEBIT}


class StepFailed(Exception):
    """A step got something else than it expected."""


class Steps:
    """Numbers the steps, and has each of them told; ends at the first that fails."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.number = 0

    def check(self, what: str, expected: str, ask: Callable[[], str]) -> None:
        """Does one step, and compares what it answers. Raises StepFailed."""
        self.number += 1
        got = answer_or_refusal(ask)
        word = "ok  " if got == expected else "FAIL"
        self._say(f"{word} {self.number:2} {what}: expected {expected}, got {got}")
        if got != expected:
            raise StepFailed(f"step {self.number}, {what}: expected {expected}, got {got}")


def answer_or_refusal(ask: Callable[[], str]) -> str:
    """What is answered, or the status and reason of the refusal."""
    try:
        return ask()
    except Refused as refused:
        return f"{refused.status} {refused.reason}".strip()


class Credits:
    """One customer of a ledger of loyalty credits, over gRPC."""

    def __init__(self, client: Client, ledger: str, user: str = "") -> None:
        self.client = client
        self.ledger = ledger
        self.user = user or str(uuid4())

    def at(self, client: Client) -> Credits:
        """The same customer on another server of the same books."""
        return Credits(client, self.ledger, self.user)

    def balance(self) -> str:
        """The customer's credits."""
        return str(self.client.get_balance(self.ledger, f"2000:{self.user}", ASSET).posted)

    def top_up(self, amount: int, key: str = "") -> tuple[Transaction, bool]:
        """DevService.TopUp; the transaction, and whether it is a replay."""
        answer = self.client.call(self.client.dev.TopUp, TopUpRequest(**self._given(amount, key)))
        return answer.transaction, answer.replayed

    def charge(self, amount: int) -> Transaction:
        """DevService.Charge."""
        return self.client.call(self.client.dev.Charge, ChargeRequest(**self._given(amount))).transaction

    def bonus(self, amount: int) -> Transaction:
        """DevService.Bonus."""
        request = BonusRequest(**self._given(amount), reason="welcome")
        return self.client.call(self.client.dev.Bonus, request).transaction

    def reversal(self, origin: int) -> Transaction:
        """DevService.Reversal."""
        request = ReversalRequest(ledger=self.ledger, transaction=TransactionName(sequence=origin))
        return self.client.call(self.client.dev.Reversal, request).transaction

    def post_and_reverse(self) -> str:
        """LedgerService.Post of the template, and its Reverse; the balance after each."""
        used = TemplateUse(name="topup", parameters={"user": self.user, "amount": "1"})
        request = PostRequest(ledger=self.ledger, idempotency_key=self.client.new_key(), template=used)
        posted = self.client.call(self.client.ledger.Post, request).transaction
        between = self.balance()
        self.client.reverse(self.ledger, posted.sequence)
        return f"{between}, {self.balance()}"

    def journal(self) -> list[tuple[int, bytes]]:
        """Sequence and hash of every transaction, oldest first."""
        found = self.client.list_transactions(self.ledger, oldest_first=True)
        return [(one.sequence, one.hash) for one in found]

    def run_trial_balance(self) -> str:
        """Status and difference of a run that is made now."""
        run = self.client.run_trial_balance(self.ledger)
        differences = ", ".join(str(one.difference) for one in run.totals)
        return f"{'OK' if run.is_ok else 'MISMATCH'}, difference {differences}"

    def try_all(self, origin: int) -> str:
        """What the four operations are answered, each answer once."""
        calls: tuple[Callable[[], object], ...] = (
            lambda: self.top_up(1),
            lambda: self.charge(1),
            lambda: self.bonus(1),
            lambda: self.reversal(origin),
        )

        def told(call: Callable[[], object]) -> str:
            call()
            return "recorded"

        return ", ".join(sorted({answer_or_refusal(partial(told, call)) for call in calls}))

    def _given(self, amount: int, key: str = "") -> dict[str, str]:
        key = key or self.client.new_key()
        return {"ledger": self.ledger, "user_id": self.user, "amount": str(amount), "idempotency_key": key}


def open_books(steps: Steps, client: Client, chart: Chart, ledger: str | None) -> Credits:
    """A service that answers and offers DevService, and a ledger with the chart: a new one unless named."""
    steps.check("Health", "SERVING", client.health)
    steps.check("GetServerInfo", f"{', '.join(FLAGS)} on", lambda: f"{', '.join(_flags(client))} on")
    name = ledger or f"validate-{secrets.token_hex(4)}"
    if ledger is None:
        steps.check(f"CreateLedger {name}", name, lambda: client.create_ledger(name).name)
    families = sorted(family.pattern for family in chart.families)
    templates = sorted(template.name for template in chart.templates)
    steps.check(
        "ApplyChart",
        f"families {', '.join(families)} and templates {', '.join(templates)}",
        lambda: _applied(client, name, chart),
    )
    return Credits(client, name)


def walk(steps: Steps, credits: Credits) -> Transaction:
    """From nothing to 1050, and what must be refused on the way; answers the reversed charge.

    650 and the 400 of the charge: the reversal is a mirror, so it is 1050 and never 1000.
    """
    key = credits.client.new_key()
    steps.check(f"GetBalance of the new customer {credits.user}", "0", credits.balance)
    steps.check("TopUp 1000", "recorded, 1000", lambda: _topped_up(credits, 1000, key))
    steps.check("TopUp 1000 again, the same key", "replayed, 1000", lambda: _topped_up(credits, 1000, key))
    steps.check(
        "TopUp 1001, the same key",
        "ALREADY_EXISTS IDEMPOTENCY_KEY_REUSED",
        lambda: _topped_up(credits, 1001, key),
    )
    made: list[Transaction] = []
    steps.check("Charge 400", "600", lambda: _balance_after(credits, credits.charge(400), made))
    steps.check("Bonus 50", "650", lambda: _balance_after(credits, credits.bonus(50), made))
    charge = made[0]
    steps.check("Reversal of the charge", "the mirror, 1050", lambda: _reversed(credits, charge, made))
    steps.check("RunTrialBalance", "OK, difference 0", credits.run_trial_balance)
    journal = credits.journal()
    refused: tuple[tuple[str, str, Callable[[], Transaction]], ...] = (
        ("Charge 2000", "FAILED_PRECONDITION INSUFFICIENT_FUNDS", lambda: credits.charge(2000)),
        (
            "Reversal of the charge again",
            "ALREADY_EXISTS REVERSAL_ALREADY_EXISTS",
            lambda: credits.reversal(charge.sequence),
        ),
        (
            "Reversal of the reversal",
            "FAILED_PRECONDITION REVERSAL_FORBIDDEN_TYPE",
            lambda: credits.reversal(made[-1].sequence),
        ),
        (
            "TopUp of a customer who is no UUID",
            "INVALID_ARGUMENT VALIDATION_FAILED",
            lambda: Credits(credits.client, credits.ledger, "Ann").top_up(1)[0],
        ),
    )
    for what, reason, call in refused:
        steps.check(what, reason, partial(_recorded, call))
    steps.check("what the refusals left", "0 more transactions, 1050", lambda: _since(credits, journal))
    return charge


def walk_with_a_switch_off(steps: Steps, credits: Credits, switch: str, charge: int) -> None:
    """DevService is nobody's; the balance is as it was, and the verbs record and reverse."""
    balance = "1050"
    steps.check(f"{switch}=off: the four of DevService", FORBIDDEN, lambda: credits.try_all(charge))
    steps.check(f"{switch}=off: GetBalance", balance, credits.balance)
    steps.check(f"{switch}=off: Post 1, Reverse", f"1051, {balance}", credits.post_and_reverse)


def walk_with_all_on_again(steps: Steps, credits: Credits, journal: list[tuple[int, bytes]]) -> None:
    """The journal is what it was, and the post and the reversal of each switch; and it goes on."""
    steps.check("all on again: the journal", "4 more transactions, 1050", lambda: _since(credits, journal))
    steps.check("all on again: TopUp 1", "recorded, 1051", lambda: _topped_up(credits, 1, ""))
    steps.check("RunTrialBalance", "OK, difference 0", credits.run_trial_balance)


def _flags(client: Client) -> list[str]:
    told = client.call(client.admin.GetServerInfo, GetServerInfoRequest()).flags
    return [name for name in FLAGS if told[name]]


def _applied(client: Client, ledger: str, chart: Chart) -> str:
    """Applies the chart, and says what stands."""
    client.call(client.charts.ApplyChart, ApplyChartRequest(ledger=ledger, chart=chart))
    standing = client.call(client.charts.GetChart, GetChartRequest(ledger=ledger)).chart.chart
    families = ", ".join(family.pattern for family in standing.families)
    return f"families {families} and templates {', '.join(one.name for one in standing.templates)}"


def _topped_up(credits: Credits, amount: int, key: str) -> str:
    _, replayed = credits.top_up(amount, key)
    return f"{'replayed' if replayed else 'recorded'}, {credits.balance()}"


def _balance_after(credits: Credits, done: Transaction, made: list[Transaction]) -> str:
    made.append(done)
    return credits.balance()


def _reversed(credits: Credits, origin: Transaction, made: list[Transaction]) -> str:
    """Whether the same accounts move by the same amounts on the other sides, and the balance."""
    reversal = credits.reversal(origin.sequence)
    made.append(reversal)
    mirror = [(one.account, _MIRRORED[one.side], one.amount, one.asset) for one in origin.entries]
    entries = [(one.account, one.side, one.amount, one.asset) for one in reversal.entries]
    is_mirror = entries == mirror and reversal.reverses == origin.sequence
    return f"{'the mirror' if is_mirror else 'no mirror'}, {credits.balance()}"


def _recorded(call: Callable[[], Transaction]) -> str:
    """What was recorded, though it must not be."""
    return f"recorded {call().sequence}"


def _since(credits: Credits, journal: list[tuple[int, bytes]]) -> str:
    """How many more transactions there are than then, each of which must be as it was; and the balance."""
    found = credits.journal()
    if found[: len(journal)] != journal:
        return "another journal"
    return f"{len(found) - len(journal)} more transactions, {credits.balance()}"
