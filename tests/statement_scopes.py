"""Reads our own statements closely enough to say which tables are not held to one ledger.

No parser of SQL: a statement is taken apart into its query blocks (what stands between
brackets, and the arms of a union), and in each block every table of a tenant must be
compared with the ledger by its own name. What is not understood counts as loose, so a
statement that is written in a new way is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

# Words that follow a table's name and are no alias of it.
_NO_ALIAS = "where|on|using|join|cross|left|full|inner|order|group|limit|set|values|select|as|for"
_TABLE = re.compile(rf"\bledger\.(\w+)\b(?!\s*\()(?:\s+as\s+(\w+)|\s+(?!(?:{_NO_ALIAS})\b)(\w+))?")
_INSERT = re.compile(r"\binsert into ledger\.(\w+)\s*\uE000(\d+)\uE001\s*(select|values)\b(.*)", re.DOTALL)
# A bracket's place in the block around it, by its number.
_HOLE = "\ue000{}\ue001"


def loose_tables(statement: str, tables: Set[str]) -> list[str]:
    """The tenants' tables that a statement reads or writes without holding them to one ledger."""
    blocks = list(_blocks(_bare(statement)))
    texts = dict(enumerate(text for text, _ in blocks))
    found = []
    for text, is_query in blocks:
        for arm in re.split(r"\bunion(?: all)?\b", text) if is_query else [text]:
            found += _loose(arm, texts, tables)
    return found


def _bare(statement: str) -> str:
    """Without comments, and with texts emptied: a word in quotes is no table."""
    without_comments = re.sub(r"--[^\n]*", "", statement)
    return re.sub(r"'(?:[^']|'')*'", "''", without_comments).lower()


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """The text, then every bracket's, numbered from 1 as they open; each with holes for those inside.

    The second value says whether it is a query of its own.
    """
    texts: list[list[str]] = [[]]
    open_now = [0]
    # What stands in brackets of a parameter is its name.
    for part in re.split(r"(%\(\w+\)s|[()])", text):
        if part == "(":
            texts.append([])
            texts[open_now[-1]].append(_HOLE.format(len(texts) - 1))
            open_now.append(len(texts) - 1)
        elif part == ")":
            open_now.pop()
        else:
            texts[open_now[-1]].append(part)
    assert open_now == [0], "a bracket is left open"
    for number, parts in enumerate(texts):
        block = "".join(parts).strip()
        yield block, number == 0 or re.match(r"(select|with|insert|update|delete)\b", block) is not None


def _loose(arm: str, texts: dict[int, str], tables: Set[str]) -> list[str]:
    named = [(table, first or second or table) for table, first, second in _TABLE.findall(arm)]
    ours = [(table, alias) for table, alias in named if table in tables]
    insert = _INSERT.search(arm)
    if insert is not None and insert[1] in tables:
        if not _gives_ledger(insert, texts):
            return [insert[1]]
        ours.remove((insert[1], insert[1]))
    held = {alias for _, alias in ours if _is_held(arm, alias, is_alone=len(ours) == 1)}
    return [table for table, alias in ours if alias not in held and not (held and _joins(arm, alias, texts))]


def _joins(arm: str, alias: str, texts: dict[int, str]) -> bool:
    """Whether the table has the ledger in common with those that it is joined to: using (ledger_id, …)."""
    using = re.search(rf"\b{alias}\s+using\s*\uE000(\d+)\uE001", arm)
    return using is not None and re.match(r"ledger_id\b", texts[int(using[1])]) is not None


def _is_held(arm: str, alias: str, *, is_alone: bool) -> bool:
    """Whether the block compares the table's ledger with the call's, under the table's own name."""
    # Unqualified, the name means the block's only table of a tenant.
    column = rf"(?<![\w.])(?:{alias}\.){'?' if is_alone else ''}ledger_id"
    # Rows of no ledger are the platform's own, and no tenant's.
    given = r"(?:=|is not distinct from)\s+%\(ledger_id\)s(?!\s*[-+*/|])|is\s+null"
    return re.search(rf"{column}\s+(?:{given})", _conditions(arm)) is not None


def _conditions(arm: str) -> str:
    """What must hold for a row: the block's text from its first on or where, if no `or` loosens it."""
    where = re.search(r"\b(?:on|where)\b(.*)", arm, re.DOTALL)
    if where is None or re.search(r"\bor\b", where[1]):
        return ""
    return where[1]


def _gives_ledger(insert: re.Match[str], texts: dict[int, str]) -> bool:
    """Whether the value in the place of the column ledger_id is the call's ledger."""
    columns = [column.strip() for column in texts[int(insert[2])].split(",")]
    if "ledger_id" not in columns:
        return False
    place = columns.index("ledger_id")
    given = insert[4]
    if insert[3] == "values":
        row = re.match(r"\s*\uE000(\d+)\uE001", given)
        given = texts[int(row[1])] if row else ""
    values = re.split(r"\bfrom\b", given)[0].split(",")
    return place < len(values) and values[place].strip().startswith("%(ledger_id)s")
