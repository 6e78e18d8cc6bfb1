"""Raw bytes to every method: nothing breaks, nothing leaks, nothing grows, and the books stay sound.

LEDGER_HOSTILE=full makes 1,000,000 calls with a seed of their own each time;
LEDGER_HOSTILE_SEED repeats a run.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from statistics import median

import pytest
from callers import Teller
from clusters import Database
from hostile.callers_of import Issued, enrol
from hostile.calls import Calls
from hostile.ground import is_in_the_vault, opened
from hostile.methods import METHODS
from hostile.process import ENVIRONMENT_SECRET, Hostage, hostage
from hostile.run import Outcome, run
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_service_pb2 as pb
from psycopg import conninfo

from ledger_server.service.verify import BadRecord, prove
from ledger_server.store.replaying import reading_journals

SEED = "20"
QUICK, CI, FULL = 2_000, 20_000, 1_000_000
PATIENCE_S = 60.0
# Between the second and the last quarter of a run. What may still fill up by then are the bounded
# memories (names, lanes, ledgers) and the pages that malloc keeps of 8 MiB messages, which upb makes
# thirty times as big; 1 KiB kept of every call would be above it from 300,000 calls on, an 8 MiB
# message now and then at once.
GROWTH_MAX_BYTES = 300 << 20
THREADS_GROWTH_MAX = 24
FILES_GROWTH_MAX = 8
_MET_BY_ANYBODY = {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION"}
_MET_BY_CALLERS = {"INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED"}
# What a call is answered that was looked at, and not only its form.
_JUDGED = {"OK", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "ABORTED"}


@pytest.mark.timeout(120)
def test_hostile_calls_break_and_tell_and_keep_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _attack(database, tmp_path, monkeypatch, capsys, _seed(SEED), QUICK)


@pytest.mark.timeout(180)
def test_hostile_calls_of_a_server_that_asks_who_calls(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _attack(database, tmp_path, monkeypatch, capsys, _seed(SEED), QUICK, Issued(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_hostile_calls_of_a_server_that_asks_at_length(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _attack(database, tmp_path, monkeypatch, capsys, _seed(f"{SEED} asking"), CI, Issued(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_hostile_calls_at_length(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_full = os.environ.get("LEDGER_HOSTILE") == "full"
    seed = _seed(secrets.token_hex(4) if is_full else f"{SEED} at length")

    _attack(database, tmp_path, monkeypatch, capsys, seed, FULL if is_full else CI)


def _seed(default: str) -> str:
    return os.environ.get("LEDGER_HOSTILE_SEED") or default


def _attack(
    database: Database,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seed: str,
    calls: int,
    issued: Issued | None = None,
) -> None:
    in_the_environment = f"secret-{secrets.token_hex(8)}"
    monkeypatch.setenv(ENVIRONMENT_SECRET, in_the_environment)
    # With everything that it can offer.
    monkeypatch.setenv("LEDGER_ENV", "dev")
    monkeypatch.setenv("LEDGER_ENABLED", "on")
    in_the_url = conninfo.conninfo_to_dict(database.app_url)["password"]
    assert isinstance(in_the_url, str)
    told = [in_the_environment, in_the_url]

    with hostage(database, _made(folder, "books")) as server:
        ground = opened(server, seed)
        if issued is not None:
            enrol(server)
            for name, value in issued.environment.items():
                monkeypatch.setenv(name, value)
    with hostage(database, _made(folder, "attacked"), *(issued.arguments if issued else ())) as server:
        outcome = run(server, ground, seed, calls, told, issued.tokens if issued else {})
        with capsys.disabled():
            print(f"\n{calls:,} hostile calls, seed {seed!r}\n{outcome.judge.table()}")
            print(f"grew by {_growth(outcome, 'resident_bytes') / 2**20:.0f} MiB")
        assert not outcome.faults, "\n".join(outcome.faults)
        _check_power(outcome, is_asked=issued is not None)
        _check_growth(outcome)
        log = server.log()
    _check_log(log, [outcome.ground.canary, *told])
    with hostage(database, _made(folder, "after")) as server:
        _check_books(server)
        assert is_in_the_vault(server, outcome.ground)


def _made(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def _check_power(outcome: Outcome, *, is_asked: bool) -> None:
    """A method that was never answered OK was never reached; a refusal that was never met never looked at."""
    histogram = outcome.judge.histogram

    assert set(histogram) == {method.name for method in METHODS}
    for method in METHODS:
        told = {"OK"} if Calls.is_written(method) else _JUDGED
        assert told & set(histogram[method.name]), f"{method.name}\n{outcome.judge.table()}"
    met = {code for counts in histogram.values() for code in counts}
    assert met >= (_MET_BY_CALLERS if is_asked else _MET_BY_ANYBODY), met


def _check_growth(outcome: Outcome) -> None:
    """Flat after warm-up."""
    assert _growth(outcome, "resident_bytes") <= GROWTH_MAX_BYTES
    assert _growth(outcome, "threads") <= THREADS_GROWTH_MAX
    assert _growth(outcome, "files") <= FILES_GROWTH_MAX


def _growth(outcome: Outcome, what: str) -> float:
    """From the second to the last quarter; of medians, because one 8 MiB message is a hill that goes away."""
    looks = outcome.looks
    last = max(look.answers for look in looks)
    second = [look for look in looks if last / 4 <= look.answers < last / 2] or looks[:1]
    fourth = [look for look in looks if look.answers >= last * 3 / 4]
    return median(getattr(one, what) for one in fourth) - median(getattr(one, what) for one in second)


def _check_books(server: Hostage) -> None:
    """Every ledger balances, every journal is proven, and a post goes through."""
    names, token = [], ""
    while True:
        page = server.admin.ListLedgers(
            admin_pb.ListLedgersRequest(page_size=500, page_token=token), timeout=PATIENCE_S
        )
        names += [one.name for one in page.ledgers]
        token = page.next_page_token
        if not token:
            break
    for name in names:
        trial = Teller(server, name).trial_balance()
        assert trial.status == pb.TRIAL_BALANCE_STATUS_OK, name
        assert all(total.difference == "0" for total in trial.totals)
    with reading_journals(server.database.app_url, None) as journals:
        proven = [journal.name for journal in journals if _is_proven(journal)]
    assert set(proven) == set(names)
    assert Teller.open(server).post("cash", "sales", 5).transaction.sequence


def _is_proven(journal: object) -> bool:
    try:
        prove(journal)  # type: ignore[arg-type]
    except BadRecord as bad:
        raise AssertionError(str(bad)) from bad
    return True


def _check_log(log: str, told: list[str]) -> None:
    """No secret, and no traceback: hostile bytes are nothing to call a person for."""
    assert not [secret for secret in told if secret in log]
    assert "Traceback" not in log, log[-3_000:]
    assert " ERROR " not in log, log[-3_000:]
