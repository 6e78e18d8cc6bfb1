"""How PostgreSQL is started as a child: as its own user, and ending with its parent.

PostgreSQL refuses to run as root, and a Python that lives under root's home
cannot be started by another user. So a small shim is started as ourselves; it
gives up root, asks the kernel for a signal when its parent dies, makes sure that
the parent did not die before it asked, and becomes the program. The order
matters: changing the user clears the death signal. The child may use every core that
we might when we began, and is scheduled as others are, however we are now.

The kernel sends the death signal when the *thread* that started the child ends,
so the child is started from a thread that lives as long as the child does.
"""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

# Before anybody could narrow them.
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

UNREACHABLE = 77
"""The shim's exit code when the child's user cannot enter its directory."""

SHIM = """
import ctypes, os, signal, sys
parent, uid, gid = map(int, sys.argv[1:4])
cores = [int(core) for core in sys.argv[4].split(",") if core]
try:
    if cores:
        os.sched_setaffinity(0, cores)
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
except OSError:
    pass  # Where we may not, we did not either.
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
try:
    os.chdir(sys.argv[5])
except OSError:
    os._exit(77)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
if os.getppid() != parent:
    os._exit(1)
os.umask(0o077)
os.execv(sys.argv[6], sys.argv[6:])
"""


@dataclass(frozen=True, slots=True)
class User:
    """Whom PostgreSQL runs as."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """True if the child gives up root to become this user."""
        return self.uid != os.geteuid()


def server_user() -> User:
    """The user of the child: ourselves, or for root `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return User(str(os.geteuid()), os.geteuid(), os.getegid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    return User("nobody", 65534, 65534)


def command(user: User, directory: Path, *arguments: str | Path) -> list[str]:
    """The command line that runs the arguments as the user, in the directory, until we die."""
    words = [str(argument) for argument in arguments]
    identity = [str(os.getpid()), str(user.uid), str(user.gid), ",".join(map(str, _CORES))]
    return [sys.executable, "-IS", "-c", SHIM, *identity, str(directory), *words]
