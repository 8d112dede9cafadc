"""A pool of PostgreSQL connections as every service uses it: bounded, timed, under a role of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from ticketcap_observability import Telemetry, instrument_engine

_CONNECT_TIMEOUT_SECONDS: Final = 3
_NO_SETTINGS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds of one pool. Times are in seconds."""

    size: int = 8
    checkout_timeout: float = 3.0
    statement_timeout: float = 5.0
    lock_timeout: float = 3.0


def driver_url(database_url: str) -> URL:
    """Return ``database_url`` for psycopg 3, whichever way its scheme was spelled."""
    return make_url(database_url).set(drivername="postgresql+psycopg")


def create_engine(
    database_url: str,
    *,
    role: str,
    pool_name: str,
    limits: PoolLimits,
    telemetry: Telemetry,
    session: Mapping[str, str] = _NO_SETTINGS,
) -> AsyncEngine:
    """Return an engine whose every connection acts as ``role`` with the server's settings in ``session``.

    The role is the session's default, so that RESET ROLE leads back to it and
    not to the login, which may own the tables.
    """
    engine = create_async_engine(
        driver_url(database_url),
        pool_size=limits.size,
        max_overflow=0,
        pool_timeout=limits.checkout_timeout,
        pool_recycle=1800,
        # An error's text goes into logs and spans: never with what a statement was given.
        hide_parameters=True,
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
            "application_name": f"ticketcap-{pool_name}",
            "options": _session_options(role, limits, session),
        },
    )
    instrument_engine(engine, telemetry, pool_name=pool_name)
    return engine


@asynccontextmanager
async def opened_engine(
    database_url: str,
    *,
    role: str,
    connections: int,
    telemetry: Telemetry,
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
        limits=PoolLimits(size=connections),
        telemetry=telemetry,
        session=session,
    )
    try:
        yield engine
    finally:
        await engine.dispose()


def _session_options(role: str, limits: PoolLimits, session: Mapping[str, str]) -> str:
    options = {
        "role": role,
        "timezone": "UTC",
        "statement_timeout": round(limits.statement_timeout * 1000),
        "lock_timeout": round(limits.lock_timeout * 1000),
        "idle_in_transaction_session_timeout": round(limits.statement_timeout * 2000),
        **session,
    }
    return " ".join(f"-c {name}={value}" for name, value in options.items())
