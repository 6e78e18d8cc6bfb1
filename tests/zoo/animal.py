"""An animal of the zoo: a fault as somebody could have written it, and the tests that must notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class AnchorLost(Exception):
    """A plant's anchor does not stand in its file exactly once: the code moved on, the plant must follow."""


@dataclass(frozen=True, slots=True)
class Plant:
    """One change of one file: the text `anchor`, which stands there exactly once, becomes `replacement`."""

    file: str
    anchor: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Animal:
    """A fault: what it would do to users in one sentence, its plants, and every test that must fail by it."""

    name: str
    harm: str
    plants: tuple[Plant, ...]
    killers: tuple[str, ...]


def planted_files(tree: Path, animal: Animal) -> dict[str, str]:
    """The text of every file of the animal with its plants in place. Raises AnchorLost."""
    texts: dict[str, str] = {}
    for plant in animal.plants:
        path = tree / plant.file
        if plant.file not in texts:
            if not path.is_file():
                raise AnchorLost(f"{animal.name}: there is no file {plant.file}")
            texts[plant.file] = path.read_text(encoding="utf-8")
        times = texts[plant.file].count(plant.anchor)
        if times != 1:
            raise AnchorLost(
                f"{animal.name}: this stands {times} times in {plant.file} instead of once:\n{plant.anchor}"
            )
        texts[plant.file] = texts[plant.file].replace(plant.anchor, plant.replacement)
    return texts


@contextmanager
def planted(tree: Path, animal: Animal) -> Iterator[None]:
    """The animal lives in the tree inside the block; afterwards the tree is what it was."""
    texts = planted_files(tree, animal)
    originals = {file: (tree / file).read_bytes() for file in texts}
    try:
        for file, text in texts.items():
            (tree / file).write_text(text, encoding="utf-8")
        yield
    finally:
        for file, original in originals.items():
            (tree / file).write_bytes(original)


def faults(animals: Sequence[Animal]) -> list[str]:
    """What is wrong with declarations by themselves; empty where nothing is."""
    found = []
    for animal in animals:
        if not animal.plants or not animal.killers:
            found.append(f"{animal.name}: an animal has plants, and tests that kill it")
        if any(plant.anchor == plant.replacement for plant in animal.plants):
            found.append(f"{animal.name}: a plant changes nothing")
        if not animal.harm.endswith(".") or "|" in animal.harm or "\n" in animal.harm:
            found.append(f"{animal.name}: its harm is one sentence that fits a table")
    for field in ("name", "harm"):
        values = [getattr(animal, field) for animal in animals]
        found += [f"two animals have the {field} {value!r}" for value in {*values} if values.count(value) > 1]
    return found
