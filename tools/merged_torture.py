"""Makes one result of several: `python tools/merged_torture.py OUT IN...`.

For a full run that was made fault by fault (`./ledger torture --full --only FAULT --json IN`):
hours that need not be made in one go. Of a fault that was tried twice the later result counts.
Refuses results of different sizes or versions.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from torture.rounds import NAMES


def main() -> None:
    """Writes the merged result; its seeds are a list, in the order of its faults."""
    out, *files = map(Path, sys.argv[1:])
    results = sorted((json.loads(file.read_text()) for file in files), key=lambda one: one["taken"])
    of_one_kind = {(one["size"], one["ledger"], one["machine"]["postgresql"]) for one in results}
    if len(of_one_kind) != 1:
        raise SystemExit(f"these are of different kinds: {sorted(of_one_kind)}")
    tried = {row["fault"]: (one, row) for one in results for row in one["faults"]}
    kept = [tried[name] for name in NAMES if name in tried]
    merged = results[-1] | {
        "seed": [one["seed"] for one, _ in kept],
        "seconds": sum(one["seconds"] for one, _ in kept),
        "faults": [row for _, row in kept],
    }
    out.write_text(json.dumps(merged, indent=2) + "\n")


if __name__ == "__main__":
    main()
