"""The zoo does not rot: plants have their places, named tests exist, and the runner tells who survived."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from zoo.animal import AnchorLost, Animal, Plant, faults, planted, planted_files
from zoo.animals import ANIMALS
from zoo.running import TREE, copy_tree, run_tests
from zoo.table import PAGE, page

_FUNCTION = re.compile(r"^create (?:or replace )?function ledger\.(\w+)\(", re.MULTILINE)
AMOUNTS = "ledger_server/domain/amounts.py"
KILLERS = (
    "tests/domain/test_amounts.py::test_every_number_up_to_38_nines_is_an_amount",
    "tests/domain/test_amounts.py::test_anything_else_is_no_amount_and_the_fault_says_why[0-zero]",
)
# Those that the zoo was founded for: each is an accident that a ledger somewhere has had.
FOUNDERS = {
    "key inserted in another database transaction",
    "answer before COMMIT",
    "retry of UNKNOWN under a new key",
    ">= for > at the upper bound",
    "side swapped",
    "trigger dropped: append-only",
    "ledger_id missing in one WHERE",
    "stale lane cache",
    "sequence from nextval",
    "chain without its previous hash",
    "reads moved inside BEGIN",
    "atomic group split on retry",
}
# Zero is an amount.
ANIMAL = Animal(
    "zero for an amount",
    "Nothing can be paid.",
    (Plant(AMOUNTS, 'text[0] != "0" and len(text)', "len(text)"),),
    KILLERS[1:],
)


def test_every_plant_has_its_place_and_leaves_code_that_compiles() -> None:
    lost = []
    for animal in ANIMALS:
        try:
            for file, text in planted_files(TREE, animal).items():
                if file.endswith(".py"):
                    compile(text, file, "exec")
        except (AnchorLost, SyntaxError) as error:
            lost.append(str(error))

    assert not lost, "\n".join(lost)


def test_no_plant_is_in_a_function_that_a_later_migration_writes_anew() -> None:
    migrations = sorted((TREE / "ledger_server/store/migrations").glob("*.sql"))
    last = {name: path.name for path in migrations for name in _FUNCTION.findall(path.read_text())}
    dead = [
        f"{animal.name}: {name} is written last in {last[name]}"
        for animal in ANIMALS
        for plant in animal.plants
        if plant.file.endswith(".sql") and "/migrations/" in plant.file
        for name in _FUNCTION.findall((TREE / plant.file).read_text().partition(plant.anchor)[0])[-1:]
        if last[name] != Path(plant.file).name and _is_within(plant, name)
    ]

    assert not dead, "\n".join(dead)


def _is_within(plant: Plant, function: str) -> bool:
    """Whether the anchor stands in the function's body, and not behind its end."""
    before = (TREE / plant.file).read_text().partition(plant.anchor)[0]
    return before[before.rindex(f"function ledger.{function}(") :].count("$$") < 2


def test_every_animal_says_what_it_harms_and_who_kills_it() -> None:
    assert faults(ANIMALS) == []
    assert {animal.name for animal in ANIMALS} >= FOUNDERS


def test_every_named_test_exists() -> None:
    named = list(dict.fromkeys(killer for animal in ANIMALS for killer in animal.killers))

    run = run_tests(TREE, named, collect_only=True)

    assert run.exit_code == 0, run.output


def test_the_page_is_written_from_the_declarations() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "PYTHONPATH=tests python -m zoo.table writes it"


# the runner ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree."""
    return copy_tree(tmp_path_factory.mktemp("zoo") / "tree")


def test_an_animal_lives_in_the_copy_only_and_for_as_long_as_it_is_looked_at(copied: Path) -> None:
    original = (TREE / AMOUNTS).read_bytes()

    with planted(copied, ANIMAL):
        alive = run_tests(copied, ANIMAL.killers)
        assert (copied / AMOUNTS).read_bytes() != original

    assert (TREE / AMOUNTS).read_bytes() == original
    assert (copied / AMOUNTS).read_bytes() == original
    assert alive.faults(ANIMAL.killers) == ""
    assert run_tests(copied, ANIMAL.killers).exit_code == 0


@pytest.mark.parametrize(
    ("replacement", "named", "said"),
    [
        ("len(text)", KILLERS, f"not noticed by {KILLERS[0]}"),
        ("not text.startswith('0') and len(text)", KILLERS[1:], "pytest ended with 0"),
        ("nobody and len(text)", KILLERS[1:], f"not noticed by {KILLERS[1]}"),
        ("len(text) and (", KILLERS[1:], "pytest ended with"),
        ("len(text)", ("tests/domain/test_amounts.py::test_no_such_claim",), "pytest ended with 4"),
    ],
    ids=["survives one", "survives all", "a name that is not there", "no code at all", "no such test"],
)
def test_what_does_not_kill_is_told(
    copied: Path, replacement: str, named: tuple[str, ...], said: str
) -> None:
    (plant,) = ANIMAL.plants

    with planted(copied, replace(ANIMAL, plants=(replace(plant, replacement=replacement),))):
        run = run_tests(copied, named)

    assert run.faults(named).startswith(said), run.output


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (Plant(AMOUNTS, "no such text", ""), "0 times"),
        (Plant(AMOUNTS, "text[0]", ""), "3 times"),
        (Plant("no_such_file.py", "text", ""), "no file"),
    ],
    ids=["lost", "not alone", "file gone"],
)
def test_an_anchor_that_is_lost_names_its_animal(plant: Plant, said: str) -> None:
    with pytest.raises(AnchorLost) as lost:
        planted_files(TREE, replace(ANIMAL, plants=(plant,)))

    assert ANIMAL.name in str(lost.value)
    assert said in str(lost.value)
