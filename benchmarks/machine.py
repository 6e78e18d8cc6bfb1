"""What the figures were taken on: without it they say little."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

_LIBRARIES = ("grpcio", "protobuf", "psycopg", "psycopg-pool")
_SYNCS = 200


def facts(directory: Path, database_version: str) -> dict[str, object]:
    """The machine, the libraries, and how long the disk under `directory` takes to make a write durable."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": database_version,
        "fdatasync_us": round(fdatasync_us(directory)),
        **{name: metadata.version(name) for name in _LIBRARIES},
    }


def fdatasync_us(directory: Path) -> float:
    """The median microseconds of one 8 KiB write and its fdatasync (fsync where there is none)."""
    sync = getattr(os, "fdatasync", os.fsync)
    page = bytes(8192)
    taken = []
    with tempfile.TemporaryFile(dir=directory) as file:
        number = file.fileno()
        os.write(number, page * _SYNCS)
        os.fsync(number)
        os.lseek(number, 0, os.SEEK_SET)
        for _ in range(_SYNCS):
            start = time.perf_counter()
            os.write(number, page)
            sync(number)
            taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or sys.platform
