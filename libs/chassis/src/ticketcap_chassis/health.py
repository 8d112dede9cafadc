"""Report health from the database and the identity provider's keys."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_observability import get_logger

from ticketcap_chassis.database.engine import connector_of
from ticketcap_chassis.database.errors import StoreExhausted, StoreReadOnly, StoreUnavailable, StoreUnfit
from ticketcap_chassis.database.transactions import open_connection
from ticketcap_chassis.errors import ServiceError, Unavailable
from ticketcap_chassis.identity.tokens import KeyState, TokenVerifier
from ticketcap_chassis.rpc.server import GrpcServer

DATABASE: Final = "database"
"""The health service's name for the database alone."""
IDENTITY: Final = "identity"
"""The health service's name for the ability to verify tokens."""

Needs = Mapping[str, Sequence[str]]
"""The tables on which a role needs each privilege: SELECT, INSERT, UPDATE, DELETE."""

# A privilege may be on columns only. The statement reads catalogues, so a locked table does not delay it.
_PING: Final = text("""-- health.ping: Say whether the database takes writes, and which privileges the role lacks.
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only,
       ARRAY(SELECT privilege || ' on ' || name
             FROM unnest(CAST(:privileges AS text[]), CAST(:names AS text[])) AS needed (privilege, name)
             WHERE NOT coalesce(CASE privilege
               WHEN 'DELETE' THEN has_table_privilege(to_regclass(name), privilege)
               ELSE has_any_column_privilege(to_regclass(name), privilege) END, false)) AS missing""")

_PING_SECONDS: Final = 4.0
"""Longest time of one check, with its wait for a connection."""

_log = get_logger(__name__)


class DatabaseHealth:
    """Check the database as each role of ``needs``, and set the health of ``services`` and of DATABASE."""

    def __init__(self, needs: Mapping[AsyncEngine, Needs], server: GrpcServer, services: Sequence[str]) -> None:
        self._needs = needs
        self._server = server
        self._services = (*services, DATABASE)
        self._serving: bool | None = None

    async def check(self) -> None:
        """Check once; set health and write a log line when the result has changed."""
        checks = (self._failure(engine, needs) for engine, needs in self._needs.items())
        failures = [failure for failure in await asyncio.gather(*checks) if failure is not None]
        failing = next((failure for failure in failures if isinstance(failure, Unavailable)), None)
        if failures and failing is None:
            # Busy or slow is not unavailable: health stays as it was.
            _log.warning("database.slow", reason=failures[0].reason)
            return
        if failing is not None and self._serving is not False:
            _log.error("database.unreachable", reason=failing.reason)
        await self._set(serving=failing is None)

    async def _set(self, *, serving: bool) -> None:
        if serving is not self._serving:
            self._serving = serving
            for service in self._services:
                await self._server.set_health(service, serving=serving)

    async def _failure(self, engine: AsyncEngine, needs: Needs) -> ServiceError | None:
        try:
            async with asyncio.timeout(_PING_SECONDS), open_connection(engine) as connection:
                await self._query(engine, connection, needs)
        except TimeoutError:
            return StoreUnavailable()
        except ServiceError as error:
            return error
        except Exception as error:  # noqa: BLE001 - any failure of the check is a failure of health
            _log.error("job.failed", job="health", error_type=type(error).__name__, exc_info=error)
            return StoreUnavailable()
        return StoreExhausted() if connector_of(engine).is_exhausted else None

    async def _query(self, engine: AsyncEngine, connection: AsyncConnection, needs: Needs) -> None:
        pairs = [(privilege, table) for privilege, tables in needs.items() for table in tables]
        values = {"privileges": [privilege for privilege, _ in pairs], "names": [table for _, table in pairs]}
        found = (await connection.execute(_PING, values)).one()
        if found.read_only:
            # After a failover behind one address, a new connection leads to the writable primary.
            connector_of(engine).replace_connections()
            await connection.invalidate()
            raise StoreReadOnly
        if found.missing:
            if self._serving is not False:
                _log.error("database.unfit", missing=list(found.missing))
            raise StoreUnfit


class IdentityHealth:
    """Keep the identity provider's keys fresh, and report under IDENTITY when there are none.

    Without keys the service as a whole stays healthy: a registration needs no token.
    """

    def __init__(self, verifier: TokenVerifier, server: GrpcServer) -> None:
        self._verifier = verifier
        self._server = server

    async def check(self) -> None:
        """Fetch the keys when they are due, and set the health of IDENTITY."""
        await self._verifier.refresh()
        await self._server.set_health(IDENTITY, serving=self._verifier.keys is not KeyState.MISSING)
