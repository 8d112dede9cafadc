"""A pool of PostgreSQL connections as every service uses it: bounded, timed, under a role of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from pydantic import Field
from pydantic_settings import BaseSettings
from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from ticketcap_observability import Telemetry, instrument_engine

from ticketcap_chassis.connection_string import connection_parameters
from ticketcap_chassis.link import Link, PoolLimits

__all__ = ["DatabaseSettings", "PoolLimits", "create_engine", "driver_url", "link_of", "opened_engine"]

_NO_SETTINGS: Final[Mapping[str, str]] = {}
_LINK: Final = "ticketcap_link"
_GENERATION: Final = "ticketcap_generation"


class DatabaseSettings(BaseSettings):
    """Limits of a service's waits for its database; every other limit follows from these (``PoolLimits``)."""

    database_answer_seconds: float = Field(default=2.5, ge=0.5, le=60)
    """Silence after which a connection is closed; the server's own limits are shorter."""
    database_connect_seconds: float = Field(default=2.0, ge=0.1, le=60)
    """Limit of making a connection."""

    def link(self) -> Link:
        """Return a way to the database that keeps these limits; one for all engines of a process."""
        return Link(
            PoolLimits(
                checkout_timeout=self.database_answer_seconds + 0.5,
                connect_timeout=self.database_connect_seconds,
                answer_timeout=self.database_answer_seconds,
            )
        )


def driver_url(database_url: str) -> URL:
    """Return SQLAlchemy's URL that hands psycopg exactly the parameters of ``database_url``."""
    parameters = connection_parameters(database_url)
    user, password, database = (parameters.pop(key, None) for key in ("user", "password", "dbname"))
    # Hosts and ports go along as libpq's lists: SQLAlchemy's own fields hold one of each.
    return URL.create("postgresql+psycopg", username=user, password=password, database=database, query=parameters)


def create_engine(
    database_url: str,
    *,
    role: str,
    pool_name: str,
    limits: PoolLimits,
    telemetry: Telemetry,
    session: Mapping[str, str] = _NO_SETTINGS,
    link: Link | None = None,
) -> AsyncEngine:
    """Return an engine whose every connection acts as ``role`` with the server's settings in ``session``.

    Engines of one database share a ``link``: what one learns of the way there, all know.

    The role is the session's default, so that RESET ROLE leads back to it and
    not to the login, which may own the tables.
    """
    url = driver_url(database_url)
    link = link or Link(limits)
    engine = create_async_engine(
        url,
        pool_size=limits.size,
        max_overflow=0,
        pool_timeout=limits.checkout_timeout,
        pool_recycle=1800,
        # An error's text goes into logs and spans: never with what a statement was given.
        hide_parameters=True,
        execution_options={_LINK: link},
        connect_args={
            "async_creator_fn": link.connect,
            "application_name": f"ticketcap-{pool_name}",
            # Of an option that is set twice the last counts: ours come after the connection string's.
            "options": f"{url.query.get('options', '')} {_session_options(role, limits, session)}",
        },
    )
    _replace_distrusted(engine, link)
    instrument_engine(engine, telemetry, pool_name=pool_name)
    return engine


def link_of(engine: AsyncEngine) -> Link:
    """Return what is known of the way to the database of ``engine``, which ``create_engine`` made."""
    link: Link = engine.sync_engine.get_execution_options()[_LINK]
    return link


def _replace_distrusted(engine: AsyncEngine, link: Link) -> None:
    """Have the pool replace a connection that is older than the link's last failure, before it lends it.

    Else each of a pool's connections would have to be found silent, or read-only, by a caller of its own.
    """

    def connect(_connection: Any, record: Any) -> None:
        record.info[_GENERATION] = link.generation

    def checkout(_connection: Any, record: Any, _fairy: Any) -> None:
        if record.info.get(_GENERATION) != link.generation:
            raise DisconnectionError("the connection is older than the last failure of its pool")

    event.listen(engine.sync_engine, "connect", connect)
    event.listen(engine.sync_engine, "checkout", checkout)


@asynccontextmanager
async def opened_engine(
    database_url: str,
    *,
    role: str,
    connections: int,
    telemetry: Telemetry,
    link: Link,
    session: Mapping[str, str] = _NO_SETTINGS,
    pool_name: str = "",
) -> AsyncIterator[AsyncEngine]:
    """Hold an engine of at most ``connections`` connections as ``role`` for as long as the code inside runs.

    ``pool_name`` tells a second pool of a role from the first, whose name is the role's.
    """
    engine = create_engine(
        database_url,
        role=role,
        pool_name=pool_name or role,
        limits=replace(link.limits, size=connections),
        telemetry=telemetry,
        session=session,
        link=link,
    )
    try:
        yield engine
    finally:
        await engine.dispose()


def _session_options(role: str, limits: PoolLimits, session: Mapping[str, str]) -> str:
    options = {"role": role, "timezone": "UTC", **limits.of_session(), **session}
    return " ".join(f"-c {name}={value}" for name, value in options.items())
