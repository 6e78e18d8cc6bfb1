"""Running a command as a person would, in this process: arguments in, exit code and both outputs back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    exit_code: int
    stdout: str
    stderr: str


Run = Callable[..., Outcome]


class Server(Protocol):
    """A started service, as the tests' fixture `server` gives it."""

    target: str
