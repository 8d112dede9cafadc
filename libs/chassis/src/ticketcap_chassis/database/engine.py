"""Create bounded pools of PostgreSQL connections under a role."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from ticketcap_observability import Telemetry, instrument_engine

from ticketcap_chassis.database.connection_string import connection_parameters
from ticketcap_chassis.database.connector import Connector
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_chassis.database.set_local import send_literals
from ticketcap_chassis.database.settings import DatabaseSettings

_NO_SETTINGS: Final[Mapping[str, str]] = {}
_CONNECTOR: Final = "ticketcap_connector"
_SESSIONS: Final = "ticketcap_sessions"
_GENERATION: Final = "ticketcap_generation"

EngineOpener = Callable[..., AbstractAsyncContextManager[AsyncEngine]]
"""``open_engine`` with most of its parameters; a caller adds the connection string, role and size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """The sessions that an engine was made for: they act as ``role`` with the server's ``settings``."""

    role: str
    settings: Mapping[str, object]
    own_login: bool
    """True when the login is the role and carries the settings (``logins``); else each session begins with them."""


def driver_url(database_url: str) -> URL:
    """Return SQLAlchemy's URL that hands psycopg exactly the parameters of ``database_url``."""
    parameters = connection_parameters(database_url)
    user, password, database = (parameters.pop(key, None) for key in ("user", "password", "dbname"))
    # Hosts and ports travel as libpq's lists: SQLAlchemy's own fields hold one of each.
    return URL.create("postgresql+psycopg", username=user, password=password, database=database, query=parameters)


def create_engine(
    database_url: str,
    *,
    role: str,
    pool_name: str,
    limits: PoolLimits,
    telemetry: Telemetry,
    session: Mapping[str, str] = _NO_SETTINGS,
    connector: Connector | None = None,
    own_login: bool = False,
) -> AsyncEngine:
    """Return an engine whose connections act as ``role`` with the server's settings in ``session``.

    Engines of one database share a ``connector``: a failure that one engine meets replaces the connections of all.
    Without ``own_login`` each session begins with role and settings. The role is then the session's default, so that
    RESET ROLE leads back to it and not to the login, which may own the tables.
    """
    url = driver_url(database_url)
    connector = connector or Connector(limits)
    sessions = Sessions(role=role, settings={**limits.of_session(), **session}, own_login=own_login)
    engine = create_async_engine(
        url,
        pool_size=limits.size,
        max_overflow=0,
        pool_timeout=limits.checkout_timeout,
        pool_recycle=1800,
        # Errors' texts go into logs and spans: never with a statement's values.
        hide_parameters=True,
        execution_options={_CONNECTOR: connector, _SESSIONS: sessions},
        connect_args={
            "async_creator_fn": connector.connect,
            "application_name": f"ticketcap-{pool_name}",
            # A pooler refuses options; the last value of a repeated one counts.
            **({} if own_login else {"options": f"{url.query.get('options', '')} {_options(sessions)}"}),
        },
    )
    _replace_old_connections(engine, connector)
    send_literals(engine)
    instrument_engine(engine, telemetry, pool_name=pool_name)
    return engine


def connector_of(engine: AsyncEngine) -> Connector:
    """Return the connector of an engine that ``create_engine`` made."""
    connector: Connector = engine.sync_engine.get_execution_options()[_CONNECTOR]
    return connector


def sessions_of(engine: AsyncEngine) -> Sessions:
    """Return the sessions of an engine that ``create_engine`` made."""
    sessions: Sessions = engine.sync_engine.get_execution_options()[_SESSIONS]
    return sessions


@asynccontextmanager
async def open_engine(
    database_url: str,
    *,
    role: str,
    connections: int,
    telemetry: Telemetry,
    connector: Connector,
    session: Mapping[str, str] = _NO_SETTINGS,
    own_login: bool = False,
    pool_name: str = "",
) -> AsyncIterator[AsyncEngine]:
    """Hold an engine of at most ``connections`` connections as ``role`` while the code inside runs.

    ``pool_name`` is the role's name by default; a role's second pool needs a name of its own.
    """
    engine = create_engine(
        database_url,
        role=role,
        pool_name=pool_name or role,
        limits=replace(connector.limits, size=connections),
        telemetry=telemetry,
        session=session,
        connector=connector,
        own_login=own_login,
    )
    try:
        yield engine
    finally:
        await engine.dispose()


def engine_opener(settings: DatabaseSettings, telemetry: Telemetry, session: Mapping[str, str]) -> EngineOpener:
    """Return ``open_engine`` for engines that share one connector, with the server's settings in ``session`` too."""
    return partial(
        open_engine,
        telemetry=telemetry,
        session={**settings.planner(), **session},
        connector=settings.connector(),
        own_login=settings.own_logins,
    )


def _replace_old_connections(engine: AsyncEngine, connector: Connector) -> None:
    """Make the pool replace a connection that is older than the connector's last failure, before it lends it.

    Otherwise every connection of the pool would have to fail a caller of its own.
    """

    def connect(_connection: Any, record: Any) -> None:
        record.info[_GENERATION] = connector.generation

    def checkout(_connection: Any, record: Any, _fairy: Any) -> None:
        if record.info.get(_GENERATION) != connector.generation:
            raise DisconnectionError("the connection is older than the last failure of its pool")

    event.listen(engine.sync_engine, "connect", connect)
    event.listen(engine.sync_engine, "checkout", checkout)


def _options(sessions: Sessions) -> str:
    return " ".join(f"-c {name}={value}" for name, value in {"role": sessions.role, **sessions.settings}.items())
