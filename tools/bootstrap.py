"""Makes .venv from a lock: `python tools/bootstrap.py requirements.lock`. Standard library only.

A copy of the lock inside .venv says what is installed; it is written last, so an
interrupted run is simply done again. One process at a time works on .venv, under
a file lock that the kernel frees when its holder dies.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
VENV = TREE / ".venv"
PYTHON = VENV / "bin" / "python"
SERVING, CHECKING = "requirements.lock", "requirements-dev.lock"
# The second holds everything of the first, at the same versions.
INCLUDED = {SERVING: (SERVING,), CHECKING: (SERVING, CHECKING)}
# They would send packages to other places than .venv.
MISLEADING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_HASHES", "VIRTUAL_ENV")


def main(lock: str) -> None:
    """Returns with everything of the lock installed."""
    cache = TREE / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "bootstrap.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if is_installed(lock):
            return
        if not is_installed(SERVING) or (VENV / lock).exists():
            # Half made, made for other versions, or by a Python that has gone: quicker to make than to mend.
            shutil.rmtree(VENV, ignore_errors=True)
        print(f"Installing {lock} into {VENV} (once) ...", flush=True)
        install(lock)
        for name in INCLUDED[lock]:
            unfinished = VENV / f"{name}.unfinished"
            shutil.copyfile(TREE / name, unfinished)
            os.replace(unfinished, VENV / name)


def is_installed(lock: str) -> bool:
    """True if .venv was made from the lock as it is now."""
    try:
        return PYTHON.exists() and (VENV / lock).read_bytes() == (TREE / lock).read_bytes()
    except OSError:
        return False


def install(lock: str) -> None:
    """With uv if it is on PATH, else with the standard library's venv and pip."""
    uv = shutil.which("uv")
    has_venv = importlib.util.find_spec("ensurepip") is not None and not _is_stripped()
    if uv is not None:
        try:
            install_with_uv(uv, lock)
            return
        except subprocess.CalledProcessError:
            if not has_venv:
                raise
            # It does not read pip's configuration, where a company names its own index.
            print("uv could not install it; trying pip.", flush=True)
            shutil.rmtree(VENV, ignore_errors=True)
    if not has_venv:
        sys.exit(
            "error: this Python cannot make virtual environments.\n"
            f"  Debian, Ubuntu:  sudo apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        )
    install_with_pip(lock)


def install_with_uv(uv: str, lock: str) -> None:
    """Raises CalledProcessError."""
    if not PYTHON.exists():
        run(uv, "venv", "--quiet", "--python", os.path.realpath(sys.executable), str(VENV))
    run(uv, "pip", "install", "--quiet", "--python", str(PYTHON), "--require-hashes", "-r", str(TREE / lock))
    show_sources()


def install_with_pip(lock: str) -> None:
    """Raises CalledProcessError."""
    pip = (str(PYTHON), "-I", "-m", "pip")
    has_pip = PYTHON.exists() and subprocess.run([*pip, "--version"], capture_output=True, check=False)
    if not has_pip or has_pip.returncode != 0:
        # The real path: /usr/bin/python3 may be another version tomorrow, and its venv would be empty.
        run(os.path.realpath(sys.executable), "-I", "-m", "venv", "--clear", str(VENV))
    quietly = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--no-deps")
    run(*pip, "install", *quietly, "--require-hashes", "-r", str(TREE / lock))
    show_sources()


def show_sources() -> None:
    """Puts the tree and its stubs on the path of .venv, relative, so that the tree may be moved."""
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([PYTHON, "-I", "-c", program], capture_output=True, text=True, check=True)
    packages = Path(answer.stdout.strip())
    tree = os.path.relpath(TREE, packages)
    (packages / "ledger.pth").write_text(f"{tree}\n{tree}/generated\n")


def run(*command: str) -> None:
    """Raises CalledProcessError."""
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    subprocess.run(command, check=True, env=environment)


def _is_stripped() -> bool:
    """True where the distribution ships ensurepip without pip itself."""
    import ensurepip

    try:
        ensurepip.version()
    except Exception:
        return True
    return False


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: `{' '.join(map(str, error.cmd))}` failed. Run this again when that is mended.")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; the next run does it again.")
