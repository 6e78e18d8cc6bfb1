"""Tokens: whose they are, and every way in which they are not accepted."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
import pytest
from callers import lines, post_operation, transaction_name
from clusters import Database
from credentials import AUDIENCE, ISSUER, Signer, bearer, good_claims, refusal, unsigned, write_key_set
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import member_service_pb2 as members_pb
from ledger.v1.member_service_pb2_grpc import MemberServiceStub
from serving import Serving, serving

from ledger_server.domain.refusals import CredentialsInvalid
from ledger_server.rpc import key_sets
from ledger_server.rpc.key_sets import KeySet, KeySetError
from ledger_server.rpc.tokens import LEEWAY_S, Tokens

INFO = admin_pb.GetServerInfoRequest()


@pytest.fixture(scope="module")
def signer() -> Signer:
    """Whose tokens the server takes."""
    return Signer()


@pytest.fixture(scope="module")
def asking(
    shared_database: Database, signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A server that takes tokens and nothing else."""
    jwks = write_key_set(tmp_path_factory.mktemp("jwks") / "set.json", signer)
    settings = {"jwt_jwks": jwks, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    with serving(shared_database.app_url, platform_admins=("jwt:root",), **settings) as server:
        yield server


@pytest.fixture
def tokens(tmp_path: Path, signer: Signer) -> Iterator[Tokens]:
    """The judge of tokens alone."""
    with KeySet(write_key_set(tmp_path / "set.json", signer)) as keys:
        yield Tokens(keys, ISSUER, AUDIENCE, 3_600)


def _refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(CredentialsInvalid) as caught:
        tokens.principal(token)
    return caught.value.message


def test_the_subject_of_a_token_is_who_records_whatever_is_recorded(asking: Serving, signer: Signer) -> None:
    def by(name: str) -> dict[str, Any]:
        forged = (("x-principal", "jwt:mallory"), ("created_by", "jwt:mallory"))
        return {"metadata": bearer(signer.token(name)) + forged, "timeout": 10}

    ledger = asking.admin.CreateLedger(
        admin_pb.CreateLedgerRequest(name="shop", tenant_admin="jwt:admin"), **by("root")
    ).ledger
    roles = [members_pb.ROLE_READER, members_pb.ROLE_POSTER, members_pb.ROLE_REVERSER]
    member = (
        MemberServiceStub(asking.channel)
        .AddMember(
            members_pb.AddMemberRequest(
                ledger="shop", principal="jwt:alice", roles=[*roles, members_pb.ROLE_ACCOUNTANT]
            ),
            **by("admin"),
        )
        .member
    )
    asset = asking.admin.CreateAsset(
        admin_pb.CreateAssetRequest(ledger="shop", code="USD", scale=2), **by("alice")
    ).asset
    one, *more = [
        accounts_pb.AccountDraft(name=name, type=nouns.ACCOUNT_TYPE_ASSET) for name in ("a", "b", "c")
    ]
    asking.accounts.CreateAccount(accounts_pb.CreateAccountRequest(ledger="shop", account=one), **by("alice"))
    asking.accounts.BatchCreateAccounts(
        accounts_pb.BatchCreateAccountsRequest(ledger="shop", accounts=more), **by("alice")
    )
    post = pb.PostRequest(ledger="shop", entries=lines("a", "b", 5))
    posted = asking.ledgers.Post(post, **by("alice")).transaction
    reverse = pb.ReverseRequest(ledger="shop", transaction=transaction_name(posted.sequence))
    asking.ledgers.Reverse(reverse, **by("alice"))
    for atomic in (False, True):
        operations = [post_operation("a", "b", 7), post_operation("b", "c", 7)]
        batch = pb.PostBatchRequest(ledger="shop", operations=operations, atomic=atomic)
        asking.ledgers.PostBatch(batch, **by("alice"))

    accounts = asking.accounts.ListAccounts(accounts_pb.ListAccountsRequest(ledger="shop"), **by("alice"))
    listed = asking.ledgers.ListTransactions(pb.ListTransactionsRequest(ledger="shop"), **by("alice"))
    assert (ledger.created_by, member.created_by, asset.created_by) == ("jwt:root", "jwt:admin", "jwt:alice")
    assert [account.created_by for account in accounts.accounts] == ["jwt:alice"] * 3
    assert [transaction.created_by for transaction in listed.transactions] == ["jwt:alice"] * 6


def test_the_server_says_that_it_asks_who_calls(asking: Serving, signer: Signer) -> None:
    info = asking.admin.GetServerInfo(INFO, metadata=bearer(signer.token()))

    assert info.flags["authentication"] is True


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("x-principal", "jwt:alice"), ("x-tenant", "shop"), ("x-forwarded-user", "alice")),
        (("authorization-bin", b"Bearer x"),),
    ],
    ids=["nothing", "other headers", "binary"],
)
def test_a_call_without_credentials_is_missing_them(asking: Serving, metadata: object) -> None:
    status, reason, sentence = refusal(lambda: asking.admin.GetServerInfo(INFO, metadata=metadata))

    assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_MISSING")
    assert "authorization: Bearer" in sentence


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YWxpY2U6c2VjcmV0", "Token {good}", "{good}", "Bearer {good} {good}"],
)
def test_another_header_than_one_bearer_is_invalid(asking: Serving, signer: Signer, header: str) -> None:
    metadata = (("authorization", header.format(good=signer.token())),)

    status, reason, _ = refusal(lambda: asking.admin.GetServerInfo(INFO, metadata=metadata))

    assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


