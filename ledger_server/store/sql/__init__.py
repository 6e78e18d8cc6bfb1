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
_PARAMETER = re.compile(r"%\((\w+)\)s")


class Statement(bytes):
    """A statement's text, with `%(name)s` for its parameters, as psycopg takes it.

    `numbered` is the same with $1, $2 …, as PostgreSQL takes it, `parameters` their names
    in that order, and `label` what it is called where it is prepared.
    """

    label: bytes
    numbered: bytes
    parameters: tuple[str, ...]

    @classmethod
    def of(cls, label: str, text: str) -> Statement:
        """A statement of this text."""
        statement = cls(text.encode())
        statement.label = label.encode()
        statement.parameters = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        places = {name: f"${place}" for place, name in enumerate(statement.parameters, 1)}
        statement.numbered = _PARAMETER.sub(lambda match: places[match[1]], text).encode()
        return statement


@cache
def statements(file: str) -> SimpleNamespace:
    """The named statements of one .sql file, as attributes."""
    text = files(__name__).joinpath(f"{file}.sql").read_text(encoding="utf-8")
    parts = _HEADER.split(text)
    return SimpleNamespace(
        **{
            name: Statement.of(f"{file}.{name}", body.strip().rstrip(";"))
            for name, body in zip(parts[1::2], parts[2::2], strict=True)
        }
    )
