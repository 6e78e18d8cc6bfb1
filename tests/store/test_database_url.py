"""A database URL that cannot be read is refused with a reason, and with nothing of itself."""

from __future__ import annotations

import pytest

from ledger_server.store.database_url import BadDatabaseUrl, refuse_unreadable

FORM = "; it may be postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgres//app:s3cret@h/db", "begins neither"),
        ("Postgresql://app:s3cret@h/db?sslmode=disable", "begins neither"),
        ("app:s3cret@h/db", "begins neither"),
        ("host=h password=s3 cret", "begins neither"),
        ("postgresql://app:s3cret@[::1/db", "IPv6"),
        ("postgresql://app:s3cret@[]/db", "IPv6"),
        ("postgresql://app:x@[::1]s3cret/db", "something stands"),
        ("postgresql://app:s3@cret@h/db", "second @"),
        ("postgresql://app:s3?@cret@h/db", "second @"),
        ("postgresql://app:12/s3cret@h/db", "second @"),
        ("postgresql:///app:s3cret@h/db", "second @"),
        ("postgresql://app:s3cret", "its port"),
        ("postgresql://app:s3cret:5432/db", "its port"),
        ("postgresql://app:1234567/db", "its port"),
        ("host=h port=s3cret", "its port"),
        ("postgresql://app:100%s3cret@h/db", "a % in it"),
        ("postgresql://app:s3cret%00@h/db", "%00"),
        ("postgresql://app:1?s3cret/x@h/db", "second @|[?]"),
        ("postgresql://app:1/x?s3cret@h/db", "[?]"),
        ("postgresql://h/db?s3cret=1", "[?]"),
        ("postgresql://h/db?user=s3=cret", "[?]"),
        ("password='s3cret", "quote"),
        ("s3cret=1", "an option"),
        ("postgresql://app:s3cret\udcff@h/db", "libpq does not take it"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_repeated(url: str, reason: str) -> None:
    with pytest.raises(BadDatabaseUrl, match=reason) as refused:
        refuse_unreadable(url, "THE_SETTING")

    sentence = str(refused.value)
    assert sentence.startswith("THE_SETTING cannot be read: ")
    assert sentence.endswith(FORM)
    assert not [piece for piece in ("s3", "cret", "1234567") if piece in sentence]
    # Nor does a traceback tell.
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgres://app:s3cret@h/db",
        "postgresql://app:s3%40cret%2F@h:5432/db?user=app@tenant",
        "postgresql://app:s3?cr:et@[::1]:5432,h2:5433,h3/db",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/db",
        "postgresql:///db?host=/tmp&port=65535",
        "host=@abstract user=app@tenant password='s3 cret@' dbname=a@b",
        "",
    ],
)
def test_a_url_that_libpq_takes_whole_is_taken(url: str) -> None:
    refuse_unreadable(url, "THE_SETTING")
