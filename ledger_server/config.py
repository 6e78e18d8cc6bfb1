"""The only reader of the environment: what the service was told from outside.

    LEDGER_DATABASE_URL   serve from this PostgreSQL, as the role ledger_app
    LEDGER_PG_BINDIR      the embedded PostgreSQL's programs
    LEDGER_DATA_DIR       where the embedded PostgreSQL keeps the books
    XDG_DATA_HOME         the folder above it, where LEDGER_DATA_DIR is not set
    LEDGER_LISTEN         HOST:PORT to serve on
    LEDGER_TLS_CERT       a PEM file: the certificate to serve TLS with
    LEDGER_TLS_KEY        a PEM file: its private key
    LEDGER_TLS_CLIENT_CA  a PEM file: every client has a certificate that one of these signed
    LEDGER_JWT_JWKS       a file or https URL: the keys that tokens are signed with
    LEDGER_JWT_ISSUER     the `iss` that every token has
    LEDGER_JWT_AUDIENCE   the `aud` that every token has
    LEDGER_JWT_LIFETIME_MAX_S
                          how long a token may be good for, in seconds (1-86400)
    LEDGER_API_KEYS       on or off: whether API keys are taken
    LEDGER_PLATFORM_ADMINS
                          who creates and lists ledgers: principals, with commas between
    LEDGER_REFLECTION     on or off; by default on where the service listens on loopback
    LEDGER_WORKERS        how many processes share the port (1-32)
    LEDGER_COMMITTERS     how many batches a process decides or writes at once (1-16)
    LEDGER_AHEAD_FROM     from how many waiting drafts a ledger's next batch is decided while
                          one is being written (1-2048)
    LEDGER_RATE_PER_PRINCIPAL
    LEDGER_RATE_PER_LEDGER
                          how many drafts a second a caller, or a ledger, is given by each
                          process: RATE or RATE:BURST (1-1000000 each); unlimited by default
    LEDGER_DAILY_TRIAL_BALANCE
                          on or off; by default on: whether each ledger has a trial balance run
                          once a UTC day
    LEDGER_ONE_CORE       on or off; by default on: whether a process of the service stays on one
                          core, its threads together
    LEDGER_CLIENT_VERSION_MIN
                          the oldest ledger_client that is served, as 1.2.3; any by default
    LEDGER_ENV            dev, stage or prod; unset means prod
    LEDGER_ENABLED        on or off; by default off: what people see of the credits beside the
                          service proper, DevService among it
    LEDGER_DEV_ENDPOINTS_ENABLED
                          on or off; by default on in dev and stage: whether DevService answers

For on and off, true and false are taken too.

Command-line options come before the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ledger_server.addresses import is_address, is_loopback

LISTEN_DEFAULT = "127.0.0.1:50051"
WORKERS_MAX = 32
COMMITTERS_DEFAULT = 4
# Fewer drafts gain more by waiting for each other; see docs/performance.md.
AHEAD_FROM_DEFAULT = 200
READERS_DEFAULT = 8
DRAIN_GRACE_S = 20.0
JWT_LIFETIME_MAX_S = 3_600
RATE_MAX = 1_000_000
ENABLED = "LEDGER_ENABLED"
DEV_ENDPOINTS_ENABLED = "LEDGER_DEV_ENDPOINTS_ENABLED"


class ConfigError(Exception):
    """A setting that cannot be used; the sentence says which, and what it may be."""


class Security(TypedDict, total=False):
    """Who may call, and how; what is left out or None is as the environment says."""

    tls_cert: str | None
    tls_key: str | None
    tls_client_ca: str | None
    jwt_jwks: str | None
    jwt_issuer: str | None
    jwt_audience: str | None
    jwt_lifetime_max_s: int
    api_keys: bool
    insecure_plaintext: bool


@dataclass(frozen=True, slots=True)
class Config:
    """What the service runs with."""

    listen: str = LISTEN_DEFAULT
    database_url: str | None = None
    data_dir: Path | None = None
    pg_bindir: Path | None = None
    xdg_data_home: str | None = None
    ephemeral: bool = False
    reflection: bool = True
    workers: int = 1
    committers: int = COMMITTERS_DEFAULT
    ahead_from: int = AHEAD_FROM_DEFAULT
    readers: int = READERS_DEFAULT
    # Drafts a second, and how many may be saved up.
    rate_per_principal: tuple[int, int] | None = None
    rate_per_ledger: tuple[int, int] | None = None
    daily_trial_balance: bool = True
    one_core: bool = True
    client_version_min: str | None = None
    environment: str = "prod"
    enabled: bool = False
    dev_endpoints_enabled: bool = False
    # Paths are text, so that the settings can be told to another process.
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    jwt_jwks: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_lifetime_max_s: int = JWT_LIFETIME_MAX_S
    api_keys: bool = False
    insecure_plaintext: bool = False
    platform_admins: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.listen)

    @property
    def authenticates(self) -> bool:
        """Whether callers are asked who they are."""
        return bool(self.tls_client_ca or self.jwt_jwks or self.api_keys)

    @property
    def dev_endpoints_off_by(self) -> tuple[str, ...]:
        """The settings that keep DevService from answering; none where it answers."""
        switches = {ENABLED: self.enabled, DEV_ENDPOINTS_ENABLED: self.dev_endpoints_enabled}
        return tuple(name for name, is_on in switches.items() if not is_on)


def load(
    *,
    listen: str | None = None,
    database_url: str | None = None,
    data_dir: Path | None = None,
    ephemeral: bool = False,
    workers: int | None = None,
    security: Security | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration from options and environment. Raises ConfigError."""
    listen = listen or environ.get("LEDGER_LISTEN") or LISTEN_DEFAULT
    if not is_address(listen):
        raise ConfigError(
            f"cannot listen on {listen!r}; it may be HOST:PORT, as {LISTEN_DEFAULT}, or unix:PATH"
        )
    bindir = environ.get("LEDGER_PG_BINDIR")
    data = environ.get("LEDGER_DATA_DIR")
    environment = environ.get("LEDGER_ENV") or "prod"
    if environment not in ("dev", "stage", "prod"):
        raise ConfigError(f"LEDGER_ENV is {environment!r}; it may be dev, stage or prod")
    reflection = _switch(environ, "LEDGER_REFLECTION", is_on=is_loopback(listen))
    workers = workers or _number(environ, "LEDGER_WORKERS", 1, WORKERS_MAX)
    if workers > 1 and listen.startswith("unix:"):
        raise ConfigError(
            f"{workers} workers cannot share {listen}: a unix socket has one listener; give HOST:PORT"
        )
    committers = _number(environ, "LEDGER_COMMITTERS", COMMITTERS_DEFAULT, 16)
    ahead_from = _number(environ, "LEDGER_AHEAD_FROM", AHEAD_FROM_DEFAULT, 2_048)
    version = environ.get("LEDGER_CLIENT_VERSION_MIN") or None
    if version and not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){2}", version):
        raise ConfigError(f"LEDGER_CLIENT_VERSION_MIN is {version!r}; it may be MAJOR.MINOR.PATCH, as 0.1.0")
    url = database_url or environ.get("LEDGER_DATABASE_URL") or None
    if ephemeral and data_dir:
        raise ConfigError(
            "--ephemeral makes a folder of its own and removes it at the end; leave out --data-dir"
        )
    if url and (data_dir or ephemeral):
        raise ConfigError("a database URL and an embedded PostgreSQL's data directory exclude each other")
    return Config(
        listen=listen,
        database_url=url,
        data_dir=data_dir or (Path(data) if data and not ephemeral else None),
        pg_bindir=Path(bindir) if bindir else None,
        xdg_data_home=environ.get("XDG_DATA_HOME"),
        ephemeral=ephemeral,
        reflection=reflection,
        workers=workers,
        committers=committers,
        ahead_from=ahead_from,
        rate_per_principal=_rate(environ, "LEDGER_RATE_PER_PRINCIPAL"),
        rate_per_ledger=_rate(environ, "LEDGER_RATE_PER_LEDGER"),
        daily_trial_balance=_switch(environ, "LEDGER_DAILY_TRIAL_BALANCE", is_on=True),
        one_core=_switch(environ, "LEDGER_ONE_CORE", is_on=True),
        client_version_min=version,
        environment=environment,
        enabled=_switch(environ, ENABLED, is_on=False),
        dev_endpoints_enabled=_switch(environ, DEV_ENDPOINTS_ENABLED, is_on=environment != "prod"),
        **_security(security or Security(), environ),
        platform_admins=_names(environ.get("LEDGER_PLATFORM_ADMINS") or ""),
    )


