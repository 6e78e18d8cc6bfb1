"""Reading a journal CSV as `hledger print -O csv` writes it: a row an entry, a transaction's rows together.

The file is streamed: a transaction is an object only while it is looked at. Every
rule that needs no server is kept here, each with the line it was broken on, so
that a first pass over the file finds what is wrong before anything is posted.
"""

import csv
import datetime
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import BinaryIO

from ledger_client.decimals import EXACT, plain
from ledger_server.domain.names import asset_code_fault, path_fault, text_fault

COLUMNS = ("txnidx", "date", "description", "account", "amount", "commodity")
# The service's own bound on a transaction.
ENTRIES_MAX = 1_000
# What can still be a whole number of minor units on the wire: 38 digits in all, 36 of them decimals.
_AMOUNT = re.compile(r"[+-]?([0-9]{1,38})(?:\.([0-9]{1,36}))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class BadJournal(Exception):
    """The file cannot be imported: the line, and a sentence that says why and what to do."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"line {line}: {sentence}")
        self.line = line


@dataclass(frozen=True, slots=True)
class CsvEntry:
    """One row: positive amounts are debits. Names are in NFC, whatever the file has."""

    line: int
    account: str
    amount: Decimal
    commodity: str


@dataclass(frozen=True, slots=True)
class CsvTransaction:
    """The rows of one txnidx: balanced in every commodity, without the rows whose amount is zero.

    `zero_lines` are those rows, `respelled` the names that the file does not spell in
    NFC; an import tells of both.
    """

    line: int
    date: datetime.date
    description: str
    entries: tuple[CsvEntry, ...]
    zero_lines: tuple[int, ...] = ()
    respelled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    number: str
    date: str
    description: str
    account: str
    amount: str
    commodity: str


def read_transactions(file: BinaryIO) -> Iterator[CsvTransaction]:
    """Yields the file's transactions in order, from its start; raises BadJournal at the first bad line."""
    rows: list[_Row] = []
    for row in _read_rows(file):
        if rows and row.number != rows[0].number:
            yield _transaction(rows)
            rows = []
        rows.append(row)
    if rows:
        yield _transaction(rows)


def _read_rows(file: BinaryIO) -> Iterator[_Row]:
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    line = 1
    try:
        header = next(reader, [])
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise BadJournal(
                1,
                f"there is no column {', '.join(missing)}; a journal CSV has at least {','.join(COLUMNS)}"
                " (`hledger print -x -O csv` writes one)",
            )
        places = [header.index(column) for column in COLUMNS]
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) != len(header):
                if cells:
                    raise BadJournal(line, f"{len(cells)} cells where the header has {len(header)}")
            else:
                yield _Row(line, *(cells[place] for place in places))
            # A quoted cell may span lines: the row began after the one before it ended.
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadJournal(line, f"this is not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise BadJournal(line, "the file is not UTF-8 at or after this line; convert it first") from error
    finally:
        # Else the wrapper would close the file, which is read again. A reader left in the middle
        # of the file may be dropped after it.
        if not file.closed:
            text.detach()


def _transaction(rows: list[_Row]) -> CsvTransaction:
    first = rows[0]
    entries: list[CsvEntry] = []
    zero_lines: list[int] = []
    respelled: list[str] = []
    for row in rows:
        if row.date != first.date or row.description != first.description:
            raise BadJournal(
                row.line,
                f"another date or description than line {first.line}, under the same txnidx {first.number!r}",
            )
        amount = _amount(row)
        # The ledger has no zero entries; hledger writes one for a balance assertion.
        if amount:
            entry = CsvEntry(row.line, _account(row), amount, _commodity(row))
            entries.append(entry)
            if entry.account != row.account:
                respelled.append(entry.account)
            if entry.commodity != row.commodity:
                respelled.append(entry.commodity)
        else:
            zero_lines.append(row.line)
    if len(entries) > ENTRIES_MAX:
        raise BadJournal(first.line, f"{len(entries)} entries; a transaction has at most {ENTRIES_MAX}")
    fault = text_fault(first.description)
    if fault:
        raise BadJournal(first.line, f"the description {fault}")
    _refuse_unbalanced(first, entries)
    return CsvTransaction(
        first.line,
        _date(first.line, first.date),
        first.description,
        tuple(entries),
        tuple(zero_lines),
        tuple(respelled),
    )


def _refuse_unbalanced(first: _Row, entries: list[CsvEntry]) -> None:
    sums: dict[str, Decimal] = {}
    for entry in entries:
        sums[entry.commodity] = EXACT.add(sums.get(entry.commodity, Decimal(0)), entry.amount)
    off = [f"{plain(total)} {commodity}" for commodity, total in sums.items() if total]
    if not off:
        return
    # A price that the CSV does not carry leaves two commodities over.
    advice = "; `hledger print -x --infer-equity -O csv` balances each commodity" if len(off) > 1 else ""
    raise BadJournal(
        first.line, f"transaction {first.number} is not balanced: off by {', '.join(off)}{advice}"
    )


def _amount(row: _Row) -> Decimal:
    if _AMOUNT.fullmatch(row.amount):
        return Decimal(row.amount)
    if not row.amount:
        raise BadJournal(row.line, "the amount is empty; `hledger print -x -O csv` writes all of them out")
    raise BadJournal(
        row.line,
        f"the amount {row.amount!r} is not a plain decimal number such as -1234.50: a point, no separators of"
        " thousands, at most 38 digits before and 36 after it"
        " (with hledger: `hledger print -x -O csv -c '1000.00 EUR'`)",
    )


def _date(line: int, text: str) -> datetime.date:
    if _DATE.fullmatch(text):
        try:
            return datetime.date.fromisoformat(text)
        except ValueError:
            pass
    raise BadJournal(line, f"the date {text!r} is not a day written as 2024-12-31")


def _account(row: _Row) -> str:
    name = nfc(row.account)
    if name[:1] + name[-1:] in ("()", "[]"):
        raise BadJournal(
            row.line, f"{name!r} is a virtual posting; `hledger print -x --real -O csv` leaves them out"
        )
    fault = path_fault(name)
    if fault:
        raise BadJournal(row.line, f"the account name {name!r} {fault}")
    return name


def _commodity(row: _Row) -> str:
    code = nfc(row.commodity)
    fault = asset_code_fault(code)
    if fault:
        raise BadJournal(
            row.line,
            f"the commodity {code!r} {fault}; rename it: an asset has 1-32 characters without spaces",
        )
    return code


@lru_cache(maxsize=65536)
def nfc(text: str) -> str:
    """The one spelling that the service takes; cached because the same names come again and again."""
    return unicodedata.normalize("NFC", text)
