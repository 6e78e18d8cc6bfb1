"""Settings are taken or refused with a sentence; none of them can cost anybody their books."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger_server import config


def test_throw_away_books_are_never_those_of_a_named_data_directory() -> None:
    """The data directory of an ephemeral server is removed at its end: it must be one made for it."""
    with pytest.raises(config.ConfigError, match="--ephemeral"):
        config.load(data_dir=Path("books"), ephemeral=True, environ={})

    settings = config.load(ephemeral=True, environ={"LEDGER_DATA_DIR": "books"})

    assert settings.data_dir is None


@pytest.mark.parametrize("listen", ["50051", "127.0.0.1:", "127.0.0.1:http", ":50051", "127.0.0.1:70000"])
def test_an_address_without_host_or_port_is_refused_as_such(listen: str) -> None:
    with pytest.raises(config.ConfigError, match="HOST:PORT"):
        config.load(listen=listen, environ={})


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:50051", "[::1]:50051", "unix:ledger.sock"])
def test_an_address_with_both_is_taken(listen: str) -> None:
    assert config.load(listen=listen, environ={}).listen == listen