def test_two_headers_are_invalid_even_if_both_are_good(asking: Serving, signer: Signer) -> None:
    both = bearer(signer.token()) + bearer(signer.token())

    status, reason, _ = refusal(lambda: asking.admin.GetServerInfo(INFO, metadata=both))

    assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


def test_an_api_key_is_not_taken_where_keys_are_off(asking: Serving) -> None:
    key = bearer("lk_0123456789abcdef_" + "0" * 64)

    status, reason, sentence = refusal(lambda: asking.admin.GetServerInfo(INFO, metadata=key))

    assert (status, reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    assert "takes no API keys" in sentence


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_each_pinned_algorithm_is_taken(algorithm: str, tmp_path: Path) -> None:
    signer = Signer(algorithm)

    with KeySet(write_key_set(tmp_path / "set.json", signer)) as keys:
        assert Tokens(keys, ISSUER, AUDIENCE, 3_600).principal(signer.token("bob")) == "jwt:bob"


def test_a_token_that_is_not_signed_is_refused(tokens: Tokens) -> None:
    for name in ("none", "None", "NONE", ""):
        header = {"alg": name, "typ": "JWT", "kid": "one"}

        assert "not accepted" in _refused(tokens, unsigned(header, good_claims()))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_the_public_key_as_a_shared_secret_signs_nothing(algorithm: str, tmp_path: Path) -> None:
    signer = Signer(algorithm)
    claims = good_claims()
    body = unsigned({"alg": "HS256", "typ": "JWT", "kid": "one"}, claims).rpartition(".")[0]
    secrets = (signer.public_pem, signer.public_pem.strip(), json.dumps(signer.described).encode())

    with KeySet(write_key_set(tmp_path / "set.json", signer)) as keys:
        tokens = Tokens(keys, ISSUER, AUDIENCE, 3_600)
        for secret in secrets:
            signature = hmac.digest(secret, body.encode(), sha256)

            forged = unsigned({"alg": "HS256", "typ": "JWT", "kid": "one"}, claims, signature)

            assert "not accepted" in _refused(tokens, forged)


def test_a_set_with_a_shared_secret_in_it_gives_no_key_for_it(tmp_path: Path) -> None:
    shared = {
        "kty": "oct",
        "kid": "shared",
        "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
        "alg": "HS256",
    }
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"keys": [shared, Signer().described]}))
    forged = jwt.encode(good_claims(), b"secret" * 6, algorithm="HS256", headers={"kid": "shared"})

    with KeySet(str(path)) as keys:
        assert "not accepted" in _refused(Tokens(keys, ISSUER, AUDIENCE, 3_600), forged)
        assert set(keys.keys) == {"one", ""}


