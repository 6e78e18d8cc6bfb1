"""The live service and the reference ledger, side by side: every answer and every refusal is the same.

LEDGER_STATEFUL=full runs 5,000 x 60 steps with a seed of their own each time; a
failure prints the blob that replays it.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack

import pytest
from clusters import Cluster
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from oracle.drawing import ACCOUNTS, ASSETS, Draw, Request
from oracle.drive import Drive
from oracle.forms import CODES, Fields, Refused
from oracle.playing import shortened

# What no drawn request can meet: it takes thousands of operations.
_UNMET = {"BATCH_TOO_LARGE"}
_MEMORY_MAX = 8
# Shortening a failure takes no longer than this.
SHORTENING_S = 90.0
DETAILS = ("entries", "kind", "effective_time", "description", "metadata", "external_ref")

seeds = st.integers(0, 2**48)
backs = st.integers(0, _MEMORY_MAX - 1)


class SideBySide(RuleBasedStateMachine):
    """One fresh database, one or two servers, the reference; each rule is a call or an event."""

    def __init__(self, cluster: Cluster, met: Counter[str]) -> None:
        super().__init__()
        self._ends = ExitStack()
        self._met = met
        self.drive = Drive(self._ends.enter_context(cluster.database()).app_url)
        self._ends.callback(self.drive.close)
        self._chain = ""
        self.written: list[Request] = []
        self.pages: list[Request] = []

    @initialize()
    def open_the_books(self) -> None:
        """Two ledgers, one with assets, accounts and bounds: enough to post at once."""
        bounded = {
            "customers:1": [{"asset": "USD", "balance_min": "0"}, {"asset": "XAU", "balance_max": "100"}],
            "customers:2": [{"asset": "USD", "balance_min": "-50", "balance_max": "100"}],
            "fees": [{"asset": "XAU", "balance_min": "0", "balance_max": "2"}],
        }
        self.ask("CreateLedger", {"name": "main"})
        self.ask("CreateLedger", {"name": "other", "description": "another tenant"})
        for code in ASSETS:
            self.ask("CreateAsset", {"ledger": "main", "code": code, "scale": 2})
        accounts = [
            {"name": name, "type": kind, "limits": bounded.get(name, [])} for name, kind in ACCOUNTS.items()
        ]
        self.ask("BatchCreateAccounts", {"ledger": "main", "accounts": accounts})

    def ask(self, method: str, request: Fields) -> Fields | Refused:
        answer = self.drive.ask(method, request)
        if isinstance(answer, dict) and answer.get("next_page_token"):
            self.pages = [*self.pages, (method, {**request, "page_token": answer["next_page_token"]})][
                -_MEMORY_MAX:
            ]
        return answer

    def draw(self, seed: int) -> Draw:
        """From this seed and all before it: a run that is varied early is new to its end."""
        self._chain = f"{self._chain} {seed}"[-2_000:]
        book = self.drive.reference.ledgers["main"]
        return Draw(self._chain, book["head"], list(book["journal"]))

    def write(self, request: Request) -> None:
        self.ask(*request)
        self.written = [*self.written, request][-_MEMORY_MAX:]

    @rule(seed=seeds)
    def post(self, seed: int) -> None:
        self.write(self.draw(seed).a_post())

    @rule(seed=seeds)
    def post_more(self, seed: int) -> None:
        self.write(self.draw(seed).a_post())

    @rule(seed=seeds)
    def post_a_batch(self, seed: int) -> None:
        self.write(self.draw(seed).a_batch())

    @rule(seed=seeds)
    def reverse(self, seed: int) -> None:
        self.write(self.draw(seed).a_reversal())

    @rule(seed=seeds)
    def open(self, seed: int) -> None:
        self.write(self.draw(seed).an_opening())

    @rule(back=backs)
    def write_the_same_again(self, back: int) -> None:
        if self.written:
            self.ask(*self.written[-1 - back % len(self.written)])

    @rule(seed=seeds, back=backs, field=st.sampled_from(sorted(DETAILS)))
    def write_nearly_the_same(self, seed: int, back: int, field: str) -> None:
        """One field is drawn again: under the same key another content."""
        if self.written:
            method, request = self.written[-1 - back % len(self.written)]
            drawn = self.draw(seed).post()
            is_there = method == "Post" or (method == "Reverse" and field in request)
            others = {name: value for name, value in request.items() if name != field or not is_there}
            changes = {field: drawn[field]} if is_there and field in drawn else {}
            self.ask(method, others | changes)

    @rule(seed=seeds)
    def read(self, seed: int) -> None:
        self.ask(*self.draw(seed).a_read())

    @rule(seed=seeds)
    def read_more(self, seed: int) -> None:
        self.ask(*self.draw(seed).a_read())

    @rule(back=backs, page_size=st.sampled_from([0, 1, 2, 3, 1000]), order=st.sampled_from([None] * 9 + [2]))
    def turn_a_page(self, back: int, page_size: int, order: int | None) -> None:
        """A page goes on where the one before it ended, whatever was written since."""
        if self.pages:
            method, request = self.pages[-1 - back % len(self.pages)]
            changes = {"order": order} if order and "order" in request else {}
            self.ask(method, {**request, "page_size": page_size, **changes})

    @rule(seed=seeds, key=st.sampled_from(["left-1", "left-2"]), timeout_s=st.sampled_from([0.001, 0.004]))
    def leave_before_the_answer(self, seed: int, key: str, timeout_s: float) -> None:
        """The post may stand or not; the same key again answers it, recorded once."""
        left = {**self.draw(seed).a_post()[1], "idempotency_key": key, "validate_only": True}
        try:
            self.drive.reference.answer("Post", left)
        except Refused:
            # A call that is refused now might be accepted when it arrives late: not to be predicted.
            return
        left["validate_only"] = False
        self.drive.leave(left, timeout_s)

    @rule(microseconds=st.sampled_from([1, 1_000_000, 3_600_000_000, -1_500_000]))
    def let_time_pass(self, microseconds: int) -> None:
        """The clock may go back; the journal's times do not."""
        self.drive.pass_time(microseconds)

    @rule(servers=st.sampled_from([0, 0, 0, 1, 2]))
    def start_again(self, servers: int) -> None:
        """Every server ends, now and then; one or two take over the database."""
        if servers:
            self.drive.start(servers)

    def teardown(self) -> None:
        """The whole of the books is compared, and the power of the run counted."""
        with self._ends:
            if self.drive.has_differed:
                return
            for ledger in sorted(self.drive.reference.ledgers):
                self.audit(ledger)
            self.drive.check_journal()
            self._met.update(self.drive.met)

    def audit(self, ledger: str) -> None:
        """Everything that the ledger shows of itself."""
        self.ask("GetLedger", {"name": ledger})
        self.ask("ListAccounts", {"ledger": ledger, "page_size": 1000})
        self.ask("ListTransactions", {"ledger": ledger, "filter": {}, "page_size": 1000})
        trial = self.ask("TrialBalance", {"ledger": ledger, "rows": 1, "digest": True, "page_size": 1000})
        assert isinstance(trial, dict)
        nets: Counter[str] = Counter()
        for row in trial["rows"]:
            nets[row["asset"]] += int(row["net"])
        assert not any(nets.values())


