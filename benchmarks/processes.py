"""The processes of a bench: programs of this tree with pipes to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.usage import CpuMeter, family, family_cpu_seconds, resident_mib

_END_S = 30.0


class Process:
    """A Python program of this tree with pipes to it."""

    def __init__(self, log: Path, module: str, *arguments: str) -> None:
        self._log = log
        path = os.pathsep.join(part for part in sys.path if part)
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # Nothing else runs beside what is measured.
                env=os.environ | {"PYTHONPATH": path, "LEDGER_DAILY_TRIAL_BALANCE": "off"},
            )
        self.pid = self._process.pid

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def hear(self) -> str:
        """The next line. Raises RuntimeError where the process has ended."""
        line = self._output.readline()
        if not line:
            code = self._process.wait(_END_S)
            words = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"a process of the bench ended with {code}; its last words:\n{words}")
        return line.strip()

    def say(self, line: str = "") -> None:
        """Sends a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Asks it to end, and waits; does nothing where it was ended."""
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            return
        self._process.terminate()
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


@dataclass(frozen=True, slots=True)
class Server:
    """What answers calls: one process or several, and where it listens."""

    processes: tuple[Process, ...]
    targets: tuple[str, ...]

    def cpu_seconds(self) -> float | None:
        """The CPU of all of its processes."""
        used = [family_cpu_seconds(process.pid) for process in self.processes]
        return None if None in used else sum(each for each in used if each is not None)

    def resident_mib(self, field: str = "VmRSS") -> float:
        """The resident memory of all of its processes: now, or with VmHWM the most of each."""
        pids = [pid for process in self.processes for pid in family(process.pid)]
        return sum(resident_mib(pid, field) or 0.0 for pid in pids)

    def end(self) -> None:
        """Ends it."""
        for process in self.processes:
            process.end()


class Workers:
    """Load processes that do the same kind of job at the same time."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.processes = processes

    def run(self, job: dict[str, Any], meter: CpuMeter | None = None) -> dict[str, Any]:
        """The job on every process; counts and rates add up. The meter starts where preparation ends."""
        for process in self.processes:
            process.say(json.dumps(job))
        for process in self.processes:
            assert process.hear() == "READY"
        meter = meter or CpuMeter({})
        meter.restart()
        for process in self.processes:
            process.say()
        answers = [json.loads(process.hear()) for process in self.processes]
        return {
            "count": sum(answer["count"] for answer in answers),
            "rate": sum(answer["count"] / answer["seconds"] for answer in answers),
            "latencies_us": [value for answer in answers for value in answer.get("latencies_us", [])],
            "seconds_of": answers[0].get("seconds_of", []),
            "cpu": meter.used(),
        }
