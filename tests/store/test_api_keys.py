"""The table of API keys: who may do what to it, and what is kept of a secret."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import psycopg
import pytest
from clusters import Database as Books

from ledger_server.domain.accounts import LedgerDraft
from ledger_server.domain.api_keys import APIKeyDraft
from ledger_server.domain.callers import Caller, Means
from ledger_server.domain.refusals import DatabaseUnavailable
from ledger_server.service import api_keys as service
from ledger_server.service.api_keys import APIKeys
from ledger_server.service.ledger import Ledgers
from ledger_server.service.remembered import ASKED_AGAIN_S, REMEMBERED_S
from ledger_server.store.api_keys import find_key, owned_keys
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost

BY = Caller("somebody", Means.OPEN, "")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def served(database: Books) -> Iterator[Database]:
    """The database as the service has it, with ledgers "shop" and "other"."""
    opened = Database(database.app_url, committers=1, readers=2)
    opened.open()
    ledgers = Ledgers(opened, committers=1, ahead_from=1, waiting_max=8)
    for name in ("shop", "other"):
        ledgers.create_ledger(LedgerDraft(name, "", "tests"))
    try:
        yield opened
    finally:
        opened.close()


def _made(served: Database, **more: object) -> tuple[str, str]:
    draft = APIKeyDraft("shop", "svc:till", **more)  # type: ignore[arg-type]
    key, text = APIKeys(served).create(draft, BY)
    return key.key_id, text


def test_of_a_secret_only_its_sha256_is_kept(served: Database, database: Books) -> None:
    key_id, text = _made(served)
    secret = text.rpartition("_")[2]

    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute("select *, credentials::text from ledger.credentials").fetchone()

    assert row is not None
    assert row[0] == key_id
    assert bytes(row[1]) == sha256(secret.encode()).digest()
    assert secret not in row[-1]
    assert secret not in str(row)


def test_nobody_who_serves_or_reads_sees_a_digest(served: Database, database: Books) -> None:
    _made(served)
    for role in ("ledger_app", "ledger_read"):
        with psycopg.connect(database.owner_url) as connection:
            connection.execute(f"set role {role}")  # type: ignore[arg-type]
            connection.execute("select set_config('ledger.id', '1', false)")

            assert connection.execute("select key_id from ledger.credentials").fetchall()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select digest from ledger.credentials")


def test_a_session_sees_the_keys_of_its_ledger_and_no_others(served: Database, database: Books) -> None:
    _made(served)
    with owned_keys(database.owner_url, None) as keys:
        assert keys is not None
        keys.insert(APIKeyDraft(None, "platform"), BY)

    counts = {}
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        for named in (None, "", "1", "2"):
            if named is not None:
                connection.execute("select set_config('ledger.id', %s, false)", (named,))
            row = connection.execute("select count(*) from ledger.credentials").fetchone()
            assert row is not None
            counts[named] = row[0]

    assert counts == {None: 0, "": 0, "1": 1, "2": 0}


@pytest.mark.parametrize("ledger_id", ["null", "2"])
def test_a_session_makes_no_key_for_another_ledger_or_the_platform(
    served: Database, database: Books, ledger_id: str
) -> None:
    with psycopg.connect(database.app_url) as connection:
        connection.execute("select set_config('ledger.id', '1', true)")

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "insert into ledger.credentials (key_id, digest, ledger_id, principal, description,"
                " created_at, created_by) values ('00000000000000ff', sha256('x'), "
                f"{ledger_id}, 'p', '', now(), 'p')"  # type: ignore[arg-type]
            )


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger.credentials set revoked_at = null",
        "update ledger.credentials set revoked_at = now() + interval '1 day'",
        "update ledger.credentials set principal = 'mallory'",
        "update ledger.credentials set digest = sha256('x')",
        "update ledger.credentials set ledger_id = null",
        "update ledger.credentials set expires_at = null",
        "delete from ledger.credentials",
        "truncate ledger.credentials",
    ],
)
@pytest.mark.parametrize("role", ["ledger_app", "ledger_owner"])
def test_a_revoked_key_stays_as_it_is_whoever_asks(
    served: Database, database: Books, statement: str, role: str
) -> None:
    key_id, _ = _made(served, lifetime=10**12)
    APIKeys(served).revoke("shop", key_id, BY)

    with psycopg.connect(database.owner_url) as connection:
        connection.execute(f"set role {role}")  # type: ignore[arg-type]
        connection.execute("select set_config('ledger.id', '1', true)")

        with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InsufficientPrivilege)):
            connection.execute(statement)  # type: ignore[arg-type]


def test_a_key_expires_by_the_databases_clock(served: Database, database: Books) -> None:
    key_id, _ = _made(served, lifetime=3_600_000_000)
    assert find_key(served, key_id) is not None

    with psycopg.connect(database.owner_url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "update ledger.credentials set created_at = now() - interval '2 h',"
            " expires_at = clock_timestamp() - interval '1 microsecond'"
        )

    assert find_key(served, key_id) is None


def test_a_key_is_proved_by_its_whole_text_only(served: Database) -> None:
    key_id, text = _made(served)
    keys = APIKeys(served)
    other = APIKeys(served).create(APIKeyDraft("shop", "other"), BY)[1]

    proved = keys.proved(text)

    assert proved is not None
    assert (proved.principal, proved.ledger) == ("svc:till", "shop")
    wrong = (
        text[:-1] + ("0" if text[-1] != "0" else "1"),
        text[:-1],
        text + "0",
        text.upper(),
        f" {text}",
        f"{text}\n",
        f"lk_{key_id}_",
        f"lk_{key_id}_{other.rpartition('_')[2]}",
        f"lk_{'0' * 16}_{text.rpartition('_')[2]}",
        f"lk_{key_id}_{sha256(text.rpartition('_')[2].encode()).hexdigest()}",
        "lk_",
        "",
    )
    assert [keys.proved(each) for each in wrong] == [None] * len(wrong)


def test_a_key_revoked_here_is_refused_at_once_and_elsewhere_within_a_second(served: Database) -> None:
    key_id, text = _made(served)
    clock = Clock()
    here, elsewhere = APIKeys(served, clock), APIKeys(served, clock)
    assert here.proved(text)
    assert elsewhere.proved(text)

    here.revoke("shop", key_id, BY)

    assert here.proved(text) is None
    clock.now = ASKED_AGAIN_S / 2
    assert elsewhere.proved(text)
    clock.now = REMEMBERED_S
    assert elsewhere.proved(text) is None


def test_what_was_asked_before_a_revocation_is_not_remembered_after_it(
    served: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id, text = _made(served)
    keys = APIKeys(served, Clock())

    def found_too_early(database: Database, asked: str) -> object:
        found = find_key(database, asked)
        keys.revoke("shop", key_id, BY)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(service, "find_key", found_too_early)
        keys.proved(text)

    assert keys.proved(text) is None


def test_a_key_in_use_is_asked_for_twice_a_second_and_by_one_caller(
    served: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = _made(served)
    clock, asked = Clock(), []
    keys = APIKeys(served, clock)

    def counted(database: Database, key_id: str) -> object:
        asked.append(clock.now)
        if len(asked) == 2:
            # While one caller asks again, the others go on with what is known.
            assert keys.proved(text)
        return find_key(database, key_id)

    monkeypatch.setattr(service, "find_key", counted)
    for tick in range(41):
        clock.now = tick / 20
        assert keys.proved(text)

    assert len(asked) <= 5


def test_a_key_is_good_no_longer_than_its_bound_while_somebody_asks_again_and_has_no_answer(
    served: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id, text = _made(served)
    clock = Clock()
    keys, elsewhere = APIKeys(served, clock), APIKeys(served, clock)
    assert keys.proved(text)
    seen: list[bool] = []

    def slow(database: Database, asked: str) -> object:
        if not seen:
            # This caller waits for the database; others come meanwhile, after a revocation.
            elsewhere.revoke("shop", key_id, BY)
            for now in (REMEMBERED_S - 0.01, REMEMBERED_S):
                clock.now = now
                seen.append(False)
                seen[-1] = keys.proved(text) is not None
        return find_key(database, asked)

    monkeypatch.setattr(service, "find_key", slow)
    clock.now = ASKED_AGAIN_S
    keys.proved(text)

    assert seen == [True, False]


def test_no_key_is_good_while_the_database_cannot_be_asked(
    served: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = _made(served)
    clock = Clock()
    keys = APIKeys(served, clock)
    assert keys.proved(text)

    def lost(database: Database, key_id: str) -> object:
        raise DatabaseLost("gone")

    with monkeypatch.context() as patched:
        patched.setattr(service, "find_key", lost)
        clock.now = REMEMBERED_S + 1
        with pytest.raises(DatabaseUnavailable):
            keys.proved(text)

    assert keys.proved(text)


def test_unknown_keys_are_not_remembered(served: Database) -> None:
    keys = APIKeys(served)

    for number in range(50):
        assert keys.proved(f"lk_{number:016x}_{'0' * 64}") is None

    assert not len(keys._remembered)


@pytest.mark.criterion("S000-42")
def test_making_and_revoking_are_told_in_the_audit_in_one_database_transaction(
    served: Database, database: Books
) -> None:
    key_id, _ = _made(served)
    keys = APIKeys(served)
    keys.revoke("shop", key_id, BY)
    keys.revoke("shop", key_id, BY)

    with psycopg.connect(database.owner_url) as connection:
        events = connection.execute(
            "select action, actor, subject from ledger.audit_events where ledger_id = 1"
            " and action like 'API_KEY%' order by event_id"
        ).fetchall()
        both = connection.execute(
            "select credentials.xmin = audit_events.xmin from ledger.credentials"
            " join ledger.audit_events on action = 'API_KEY_REVOKED'"
        ).fetchall()

    assert events == [("API_KEY_CREATED", "somebody", key_id), ("API_KEY_REVOKED", "somebody", key_id)]
    assert both == [(True,)]
