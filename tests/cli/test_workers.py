"""`./ledger serve --workers N`: several processes on one port, one truth, and none outlives the first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import grpc
import psycopg
import pytest
from callers import Refused, Teller, post_operation, together, unsound
from cli.crews import PATHS, TREE, Crew, Load, are_gone, crew, family, refused_start, worker_pids
from clusters import Database
from faults import until
from psycopg import sql

from ledger_server import config
from ledger_server.cli.workers import Worker, pause_s
from ledger_server.rpc.server import AddressInUse, refuse_taken, reserve
from ledger_server.service.verify import prove
from ledger_server.store.replaying import reading_journals

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems do not spread connections over processes"
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Crew]:
    """Two workers, for tests that leave them as they were."""
    with crew() as running:
        yield running


def proven(owner_url: str, ledger: str) -> int:
    """Proves the ledger's journal; answers how many transactions it has."""
    assert unsound(owner_url, ledger) == []
    with reading_journals(owner_url, ledger) as journals:
        (proof,) = [prove(journal) for journal in journals]
    return proof.transactions


def told(*, url: str, supervisor: int) -> str:
    """What a worker is told on its stdin."""
    settings = asdict(config.Config(listen="127.0.0.1:0", database_url=url))
    return json.dumps({"supervisor": supervisor, "settings": settings, "url": url})


def posted_keys(owner_url: str) -> set[str]:
    """The keys that stand in the whole database."""
    with psycopg.connect(owner_url) as connection:
        return {key for (key,) in connection.execute("select idempotency_key from ledger.transactions")}


def test_writes_over_all_workers_make_one_gapless_proven_journal(shared: Crew) -> None:
    tellers = shared.connect_to_each(Teller.open(shared.connect()))
    operations = [
        [post_operation("cash", "wallet", 1, f"{batch}/{number}") for number in range(250)]
        for batch in range(len(tellers) * 3)
    ]

    answers = together(
        [
            lambda number=number, batch=batch: tellers[number % len(tellers)].batch(batch)  # type: ignore[misc]
            for number, batch in enumerate(operations)
        ]
    )

    assert not [answer for answer in answers if isinstance(answer, Refused)]
    sequences = sorted(result.sequence for answer in answers for result in answer)  # type: ignore[union-attr]
    assert sequences == list(range(sequences[0], sequences[0] + len(operations) * 250))
    assert {teller.balance("wallet") for teller in tellers} == {len(operations) * 250}
    assert {total.difference for total in tellers[0].trial_balance().totals} == {"0"}
    assert proven(shared.owner_url, tellers[0].ledger) == len(operations) * 250


def test_a_read_from_another_worker_sees_the_write_that_it_asks_for(shared: Crew) -> None:
    tellers = shared.connect_to_each(Teller.open(shared.connect()))

    for amount, writer in enumerate(tellers, start=1):
        posted = writer.post("cash", "wallet", 1)
        for reader in tellers:
            assert reader.balance("wallet", min_sequence=posted.transaction.sequence) == amount


def test_a_key_posted_to_every_worker_at_once_is_recorded_once(shared: Crew) -> None:
    tellers = shared.connect_to_each(Teller.open(shared.connect()))

    answers = together(
        [lambda teller=teller: teller.post("cash", "wallet", 5, "once") for teller in tellers]  # type: ignore[misc]
    )

    assert not [answer for answer in answers if isinstance(answer, Refused)]
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * (len(tellers) - 1)  # type: ignore[union-attr]
    assert len({answer.transaction.sequence for answer in answers}) == 1  # type: ignore[union-attr]


def test_a_taken_port_is_one_sentence_whoever_asks_for_it(shared: Crew) -> None:
    for workers in ("1", "2"):
        error = refused_start("--listen", shared.target, "--workers", workers, "--ephemeral")

        assert error == (
            f"error: cannot listen on {shared.target}: address already in use;"
            " give another one with --listen HOST:PORT\n"
        )


def test_nobody_reads_the_database_url_from_a_worker_s_command_line(shared: Crew) -> None:
    lines = [line for _, line in family(shared.server.pid) if "ledger_server" in line]

    assert len(lines) == 2
    assert not [line for line in lines if "postgresql" in line]


def test_a_killed_worker_costs_no_answered_write_and_another_one_takes_its_place() -> None:
    with crew() as running, ExitStack() as ends:
        tellers = running.connect_to_each(Teller.open(running.connect()))
        before = running.workers()
        load = Load(tellers, ends)
        load.await_answers()

        os.kill(before[0], signal.SIGKILL)

        load.await_answers()
        until(lambda: len(running.workers()) == 2, "two workers again")
        (replacement,) = set(running.workers()) - set(before)
        # Whoever comes now may be given to the new one.
        until(lambda: running.connect() and replacement in running.listeners_spoken_to(), "served by it")
        load.await_answers()
        load.finish()

        assert before[1] in running.workers()
        assert f"worker 1, process {before[0]}, ended with -9; starting another one in 0." in running.log()
        assert {one.code for one in load.refusals} <= {grpc.StatusCode.UNAVAILABLE}
        assert set(load.acknowledged) <= posted_keys(running.owner_url)
        assert proven(running.owner_url, tellers[0].ledger) >= len(load.acknowledged)