def _security(options: Security, environ: Mapping[str, str]) -> Security:
    """Options before the environment, and only what fits together. Raises ConfigError."""
    api_keys = _switch(environ, "LEDGER_API_KEYS", is_on=False)
    told = Security(
        tls_cert=options.get("tls_cert") or environ.get("LEDGER_TLS_CERT") or None,
        tls_key=options.get("tls_key") or environ.get("LEDGER_TLS_KEY") or None,
        tls_client_ca=options.get("tls_client_ca") or environ.get("LEDGER_TLS_CLIENT_CA") or None,
        jwt_jwks=options.get("jwt_jwks") or environ.get("LEDGER_JWT_JWKS") or None,
        jwt_issuer=options.get("jwt_issuer") or environ.get("LEDGER_JWT_ISSUER") or None,
        jwt_audience=options.get("jwt_audience") or environ.get("LEDGER_JWT_AUDIENCE") or None,
        jwt_lifetime_max_s=_number(environ, "LEDGER_JWT_LIFETIME_MAX_S", JWT_LIFETIME_MAX_S, 86_400),
        api_keys=options.get("api_keys") or api_keys,
        insecure_plaintext=options.get("insecure_plaintext", False),
    )
    fault = _security_fault(told)
    if fault is not None:
        raise ConfigError(fault)
    return told


