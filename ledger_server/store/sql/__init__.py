"""The statements, by name: every .sql file here holds `-- name` headers, a sentence, and the text.

Static text only: nothing is ever built into a statement, so nothing can be
injected into one. `statements("lane")` answers the statements of lane.sql.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import SimpleNamespace

_HEADER = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(file: str) -> SimpleNamespace:
    """The named statements of one .sql file, as attributes of bytes (which psycopg takes as they are)."""
    text = files(__name__).joinpath(f"{file}.sql").read_text(encoding="utf-8")
    parts = _HEADER.split(text)
    return SimpleNamespace(
        **{
            name: body.strip().rstrip(";").encode()
            for name, body in zip(parts[1::2], parts[2::2], strict=True)
        }
    )
