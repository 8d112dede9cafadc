"""Connect to one database, limit every wait, and close silent connections.

Statements, commits, rollbacks and pipelines all wait in ``LimitedConnection.wait``. Hung waits end only there, so no
caller needs a limit of its own. The server's limits (statement_timeout and others) are shorter: they end slow
statements, and the limits here end silence.
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
_RETRY_SECONDS: Final = 0.25
"""Pause between a failed attempt to connect and the next one."""
_REPLACE_SECONDS: Final = 1.0
"""Shortest time between two replacements of a pool's connections."""
_TRANSACTION_TIMEOUT_SINCE: Final = 170_000
_EXHAUSTED_SECONDS: Final = 1.5
"""Seconds for which the database counts as exhausted after its report."""


class LimitedConnection(psycopg.AsyncConnection[Any]):
    """A connection that closes itself when the database is silent for too long; ``Connector.connect`` makes it."""

    connector: "Connector | None" = None
    until: float | None = None
    """Monotonic time by which all statements under way must be answered; None: each statement has its own limit."""

    def __del__(self, *_: object) -> None:
        # A last resort, for a connection that a cancelled caller drops before any pool owns it: the socket closes now,
        # and psycopg's ResourceWarning has no open connection to name. SQLAlchemy 2.1.9 closes those that are cancelled
        # in its own connect events.
        if hasattr(self, "pgconn"):
            self.pgconn.finish()

    async def wait(
        self,
        gen: PQGen[_Answer],
        interval: float = _INTERVAL_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's
    ) -> _Answer:
        """Wait for the database; close the connection when it is silent for too long or the caller is cancelled.

        Raises psycopg.OperationalError without a SQLSTATE for silence.
        """
        if self.connector is None:
            return await super().wait(gen, interval, timeout)
        limit = self._limit(self.connector) if timeout is None else timeout
        try:
            answer = await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=limit)
        except asyncio.CancelledError:
            # psycopg would send the server a request to cancel and wait for the answer: on a silent connection that
            # holds the cancelled caller for ten seconds. Closing is enough, since the server checks once a second
            # whether its client is still there. An idle connection stays open: no statement of it is under way.
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise
        except psycopg.errors._WaitTimeout:
            if timeout is not None:  # the caller's own limit (``notifies``): a quiet connection is no failure
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
        """Make the server end the transaction that begins here after ``server_timeout``; servers before 17 can't.

        A client that falls silent in the middle of a pipeline leaves the server waiting for the pipeline's end, with
        its locks and under no other limit.
        """
        if self.connector is not None and self.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
            milliseconds = round(self.connector.limits.server_timeout * 1000)
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
        """Close at once: a rollback or a request to cancel would wait for the same silence."""
        self.pgconn.finish()
        connector.replace_connections()


class Connector:
    """Make connections to one database, and record whether it answers.

    One event loop uses it, and no method but ``connect`` awaits: each change of its state is one step.
    """

    def __init__(self, limits: PoolLimits, *, pooler_prepares: bool = False) -> None:
        self.limits = limits
        self.pooler_prepares = pooler_prepares
        """True when a pooler in front tracks prepared statements."""
        self.prepares = True
        """False when new connections prepare no statements: a pooler may run one in a session that does not know it."""
        self.generation = 0
        """The pool replaces connections of an earlier generation before it lends them."""
        self._answered_at = time.monotonic()
        self._replaced_at = -math.inf
        self._exhausted_at = -math.inf
        self._retry_at: float | None = None
        self._is_trying = False

    def record_answer(self) -> None:
        """Record that the database has answered."""
        self._answered_at = time.monotonic()

    def replace_connections(self) -> None:
        """Replace the pool's connections: they may be as dead as one that failed, or lead to a former primary."""
        now = time.monotonic()
        if now - self._replaced_at >= _REPLACE_SECONDS:
            self._replaced_at = now
            self.generation += 1

    def record_exhaustion(self) -> None:
        """Record that the database has reported that it is out of a resource."""
        self._exhausted_at = time.monotonic()

    @property
    def is_silent(self) -> bool:
        """Return True when the database has not answered for longer than one statement may take.

        A database that is alive answers at least one of several busy connections within that time.
        """
        return time.monotonic() - self._answered_at > self.limits.server_timeout

    @property
    def is_exhausted(self) -> bool:
        """Return True when the database has recently reported an exhausted resource."""
        return time.monotonic() - self._exhausted_at < _EXHAUSTED_SECONDS

    async def connect(self, *arguments: Any, **parameters: Any) -> LimitedConnection:
        """Open a connection, or raise psycopg.OperationalError.

        While the database can't be reached, only one caller tries at a time. The others fail at once instead of
        waiting in turn for the same silence.
        """
        if self._retry_at is not None and (self._is_trying or time.monotonic() < self._retry_at):
            raise psycopg.OperationalError("the last attempt to reach the database failed just now; try again")
        # No await between the check and this line: of several callers exactly one passes. Without a recent failure
        # (``_retry_at`` is None) all of them connect at the same time.
        self._is_trying = True
        try:
            connection = await self._open(*arguments, **parameters)
        except psycopg.OperationalError:
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            raise
        finally:
            self._is_trying = False
        self._retry_at = None
        self.record_answer()
        return connection

    async def _open(self, *arguments: Any, **parameters: Any) -> LimitedConnection:
        # Each of several hosts has the whole limit: a silent first one must not use up the time of the others.
        limit = self.limits.connect_timeout * (1 + str(parameters.get("host", "")).count(","))
        try:
            # Around the whole attempt: psycopg's own limit does not cover the look-up of the host's name.
            async with asyncio.timeout(limit):
                connection = await LimitedConnection.connect(*arguments, **{**parameters, **self.limits.of_tcp()})
        except TimeoutError:
            raise psycopg.OperationalError(f"no connection to the database within {limit:.1f} s") from None
        connection.connector = self
        if not self.prepares:
            connection.prepare_threshold = None
        return connection