def test_sigterm_drains_every_worker_and_loses_and_doubles_nothing(database: Database) -> None:
    with crew(database_url=database.app_url) as running, ExitStack() as ends:
        tellers = running.connect_to_each(Teller.open(running.connect()))
        everybody = [pid for pid, _ in family(running.server.pid)]
        load = Load(tellers, ends)
        load.await_answers()
        process = running.server.process
        assert process is not None

        process.popen.send_signal(signal.SIGTERM)
        process.popen.wait(60)
        load.finish()

        assert process.popen.returncode == 0
        assert are_gone(everybody)
        assert "Traceback" not in running.log()
        assert {one.reason for one in load.refusals} <= {"SHUTTING_DOWN", ""}
        posted = posted_keys(database.owner_url)
        assert set(load.acknowledged) <= posted <= {*load.acknowledged, *load.unknown}
        assert unsound(database.owner_url, tellers[0].ledger) == []


def test_kill_9_of_the_first_process_leaves_none_behind() -> None:
    with crew() as running:
        running.connect()
        everybody = [pid for pid, _ in family(running.server.pid)]
        assert len(running.workers()) == 2
        assert len(everybody) > 3  # PostgreSQL's too.

        running.server.kill()

        until(lambda: are_gone(everybody), "everybody gone")


def test_a_worker_that_cannot_serve_stops_the_start_with_its_reason(database: Database) -> None:
    error = refused_start("--workers", "2", "--database-url", database.owner_url)

    assert "is a superuser" in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_database_without_room_for_every_worker_is_refused(database: Database) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter database {} connection limit 41").format(sql.Identifier(database.name))
        )

    error = refused_start("--workers", "3", "--database-url", database.app_url)

    assert error == (
        "error: the service may make 42 connections, and the database takes 41: raise its max_connections"
        " (or the limit of the role or database), or lower --workers or LEDGER_COMMITTERS\n"
    )


def test_the_pause_before_a_worker_is_started_again_grows_to_its_bound_and_stays_there() -> None:
    pauses = [pause_s(failures) for failures in (1, 2, 3, 4, 5, 6, 1_024, 100_000)]

    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_a_worker_that_cannot_be_started_again_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    worker = Worker(1, "{}")

    worker.start_ended()

    assert "worker 1 cannot be started: [Errno 2]" in caplog.text
    assert "trying again in 0.2 s" in caplog.text


def test_a_worker_that_is_started_again_and_cannot_serve_says_why(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(1, told(url="postgresql://app@127.0.0.1:1/books", supervisor=os.getpid()))
    worker.start()

    until(lambda: worker.start_ended() or caplog.text, "its end told")

    assert " ended with 1: " in caplog.text
    assert "Connection refused" in caplog.text
    assert "; starting another one in 0.2 s" in caplog.text


def test_a_worker_whose_supervisor_is_gone_ends_by_itself(database: Database) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait(30)

    done = subprocess.run(
        [sys.executable, "-m", "ledger_server.cli.worker"],
        cwd=TREE,
        env=os.environ | {"PYTHONPATH": PATHS},
        input=told(url=database.app_url, supervisor=gone.pid),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, '{"problem": ""}\n'), done.stderr


@pytest.mark.slow
def test_sigterm_during_the_start_ends_everybody_though_a_worker_is_stuck(database: Database) -> None:
    arguments = ("--listen", "127.0.0.1:0", "--workers", "2", "--database-url", database.app_url)
    serving = subprocess.Popen(
        [sys.executable, "-m", "ledger_server.cli", "serve", *arguments],
        cwd=TREE,
        env=os.environ | {"PYTHONPATH": PATHS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: worker_pids(serving.pid), "a worker")
        stuck = worker_pids(serving.pid)[0]
        os.kill(stuck, signal.SIGSTOP)
        until(lambda: len(worker_pids(serving.pid)) == 2, "the other one")

        serving.send_signal(signal.SIGTERM)
        printed, log = serving.communicate(timeout=45)
    finally:
        # Who is stopped keeps the pipes open, and does not hear that its supervisor has gone.
        for pid in worker_pids(serving.pid):
            os.kill(pid, signal.SIGKILL)
        serving.kill()
        serving.communicate()

    assert (serving.returncode, printed) == (0, ""), log
    assert "Traceback" not in log
    assert are_gone([stuck])


def test_a_reserved_port_is_kept_from_who_does_not_share_it() -> None:
    with reserve("127.0.0.1:0") as reserved:
        address = f"127.0.0.1:{reserved.getsockname()[1]}"

        with pytest.raises(AddressInUse, match="address already in use"):
            refuse_taken(address)
        with pytest.raises(AddressInUse, match="address already in use"):
            reserve(address)


def test_workers_are_counted_from_the_environment_and_share_no_unix_socket() -> None:
    assert config.load(environ={}).workers == 1
    assert config.load(environ={"LEDGER_WORKERS": "4"}).workers == 4
    assert config.load(workers=2, environ={"LEDGER_WORKERS": "4"}).workers == 2
    for wrong in ("0", "33", "two"):
        with pytest.raises(config.ConfigError, match=r"LEDGER_WORKERS is .*; it may be 1 to 32"):
            config.load(environ={"LEDGER_WORKERS": wrong})
    with pytest.raises(config.ConfigError, match="one listener"):
        config.load(listen="unix:ledger.sock", workers=2, environ={})