def test_keys_that_are_too_weak_or_for_something_else_are_left_out(tmp_path: Path) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    listed = [
        {**RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True), "kid": "weak", "alg": "RS256"},
        {**Signer(key_id="encrypts").described, "use": "enc"},
        {**Signer("RS256", key_id="another hash").described, "alg": "RS512"},
        {**Signer(key_id="no name").described, "kid": None},
        {"kty": "unheard of", "kid": "odd"},
        Signer(key_id="good").described,
    ]
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"keys": listed}))

    with KeySet(str(path)) as keys:
        assert set(keys.keys) == {"good"}


def test_another_key_under_the_same_name_is_refused(tokens: Tokens) -> None:
    assert "not accepted" in _refused(tokens, Signer(key_id="one").token())


def test_a_changed_claim_is_refused(tokens: Tokens, signer: Signer) -> None:
    header, _, signature = signer.token("alice").split(".")
    body = unsigned({}, good_claims("mallory")).split(".")[1]

    assert "not accepted" in _refused(tokens, f"{header}.{body}.{signature}")


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"exp": -LEEWAY_S - 2, "iat": -600}, "expired"),
        ({"nbf": LEEWAY_S + 5}, "not valid yet"),
        ({"iat": LEEWAY_S + 5, "exp": 600}, "not valid yet"),
        ({"exp": 3_700, "iat": 0}, "longer than"),
        ({"exp": 3_700, "iat": None}, "longer than"),
        ({"exp": None}, "no `exp`"),
        ({"sub": None}, "no `sub`"),
        ({"aud": None}, "no `aud`"),
        ({"iss": None}, "no `iss`"),
        ({"aud": "another service"}, "another audience"),
        ({"aud": ["one", "two"]}, "another audience"),
        ({"iss": "https://issuer.example.evil"}, "another issuer"),
        ({"iss": "https://issuer"}, "another issuer"),
        ({"sub": ""}, "is empty"),
        ({"sub": "a" * 252}, "at most 255"),
        ({"sub": "al\u200bice"}, "unprintable"),
        ({"sub": 7}, "not accepted"),
        ({"exp": "soon"}, "not accepted"),
        ({"exp": float("inf")}, "not accepted"),
        ({"iat": "then"}, "not accepted"),
    ],
    ids=str,
)
def test_a_signed_token_with_a_bad_claim_is_refused(
    tokens: Tokens, signer: Signer, claims: dict[str, object], told: str
) -> None:
    now = int(time.time())
    placed = {
        name: now + value if name in ("exp", "nbf", "iat") and isinstance(value, int) else value
        for name, value in claims.items()
    }
    subject = placed.pop("sub", "alice")

    token = signer.token("alice", **(placed if subject == "alice" else placed | {"sub": subject}))  # type: ignore[arg-type]

    assert told in _refused(tokens, token)


def test_clocks_may_differ_by_the_leeway(tokens: Tokens, signer: Signer) -> None:
    now = int(time.time())
    early = signer.token(iat=now + LEEWAY_S - 5, nbf=now + LEEWAY_S - 5)
    late = signer.token(exp=now - LEEWAY_S + 5)

    assert LEEWAY_S <= 60
    assert tokens.principal(early) == tokens.principal(late) == "jwt:alice"


def test_a_header_that_asks_for_more_is_refused(tokens: Tokens, signer: Signer) -> None:
    for header in ({"crit": ["b64"], "b64": False}, {"crit": ["exp"]}):
        _refused(tokens, signer.token(headers=header))


def test_a_key_that_the_token_brings_along_is_not_used(tokens: Tokens) -> None:
    mallory = Signer(key_id="mallory")
    brought = {
        "jwk": mallory.described,
        "jku": "https://mallory.example/set",
        "x5u": "https://mallory.example",
    }

    assert "not accepted" in _refused(tokens, mallory.token(headers=brought))


