"""`./ledger validate`: it passes on a sound service, and each planted fault fails the step it is about."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from cli.running import Run
from clusters import Database, fast_directory
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from loyalty import ON, Loyalty, loyalty_chart
from serving import serving
from society import society

from ledger_server.cli.validate import walk_on_own_books
from ledger_server.cli.validating import FORBIDDEN, StepFailed, Steps
from ledger_server.config import Config
from ledger_server.domain import posting
from ledger_server.domain.members import Role
from ledger_server.rpc import authorising, dev_requests, permissions

TREE = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-P", "-m", "ledger_server.cli", "validate")
STEPS = 26
PATIENCE_S = 60.0
LINE = re.compile(r"ok   +\d+ .+: expected (.+), got (.+)")


@pytest.fixture
def folder() -> Iterator[Path]:
    """For what is temporary: PostgreSQL's user must get there, which it does not below pytest's own."""
    with tempfile.TemporaryDirectory(dir=fast_directory()) as made:
        Path(made).chmod(0o755)
        yield Path(made)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Nothing of ours but the way to the code, and a folder for what is temporary."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    bindir = {name: os.environ[name] for name in ("LEDGER_PG_BINDIR",) if name in os.environ}
    path = os.pathsep.join((str(TREE), str(TREE / "generated")))
    return {**kept, **bindir, "PYTHONPATH": path, "TMPDIR": str(folder), **more}


@pytest.mark.criterion("S003-38", "S003-30", "S003-32")
def test_the_command_passes_on_books_of_its_own_and_leaves_nothing(folder: Path) -> None:
    """Where an environment names a database or a service, neither is touched."""
    others = {"LEDGER_DATABASE_URL": "postgresql://127.0.0.1:1/none", "LEDGER_TARGET": "127.0.0.1:1"}

    done = subprocess.run(
        COMMAND,
        env=environment(folder, **others),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    *lines, last = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert (last, len(lines)) == (f"All {STEPS} steps passed.", STEPS)
    found = [LINE.fullmatch(line) for line in lines]
    assert all(one is not None and len(line) > 0 for one, line in zip(found, lines, strict=True)), lines
    told = "\n".join(lines)
    for step, got in (
        ("TopUp 1000", "recorded, 1000"),
        ("Charge 400", "600"),
        ("Bonus 50", "650"),
        ("Reversal of the charge", "the mirror, 1050"),
        ("Charge 2000", "FAILED_PRECONDITION INSUFFICIENT_FUNDS"),
        ("LEDGER_DEV_ENDPOINTS_ENABLED=off: the four of DevService", FORBIDDEN),
        ("LEDGER_ENABLED=off: the four of DevService", FORBIDDEN),
        ("all on again: the journal", "4 more transactions, 1050"),
    ):
        assert f"{step}: expected {got}, got {got}" in told
    assert told.count("RunTrialBalance: expected OK, difference 0, got OK, difference 0") == 2
    assert list(folder.iterdir()) == []


def test_a_walk_that_is_ended_ends_what_it_started(folder: Path) -> None:
    walk = subprocess.Popen(
        COMMAND,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with walk:
        assert walk.stdout is not None
        assert walk.stdout.readline().startswith("ok")
        walk.send_signal(signal.SIGTERM)
        walk.communicate(timeout=PATIENCE_S)

    assert walk.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.killpg(walk.pid, 0)
    assert list(folder.iterdir()) == []


# faults ---------------------------------------------------------------------------------------------


class Walk:
    """A walk on a database of the tests, and what is done to it on the way."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.chart = loyalty_chart()
        self.lines: list[str] = []
        self.after: dict[str, Callable[[], None]] = {}

    def say(self, line: str) -> None:
        """Keeps a line; does what is to be done after its step."""
        self.lines.append(line)
        for step, do in self.after.items():
            if f" {step}: expected" in line:
                do()

    def tamper(self, statement: str) -> None:
        """Changes rows behind every fence."""
        with psycopg.connect(self.database.owner_url) as session:
            session.execute("set session_replication_role = replica")
            assert session.execute(statement.encode()).rowcount > 0

    def run(self) -> str:
        """The sentence of the step that fails; empty where all pass."""
        try:
            walk_on_own_books(Steps(self.say), self.database.app_url, self.chart)
        except StepFailed as failed:
            return str(failed)
        return ""


@pytest.fixture
def walk(database: Database) -> Walk:
    """A walk that nothing is done to yet."""
    return Walk(database)


def test_a_sound_walk_passes(walk: Walk) -> None:
    assert walk.run() == ""
    assert len(walk.lines) == STEPS


