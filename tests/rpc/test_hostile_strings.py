"""Quotes, SQL, NULs and odd Unicode in every string of every method are only ever text.

Each is refused, found nowhere, or recorded and given back as it was sent; what others
have in the books, and the tables themselves, are as before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

import grpc
import psycopg
import pytest
from callers import Teller
from clusters import Database
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hostile.calls import Calls
from hostile.ground import opened
from hostile.judging import ALLOWED
from hostile.methods import METHODS, Method
from ledger.v1 import ledger_service_pb2 as pb
from loyalty import ON
from psycopg import sql
from serving import Serving, serving

from ledger_server.service.verify import prove
from ledger_server.store.replaying import reading_journals

SEED = "strings"
NUL = "a\x00b"
REVERSED = "\u202epot"
TEXTS = (
    "'",
    "''; drop table ledger.entries; --",
    "x' or '1'='1",
    "$1 %s %(ledger_id)s %n {0}",
    "$$; select pg_sleep(30); $$",
    "\\'; truncate ledger.heads; /*",
    '"ledger"."heads"',
    "E'\\\\047'",
    "\u02bc\uff07 \u2019 or 1=1",
    "\U0001f4b0",
    "{1,2,NULL}",
    '{"a": 1}',
    REVERSED,
    NUL,
)
OURS = tuple(method for method in METHODS if method.path.startswith("/ledger.v1."))
# The books of one who calls nothing meanwhile.
BYSTANDER = "bystander"


def with_text(message: Message, text: str) -> Iterator[tuple[str, Message]]:
    """The message with the text in each of its strings in turn, and where it stands."""
    for field in message.DESCRIPTOR.fields:
        for place, put in _places(message, field, text):
            bent = type(message)()
            bent.CopyFrom(message)
            put(bent)
            yield f"{field.name}{place}", bent


def _places(
    message: Message, field: FieldDescriptor, text: str
) -> Iterator[tuple[str, Callable[[Message], None]]]:
    name = field.name
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        is_text = field.message_type.fields_by_name["value"].type == FieldDescriptor.TYPE_STRING
        yield "{key}", lambda bent: getattr(bent, name).update({text: "value" if is_text else 1})
        if is_text:
            yield "{value}", lambda bent: getattr(bent, name).update({"key": text})
    elif field.message_type is not None and field.is_repeated:
        parts = getattr(message, name)
        for part, inner in with_text(parts[0] if parts else field.message_type._concrete_class(), text):
            yield f"[0].{part}", lambda bent, inner=inner: _first(bent, name).CopyFrom(inner)  # type: ignore[misc]
    elif field.message_type is not None:
        for part, inner in with_text(getattr(message, name), text):
            yield f".{part}", lambda bent, inner=inner: getattr(bent, name).CopyFrom(inner)  # type: ignore[misc]
    elif field.type == FieldDescriptor.TYPE_STRING and field.is_repeated:
        yield "[0]", lambda bent: getattr(bent, name).append(text)
    elif field.type == FieldDescriptor.TYPE_STRING:
        yield "", lambda bent: setattr(bent, name, text)


def _first(message: Message, name: str) -> Message:
    parts = getattr(message, name)
    return parts[0] if parts else parts.add()  # type: ignore[no-any-return]


def _tables(database: Database) -> dict[str, str]:
    """What a statement that got through would change: the schema, and the bystander's rows."""
    with psycopg.connect(database.owner_url) as connection:
        tables = connection.execute(
            "select relname, relkind::text, relacl::text, relnatts from pg_class"
            " where relnamespace = 'ledger'::regnamespace order by 1"
        ).fetchall()
        found = {"": repr(tables)}
        row = connection.execute(
            "select ledger_id from ledger.directory where name = %s", [BYSTANDER]
        ).fetchone()
        assert row is not None
        for name, kind, *_ in tables:
            if kind != "r" or name in ("schema_migrations", "vouching", "database_identity", "directory"):
                continue
            rows = connection.execute(
                sql.SQL("select one::text from {} as one where ledger_id = %s order by 1").format(
                    sql.Identifier("ledger", name)
                ),
                row,
            ).fetchall()
            found[name] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


@pytest.mark.criterion("S000-9")
@pytest.mark.timeout(240)
def test_hostile_text_in_any_string_of_any_method_is_inert(database: Database) -> None:
    """Each text in a third of the strings, each string with a third of the texts; all with all in CI."""
    with serving(database.app_url, **ON) as server:
        _send_hostile_texts(server, database, one_in=3)


@pytest.mark.slow
@pytest.mark.criterion("S000-9")
@pytest.mark.timeout(240)
def test_every_hostile_text_in_every_string_of_every_method_is_inert(database: Database) -> None:
    with serving(database.app_url, **ON) as server:
        _send_hostile_texts(server, database, one_in=1)


def _send_hostile_texts(server: Serving, database: Database, one_in: int) -> None:
    ground = opened(server, SEED)
    bystander = Teller.open(server, BYSTANDER)
    bystander.post("cash", "wallet", 100)
    calls = Calls(Random(SEED), ground, "bent")
    before = _tables(database)

    told: dict[str, set[str]] = {}
    strange = []
    for method in OURS:
        for turn, text in enumerate(TEXTS):
            for place, request in islice(
                with_text(calls.make(method), text), (turn + 1) % one_in, None, one_in
            ):
                code = _code(server, method, request)
                told.setdefault(text, set()).add(code)
                if code not in ALLOWED | {"OK"} or (text == NUL and code == "OK"):
                    strange.append(f"{method.name}.{place} of {text!r}: {code}")

    assert strange == []
    # Some are taken as they are, others are nobody's name.
    assert all({"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= told[text] for text in TEXTS if text != NUL), told
    assert _tables(database) == before
    assert bystander.balance("cash") == 100
    with reading_journals(database.app_url, None) as journals:
        assert all(prove(journal).sequence for journal in journals)


def _code(server: Serving, method: Method, request: Message) -> str:
    try:
        answer = server.channel.unary_unary(method.path)(request.SerializeToString(), timeout=60)
    except grpc.RpcError as error:
        return str(error.code().name)
    if method.name != "PostBatch":
        return "OK"
    # The text stands in the first operation.
    first = pb.PostBatchResponse.FromString(answer).results[0].status.code
    return next(code.name for code in grpc.StatusCode if code.value[0] == first)


@pytest.mark.criterion("S000-9")
@pytest.mark.parametrize("text", [text for text in TEXTS if text not in (NUL, REVERSED)])
def test_hostile_text_that_is_taken_is_given_back_as_it_was_sent(shared_server: Serving, text: str) -> None:
    teller = Teller.open(shared_server)
    account = text.replace(":", ";")
    teller.open_account(account)

    posted = teller.post(
        "cash",
        account,
        5,
        text,
        kind=text,
        description=text,
        external_ref=text,
        metadata={text: text},
    ).transaction

    found = teller.transaction(text)
    assert found == posted
    assert (found.kind, found.description, found.external_ref) == (text, text, text)
    assert dict(found.metadata) == {text: text}
    assert [entry.account for entry in found.entries] == ["cash", account]
    assert teller.balance(account) == 5
