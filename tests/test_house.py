"""The rules of the house that people would otherwise keep by hand: floors, sizes, versions, tables."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from ledger.v1 import (
    account_service_pb2,
    api_key_service_pb2,
    audit_service_pb2,
    chart_service_pb2,
    dev_service_pb2,
    ledger_admin_service_pb2,
    ledger_service_pb2,
    member_service_pb2,
    report_service_pb2,
)

from ledger_server import __version__
from ledger_server.cli import COMMANDS
from ledger_server.domain import refusals
from ledger_server.domain.refusals import Refusal
from ledger_server.rpc import status
from ledger_server.rpc.account_servicer import AccountServicer
from ledger_server.rpc.api_key_servicer import APIKeyServicer
from ledger_server.rpc.audit_servicer import AuditServicer
from ledger_server.rpc.chart_servicer import ChartServicer
from ledger_server.rpc.contract import FILES
from ledger_server.rpc.dev_servicer import DevServicer
from ledger_server.rpc.ledger_admin_servicer import LedgerAdminServicer
from ledger_server.rpc.ledger_servicer import LedgerServicer
from ledger_server.rpc.member_servicer import MemberServicer
from ledger_server.rpc.report_servicer import ReportServicer
from ledger_server.store.migrate import read_migrations

TREE = Path(__file__).resolve().parent.parent
SERVICERS = {
    LedgerServicer: ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"],
    AccountServicer: account_service_pb2.DESCRIPTOR.services_by_name["AccountService"],
    LedgerAdminServicer: ledger_admin_service_pb2.DESCRIPTOR.services_by_name["LedgerAdminService"],
    ChartServicer: chart_service_pb2.DESCRIPTOR.services_by_name["ChartService"],
    ReportServicer: report_service_pb2.DESCRIPTOR.services_by_name["ReportService"],
    APIKeyServicer: api_key_service_pb2.DESCRIPTOR.services_by_name["APIKeyService"],
    MemberServicer: member_service_pb2.DESCRIPTOR.services_by_name["MemberService"],
    AuditServicer: audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
    DevServicer: dev_service_pb2.DESCRIPTOR.services_by_name["DevService"],
}

# Each floor, and the floors it may import besides itself.
BELOW = {
    "domain": set(),
    "store": {"domain"},
    "service": {"domain", "store"},
    # Not store: a servicer asks the service.
    "rpc": {"domain", "service"},
    "web": {"domain", "service"},
    "addresses": set(),
    "config": {"addresses"},
    "app": {"config", "domain", "store", "service", "rpc", "web"},
    "upkeep": {"config", "app", "domain", "store", "service"},
    # Its client commands speak through ledger_client.
    "cli": {"config", "app", "upkeep", "rpc", "web", "service", "store", "domain"},
}
# Where a library may be imported. The prefixes are of modules.
ONLY_IN = {
    "psycopg": ("ledger_server.store",),
    "psycopg_pool": ("ledger_server.store",),
    "grpc": ("ledger_server.rpc", "ledger_client"),
    "grpc_health": ("ledger_server.rpc", "ledger_client"),
    "grpc_reflection": ("ledger_server.rpc",),
    "google.rpc": ("ledger_server.rpc", "ledger_client"),
    "ledger.v1": ("ledger_server.rpc", "ledger_client"),
    "click": ("ledger_server.cli",),
    "yaml": ("ledger_server.cli",),
    "jwt": ("ledger_server.rpc",),
    "cryptography": ("ledger_server.rpc",),
}
# RPCs that are called after what they end, and how they do it.
ENDINGS = {
    "RemoveMember": "by one more record: the membership's last version",
    "UpdateAccount": "by one more record: the account's next version",
}
LINES_MAX = 300
# Longer than LINES_MAX, each with its bound and its reason. A bound only ever falls.
LONGER = {
    "ledger_client/refusals.py": (400, "every no that a caller can get, as a tree"),
    "ledger_server/domain/refusals.py": (470, "every expected no, as a tree"),
    "ledger_server/service/group_commit.py": (380, "one batch, from places to settled"),
    "ledger_server/service/reads.py": (345, "every reading verb"),
    "ledger_server/service/replay.py": (402, "the replay of a journal, record by record, and what it proves"),
    "ledger_server/store/reading.py": (303, "every read of one ledger"),
    "ledger_server/store/embedded.py": (312, "the supervisor of the embedded PostgreSQL, with its rules"),
}


def _modules(*packages: str) -> Iterator[tuple[str, Path, ast.Module]]:
    for package in packages:
        for path in sorted((TREE / package).rglob("*.py")):
            name = ".".join(path.relative_to(TREE).with_suffix("").parts).removesuffix(".__init__")
            yield name, path, ast.parse(path.read_text(encoding="utf-8"), path.name)


def _imports(module: str, path: Path, tree: ast.Module) -> Iterator[str]:
    """Every module that is imported, `from package import module` in full."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _is_of(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.criterion("CARD-1")
