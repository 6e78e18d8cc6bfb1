"""What became of one kind of fault."""

from __future__ import annotations

from dataclasses import dataclass, field

RECOVERY_MAX_S = 5.0


class Missing(Exception):
    """This machine cannot do a fault; the message says what it lacks. In CI that is a failure, or not."""

    def __init__(self, sentence: str, *, fails_ci: bool) -> None:
        super().__init__(sentence)
        self.fails_ci = fails_ci


@dataclass(slots=True)
class Row:
    """A line of the table. `n` is how often it was tried: strikes, or operations where it lasts all along."""

    fault: str
    n: int
    # How often the fault is known to have struck; its round says how that is known.
    struck: int = 0
    # What was asked: each operation of a write, and each read.
    operations: int = 0
    acknowledged: int = 0
    # Calls whose callers never heard, by what a read by key found in the end.
    unknown_committed: int = 0
    unknown_not_committed: int = 0
    refused: int = 0
    # The same by reason.
    reasons: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    violations: list[str] = field(default_factory=list)
    # Until the service recorded again, at worst; what that counts from, its round says.
    recovery_max_s: float = 0.0
    recovery_bound_s: float = RECOVERY_MAX_S
    # A control is broken on purpose: that it loses is what shows that the fault can make one lose.
    is_control: bool = False
    # Its callers are left in the dark, in both ways, if it is tried often enough.
    leaves_unknown: bool = False
    # What was done, in a sentence.
    what: str = ""
    # Why it was not tried at all, and whether CI takes that.
    skipped: str = ""
    skipping_fails_ci: bool = False
