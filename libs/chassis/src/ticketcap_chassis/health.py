"""Keep the health answers true: the service works only while its database does what it needs."""

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
"""The name under which the health service tells of the database alone."""
IDENTITY: Final = "identity"
"""The name under which the health service tells whether tokens can be verified."""

Needs = Mapping[str, Sequence[str]]
"""The privileges that a role needs: SELECT, INSERT, UPDATE, DELETE; and on which tables."""

# A privilege may be on columns only. The statement reads catalogues, so a locked table does not delay it.
_PING: Final = text("""-- health.ping
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only,
       ARRAY(SELECT privilege || ' on ' || name
             FROM unnest(CAST(:privileges AS text[]), CAST(:names AS text[])) AS needed (privilege, name)
             WHERE NOT coalesce(CASE privilege
               WHEN 'DELETE' THEN has_table_privilege(to_regclass(name), privilege)
               ELSE has_any_column_privilege(to_regclass(name), privilege) END, false)) AS missing""")

_PING_SECONDS: Final = 4.0
"""How long one look takes at most, with its wait for a connection."""

_log = get_logger(__name__)


class DatabaseHealth:
    """Asks the database, as each role of ``needs``, and sets the health of ``services`` and of DATABASE."""

    def __init__(self, needs: Mapping[AsyncEngine, Needs], server: GrpcServer, services: Sequence[str]) -> None:
        self._needs = needs
        self._server = server
        self._services = (*services, DATABASE)
        self._serving: bool | None = None

    async def check(self) -> None:
        """Ask once; tell and log when the answer has changed."""
        asked = (self._failure(engine, needs) for engine, needs in self._needs.items())
        failures = [failure for failure in await asyncio.gather(*asked) if failure is not None]
        failing = next((failure for failure in failures if isinstance(failure, Unavailable)), None)
        if failures and failing is None:
            # Busy or slow is not away: the answer stays what it was.
            _log.warning("database.slow", reason=failures[0].reason)
            return
        if failing is not None and self._serving is not False:
            _log.error("database.unreachable", reason=failing.reason)
        await self._say(serving=failing is None)

    async def _say(self, *, serving: bool) -> None:
        if serving is not self._serving:
            self._serving = serving
            for service in self._services:
                await self._server.set_health(service, serving=serving)

    async def _failure(self, engine: AsyncEngine, needs: Needs) -> ServiceError | None:
        try:
            async with asyncio.timeout(_PING_SECONDS), open_connection(engine) as connection:
                await self._ask(engine, connection, needs)
        except TimeoutError:
            return StoreUnavailable()
        except ServiceError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is: a service whose look fails is not healthy
            _log.error("job.failed", job="health", error_type=type(error).__name__, exc_info=error)
            return StoreUnavailable()
        return StoreExhausted() if connector_of(engine).is_exhausted else None

    async def _ask(self, engine: AsyncEngine, connection: AsyncConnection, needs: Needs) -> None:
        pairs = [(privilege, table) for privilege, tables in needs.items() for table in tables]
        values = {"privileges": [privilege for privilege, _ in pairs], "names": [table for _, table in pairs]}
        found = (await connection.execute(_PING, values)).one()
        if found.read_only:
            # After a failover behind one address the writable primary is only a new connection away.
            connector_of(engine).replace_connections()
            await connection.invalidate()
            raise StoreReadOnly
        if found.missing:
            if self._serving is not False:
                _log.error("database.unfit", missing=list(found.missing))
            raise StoreUnfit


class IdentityHealth:
    """Keeps the identity provider's keys fresh, and reports under IDENTITY when there are none.

    The service as a whole stays healthy without them: who registers needs no token.
    """

    def __init__(self, verifier: TokenVerifier, server: GrpcServer) -> None:
        self._verifier = verifier
        self._server = server

    async def check(self) -> None:
        """Fetch the keys when they are due, and report whether there are any."""
        await self._verifier.refresh()
        await self._server.set_health(IDENTITY, serving=self._verifier.keys is not KeyState.MISSING)
