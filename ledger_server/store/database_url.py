"""Whether a database URL can be read, asked before anybody connects.

What libpq says of one that it cannot read quotes it, or takes a piece of the
password for a host or a port and quotes that. So the sentences are ours, and
none of them holds a character of the URL.
"""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

_PORT_MAX = 65_535
_SCHEMES = ("postgresql://", "postgres://")
_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"

# A piece of what libpq says, and what it means.
_REASONS = (
    ("IPv6", "its [IPv6 address] has no end or nothing in it"),
    ("expected", "something stands between its host and its port or database"),
    ("query parameter", "what follows its ? is not a list of libpq's KEY=VALUE, with & between them"),
    ("percent-encoded token", "a % in it is not followed by two hexadecimal digits; a % itself is %25"),
    ("percent-encoded value", "%00 stands in it"),
    ("spaces", "a space in it is not written as %20"),
    ("unterminated", "a quote in it does not end"),
    ("invalid connection option", "it names an option that libpq does not have"),
)


class BadDatabaseUrl(Exception):
    """A database URL that cannot be read; the sentence names the setting, and repeats nothing of the URL."""


def refuse_unreadable(url: str, setting: str) -> None:
    """Raises BadDatabaseUrl where the URL, or list of KEY=VALUE, that a setting holds cannot be read."""
    try:
        host_and_more = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError) as error:
        raise _bad(setting, _reason(url, str(error))) from None
    if url.startswith(_SCHEMES) and "@" in _place(url):
        raise _bad(
            setting, "a second @ stands in it, or a / before its @; in a password they are %40 and %2F"
        )
    ports = str(host_and_more.get("port", "")).split(",")
    if not all(_is_port(port) for port in ports if port):
        raise _bad(setting, f"its port is not a number from 1 to {_PORT_MAX}")


def _bad(setting: str, reason: str) -> BadDatabaseUrl:
    return BadDatabaseUrl(f"{setting} cannot be read: {reason}; it may be {_FORM}")


def _reason(url: str, said: str) -> str:
    if not url.startswith(_SCHEMES) and ("://" in url or 'missing "="' in said):
        return "it begins neither with postgresql:// nor as a list of KEY=VALUE"
    return next((reason for piece, reason in _REASONS if piece in said), "libpq does not take it")


def _place(url: str) -> str:
    """Host, port and database, as libpq finds them: its user and password end at the first @ before a /."""
    after = url.partition("://")[2]
    if "@" in after.partition("/")[0]:
        after = after.partition("@")[2]
    return after.partition("?")[0]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= _PORT_MAX
