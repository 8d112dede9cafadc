"""Limit every wait for one database, and close the connections that exceed it.

Each wait of a connection goes through ``LimitedConnection.wait``: statements, commits, rollbacks, pipelines. Only here
is a hung wait ended, so no caller needs a limit of its own. The server's limits (statement_timeout and the like) are
shorter: they answer for what is slow, the ones here for what is silent.
"""

import asyncio
import math
import time
from typing import Any, Final, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from ticketcap_chassis.database.errors import EXHAUSTED, state_of
from ticketcap_chassis.database.limits import PoolLimits

_Answer = TypeVar("_Answer")

_INTERVAL_SECONDS: Final = 0.1
_AGAIN_SECONDS: Final = 0.25
"""After an attempt to connect has failed, the next one begins so much later."""
_DISTRUST_SECONDS: Final = 1.0
"""A pool's connections are replaced at most so often."""
_TRANSACTION_TIMEOUT_SINCE: Final = 170_000
_TROUBLE_SECONDS: Final = 1.5
"""How long the database counts as exhausted after it said so."""


class LimitedConnection(psycopg.AsyncConnection[Any]):
    """A connection that is closed when the database is silent for too long; made by ``Connector.connect``."""

    connector: "Connector | None" = None
    until: float | None = None
    """When all of what is under way must be answered, on the monotonic clock; None: each statement has its own."""

    def __del__(self, *_: object) -> None:
        # SQLAlchemy drops a connection whose caller leaves while the pool sets it up. Nothing else would close it.
        if hasattr(self, "pgconn"):
            self.pgconn.finish()

    async def wait(
        self,
        gen: PQGen[_Answer],
        interval: float = _INTERVAL_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's
    ) -> _Answer:
        """Wait for the database; close the connection when it is silent for too long, or the caller leaves."""
        if self.connector is None:
            return await super().wait(gen, interval, timeout)
        limit = self._limit(self.connector) if timeout is None else timeout
        try:
            answer = await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=limit)
        except asyncio.CancelledError:
            # Not psycopg's way, which asks the server to cancel and waits for it: over a silent connection that holds
            # the caller for ten seconds. The server notices that its client has gone.
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise
        except psycopg.errors._WaitTimeout:
            if timeout is not None:  # ``notifies`` has waited as long as it was asked to: nothing is wrong
                raise
            self._drop(self.connector)
            raise psycopg.OperationalError(
                f"the database did not answer within {limit:.1f} s; the connection was closed"
            ) from None
        except psycopg.Error as error:
            self._judge(self.connector, error)
            raise
        self.connector.record_answer()
        return answer

    async def limit_transaction(self) -> None:
        """Have the server end the transaction that begins here, whatever it is at; servers before 17 can't.

        A client that falls silent in the middle of a pipeline leaves the server waiting for the pipeline's end, with
        its locks and under none of the other limits.
        """
        if self.connector is not None and self.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
            milliseconds = round(self.connector.limits.transaction_timeout * 1000)
            await self.execute(f"SET LOCAL transaction_timeout = {milliseconds}")

    def _limit(self, connector: "Connector") -> float:
        limit = connector.limits.answer_timeout
        return limit if self.until is None else min(limit, self.until - time.monotonic())

    def _judge(self, connector: "Connector", error: psycopg.Error) -> None:
        state = state_of(error)
        if error.sqlstate is not None:
            connector.record_answer()
        if state is EXHAUSTED:
            connector.record_exhaustion()
        if state is not None and state.drop:
            self._drop(connector)

    def _drop(self, connector: "Connector") -> None:
        """Close at once: a rollback, or a request to cancel, would wait for the same silence."""
        self.pgconn.finish()
        connector.replace_connections()


class Connector:
    """What this process knows of the way to one database; makes its connections."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self.generation = 0
        """Connections of an earlier one are replaced before they are lent."""
        self._heard_at = time.monotonic()
        self._distrusted_at = -math.inf
        self._trouble_at = -math.inf
        self._again_at: float | None = None
        self._is_trying = False

    def record_answer(self) -> None:
        """Note that the database has answered."""
        self._heard_at = time.monotonic()

    def replace_connections(self) -> None:
        """Note that a connection has failed: those of its time may be as dead, or lead to a server of before."""
        now = time.monotonic()
        if now - self._distrusted_at >= _DISTRUST_SECONDS:
            self._distrusted_at = now
            self.generation += 1

    def record_exhaustion(self) -> None:
        """Note that the database has said that it is exhausted."""
        self._trouble_at = time.monotonic()

    @property
    def is_silent(self) -> bool:
        """Whether the database has not answered for longer than it may work at a statement.

        Where every connection is busy, a database that is there answers at least one of them within that time.
        """
        return time.monotonic() - self._heard_at > self.limits.statement_timeout

    @property
    def is_exhausted(self) -> bool:
        """Whether the database has lately said that it is out of a resource."""
        return time.monotonic() - self._trouble_at < _TROUBLE_SECONDS

    async def connect(self, *arguments: Any, **parameters: Any) -> LimitedConnection:
        """Make a connection, or raise psycopg.OperationalError.

        While the database can't be reached only one caller tries at a time: the others fail at once instead of
        waiting in turn for the same silence.
        """
        if self._again_at is not None and (self._is_trying or time.monotonic() < self._again_at):
            raise psycopg.OperationalError("the database could not be reached a moment ago; nothing was tried")
        self._is_trying = True
        try:
            connection = await self._connected(*arguments, **parameters)
        except psycopg.OperationalError:
            self._again_at = time.monotonic() + _AGAIN_SECONDS
            raise
        finally:
            self._is_trying = False
        self._again_at = None
        self.record_answer()
        return connection

    async def _connected(self, *arguments: Any, **parameters: Any) -> LimitedConnection:
        # Each of several hosts has the whole limit: a silent first one must not use up the time of the others.
        limit = self.limits.connect_timeout * (1 + str(parameters.get("host", "")).count(","))
        try:
            # Around all of it: psycopg's own limit does not cover the look-up of the host's name.
            async with asyncio.timeout(limit):
                connection = await LimitedConnection.connect(*arguments, **{**parameters, **self.limits.of_tcp()})
        except TimeoutError:
            raise psycopg.OperationalError(f"no connection to the database within {limit:.1f} s") from None
        connection.connector = self
        return connection
