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


# who may call --------------------------------------------------------------------------------

_TLS = {"LEDGER_TLS_CERT": "server.pem", "LEDGER_TLS_KEY": "server-key.pem"}
_JWT = {"LEDGER_JWT_JWKS": "set.json", "LEDGER_JWT_ISSUER": "i", "LEDGER_JWT_AUDIENCE": "a"}
_KEYS = {"LEDGER_API_KEYS": "on"}
_CLIENT_CA = {"LEDGER_TLS_CLIENT_CA": "ca.pem"}
SWITCHES = (
    "LEDGER_DAILY_TRIAL_BALANCE",
    "LEDGER_ONE_CORE",
    "LEDGER_REFLECTION",
    "LEDGER_API_KEYS",
    "LEDGER_ENABLED",
    "LEDGER_DEV_ENDPOINTS_ENABLED",
)


@pytest.mark.parametrize(
    ("environ", "what_to_do"),
    [
        ({"LEDGER_TLS_CERT": "server.pem"}, "LEDGER_TLS_KEY"),
        ({"LEDGER_TLS_KEY": "server-key.pem"}, "LEDGER_TLS_CERT"),
        (_CLIENT_CA, "LEDGER_TLS_CERT"),
        (_CLIENT_CA | _KEYS, "LEDGER_TLS_CERT"),
        ({"LEDGER_JWT_JWKS": "set.json"}, "LEDGER_JWT_ISSUER"),
        (_JWT | {"LEDGER_JWT_ISSUER": ""}, "LEDGER_JWT_ISSUER"),
        (_JWT | {"LEDGER_JWT_AUDIENCE": ""}, "LEDGER_JWT_AUDIENCE"),
        (_JWT | {"LEDGER_JWT_JWKS": ""}, "LEDGER_JWT_JWKS"),
        (_JWT | {"LEDGER_JWT_JWKS": "http://issuer.example/set"}, "https"),
        (_JWT | {"LEDGER_JWT_JWKS": "ftp://issuer.example/set"}, "https"),
        (_JWT | {"LEDGER_JWT_JWKS": "https://user:canary@issuer.example/set"}, "https"),
        (_JWT | {"LEDGER_JWT_LIFETIME_MAX_S": "0"}, "1 to 86400"),
        (_JWT | {"LEDGER_JWT_LIFETIME_MAX_S": "-1"}, "1 to 86400"),
        (_JWT | {"LEDGER_JWT_LIFETIME_MAX_S": "100000"}, "1 to 86400"),
        ({"LEDGER_API_KEYS": "yes"}, "on or off"),
    ],
    ids=str,
)
def test_half_a_way_to_know_callers_is_refused_with_what_is_missing(
    environ: dict[str, str], what_to_do: str
) -> None:
    with pytest.raises(config.ConfigError, match=what_to_do) as caught:
        config.load(environ=environ)

    assert "canary" not in str(caught.value)


def test_plaintext_by_flag_and_a_certificate_exclude_each_other() -> None:
    with pytest.raises(config.ConfigError, match="--insecure-plaintext"):
        config.load(security={"insecure_plaintext": True}, environ=_TLS)


@pytest.mark.parametrize(
    ("environ", "is_plaintext_wanted", "told"),
    [
        ({}, False, "no authentication"),
        ({}, True, "no authentication"),
        (_TLS, False, "no authentication"),
        (_KEYS, False, "in the clear"),
        (_JWT, False, "in the clear"),
        (_KEYS | _JWT, False, "in the clear"),
    ],
    ids=str,
)
@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "[::]:50051", "10.0.0.5:50051", "ledger.example:50051"])
def test_others_are_let_in_only_with_a_name_and_unread(
    listen: str, environ: dict[str, str], is_plaintext_wanted: bool, told: str
) -> None:
    settings = config.load(
        listen=listen, security={"insecure_plaintext": is_plaintext_wanted}, environ=environ
    )

    with pytest.raises(config.ConfigError, match=told) as caught:
        config.refuse_strangers(settings)

    assert "set LEDGER_" in str(caught.value)


@pytest.mark.parametrize(
    ("listen", "environ", "is_plaintext_wanted"),
    [
        ("127.0.0.1:50051", {}, False),
        ("unix:ledger.sock", {}, False),
        ("127.0.0.1:50051", _KEYS, False),
        ("0.0.0.0:50051", _KEYS, True),
        ("0.0.0.0:50051", _KEYS | _TLS, False),
        ("0.0.0.0:50051", _TLS | _CLIENT_CA, False),
        ("0.0.0.0:50051", _TLS | _JWT, False),
    ],
    ids=str,
)
def test_what_is_safe_is_served(listen: str, environ: dict[str, str], is_plaintext_wanted: bool) -> None:
    security: config.Security = {"insecure_plaintext": is_plaintext_wanted}

    config.refuse_strangers(config.load(listen=listen, security=security, environ=environ))


@pytest.mark.parametrize(("text", "is_on"), [(None, True), ("", True), ("on", True), ("off", False)])
def test_the_daily_trial_balance_is_on_unless_it_is_switched_off(text: str | None, is_on: bool) -> None:
    environ = {} if text is None else {"LEDGER_DAILY_TRIAL_BALANCE": text}

    assert config.load(environ=environ).daily_trial_balance is is_on


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_on_or_off(name: str) -> None:
    for on, off in (("on", "off"), ("true", "false")):
        assert config.load(environ={name: on}) != config.load(environ={name: off})
    with pytest.raises(config.ConfigError, match=f"{name} is 'no'; it may be on or off"):
        config.load(environ={name: "no"})


@pytest.mark.criterion("S003-30", "S003-32", "S003-45")
@pytest.mark.parametrize(
    ("environ", "environment", "are_offered"),
    [
        ({}, "prod", False),
        ({"LEDGER_ENV": ""}, "prod", False),
        ({"LEDGER_ENV": "prod"}, "prod", False),
        ({"LEDGER_ENV": "stage"}, "stage", True),
        ({"LEDGER_ENV": "dev"}, "dev", True),
        ({"LEDGER_ENV": "dev", "LEDGER_DEV_ENDPOINTS_ENABLED": "false"}, "dev", False),
        ({"LEDGER_DEV_ENDPOINTS_ENABLED": "true"}, "prod", True),
    ],
    ids=str,
)
def test_the_environment_gives_development_flags_their_defaults(
    environ: dict[str, str], environment: str, are_offered: bool
) -> None:
    off, on = config.load(environ=environ), config.load(environ={**environ, "LEDGER_ENABLED": "on"})

    assert (off.environment, off.enabled, off.dev_endpoints_enabled) == (environment, False, are_offered)
    assert off.dev_endpoints_off_by[0] == "LEDGER_ENABLED"
    assert on.dev_endpoints_off_by == (() if are_offered else ("LEDGER_DEV_ENDPOINTS_ENABLED",))


@pytest.mark.parametrize("name", ["production", "DEV", "test"])
def test_another_environment_is_refused(name: str) -> None:
    with pytest.raises(config.ConfigError, match=f"LEDGER_ENV is '{name}'; it may be dev, stage or prod"):
        config.load(environ={"LEDGER_ENV": name})


def test_options_come_before_the_environment() -> None:
    settings = config.load(security={"tls_cert": "other.pem"}, environ=_TLS)

    assert (settings.tls_cert, settings.tls_key) == ("other.pem", "server-key.pem")
