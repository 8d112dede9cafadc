"""Keeps the health answers true: the service can do its work only while its database answers."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_observability import get_logger

from ticketcap_chassis.errors import ServiceError
from ticketcap_chassis.grpc_server import GrpcServer
from ticketcap_chassis.identity import KeyState, TokenVerifier
from ticketcap_chassis.transactions import StoreUnavailable, translated_errors

DATABASE: Final = "database"
"""The name under which the health service tells of the database alone."""
IDENTITY: Final = "identity"
"""The name under which the health service tells whether tokens can be verified."""

_PING: Final = text("""-- health.ping
SELECT 1""")

_log = get_logger(__name__)


class DatabaseHealth:
    """Asks the database and sets the health of ``services`` and of DATABASE accordingly."""

    def __init__(self, engine: AsyncEngine, server: GrpcServer, services: Sequence[str]) -> None:
        self._engine = engine
        self._server = server
        self._services = (*services, DATABASE)
        self._serving: bool | None = None

    async def check(self) -> None:
        """Ask once; tell and log when the answer has changed."""
        try:
            await self._ping()
            serving = True
        except StoreUnavailable as error:
            serving = False
            if self._serving is not False:
                _log.error("database.unreachable", reason=error.reason)
        except ServiceError as error:
            # Busy or slow is not away: the answer stays what it was.
            _log.warning("database.slow", reason=error.reason)
            return
        if serving is not self._serving:
            self._serving = serving
            for service in self._services:
                await self._server.set_health(service, serving=serving)

    async def _ping(self) -> None:
        with translated_errors():
            async with self._engine.connect() as connection:
                await connection.execute(_PING)


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