@pytest.mark.parametrize(
    "garbage",
    [
        "a",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        "\ud800.x.y",
        "e30.e30.",
        "bnVsbA.e30.",
        "W10.e30.",
        unsigned({"alg": "ES256", "kid": 7}, {}),
        unsigned({"alg": ["ES256"], "kid": "one"}, {}),
        unsigned({"alg": "ES256", "kid": "one"}, {}, b"x" * 64),
        ("[" * 3_000).encode().hex() + ".e30.",
        "x" * 100_000,
    ],
    ids=range(14),
)
def test_garbage_is_refused_like_any_other(tokens: Tokens, garbage: str) -> None:
    assert "not accepted" in _refused(tokens, garbage)


def test_a_good_token_is_judged_once_and_remembered_until_it_expires(
    tokens: Tokens, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []
    decode = jwt.decode

    def counted(token: str, *arguments: object, **options: object) -> object:
        judged.append(token)
        return decode(token, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("ledger_server.rpc.tokens.jwt.decode", counted)
    good = signer.token()
    just_over = signer.token(exp=int(time.time()) - 1)

    for _ in range(3):
        tokens.principal(good)
        tokens.principal(just_over)

    assert judged.count(good) == 1
    assert judged.count(just_over) == 3


def test_a_key_that_left_the_set_signs_nothing_any_more(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "FILE_READ_EVERY_S", 0.02)
    path, new = tmp_path / "set.json", Signer("EdDSA", key_id="two")
    with KeySet(write_key_set(path, signer)) as keys:
        tokens = Tokens(keys, ISSUER, AUDIENCE, 3_600)
        old_token = signer.token()
        assert tokens.principal(old_token) == "jwt:alice"

        write_key_set(path, new)
        _until(lambda: "one" not in keys.keys)

        assert "not accepted" in _refused(tokens, old_token)
        assert tokens.principal(new.token("bob")) == "jwt:bob"


def test_a_key_that_is_not_known_yet_has_the_set_read_at_once(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "FILE_READ_EVERY_S", 3_600.0)
    monkeypatch.setattr(key_sets, "FILE_READ_AGAIN_S", 0.0)
    path, new = tmp_path / "set.json", Signer("EdDSA", key_id="two")
    with KeySet(write_key_set(path, signer)) as keys:
        tokens = Tokens(keys, ISSUER, AUDIENCE, 3_600)
        assert tokens.principal(signer.token()) == "jwt:alice"

        write_key_set(path, signer, new)

        assert tokens.principal(new.token("bob")) == "jwt:bob"
        assert tokens.principal(signer.token()) == "jwt:alice"


@pytest.mark.parametrize("damage", ["gone", "half", "empty set", "a folder"])
def test_the_last_good_set_stays_while_its_source_fails(
    tmp_path: Path,
    signer: Signer,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(key_sets, "FILE_READ_EVERY_S", 0.02)
    path = tmp_path / "set.json"
    with KeySet(write_key_set(path, signer)) as keys:
        tokens = Tokens(keys, ISSUER, AUDIENCE, 3_600)
        match damage:
            case "half":
                path.write_bytes(path.read_bytes()[:40])
            case "empty set":
                path.write_text('{"keys": []}')
            case _:
                path.unlink()
                if damage == "a folder":
                    path.mkdir()

        _until(lambda: "stay in use" in caplog.text)
        reads = keys.reads
        _until(lambda: keys.reads > reads + 3)

        assert tokens.principal(signer.token()) == "jwt:alice"
        assert caplog.text.count("stay in use") == 1


def test_unknown_keys_do_not_have_the_set_read_at_will(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "FILE_READ_EVERY_S", 3_600.0)
    monkeypatch.setattr(key_sets, "FILE_READ_AGAIN_S", 3_600.0)
    with KeySet(write_key_set(tmp_path / "set.json", signer)) as keys:
        tokens = Tokens(keys, ISSUER, AUDIENCE, 3_600)

        for number in range(100):
            _refused(tokens, Signer(key_id=str(number)).token())

        assert keys.reads == 0


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[]", '{"keys": {}}', '{"keys": [1]}', '{"keys": []}', "x" * 2_000_000]
)
def test_a_set_that_is_none_is_refused_at_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "set.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(KeySetError, match=r"set\.json"), KeySet(str(path)):
        pass


def _until(is_so: object) -> None:
    """Waits until it is so, at most five seconds."""
    deadline = time.monotonic() + 5
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)
