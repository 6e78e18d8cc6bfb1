"""Scenario files as lines: words, and what is expected at the end. docs/scenarios.md has the language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# Blanks and comments, a bracket of a group, or a word, parts of which may be quoted.
_PIECE = re.compile(r'\s+|#.*|(?P<bracket>[()])|(?P<word>(?:"[^"]*"|[^\s"#()])+)')
_NAME = re.compile(r"\$([a-z][a-z0-9_]*)")
_PAIR = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"
# Every refusal that the contract documents.
REASONS = frozenset(re.findall(r"^\| `([A-Z_]+)` \|", _ERRORS.read_text(encoding="utf-8"), re.MULTILINE))


class Fault(Exception):
    """What cannot be read; the line that has it is told by whoever reads the file."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word without its quotes. One that begins with a quote is never a keyword."""

    text: str
    is_quoted: bool = False

    def pair(self) -> tuple[str, str] | None:
        """NAME and VALUE, where it is NAME=VALUE."""
        found = None if self.is_quoted else _PAIR.fullmatch(self.text)
        return (found[1], found[2]) if found else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a line, or what is expected to: a word, and facts by name."""

    word: str
    facts: Mapping[str, str]

    def __str__(self) -> str:
        return " ".join([self.word, *(f"{name}={value}" for name, value in sorted(self.facts.items()))])


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file."""

    path: Path
    number: int
    verb: str
    words: tuple[Word, ...]

    def __str__(self) -> str:
        return f"{self.path.name}:{self.number}"


def read(path: Path) -> list[Line]:
    """The lines of a file that say something, with every $NAME replaced by its value. Raises Fault."""
    lines: list[Line] = []
    values: dict[str, str] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            words = [replaced(word, values) for word in words_of(text)]
            if words[:1] == [Word("let")]:
                name, value = Words(words[1:]).take_all("a name", "a value")
                values[name] = value
            elif words:
                lines.append(Line(path, number, words[0].text, tuple(words[1:])))
        except Fault as fault:
            raise Fault(f"{path.name}:{number}: {fault}") from None
    return lines


def replaced(word: Word, values: Mapping[str, str]) -> Word:
    """A word with the values of the names in it. Raises Fault."""
    for name in _NAME.findall(word.text):
        if name not in values:
            raise Fault(f"${name} is not known here")
    return Word(_NAME.sub(lambda name: values[name[1]], word.text), word.is_quoted)


def words_of(text: str) -> list[Word]:
    """The words of a line, without its comment."""
    words, at = [], 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise Fault("a quote is not closed")
        at = piece.end()
        if piece["bracket"]:
            words.append(Word(piece["bracket"]))
        elif piece["word"]:
            words.append(Word(piece["word"].replace('"', ""), piece["word"][0] == '"'))
    return words


def split(words: tuple[Word, ...], outcomes: str, otherwise: str = "") -> tuple[tuple[Word, ...], Outcome]:
    """What a line does, and what it expects: an outcome of these, which are a pattern, or a reason.

    Where it says nothing, `otherwise` is expected, if there is such a thing.
    """
    kept, facts = list(words), {}
    while kept and (pair := kept[-1].pair()):
        facts = {pair[0]: pair[1]} | facts
        kept.pop()
    last = kept[-1] if kept else Word("")
    if not last.is_quoted and (re.fullmatch(outcomes, last.text) or last.text in REASONS):
        return tuple(kept[:-1]), Outcome(last.text, facts)
    if otherwise:
        return words, Outcome(otherwise, {})
    raise Fault("nothing is expected at the end of this line")


class Words:
    """The words of a line, taken one after the other."""

    def __init__(self, words: Iterable[Word]) -> None:
        self._words = list(words)

    def __bool__(self) -> bool:
        return bool(self._words)

    def take(self, what: str) -> str:
        """The next word, which is this. Raises Fault where there is none."""
        if not self._words or self._is_bracket():
            raise Fault(f"{what} is missing")
        return self._words.pop(0).text

    def take_all(self, *whats: str) -> list[str]:
        """All the words that there are, which are these. Raises Fault."""
        taken = [self.take(what) for what in whats]
        self.end()
        return taken

    def take_one_of(self, what: str, *choices: str) -> str:
        """The next word, one of these. Raises Fault."""
        found = self.take(what)
        if found not in choices:
            raise Fault(f"{what} must be one of {', '.join(choices)}, not {found!r}")
        return found

    def skip(self, *keywords: str) -> str:
        """The next word where it is one of these keywords; else none, and nothing is taken."""
        if self._words and not self._words[0].is_quoted and self._words[0].text in keywords:
            return self._words.pop(0).text
        return ""

    def pairs(self) -> dict[str, str]:
        """Every NAME=VALUE up to the next other word; each name once. Raises Fault."""
        found: dict[str, str] = {}
        while self._words and (pair := self._words[0].pair()):
            if pair[0] in found:
                raise Fault(f"{pair[0]} is given twice")
            found[pair[0]] = pair[1]
            self._words.pop(0)
        return found

    def opens(self) -> bool:
        """Whether the next word is a name with a bracket behind it."""
        return len(self._words) > 1 and self._words[1] == Word("(")

    def bracketed(self) -> tuple[str, dict[str, str]]:
        """NAME(NAME=VALUE …). Raises Fault."""
        name = self._words.pop(0).text
        self._words.pop(0)
        given = self.pairs()
        if not self.skip(")"):
            raise Fault(f"{name}( is not closed behind its values")
        return name, given

    def end(self) -> None:
        """Nothing may be left. Raises Fault."""
        if self._words:
            raise Fault(f"{self._words[0].text!r} is not understood here")

    def _is_bracket(self) -> bool:
        return self._words[0] in (Word("("), Word(")"))
