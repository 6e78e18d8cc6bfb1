"""A run of hostile calls: opened books, so many cases, and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hostile.cases import Case, case
from hostile.ground import Ground
from hostile.judging import Judge
from hostile.process import Hostage, Look, Watch
from hostile.sending import Answer, Callers

_FAULTS_MAX = 20
_SHOWN_BYTES_MAX = 2_048


@dataclass(slots=True)
class Outcome:
    """What a run found: sentences that each reproduce a call, and what the process held."""

    seed: str
    ground: Ground
    judge: Judge
    faults: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)


def run(
    hostage: Hostage, ground: Ground, seed: str, calls: int, secrets: list[str], tokens: Mapping[str, str]
) -> Outcome:
    """Sends so many cases of the seed; ends early where too much is wrong. Tokens: the server asks."""
    outcome = Outcome(seed, ground, Judge([ground.canary, *secrets]))

    def cases() -> Iterator[Case]:
        for number in range(calls):
            if len(outcome.faults) >= _FAULTS_MAX:
                return
            yield case(seed, number, ground, is_asked=bool(tokens))

    with Callers(hostage.target, tokens) as callers, Watch(hostage) as watch:

        def heard(case: Case, answer: Answer) -> None:
            watch.answers += 1
            outcome.faults += [told(seed, case, fault) for fault in outcome.judge.faults(case, answer)]

        callers.run(cases(), heard)
        outcome.looks = watch.looks
    return outcome


def told(seed: str, case: Case, fault: str) -> str:
    """A fault with everything that makes it again."""
    sent = " | ".join(_hex(message) for message in case.messages)
    return (
        f"{fault}\n  seed {seed!r}, case {case.number}: {case.kind} {case.mutation}\n"
        f"  {case.path} by {case.caller or 'anybody'} metadata={case.metadata!r:.500}"
        f" timeout={case.timeout_s} cancel={case.cancel_after_s}\n"
        f"  bytes {sent}"
    )


def _hex(message: bytes) -> str:
    if len(message) <= _SHOWN_BYTES_MAX:
        return message.hex()
    return f"{message[:_SHOWN_BYTES_MAX].hex()}... ({len(message)} bytes)"