def test_imports_point_down_only() -> None:
    wrong = []
    for module, path, tree in _modules("ledger_server"):
        floor = [*module.split("."), ""][1]
        if not floor:
            continue
        for imported in _imports(module, path, tree):
            if not imported.startswith("ledger_server."):
                continue
            other = imported.split(".")[1]
            if other not in {floor, "__version__"} | BELOW[floor]:
                wrong.append(f"{module} imports {imported}")

    assert not wrong


def test_the_client_never_imports_the_server() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path, tree in _modules("ledger_client")
        for imported in _imports(module, path, tree)
        if _is_of(imported, "ledger_server")
    ]

    assert not wrong


def test_only_the_command_line_imports_the_client() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path, tree in _modules("ledger_server")
        for imported in _imports(module, path, tree)
        if _is_of(imported, "ledger_client") and not _is_of(module, "ledger_server.cli")
    ]

    assert not wrong


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path, tree in _modules("ledger_server", "ledger_client")
        for imported in _imports(module, path, tree)
        if _is_of(imported, library) and not any(_is_of(module, home) for home in ONLY_IN[library])
    ]

    assert not wrong


def test_only_config_reads_the_environment() -> None:
    wrong = []
    for module, _, tree in _modules("ledger_server", "ledger_client"):
        for node in ast.walk(tree):
            named = isinstance(node, ast.Attribute) and node.attr in (
                "environ",
                "environb",
                "getenv",
                "putenv",
            )
            imported = (
                isinstance(node, ast.ImportFrom)
                and node.module == "os"
                and any(alias.name in ("environ", "getenv") for alias in node.names)
            )
            if (named or imported) and module != "ledger_server.config":
                wrong.append(module)

    assert not wrong


@pytest.mark.criterion("CARD-2")
def test_every_imported_package_is_named_in_pyproject() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["embedded"]
    named = {re.split(r"[\[<>=~! ]", one, maxsplit=1)[0].lower() for one in wanted}
    for_tests = {
        re.split(r"[\[<>=~! ]", one, maxsplit=1)[0].lower()
        for one in project["dependency-groups"]["dev"]
        if isinstance(one, str)
    }
    distributions = packages_distributions()

    # The last two are in the tree only: `bench` and `torture` say so where they are missing.
    ours = ("ledger", "ledger_server", "ledger_client", "benchmarks", "torture")
    imported = set()
    for module, path, tree in _modules("ledger_server", "ledger_client"):
        for name in _imports(module, path, tree):
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top not in ours:
                # "google" is shared by two distributions, and an installed tree may list itself.
                owners = ["protobuf"] if top == "google" else distributions[top]
                imported |= {owner.lower().replace("_", "-") for owner in owners}

    assert {"grpcio", "psycopg", "psycopg-pool", "protobuf"} <= imported <= named
    assert {"grpcio-tools", "grpcio-testing"} <= for_tests


def test_no_file_is_longer_than_it_may_be() -> None:
    wrong = []
    for package in ("ledger_server", "ledger_client"):
        for path in sorted((TREE / package).rglob("*.py")):
            name = str(path.relative_to(TREE))
            lines = len(path.read_text(encoding="utf-8").splitlines())
            lines_max, _ = LONGER.get(name, (LINES_MAX, ""))
            if lines > lines_max:
                wrong.append(f"{name} has {lines} lines; at most {lines_max} are allowed")

    assert not wrong
    assert not [name for name in LONGER if not (TREE / name).is_file()]


# the contract -----------------------------------------------------------------------------


def test_every_file_of_the_contract_is_told_of() -> None:
    spoken = {Path(file.name).name for file in FILES}

    assert spoken == {path.name for path in (TREE / "protos/ledger/v1").glob("*.proto")}


@pytest.mark.criterion("CARD-3")
def test_the_five_verbs_are_rpcs_and_every_rpc_is_served() -> None:
    verbs = {"Post", "Reverse", "GetBalance", "ListTransactions", "TrialBalance"}

    assert verbs <= {method.name for method in SERVICERS[LedgerServicer].methods}
    for servicer, service in SERVICERS.items():
        for method in service.methods:
            assert method.name in vars(servicer), f"{service.name}.{method.name} is not implemented"


@pytest.mark.criterion("CARD-2")
def test_no_servicer_method_is_a_coroutine() -> None:
    # grpcio-testing answers OK for one without ever running it.
    for servicer, service in SERVICERS.items():
        for method in service.methods:
            behaviour = inspect.unwrap(getattr(servicer, method.name))
            assert inspect.isfunction(behaviour)
            assert not inspect.iscoroutinefunction(behaviour), method.full_name
            assert not inspect.isasyncgenfunction(behaviour), method.full_name


