"""The only wiring: everything is built here by hand, in order, and ended in the other one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ledger_server import __version__
from ledger_server.config import DRAIN_GRACE_S, Config, ConfigError, refuse_strangers
from ledger_server.rpc.authenticating import Authenticator, anybody
from ledger_server.rpc.authorising import Authoriser
from ledger_server.rpc.door import Authenticate, Door
from ledger_server.rpc.interceptors import client_versions
from ledger_server.rpc.key_sets import KeySet, KeySetError
from ledger_server.rpc.ledger_admin_servicer import ServerInfo
from ledger_server.rpc.metering import Meter
from ledger_server.rpc.server import IN_FLIGHT_MAX, WAITING_PER_LEDGER_MAX, AddressInUse, Server, refuse_taken
from ledger_server.rpc.server_certificate import CertificateError, CertificateFiles, ServerCertificate
from ledger_server.rpc.tokens import Tokens
from ledger_server.service.api_keys import APIKeys
from ledger_server.service.ledger import Ledgers
from ledger_server.service.rates import Rates
from ledger_server.store.binaries import BinariesNotFound
from ledger_server.store.data_directory import default_data_dir, make_ephemeral_data_dir
from ledger_server.store.database import Database
from ledger_server.store.database_url import BadDatabaseUrl, refuse_unreadable
from ledger_server.store.databases import app_conninfo, ensure_database
from ledger_server.store.embedded import SUPERUSER, EmbeddedError, EmbeddedPostgres
from ledger_server.store.interlock import Interlock, SharedSession
from ledger_server.store.migrate import MigrationError, migrate, newest_migration
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.room import NoRoom, connections_of, refuse_crowd
from ledger_server.store.writing import no_failpoint

# The database inside the embedded cluster.
DATABASE = "ledger"

# What the URL to serve from, or to verify, is called in front of people.
URL_SETTING = "the database URL (--database-url or LEDGER_DATABASE_URL)"

# PostgreSQL's own default, and room for `verify` and for people beside the workers.
_CONNECTIONS_MIN = 100
_CONNECTIONS_SPARE = 30

# What keeps the service from starting, each with a sentence that says what to do.
STARTING_ERRORS: tuple[type[Exception], ...] = (
    ConfigError,
    CertificateError,
    KeySetError,
    BadDatabaseUrl,
    BinariesNotFound,
    EmbeddedError,
    MigrationError,
    Interlock,
    SharedSession,
    NoRoom,
    DatabaseLost,
    AddressInUse,
)


@dataclass(frozen=True, slots=True)
class Home:
    """Where the books are: the URL to serve from, and the folder where the PostgreSQL is ours."""

    url: str
    data_dir: Path | None


class App:
    """The service, built from its configuration. Use `start`, then `drain`, or a with statement.

    With a `home` it is one of several processes: that one was opened by somebody else,
    and the port is shared.
    """

    def __init__(
        self,
        config: Config,
        home: Home | None = None,
        *,
        clock: Callable[[int], int] = lambda database_time: database_time,
        failpoint: Callable[[str], None] = no_failpoint,
    ) -> None:
        self.config = config
        self.port = 0
        self._home = home
        self.data_dir: Path | None = None
        self._clock = clock
        self._failpoint = failpoint
        self._ends = ExitStack()
        self._server: Server | None = None

    def start(self) -> None:
        """Starts the database where it is ours, connects, and serves; leaves nothing running if it fails."""
        try:
            self._start()
        except BaseException:
            self._ends.close()
            raise

    def _start(self) -> None:
        home = self._home
        if home is None:
            refuse_strangers(self.config)
            refuse_taken(self.config.listen)
            home = open_home(self.config, self._ends)
        self.data_dir = home.data_dir
        certificate = server_certificate(self.config)
        database = Database(
            home.url,
            committers=self.config.committers,
            readers=self.config.readers,
            failpoint=self._failpoint,
        )
        self._ends.callback(database.close)
        database.open()
        ledgers = Ledgers(
            database,
            committers=self.config.committers,
            ahead_from=self.config.ahead_from,
            waiting_max=WAITING_PER_LEDGER_MAX,
            daily_trial_balance=self.config.daily_trial_balance,
            clock=self._clock,
        )
        api_keys = APIKeys(database)
        meter = Meter(_rates(self.config.rate_per_principal), _rates(self.config.rate_per_ledger))
        info = ServerInfo(
            version=__version__,
            schema_version=newest_migration(),
            limits={
                "calls_in_flight_max": IN_FLIGHT_MAX,
                "calls_per_ledger_max": WAITING_PER_LEDGER_MAX,
                **meter.limits(),
                **client_versions.limits(self.config.client_version_min),
            },
            flags={
                "reflection": self.config.reflection,
                "embedded_database": self.config.database_url is None,
                "authentication": self.config.authenticates,
                "daily_trial_balance": self.config.daily_trial_balance,
                "ledger_enabled": self.config.enabled,
                "dev_endpoints_enabled": self.config.dev_endpoints_enabled,
            },
        )
        server = Server(
            ledgers,
            api_keys,
            info,
            with_reflection=self.config.reflection,
            shares_port=self._home is not None,
            door=Door(
                self._authenticate(api_keys),
                meter,
                Authoriser(
                    ledgers.memberships,
                    ledgers.denials,
                    frozenset(self.config.platform_admins),
                    self.config.dev_endpoints_off_by,
                ),
            ),
            client_version_min=self.config.client_version_min,
        )
        self.port = server.listen(self.config.listen, certificate)
        server.start()
        self._server = server

    def _authenticate(self, api_keys: APIKeys) -> Authenticate:
        """What finds out who calls, as far as it is configured."""
        config = self.config
        if not config.authenticates:
            return anybody
        tokens = None
        if config.jwt_jwks and config.jwt_issuer and config.jwt_audience:
            keys = self._ends.enter_context(KeySet(config.jwt_jwks))
            tokens = Tokens(keys, config.jwt_issuer, config.jwt_audience, config.jwt_lifetime_max_s)
        return Authenticator(
            with_certificates=config.tls_client_ca is not None,
            token_principal=tokens.principal if tokens else None,
            proved_key=api_keys.proved if config.api_keys else None,
        )

    def drain(self, grace_s: float = DRAIN_GRACE_S) -> None:
        """Answers who is in flight, commits who waits, and stops everything it started."""
        if self._server is not None:
            self._server.drain(grace_s)
            self._server = None
        self._ends.close()

    def __enter__(self) -> App:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.drain()


def _rates(setting: Sequence[int] | None) -> Rates | None:
    return None if setting is None else Rates(*setting)


def server_certificate(config: Config) -> ServerCertificate | None:
    """What to serve TLS with, None for plaintext. Raises CertificateError."""
    if not (config.tls_cert and config.tls_key):
        return None
    return ServerCertificate(CertificateFiles(config.tls_cert, config.tls_key, config.tls_client_ca))


def open_home(config: Config, ends: ExitStack) -> Home:
    """Starts the database where it is ours, and answers where the books are; `ends` stops it.

    Raises STARTING_ERRORS, also where the database has no room for every worker's connections.
    """
    wanted = config.workers * connections_of(config.committers, config.readers)
    if config.database_url:
        refuse_unreadable(config.database_url, URL_SETTING)
        home = Home(config.database_url, None)
    else:
        home = _start_embedded(config, wanted, ends)
    refuse_crowd(home.url, wanted)
    return home


def _start_embedded(config: Config, connections: int, ends: ExitStack) -> Home:
    """Starts PostgreSQL and brings its schema up to date."""
    data_dir = config.data_dir
    if data_dir is None:
        data_dir = make_ephemeral_data_dir() if config.ephemeral else default_data_dir(config.xdg_data_home)
    postgres = EmbeddedPostgres.start(
        data_dir,
        bindir=config.pg_bindir,
        ephemeral=config.ephemeral,
        settings={"max_connections": str(max(_CONNECTIONS_MIN, connections + _CONNECTIONS_SPARE))},
    )
    ends.callback(postgres.stop)
    ensure_database(postgres.owner_url, DATABASE)
    migrate(postgres.url(DATABASE, SUPERUSER))
    return Home(postgres.url(DATABASE, "ledger_app"), data_dir)


def migrate_database(owner_url: str, app_password: str | None) -> tuple[int, str]:
    """Brings a database's schema up to date; answers its number and the URL to serve from (no password)."""
    refuse_unreadable(owner_url, "--database-url")
    number = migrate(owner_url, app_password=app_password)
    return number, app_conninfo(owner_url)
