"""A ledger's chart: which assets, accounts and kinds of transactions it has, as its caller wrote it.

A chart is a whole: every version replaces the one before. What it does not mention it
does not judge: without families any account may be opened, without kinds any kind posted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from ledger_server.domain.accounts import AccountType, Limit
from ledger_server.domain.members import Role
from ledger_server.domain.sets import AccountSet
from ledger_server.domain.templates import Template

ASSETS_MAX = 256
FAMILIES_MAX = 256
FAMILY_ASSETS_MAX = 64
KINDS_MAX = 256
REQUIRED_METADATA_MAX = 32
PARAMETER_NAME_LENGTH_MAX = 64
SERIES_NAME_LENGTH_MAX = 64

# The kind that stands for every kind that the chart does not name.
WILDCARD = "*"


class ParameterType(IntEnum):
    """What a parameter of a pattern may be; the numbers are the wire's and the chain's.

    UUID: 8-4-4-4-12 hexadecimal digits in lower case, so that each has one spelling only.
    INT: digits without a leading zero, at most 19. SLUG: 1-64 of a-z, 0-9, '-' and '_',
    with a letter or digit at both ends; every INT and UUID is one too.
    """

    UUID = 1
    INT = 2
    SLUG = 3


class Idempotency(IntEnum):
    """Whether posts of a kind carry an idempotency key; the numbers are the wire's and the chain's."""

    REQUIRED = 1
    OPTIONAL = 2
    NONE = 3


@dataclass(frozen=True, slots=True)
class ChartAsset:
    """An asset that the ledger has: its code, and how many digits its minor units shift."""

    code: str
    scale: int


@dataclass(frozen=True, slots=True)
class Family:
    """Accounts whose names match one pattern; without parameters in it, one global account.

    A pattern is an account's path in which whole segments may be parameters
    (`2000:{user_id}`); `parameters` has the type of each. No assets: every asset. Limits
    are those that an account gets which is opened by its first posting. Where
    `limits_include_zero`, an account has none that excludes zero, later ones neither.
    """

    pattern: str
    parameters: Mapping[str, ParameterType]
    type: AccountType
    assets: tuple[str, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    opens_on_first_posting: bool = False
    description: str = ""
    limits_include_zero: bool = False


@dataclass(frozen=True, slots=True)
class Numbering:
    """Numbers without a gap, from 1, for each account prefix that a transaction touches.

    `per` is the beginning of account paths (`shops:{shop}`; any segment may be a
    parameter); where it is empty the series is the ledger's. The series of a transaction
    is `name`, or `name:prefix`: `receipts:shops:12`.
    """

    name: str
    per: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a post of this kind must bring: a key or none, metadata; whether it gets a number.

    `role` is one that its caller must have, besides the permission to post; None asks for none.
    """

    name: str
    idempotency: Idempotency = Idempotency.OPTIONAL
    required_metadata: tuple[str, ...] = ()
    numbering: Numbering | None = None
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in its one order: each list by name in bytewise order. Make one with `chart_of`."""

    assets: tuple[ChartAsset, ...] = ()
    families: tuple[Family, ...] = ()
    kinds: tuple[Kind, ...] = ()
    templates: tuple[Template, ...] = ()
    sets: tuple[AccountSet, ...] = ()


NO_CHART = Chart()


@dataclass(frozen=True, slots=True)
class ChartDraft:
    """The chart that a caller asks the ledger to have; `version` is the newest he knows, 0 for none."""

    chart: Chart
    version: int
    created_by: str
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class ChartVersion:
    """A chart as one record left it, and the chart that it replaced, where that was decided here.

    `sequence` is 0 and `hash` empty in the answer to a validate_only draft.
    """

    version: int
    chart: Chart
    sequence: int
    record_time: int
    created_by: str
    hash: bytes
    replaced: Chart = NO_CHART


def chart_of(
    assets: Iterable[ChartAsset],
    families: Iterable[Family],
    kinds: Iterable[Kind],
    templates: Iterable[Template] = (),
    sets: Iterable[AccountSet] = (),
) -> Chart:
    """A chart from its parts in any order; what a chart may look like is `chart_form`'s to say."""
    return Chart(
        tuple(sorted(assets, key=lambda asset: asset.code.encode())),
        tuple(sorted(map(_family_in_order, families), key=lambda family: family.pattern.encode())),
        tuple(sorted(map(_kind_in_order, kinds), key=lambda kind: kind.name.encode())),
        tuple(sorted((each.in_order() for each in templates), key=lambda each: (each.name, each.version))),
        tuple(sorted((each.in_order() for each in sets), key=lambda each: each.name.encode())),
    )


def _family_in_order(family: Family) -> Family:
    return replace(family, assets=tuple(sorted(family.assets, key=str.encode)))


def _kind_in_order(kind: Kind) -> Kind:
    return replace(kind, required_metadata=tuple(sorted(kind.required_metadata, key=str.encode)))