def _security_fault(told: Security) -> str | None:
    """What does not fit together, and what to do; None where all of it does."""
    jwks = told["jwt_jwks"]
    if bool(told["tls_cert"]) is not bool(told["tls_key"]):
        return "TLS takes a certificate and its key: set both LEDGER_TLS_CERT and LEDGER_TLS_KEY"
    if told["tls_client_ca"] and not told["tls_cert"]:
        return (
            "client certificates come with TLS: set LEDGER_TLS_CERT and LEDGER_TLS_KEY"
            " beside LEDGER_TLS_CLIENT_CA"
        )
    if told["tls_cert"] and told["insecure_plaintext"]:
        return "--insecure-plaintext and a TLS certificate exclude each other: leave one of them out"
    if jwks and not (told["jwt_issuer"] and told["jwt_audience"]):
        return (
            "tokens are taken from one issuer, for one audience: set LEDGER_JWT_ISSUER and"
            " LEDGER_JWT_AUDIENCE beside LEDGER_JWT_JWKS"
        )
    if not jwks and (told["jwt_issuer"] or told["jwt_audience"]):
        return "LEDGER_JWT_JWKS is not set: the file or https URL of the keys that tokens are signed with"
    if jwks and "://" in jwks and (not jwks.startswith("https://") or "@" in jwks):
        return "LEDGER_JWT_JWKS may be a file, or an https URL without a user or password in it"
    return None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _switch(environ: Mapping[str, str], name: str, *, is_on: bool) -> bool:
    """Whether a setting is on; `is_on` is what it is by default."""
    text = environ.get(name) or ("on" if is_on else "off")
    if text not in ("on", "off", "true", "false"):
        raise ConfigError(f"{name} is {text!r}; it may be on or off")
    return text in ("on", "true")


def _number(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise ConfigError(f"{name} is {text!r}; it may be 1 to {most}")
    return int(text)


def _rate(environ: Mapping[str, str], name: str) -> tuple[int, int] | None:
    """A rate and its burst, which is a second's worth unless it is given."""
    text = environ.get(name)
    if not text:
        return None
    rate, _, burst = text.partition(":")
    numbers = [rate, burst if ":" in text else rate]
    if not all(re.fullmatch("[0-9]{1,7}", one) and 1 <= int(one) <= RATE_MAX for one in numbers):
        raise ConfigError(
            f"{name} is {text!r}; it may be RATE or RATE:BURST in drafts, as 1000:8192, each 1 to {RATE_MAX}"
        )
    return int(numbers[0]), int(numbers[1])


def refuse_strangers(config: Config) -> None:
    """Raises ConfigError for an address that other machines reach, if they are not asked who they are.

    And if what they say of it could be read on the way, unless that is wanted.
    """
    if config.is_loopback:
        return
    if not config.authenticates:
        raise ConfigError(
            f"{config.listen} can be reached from other machines, and no authentication is configured:"
            " set LEDGER_TLS_CLIENT_CA, LEDGER_JWT_JWKS or LEDGER_API_KEYS=on,"
            " or listen on 127.0.0.1 or unix:PATH"
        )
    if not config.tls_cert and not config.insecure_plaintext:
        raise ConfigError(
            f"{config.listen} can be reached from other machines, and tokens and keys would be sent in the"
            " clear: set LEDGER_TLS_CERT and LEDGER_TLS_KEY, or say --insecure-plaintext where something"
            " else encrypts"
        )
