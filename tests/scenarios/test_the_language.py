"""A scenario that says something wrong fails: where, what was expected, what came, and on which side.

otherwise.txt has lines that are wrong, and what is told of each; unreadable.txt lines that cannot be read.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from clusters import Database
from scenarios.language import Fault
from scenarios.live_side import LiveSide
from scenarios.playing import Wrong, claims, play
from scenarios.reference_side import ReferenceSide
from scenarios.sides import START

HERE = Path(__file__).parent
BOOKS = """
asset USD 2
account cash ASSET min 0.00 USD
account sales REVENUE
post k cash DR 10.00 USD sales CR 10.00 USD  posted
"""
FIRST = BOOKS.count("\n") + 1
CHART = """
chart shop.yaml
post - bought CR 9 PEN shops:a:stock DR 9 PEN kind delivery meta supplier=x posted
"""


def table(name: str) -> dict[str, str]:
    """Lines, " | " between several, and what is told of them."""
    text = (HERE / name).read_text(encoding="utf-8")
    rows = [row.partition("  =>  ") for row in text.splitlines()]
    return {line.replace(" | ", "\n"): told for line, _, told in rows}


OTHERWISE, UNREADABLE = table("otherwise.txt"), table("unreadable.txt")


def written(tmp_path: Path, text: str) -> Path:
    """A scenario of this text, beside a chart."""
    (tmp_path / "shop.yaml").write_bytes((HERE / "shop.yaml").read_bytes())
    path = tmp_path / "wrong.scenario"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("line", OTHERWISE)
def test_a_line_that_comes_out_otherwise_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(Wrong) as wrong:
        play(written(tmp_path, BOOKS + line), ReferenceSide())

    (told,) = str(wrong.value).splitlines()
    assert told.startswith(f"wrong.scenario:{FIRST}: " if "\n" not in line else "wrong.scenario:")
    assert OTHERWISE[line] in told
    assert told.endswith(", on the reference ledger")


def test_the_live_service_is_held_to_every_line_too(tmp_path: Path, database: Database) -> None:
    """All but the chart, behind which more would be refused."""
    lines = [line for line in OTHERWISE if "\n" not in line and not line.startswith(("chart", "freeze"))]
    with LiveSide.opened(database.app_url, tmp_path) as side:
        for number, line in enumerate(lines):
            with pytest.raises(Wrong) as wrong:
                play(written(tmp_path, f"ledger l{number}\n{BOOKS}{line}"), side)

            (told,) = str(wrong.value).splitlines()
            assert told.startswith(f"wrong.scenario:{FIRST + 1}: ")
            assert OTHERWISE[line] in told
            assert told.endswith(", on the live service")


@pytest.mark.parametrize("line", UNREADABLE)
def test_a_line_that_cannot_be_read_is_a_fault_of_the_file(tmp_path: Path, line: str) -> None:
    with pytest.raises(Fault, match=r"^wrong\.scenario:\d+: ") as fault:
        play(written(tmp_path, BOOKS + line), ReferenceSide())

    assert UNREADABLE[line] in str(fault.value)


def test_what_charts_say_is_held_too(tmp_path: Path) -> None:
    lines = [
        "template r sale shop=a clerk=ann lines(pens=2 price=250)  posted number=2",
        "template r sale shop=a clerk=bob lines(pens=2 price=250)  replayed",
        "transaction r  recorded meta.clerk=bob",
        "balance shops:a:stock PEN  9",
        "account nobody ASSET",
    ]

    with pytest.raises(Wrong) as wrong:
        play(written(tmp_path, CHART + "\n".join(lines)), ReferenceSide())

    assert [line.partition(" got ")[2] for line in str(wrong.value).splitlines()] == [
        "posted number=1, on the reference ledger",
        "IDEMPOTENCY_KEY_REUSED differing_fields=template.parameters idempotency_key=r sequence=6 "
        "status=ALREADY_EXISTS, on the reference ledger",
        "recorded meta.clerk=ann, on the reference ledger",
        "7, on the reference ledger",
        "VALIDATION_FAILED fields=account.name status=INVALID_ARGUMENT, on the reference ledger",
    ]


def test_claims_are_of_the_lines_behind_them(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "criterion S000-1 S000-2\nasset A 0\nasset B 0\ncriterion S000-2\nasset C 0\ncriterion\nasset D 0",
    )

    assert {number: [line.number for line in lines] for number, lines in claims(path).items()} == {
        "S000-1": [2, 3],
        "S000-2": [2, 3, 5],
    }


def test_time_stands_still_until_a_line_moves_it(tmp_path: Path) -> None:
    side = ReferenceSide()

    play(
        written(
            tmp_path,
            f"{BOOKS}transaction k  recorded effective=2100-01-01T00:00:00\nclock 2100-02-01T09:30:00",
        ),
        side,
    )

    assert side.now - START == (31 * 86_400 + 9 * 3_600 + 30 * 60) * 10**6


def test_the_reference_ledger_knows_nothing_of_the_service() -> None:
    """Neither its driver nor anything that the language is made of."""
    for path in HERE.glob("*.py"):
        if path.name != "live_side.py" and not path.name.startswith("test_"):
            text = path.read_text(encoding="utf-8")
            assert "ledger_server" not in text, path.name
            assert "ledger.v1" not in text, path.name
            assert "oracle.drive" not in text, path.name
