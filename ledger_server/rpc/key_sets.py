"""The public keys that tokens are signed with: a JSON Web Key Set (RFC 7517) from a file or an https URL.

One thread reads it: now and then, and when a token names a key that is not known, but
not more often than its source can bear. No call ever reads it itself, and few wait for
it. While it cannot be read, or says nothing usable, the last good set stays.
"""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_log = logging.getLogger(__name__)

# Signatures that are taken, whatever a token says of itself.
ALGORITHMS = ("RS256", "ES256", "EdDSA")
RSA_BITS_MIN = 2048
SET_BYTES_MAX = 1024 * 1024
FETCH_TIMEOUT_S = 5.0
# How often a set is read, and how soon again for the sake of an unknown key.
FILE_READ_EVERY_S = 1.0
FILE_READ_AGAIN_S = 1.0
URL_READ_EVERY_S = 300.0
URL_READ_AGAIN_S = 10.0
# A call whose token names an unknown key waits so long for the set, and so many may: each holds a thread.
WAIT_S = 1.0
WAITERS_MAX = 8
# Of a set with a single key the tokens need not name it.
_UNNAMED = ""

Keys = Mapping[str, jwt.PyJWK]


class KeySetError(Exception):
    """The key set cannot be read, or has no key that can be used; the sentence says which."""


class KeySet:
    """The keys by their ids, kept up to date by a thread within a `with`."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._is_url = "://" in source
        self._every_s = URL_READ_EVERY_S if self._is_url else FILE_READ_EVERY_S
        self._again_s = URL_READ_AGAIN_S if self._is_url else FILE_READ_AGAIN_S
        self.keys: Keys = {}
        # How often the set was read again.
        self.reads = 0
        self._data = b""
        # Guards `reads` and what follows: when it was read last, and that it is wanted now.
        self._turn = threading.Condition()
        self._is_reading = False
        self._read_at = 0.0
        self._is_wanted = False
        self._is_stopping = False
        self._waiters = threading.BoundedSemaphore(WAITERS_MAX)
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name="key-set", daemon=True)

    def __enter__(self) -> KeySet:
        """Reads the set and keeps reading it. Raises KeySetError where it cannot be read the first time."""
        self._data = _read(self._source)
        self.keys = _parsed(self._source, self._data)
        self._read_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the thread; a read that is under way is waited for a little."""
        with self._turn:
            self._is_stopping = True
            self._turn.notify_all()
        self._thread.join(FETCH_TIMEOUT_S)

    def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of this id, or the only one for a token that names none; looked for anew if unknown."""
        name = _UNNAMED if key_id is None else key_id
        return self.keys.get(name) or (self.keys.get(name) if self._is_read_anew() else None)

    def _is_read_anew(self) -> bool:
        """Has the set read, unless it just was, and waits for that a little."""
        if not self._waiters.acquire(blocking=False):
            return False
        try:
            with self._turn:
                reads = self.reads
                if not self._is_reading:
                    if time.monotonic() < self._read_at + self._again_s:
                        return False
                    self._is_wanted = True
                    self._turn.notify_all()
                return self._turn.wait_for(lambda: self.reads != reads, WAIT_S)
        finally:
            self._waiters.release()

    def _run(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._is_wanted or self._is_stopping, self._every_s)
                if self._is_stopping:
                    return
                self._is_wanted, self._is_reading = False, True
            try:
                self._read_again()
            except Exception:
                # A bug, and not the end of the thread: keys must go on being taken out.
                _log.exception("the key set could not be read")
            with self._turn:
                self.reads += 1
                self._is_reading = False
                self._read_at = time.monotonic()
                self._turn.notify_all()

    def _read_again(self) -> None:
        try:
            data = _read(self._source)
            keys = self.keys if data == self._data else _parsed(self._source, data)
        except KeySetError as error:
            # Once for each thing that goes wrong, not at every read.
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.warning("%s; the keys read before stay in use", error)
            return
        self._complaint = ""
        self._data, self.keys = data, keys


def _read(source: str) -> bytes:
    try:
        data = _fetch(source) if "://" in source else _start_of(source)
    except (OSError, HTTPException, ValueError) as error:
        # Most errors of urllib are OSErrors; an answer that ends early and an odd URL are the others.
        raise KeySetError(f"the key set {source} cannot be read: {error}") from error
    if len(data) > SET_BYTES_MAX:
        raise KeySetError(f"the key set {source} has more than {SET_BYTES_MAX:,} bytes")
    return data


def _start_of(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(SET_BYTES_MAX + 1)


def _parsed(source: str, data: bytes) -> Keys:
    """The usable keys by their ids."""
    try:
        listed = json.loads(data)["keys"]
        usable = [key for key in map(_usable, listed) if key is not None]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise KeySetError(f"the key set {source} is not a JSON Web Key Set") from error
    named = {key.key_id: key for key in usable if key.key_id}
    if len(usable) == 1:
        named[_UNNAMED] = usable[0]
    if not named:
        raise KeySetError(f"the key set {source} has no named public key for {', '.join(ALGORITHMS)}")
    return named


def _usable(described: Mapping[str, Any]) -> jwt.PyJWK | None:
    """A public key for one of the signatures that are taken, else None: a set may hold others."""
    if described.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(dict(described))
    except (jwt.PyJWTError, UnsupportedAlgorithm):
        return None
    if key.algorithm_name not in ALGORITHMS or "d" in described:
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < RSA_BITS_MIN:
        return None
    return key


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from where the configuration says, or not at all."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follows none."""


def _fetch(url: str) -> bytes:
    # SSL_CERT_FILE names another certificate authority than the system's, as for every use of OpenSSL.
    https = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    opener = urllib.request.build_opener(https, _NoRedirects, urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=FETCH_TIMEOUT_S) as answer:
        return bytes(answer.read(SET_BYTES_MAX + 1))
