"""A list, page by page to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callers import DEADLINE_S
from google.protobuf.message import Message


def walked(call: Callable[..., Any], request: Any, rows: str, page_size: int = 1_000) -> list[Message]:
    """Every row of a list; no page is larger than asked, and all reflect the same sequence."""
    found: list[Message] = []
    sequences = set()
    token = ""
    while True:
        asked = type(request)()
        asked.CopyFrom(request)
        asked.page_size, asked.page_token = page_size, token
        page = call(asked, timeout=DEADLINE_S)
        assert len(getattr(page, rows)) <= page_size
        found += getattr(page, rows)
        sequences.add(getattr(page, "sequence", 0))
        token = page.next_page_token
        if not token:
            assert len(sequences) == 1, sequences
            return found
