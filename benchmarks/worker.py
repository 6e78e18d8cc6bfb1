"""A load process: reads jobs from stdin, a JSON line each, and answers each with one line.

It lives through all suites, so that channels and connections are warm on both
sides of a pair. It says READY when a job is prepared, and starts the clock when it
hears a line.
"""

from __future__ import annotations

import json
import sys

from benchmarks.jobs import batches, calls, client_posts, copies, offers

_KINDS = {
    "batches": batches.prepare,
    "calls": calls.prepare,
    "client_posts": client_posts.prepare,
    "copies": copies.prepare,
    "offers": offers.prepare,
}


def main() -> None:
    """Works until stdin closes."""
    while line := sys.stdin.readline():
        job = json.loads(line)
        run = _KINDS[job["kind"]](job)
        print("READY", flush=True)
        sys.stdin.readline()
        print(json.dumps(run()), flush=True)


if __name__ == "__main__":
    main()
