"""How large the embedded PostgreSQL's memory and log may grow on this machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to share, in bytes."""

    memory: int
    disk_free: int


def this_machine(directory: Path) -> Machine:
    """The memory of this machine or container, and the free space where the directory is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in CGROUP_LIMITS:
        try:
            memory = min(memory, int(Path(limit).read_text()))
        except (OSError, ValueError):
            continue  # No such file, or "max": no limit.
    return Machine(memory, shutil.disk_usage(directory).free)


def settings_for(machine: Machine) -> dict[str, str]:
    """Settings that leave most of the machine to others.

    Checkpoints are rare, because after each one every page touched is logged whole
    again; max_wal_size bounds the disk and the time of a recovery (about 1 GiB in
    5-10 seconds).
    """
    shared_buffers = _within(machine.memory // 8 // MIB, 32, 2048)
    max_wal_size = _within(min(machine.memory // 4, machine.disk_free // 10) // MIB, 128, 4096)
    return {
        "shared_buffers": f"{shared_buffers}MB",
        "effective_cache_size": f"{_within(machine.memory // 2 // MIB, 64, 65536)}MB",
        "max_wal_size": f"{max_wal_size}MB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
    }


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))
