"""The cases of a run: each is a function of the seed and its number alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from hostile.callers_of import ANYBODY, caller, who_may
from hostile.calls import Calls
from hostile.ground import Ground
from hostile.methods import METHODS, Method
from hostile.mutations import bent
from hostile.values import METADATA

from ledger_server.rpc.limits import HEADERS_BYTES_MAX

VALID = "valid"
OVERSIZE = "oversize"
NO_MESSAGE = "no message"
UNKNOWN_METHOD = "unknown method"
# What a plain call may take on a busy machine.
PATIENCE_S = 60.0
_MESSAGE_MAX = 8 << 20
_UNKNOWN_PATHS = (
    "/ledger.v1.LedgerService/Delete",
    "/ledger.v1.LedgerService/post",
    "/ledger.v1.LedgerService/Post/",
    "//Post",
    "/",
    "/ledger.v1.LedgerService/Post\u202e",
    "/ledger.v2.LedgerService/Post",
    "/grpc.channelz.v1.Channelz/GetServers",
    "/grpc.health.v1.Health/Set",
    "/grpc.reflection.v1alpha.ServerReflection/" + "x" * 2_000,
)
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One call: what is sent, and how. `kind` says what is wrong with it."""

    number: int
    method: Method
    kind: str
    messages: tuple[bytes, ...]
    path: str
    metadata: Metadata = ()
    timeout_s: float = PATIENCE_S
    is_hurried: bool = False
    cancel_after_s: float | None = None
    mutation: str = ""
    caller: str = ANYBODY

    @property
    def is_plain(self) -> bool:
        """Valid bytes, sent as one sends them, by who may."""
        is_allowed = self.caller in (ANYBODY, who_may(self.method))
        return self.kind == VALID and not self.is_hurried and not self.metadata and is_allowed

    @property
    def has_long_metadata(self) -> bool:
        """As much as gRPC may refuse, with what it adds itself."""
        return sum(len(name) + len(value) + 32 for name, value in self.metadata) > HEADERS_BYTES_MAX - 1_024


def case(seed: str, number: int, ground: Ground, *, is_asked: bool = False) -> Case:
    """The case of this number, made by anybody, or by somebody where the server asks who calls."""
    made = _case(seed, number, ground)
    if not is_asked:
        return made
    return replace(made, caller=caller(Random(f"{seed} {number} caller"), made.method))


def _case(seed: str, number: int, ground: Ground) -> Case:
    """About 40 of 100 are valid but for one fault, 30 are valid."""
    draw = Random(f"{seed} {number}")
    method = draw.choice(METHODS)
    made = _bytes(draw, number, method, ground)
    chance = draw.random()
    if chance < 0.06:
        return replace(made, timeout_s=draw.choice([0.0, 0.001, draw.uniform(0, 0.05)]), is_hurried=True)
    if chance < 0.10:
        return replace(made, cancel_after_s=draw.uniform(0, 0.02), is_hurried=True)
    if chance < 0.20:
        return _with_metadata(draw, made)
    return made


def _bytes(draw: Random, number: int, method: Method, ground: Ground) -> Case:
    chance = draw.random()

    def made(kind: str, *messages: bytes, path: str = method.path, mutation: str = "") -> Case:
        return Case(number, method, kind, messages, path, mutation=mutation)

    if chance < 0.30:
        kind = VALID if Calls.is_written(method) else "well-formed"
        return made(kind, _valid(draw, method, ground, VALID))
    if chance < 0.35:
        # Whatever stands in the books decides.
        return made("well-formed", _valid(draw, method, ground, "bent"))
    if chance < 0.75:
        message = Calls(draw, ground, "bent").make(method)
        mutation, data = bent(draw, ground, message)
        return made("one mutation", data, mutation=mutation)
    if chance < 0.85:
        return made("random bytes", draw.randbytes(draw.choice([1, 2, 5, 20, 200, 5_000])))
    if chance < 0.92:
        return made("wrong message", _valid(draw, draw.choice(METHODS), ground, "bent"))
    if chance < 0.95:
        return made("empty", b"")
    if chance < 0.965:
        return made(UNKNOWN_METHOD, _valid(draw, method, ground, "bent"), path=draw.choice(_UNKNOWN_PATHS))
    if chance < 0.98:
        return made(NO_MESSAGE)
    if chance < 0.998:
        twice = (_valid(draw, method, ground, "bent"), draw.randbytes(9))
        return made("two messages", *twice)
    if chance < 0.999:
        return made(OVERSIZE, bytes(_MESSAGE_MAX + draw.choice([1, 1_000])))
    return made("large", draw.choice([b"\x0a", b"\x12\x00", b"\xff"]) * (_MESSAGE_MAX // 8))


def _valid(draw: Random, method: Method, ground: Ground, side: str) -> bytes:
    return Calls(draw, ground, side).make(method).SerializeToString(deterministic=True)


def _with_metadata(draw: Random, made: Case) -> Case:
    metadata: list[tuple[str, str | bytes]] = list(draw.sample(METADATA, draw.randint(1, 3)))
    chance = draw.random()
    if chance < 0.3:
        metadata.append((f"x-{draw.getrandbits(16)}-bin", draw.randbytes(draw.choice([0, 1, 300]))))
    elif chance < 0.4:
        metadata.append(("grpc-status-details-bin", draw.randbytes(30)))
    elif chance < 0.5:
        metadata += [("x-many", str(number)) for number in range(60)]
    elif chance < 0.6:
        metadata.append(("x-long", "x" * draw.choice([9_000, 17_000, 70_000])))
    return replace(made, metadata=tuple(metadata))