def run_side_by_side(cluster: Cluster, examples: int, steps: int, *, is_random: bool = False) -> Counter[str]:
    """So many runs of at most so many steps; answers what was met. Fails with the shortest."""
    met: Counter[str] = Counter()
    machines: list[SideBySide] = []

    def machine() -> SideBySide:
        machines[:] = [SideBySide(cluster, met)]
        return machines[0]

    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=not is_random,
        # Shrunk below, by whole steps and not by the seeds that they were drawn from.
        phases=[Phase.explicit, Phase.generate],
        print_blob=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine, settings=chosen)
    except AssertionError as found:
        failed = machines[0].drive.steps
        shortest = "\n".join(f"    {step!r}," for step in shortened(cluster, failed, SHORTENING_S))
        raise AssertionError(
            f"{found}\nThe shortest steps that differ, for `play`:\n[\n{shortest}\n]"
        ) from found
    return met


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequence that is never reached is not waited for: nobody else writes."""
    monkeypatch.setattr("ledger_server.service.reads.SEQUENCE_WAIT_S", 0.01)


def check_power(met: Counter[str], *, missing_max: int) -> None:
    """A refusal that was never met was never compared; and a run of refusals alone compares no books."""
    missing = set(" ".join(CODES.values()).split()) - _UNMET - set(met)
    assert len(missing) <= missing_max, f"never met: {sorted(missing)}; met {met.most_common()}"
    assert met["OK"] > sum(met.values()) / 4, met.most_common()


@pytest.mark.timeout(600)
def test_the_service_answers_as_the_reference(cluster: Cluster) -> None:
    met = run_side_by_side(cluster, 25, 30)

    check_power(met, missing_max=8)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_the_service_answers_as_the_reference_at_length(cluster: Cluster) -> None:
    is_full = os.environ.get("LEDGER_STATEFUL") == "full"
    examples, steps = (5_000, 60) if is_full else (150, 40)

    met = run_side_by_side(cluster, examples, steps, is_random=is_full)

    check_power(met, missing_max=0)
