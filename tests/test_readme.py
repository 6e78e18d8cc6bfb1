"""README.md is true: its blocks are run as they stand, and each answer it shows is held against the real one.

A block marked `run=NAME` is a script, `call=TOOL` defines how the scripts after it
call the service, and `answer=NAME` shows what NAME's script prints: for JSON each
shown value, where "…" stands for any; for text each shown line, in order.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from serving import Serving
from tools_needed import needed

TREE = Path(__file__).resolve().parents[1]
README = (TREE / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?:sh|json|text) (run|call|answer)=(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:50051"
TOOLS = {
    "grpcurl": "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3",
    "buf": "./ledger test installs it",
}
VERBS = ("Post", "Reverse", "GetBalance", "ListTransactions", "TrialBalance")


def blocks(mark: str) -> dict[str, str]:
    """The marked blocks by name, in the README's order."""
    return {name: text for kind, name, text in BLOCK.findall(README) if kind == mark}


@pytest.mark.criterion("CARD-5")
@pytest.mark.parametrize("tool", TOOLS)
def test_each_verb_answers_what_the_readme_shows(tool: str, server: Serving, tmp_path: Path) -> None:
    program = needed(tool, TOOLS[tool])
    answers = blocks("answer")
    scripts = {name: text for name, text in blocks("run").items() if "call " in text}
    assert [verb for verb in VERBS if f"LedgerService/{verb} " not in "".join(scripts.values())] == []

    for name, script in scripts.items():
        done = run(blocks("call")[tool] + script, server.target, tmp_path, program)
        if name == "refused":
            assert done.returncode != 0
            assert_refused_as_shown(answers[name], done.stdout + done.stderr, in_full=tool == "grpcurl")
            continue
        assert done.returncode == 0, done.stderr
        if name in answers:
            for shown, actual in zip(documents(answers[name]), documents(done.stdout), strict=True):
                assert_shown(shown, actual)


def test_the_commands_of_the_readme_do_what_it_says(server: Serving, tmp_path: Path) -> None:
    for name, script in blocks("run").items():
        if "./ledger " in script:
            done = run(script, server.target, tmp_path)

            assert done.returncode == 0, done.stderr
            assert_lines_in_order(blocks("answer")[name], done.stdout + done.stderr)


def test_every_file_that_the_documents_name_exists() -> None:
    broken = [
        f"{page.relative_to(TREE)}: {link}"
        for page in (TREE / "README.md", TREE / "CHANGELOG.md", *sorted((TREE / "docs").glob("*.md")))
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]

    assert broken == []


def run(script: str, target: str, home: Path, program: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a script of the README against the target, from the top of the tree."""
    ledger = shlex.join((sys.executable, "-P", "-m", "ledger_server.cli"))
    folders = [str(Path(program).parent)] if program else []
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": f"{TREE}{os.pathsep}{TREE / 'generated'}",
        "LEDGER_TARGET": target,
        "BUF_CACHE_DIR": str(home),
    }
    return subprocess.run(
        ["sh", "-euc", script.replace(ADDRESS, target).replace("./ledger ", f"{ledger} ")],
        cwd=TREE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def documents(text: str) -> list[Any]:
    """The JSON documents that stand in the text one after another, with names as in the contract."""
    decoder, found, start = json.JSONDecoder(object_hook=with_contract_names), [], 0
    while start < len(text.rstrip()):
        document, end = decoder.raw_decode(text, start + len(text[start:]) - len(text[start:].lstrip()))
        found.append(document)
        start = end
    return found


def with_contract_names(members: dict[str, Any]) -> dict[str, Any]:
    """buf says balanceAfter where grpcurl says balance_after: both are the field's name in JSON."""
    return {
        re.sub(r"[A-Z]", lambda upper: f"_{upper[0].lower()}", name): each for name, each in members.items()
    }


def assert_shown(shown: Any, actual: Any, path: str = "answer") -> None:
    """Every value that the README shows is the real one."""
    if isinstance(shown, dict):
        for name, each in shown.items():
            assert name in actual, f"{path} has no {name}: {actual}"
            assert_shown(each, actual[name], f"{path}.{name}")
    elif isinstance(shown, list):
        assert len(shown) == len(actual), path
        for index, each in enumerate(shown):
            assert_shown(each, actual[index], f"{path}[{index}]")
    elif shown != "…":
        assert shown == actual, path


def assert_refused_as_shown(shown: str, output: str, *, in_full: bool) -> None:
    """The whole answer where the tool is the one shown, else at least its sentence."""
    if in_full:
        assert_lines_in_order(shown, output)
    else:
        sentence = re.search(r"Message: (.*)", shown)
        assert sentence is not None
        assert sentence[1] in output


def assert_lines_in_order(shown: str, output: str) -> None:
    """Each line stands in the output, after the one before it; more may follow on the same line."""
    start = 0
    for line in shown.splitlines():
        found = output.find(line.strip(), start)
        assert found >= 0, f"{line.strip()!r} is not in what is left of the output:\n{output}"
        start = found + len(line.strip())