@pytest.mark.criterion("S001-11")
def test_no_rpc_changes_or_removes_a_record() -> None:
    for service in SERVICERS.values():
        for method in service.methods:
            changes = re.match(r"(Update|Delete|Remove|Edit|Patch|Set|Cancel|Clear)", method.name)
            assert not changes or method.name in ENDINGS, method.full_name


@pytest.mark.criterion("S003-37")
def test_the_generated_stubs_are_those_of_the_protos(tmp_path: Path) -> None:
    fresh = tmp_path / "generated"
    command = [sys.executable, str(TREE / "tools" / "generate.py"), str(fresh)]

    subprocess.run(command, check=True, capture_output=True, timeout=120)

    committed = TREE / "generated"
    assert _files(fresh) == _files(committed)
    for name in _files(fresh):
        assert (fresh / name).read_bytes() == (committed / name).read_bytes(), name


def _files(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


@pytest.mark.criterion("S003-37")
@pytest.mark.parametrize(
    "arguments",
    [("lint",), ("format", "--diff", "--exit-code"), ("breaking", "--against", "protos.baseline.binpb")],
    ids=lambda arguments: arguments[0],
)
def test_the_contract_passes_buf(arguments: tuple[str, ...], tmp_path: Path) -> None:
    buf = Path(sys.executable).parent / "buf"
    environment = os.environ | {"BUF_CACHE_DIR": str(tmp_path)}

    run = subprocess.run(
        [str(buf), *arguments],
        cwd=TREE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr


# refusals ---------------------------------------------------------------------------------


def _reasons() -> set[str]:
    found = set()
    classes: list[type[Refusal]] = [Refusal]
    while classes:
        kind = classes.pop()
        classes += kind.__subclasses__()
        if "reason" in vars(kind) and kind is not Refusal:
            found.add(kind.reason)
    return found


def test_every_reason_has_a_status_and_every_status_a_reason() -> None:
    assert set(status.CODES) == _reasons()


@pytest.mark.criterion("S003-33")
def test_every_reason_is_explained_in_the_docs_with_its_status_and_its_retry() -> None:
    text = (TREE / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    documented = {row[0].strip("`"): row for row in rows}
    kinds = {
        kind.reason: kind
        for kind in vars(refusals).values()
        if inspect.isclass(kind) and issubclass(kind, Refusal) and "reason" in vars(kind)
    }

    assert set(documented) == set(status.CODES)
    for reason, row in documented.items():
        assert len(row) == 6, reason
        assert row[1] == status.CODES[reason].name, reason
        assert row[5].startswith(("yes", "no")), reason
        waits = kinds[reason].retry_after_s
        if waits is not None:
            assert row[5] == f"yes, after {waits:g} s", reason


def test_every_refusal_is_drawn_in_the_tree_at_the_top_of_its_module() -> None:
    drawing = refusals.__doc__ or ""
    names = [
        name for name, kind in vars(refusals).items() if inspect.isclass(kind) and issubclass(kind, Refusal)
    ]

    assert not [name for name in names if not re.search(rf"\b{name}\b", drawing)]


# versions, migrations, documents ------------------------------------------------------------


def test_the_versions_agree() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))
    newest = re.search(
        r"^## \[?(\d+\.\d+\.\d+)", (TREE / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "ledger_server/__init__.py"
    assert newest is not None
    assert newest[1] == __version__


def test_the_migrations_are_numbered_without_a_gap() -> None:
    files = sorted(
        path.name for path in (TREE / "ledger_server" / "store" / "migrations").iterdir() if path.is_file()
    )

    assert [one.number for one in read_migrations()] == list(range(1, len(files) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in files)


def test_the_commands_that_the_readme_names_exist() -> None:
    text = (TREE / "README.md").read_text(encoding="utf-8")
    # `test` and `criteria` belong to the script that makes the environment.
    known = {*COMMANDS, "test", "criteria", "--help"}

    named = set(re.findall(r"\./ledger ([a-z][a-z-]*|--help)", text))

    assert {"serve", "demo"} <= named
    assert named <= known
    makefile = (TREE / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}:" in makefile for target in re.findall(r"^make ([a-z]+)", text, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_listed_command_can_be_imported(command: str) -> None:
    module, _, attribute = COMMANDS[command][0].partition(":")

    source = TREE / Path(*module.split(".")).with_suffix(".py")

    assert source.is_file()
    assert re.search(rf"^def {attribute}\(", source.read_text(encoding="utf-8"), re.MULTILINE)