def without_the_floor(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    for family in walk.chart.families:
        del family.limits[:]


def without_the_bonus(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    kept = [template for template in walk.chart.templates if template.name != "bonus"]
    del walk.chart.templates[:]
    walk.chart.templates.extend(kept)


def with_the_charge_to_the_wrong_side(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    for template in walk.chart.templates:
        if template.name == "charge":
            for entry in template.entries:
                entry.side = 3 - entry.side  # type: ignore[assignment]


def with_keys_that_are_forgotten(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dev_requests.Form, "key", lambda form, key, field="": "")


def with_reversals_of_less(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    """What the source text's own arithmetic would take: 1000 and not 1050."""
    mirrored = posting.mirrored
    patch.setattr(
        posting,
        "mirrored",
        lambda entries: tuple(line._replace(amount=350) for line in mirrored(entries)),
    )
    patch.setattr(posting, "mirror_fault", lambda mirror, origin: None)


def with_an_entry_that_was_changed(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    walk.after["Reversal of the charge"] = lambda: walk.tamper(
        "update ledger.entries set amount = amount + 1 where index = 0 and sequence = 4"
    )


def with_a_guard_that_looks_away(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(authorising, "_offered", lambda method, off_by: permissions.RULES[method])


def with_a_feature_switch_that_is_not_asked(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Config,
        "dev_endpoints_off_by",
        property(lambda config: () if config.dev_endpoints_enabled else ("LEDGER_DEV_ENDPOINTS_ENABLED",)),
    )


def with_verbs_behind_the_switch(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(permissions.RULES, "ledger.v1.LedgerService.Post", permissions._TRY_OUT)


def with_a_journal_that_was_changed(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    walk.after["LEDGER_ENABLED=off: Post 1, Reverse"] = lambda: walk.tamper(
        "update ledger.transactions set hash = sha256(hash) where sequence = 4"
    )


FAULTS = {
    without_the_floor: "Charge 2000",
    without_the_bonus: "Bonus 50",
    with_the_charge_to_the_wrong_side: "Charge 400",
    with_keys_that_are_forgotten: "TopUp 1000 again, the same key",
    with_reversals_of_less: "Reversal of the charge",
    with_an_entry_that_was_changed: "RunTrialBalance",
    with_a_guard_that_looks_away: "LEDGER_DEV_ENDPOINTS_ENABLED=off: the four of DevService",
    with_a_feature_switch_that_is_not_asked: "LEDGER_ENABLED=off: the four of DevService",
    with_verbs_behind_the_switch: "LEDGER_DEV_ENDPOINTS_ENABLED=off: Post 1, Reverse",
    with_a_journal_that_was_changed: "all on again: the journal",
}


@pytest.mark.criterion("S003-38")
@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_fails_its_step(
    walk: Walk, plant: Callable[[Walk, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(walk, monkeypatch)

    failed = walk.run()

    assert re.match(rf"step \d+, {re.escape(FAULTS[plant])}: expected", failed), failed
    assert walk.lines[-1].startswith("FAIL")
    assert not [line for line in walk.lines[:-1] if not line.startswith("ok")]


# where it walks -------------------------------------------------------------------------------------


def test_a_target_is_walked_through_and_its_switches_are_left_alone(run: Run, database: Database) -> None:
    with serving(database.app_url, **ON) as server:
        first = run("validate", "--target", server.target)
        there, _, _ = first.stdout.partition("a service of its own")
        (ledger,) = re.findall(r"CreateLedger (validate-\w+):", there)
        again = run("validate", "--target", server.target, "--ledger", ledger)

        assert (first.exit_code, again.exit_code) == (0, 0), first.stderr + again.stderr
        (kept,) = server.admin.ListLedgers(admin_pb.ListLedgersRequest()).ledgers
        assert kept.name == ledger
        # Four transactions each time; the switches were another service's.
        assert len(Loyalty(server, ledger).walk()) == 8
        assert first.stdout.count("\nok") + 1 == STEPS + 17
        assert "LEDGER_ENABLED=off: the four of DevService" in first.stdout


@pytest.mark.criterion("S003-31")
def test_a_target_that_asks_who_calls_is_walked_through_with_a_token(
    run: Run, database: Database, tmp_path: Path
) -> None:
    with society(database.app_url, tmp_path, **ON) as people:
        ledger, admin = people.ledger()
        for name, roles in (
            ("clerk", (Role.READER, Role.POSTER, Role.REVERSER, Role.ACCOUNTANT)),
            ("till", (Role.READER, Role.POSTER, Role.REVERSER)),
        ):
            admin.add(ledger, f"jwt:{name}", *roles)
        target = ("validate", "--target", people.server.target, "--ledger", ledger, "--token")
        denied = run(*target, people.token("till"))
        passed = run(*target, people.token("clerk"))

    assert denied.exit_code == 1
    assert denied.stderr.endswith("got PERMISSION_DENIED ROLE_REQUIRED\n")
    assert passed.exit_code == 0, passed.stderr


def test_a_target_that_does_not_offer_them_fails_at_once(run: Run, database: Database) -> None:
    with serving(database.app_url) as server:
        outcome = run("validate", "--target", server.target)

    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("error: step 2, GetServerInfo: expected ledger_enabled, dev_endpoints")
    assert outcome.stdout.splitlines()[-1].startswith("FAIL  2 GetServerInfo")


def test_where_nobody_answers_the_first_step_says_so(run: Run) -> None:
    outcome = run("validate", "--target", "127.0.0.1:1")

    assert outcome.exit_code == 1
    assert outcome.stderr == "error: step 1, Health: expected SERVING, got UNAVAILABLE\n"


def test_a_ledger_is_named_beside_a_target(run: Run) -> None:
    assert run("validate", "--ledger", "credits").exit_code == 2
