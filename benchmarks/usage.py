"""CPU seconds and memory of processes, from /proc; None where there is no /proc."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

_PROC = Path("/proc")


def cpu_seconds(pid: int) -> float | None:
    """The CPU that the process has used, user and system."""
    fields = _stat(pid)
    return None if fields is None else _ticks(fields, 11, 12)


def family(pid: int) -> list[int]:
    """A process and its children that live."""
    numbers = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid, *(number for number in numbers if (fields := _stat(number)) and int(fields[1]) == pid)]


def family_cpu_seconds(pid: int) -> float | None:
    """The CPU of a process and of its children, those that live and those it has waited for."""
    fields = _stat(pid)
    if fields is None:
        return None
    children = (cpu_seconds(child) or 0.0 for child in family(pid)[1:])
    return _ticks(fields, 11, 12, 13, 14) + sum(children)


def resident_mib(pid: int, field: str = "VmRSS") -> float | None:
    """Resident memory in MiB: now, or the most ever with the field VmHWM."""
    try:
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None


class CpuMeter:
    """CPU seconds used since it was made, by name."""

    def __init__(self, sources: dict[str, Sequence[Callable[[], float | None]]]) -> None:
        self._sources = sources
        self._before = self._read()

    def restart(self) -> None:
        """Counts from now."""
        self._before = self._read()

    def _read(self) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for name, sources in self._sources.items():
            values = [source() for source in sources]
            found[name] = None if None in values else sum(value for value in values if value is not None)
        return found

    def used(self) -> dict[str, float]:
        """What was used by each that can be read."""
        now = self._read()
        return {
            name: value - before
            for name, value in now.items()
            if value is not None and (before := self._before[name]) is not None
        }


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from `state` on (proc(5), field 3): the name before may hold spaces."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _ticks(fields: list[str], *indexes: int) -> float:
    return sum(int(fields[index]) for index in indexes) / os.sysconf("SC_CLK_TCK")
