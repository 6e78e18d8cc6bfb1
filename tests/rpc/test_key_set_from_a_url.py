"""Key sets from an https URL: verified, never redirected, read by one thread, and kept while it fails."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from credentials import AUDIENCE, ISSUER, Authority, Signer

from ledger_server.domain.refusals import CredentialsInvalid
from ledger_server.rpc import key_sets
from ledger_server.rpc.key_sets import KeySet, KeySetError
from ledger_server.rpc.tokens import Tokens


class Source:
    """An https server of one key set, which answers as a test says."""

    def __init__(self, authority: Authority, folder: Path) -> None:
        self.signers: list[Signer] = [Signer()]
        self.status = 200
        self.location = ""
        # Sent instead of an answer of HTTP, and how many bytes of one are kept back.
        self.garbage = b""
        self.missing = 0
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.asked += 1
                assert source.gate.wait(20)
                if source.garbage:
                    self.wfile.write(source.garbage)
                    return
                body = json.dumps({"keys": [signer.described for signer in source.signers]}).encode()
                self.send_response(source.status)
                if source.location:
                    self.send_header("Location", source.location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) - source.missing])

            def log_message(self, *arguments: object) -> None:
                """Says nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue_server().write(folder, "source"))
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._http.server_port}/keys"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self.gate.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A source whose authority is trusted, that is read anew whenever a key is unknown."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr(key_sets, "URL_READ_AGAIN_S", 0.0)
    opened = Source(authority, tmp_path)
    yield opened
    opened.close()


def _tokens(keys: KeySet) -> Tokens:
    return Tokens(keys, ISSUER, AUDIENCE, 3_600)


def test_a_rotated_set_is_read_when_a_new_key_comes_and_the_old_one_is_refused_then(source: Source) -> None:
    old, new = source.signers[0], Signer("RS256", key_id="two")
    with KeySet(source.url) as keys:
        tokens = _tokens(keys)
        assert tokens.principal(old.token()) == "jwt:alice"

        source.signers = [new]

        assert tokens.principal(new.token("bob")) == "jwt:bob"
        with pytest.raises(CredentialsInvalid):
            tokens.principal(old.token())


@pytest.mark.parametrize(
    ("garbage", "missing"), [(b"", 10), (b"garbage\r\n\r\n", 0), (b"HTTP/1.1 x y\r\n\r\n", 0), (b"\0", 0)]
)
def test_an_answer_that_is_none_is_a_failure_and_not_the_end(
    source: Source, caplog: pytest.LogCaptureFixture, garbage: bytes, missing: int
) -> None:
    signer, new = source.signers[0], Signer(key_id="two")
    with KeySet(source.url) as keys:
        tokens = _tokens(keys)
        source.signers, source.garbage, source.missing = [new], garbage, missing
        with pytest.raises(CredentialsInvalid):
            tokens.principal(new.token())
        assert tokens.principal(signer.token()) == "jwt:alice"
        assert "stay in use" in caplog.text

        source.garbage, source.missing = b"", 0

        assert tokens.principal(new.token("bob")) == "jwt:bob"


def test_a_failing_source_leaves_the_keys_as_they_were(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    signer = source.signers[0]
    with KeySet(source.url) as keys, caplog.at_level(logging.WARNING):
        tokens = _tokens(keys)
        source.status = 500

        with pytest.raises(CredentialsInvalid):
            tokens.principal(Signer(key_id="unknown").token())

        assert tokens.principal(signer.token()) == "jwt:alice"
        assert "500" in caplog.text
        assert "stay in use" in caplog.text


def test_a_source_that_does_not_answer_holds_up_nobody_with_a_known_key(source: Source) -> None:
    signer = source.signers[0]
    with KeySet(source.url) as keys:
        tokens = _tokens(keys)
        source.gate.clear()
        unknown = Signer(key_id="unknown").token()

        waited: list[float] = []

        def be_refused() -> None:
            came = time.monotonic()
            with pytest.raises(CredentialsInvalid):
                tokens.principal(unknown)
            waited.append(time.monotonic() - came)

        waiting = [threading.Thread(target=be_refused) for _ in range(30)]
        began = time.monotonic()
        for thread in waiting:
            thread.start()
        _until(lambda: source.asked == 2)

        assert tokens.principal(signer.token()) == "jwt:alice"
        for thread in waiting:
            thread.join()
        assert len(waited) == len(waiting)
        assert sum(seconds > 0.9 * key_sets.WAIT_S for seconds in waited) <= 8
        assert time.monotonic() - began < 2 * key_sets.WAIT_S + 1
        source.gate.set()
    assert source.asked == 2


def test_unknown_keys_have_the_set_read_no_oftener_than_its_source_can_bear(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "URL_READ_AGAIN_S", 3_600.0)
    with KeySet(source.url) as keys:
        tokens = _tokens(keys)
        for number in range(20):
            with pytest.raises(CredentialsInvalid):
                tokens.principal(Signer(key_id=str(number)).token())

    assert source.asked == 1


def test_a_redirect_is_not_followed(source: Source) -> None:
    source.status, source.location = 302, "https://127.0.0.1:1/keys"

    with pytest.raises(KeySetError, match="302"), KeySet(source.url):
        pass


def test_a_source_that_nobody_vouches_for_is_refused(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(KeySetError, match=r"(?i)certificate"), KeySet(source.url):
        pass


def _until(is_so: Callable[[], bool]) -> None:
    """Waits until it is so, at most five seconds."""
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)
