"""Writes docs/reliability.md from docs/reliability.json, a torture's result, and docs/reliability.toml.

`python tools/reliability.py [FILE]` writes to FILE instead; a test compares. To take
new figures: `./ledger torture --full --json docs/reliability.json`, then this.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENT = DOCS / "reliability.md"
Fields = dict[str, Any]

PROMISES = """\
# Reliability

<!-- Written by tools/reliability.py from reliability.json and reliability.toml. -->

What the service promises, how it was broken on purpose, how often, and what came of it. A number that
was not measured is not here.

## What is promised

On a PostgreSQL that keeps what it confirmed (fsync, full_page_writes and synchronous_commit on; the
service refuses to start on another):

1. **An acknowledged write stays**, whatever is killed, stopped, cut off, filled up or without power
   afterwards.
2. **A key is recorded once.** A caller without an answer asks again with the same key, and hears of
   the same record.
3. **A refused write leaves nothing**, an atomic batch stands whole or not at all.
4. **The numbering has no gap**, the chain of hashes verifies, every balance is the sum of its
   entries, and a read shows one state of the ledger that includes everything acknowledged before it
   was asked for.
5. **An unknown outcome is called unknown.** It is never guessed, and never reported as a failure or
   a success.
6. **The service comes back by itself** once the fault is over.

## How it is tried

`./ledger torture` starts servers, PostgreSQL and 16 callers as processes of their own. Callers post,
reverse, post by templates, send batches, repeat keys, change limits, freeze, apply charts and read, on
few accounts, so that they meet all the time; each writes a line to its disk before a call and after its
answer. A fault strikes while they work. In the end everything is read: a checker holds every call and
answer against the journal by 23 rules, a reference ledger that shares no code with the service judges
every record, refusal and balance, and `verify` proves the journal from the tables alone.

A fault must prove that it struck: calls that were in flight all through a stop, commits that were not
quicker than the slowed disk, unflushed bytes that are gone after a power cut, callers left in the dark
in both ways. A run without that proof fails. The checker itself is held to 54 spoiled histories, each
of which it must reject.
"""

HEADS = (
    "fault",
    "n",
    "operations",
    "acknowledged",
    "refused",
    "unknown: recorded, not",
    "lost",
    "doubled",
    "violations",
    "back within",
    "at most",
)


def document(result: Fields, kept: Fields) -> str:
    """The whole document, of a run and of what is kept by hand."""
    parts = [*_tried(result), *_beside(kept["beside"]), *_found(kept["found"]), *_limits()]
    return "\n".join([PROMISES, *parts]) + "\n"


def _tried(result: Fields) -> list[str]:
    machine = result["machine"]
    libraries = ("postgresql", "python", "grpcio", "protobuf", "psycopg")
    rows = [row for row in result["faults"] if not row["is_control"]]
    controls = [row for row in result["faults"] if row["is_control"]]
    return [
        "## What was tried, and what came of it",
        "",
        f"`./ledger torture --{result['size']}{_seed(result['seed'])} of ledger {result['ledger']}, taken"
        f" {result['taken'][:10]} in {_minutes(result['seconds'])}.",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']} MiB; {machine['system']};",
        f"{', '.join(f'{name} {machine[name]}' for name in libraries)};",
        f"{machine['fdatasync_us']} microseconds for a fdatasync.",
        "",
        "`n` counts strikes; where a fault lasts all along, or many kinds take turns, it counts operations."
        " *Operations* are writes and reads."
        " *Unknown* are calls whose callers never heard, by what a read by key found in the end."
        " *Back within* is the longest until the service recorded again, from the end of the fault or the"
        " return of PostgreSQL; for SIGSTOP server, until the other server did, from the stop on."
        " *At most*: no failure in n trials still allows a rate of 3/n, at 95 %.",
        "",
        _line(HEADS),
        _line(["---"] * len(HEADS)),
        *(_line(_cells(row)) for row in rows),
        "",
        *(f"- **{row['fault']}**: {row['what']}" for row in rows),
        "",
        *(line for row in controls for line in _control(row)),
        *_violations(result["faults"]),
    ]


def _cells(row: Fields) -> list[str]:
    if row["skipped"]:
        return [row["fault"], f"not tried: {row['skipped']}", *[""] * (len(HEADS) - 2)]
    failed = row["violations"] or row["lost"] or row["doubled"]
    return [
        row["fault"],
        *(f"{row[name]:,}" for name in ("n", "operations", "acknowledged", "refused")),
        f"{row['unknown_committed']:,}, {row['unknown_not_committed']:,}",
        f"{row['lost']:,}",
        f"{row['doubled']:,}",
        str(len(row["violations"])),
        f"{row['recovery_max_s']:.2f} s" if row["recovery_max_s"] else "",
        "" if failed else f"{min(3 / row['n'], 1):.2g}",
    ]


def _control(row: Fields) -> list[str]:
    if row["skipped"]:
        return [f"**Control, {row['fault']}**: not tried: {row['skipped']}.", ""]
    return [
        f"**Control, {row['fault']}**: {row['what']} {row['struck']} of {row['n']} lost something, together"
        f" {row['lost']:,} acknowledged operations of {row['acknowledged']:,}. So the fault can take away"
        " what was not flushed, and the checker sees it.",
        "",
    ]


def _violations(rows: list[Fields]) -> list[str]:
    said = [f"- {row['fault']}: {one}" for row in rows for one in row["violations"]]
    return ["**Violations** of this run:", "", *said, ""] if said else []


def _beside(beside: list[Fields]) -> list[str]:
    return [
        "## What was tried beside it",
        "",
        "Without faults, or with faults that are part of the test; each runs in small in `./ledger test`.",
        "",
        _line(("what", "tried", "came of it")),
        _line(["---"] * 3),
        *(_line([one["what"], one["tried"], one["came"]]) for one in beside),
        "",
    ]


def _found(found: list[Fields]) -> list[str]:
    return [
        "## What was found",
        "",
        "Faults of the service that came to light this way, each with the test that holds it.",
        "",
        *(
            f"- {'**Open.** ' if one.get('is_open') else ''}{one['what']} `{one['test'].rpartition('/')[2]}`"
            for one in found
        ),
        "",
    ]


def _limits() -> list[str]:
    return [
        "## What this does not show",
        "",
        "- One machine and one PostgreSQL: no failover, no standby, no restore under load.",
        "- A power cut here is a file system that loses what was not flushed and replays its journal; a disk"
        " that lies about flushing loses more, and nobody above it can know.",
        "- Kills and cuts fall where they fall; the named places of the commit path are hit one by one.",
        "- A rate below *at most* is not excluded by so many trials.",
    ]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _seed(seed: int | list[int]) -> str:
    return f" --seed {seed}`" if isinstance(seed, int) else "`, fault by fault with seeds of their own,"


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60} s"


def main(file: Path) -> None:
    """Writes the document to the file."""
    result = json.loads((DOCS / "reliability.json").read_text(encoding="utf-8"))
    kept = tomllib.loads((DOCS / "reliability.toml").read_text(encoding="utf-8"))
    file.write_text(document(result, kept), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT)
