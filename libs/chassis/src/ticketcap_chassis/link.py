"""Limit every wait for one database, and close the connections that exceed it.

Each wait of a connection goes through ``LimitedConnection.wait``: statements, commits, rollbacks, pipelines. Only here
is a hung wait ended, so no caller needs a limit of its own. The server's limits (statement_timeout and the like) are
shorter: they answer for what is slow, the ones here for what is silent.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from ticketcap_chassis.database_errors import EXHAUSTED, state_of

_Answer = TypeVar("_Answer")

_INTERVAL_SECONDS: Final = 0.1
_AGAIN_SECONDS: Final = 0.25
"""After an attempt to connect has failed, the next one begins so much later."""
_DISTRUST_SECONDS: Final = 1.0
"""A pool's connections are replaced at most so often."""
_TRANSACTION_TIMEOUT_SINCE: Final = 170_000
_TROUBLE_SECONDS: Final = 1.5
"""How long the database counts as exhausted after it said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds of one pool. Times are in seconds."""

    size: int = 8
    checkout_timeout: float = 3.0
    """How long a caller waits for a connection of the pool."""
    connect_timeout: float = 2.0
    """How long making a connection takes at most: name, TCP, TLS and login."""
    answer_timeout: float = 2.5
    """How long the database may stay silent on one statement, or on a lane's whole transaction."""

    @property
    def statement_timeout(self) -> float:
        """When the server ends a statement: before the silence would end its connection."""
        return 0.8 * self.answer_timeout

    @property
    def lock_timeout(self) -> float:
        """When the server ends a wait for a lock."""
        return 0.6 * self.answer_timeout

    @property
    def idle_timeout(self) -> float:
        """When the server ends a transaction that is idle: its locks are free before the next connection asks."""
        return 0.8 * self.answer_timeout

    @property
    def transaction_timeout(self) -> float:
        """When the server ends a whole transaction that has only the time of one answer."""
        return 0.8 * self.answer_timeout

    def of_tcp(self) -> dict[str, int]:
        """Return libpq's parameters by which the kernel gives a silent connection up."""
        return {
            "connect_timeout": max(2, math.ceil(self.connect_timeout)),
            "tcp_user_timeout": round(self.answer_timeout * 1000),
            "keepalives": 1,
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 3,
        }

    def of_session(self) -> Mapping[str, object]:
        """Return the server's settings by which it ends what takes too long, or whose client has gone."""
        return {
            "statement_timeout": round(self.statement_timeout * 1000),
            "lock_timeout": round(self.lock_timeout * 1000),
            "idle_in_transaction_session_timeout": round(self.idle_timeout * 1000),
            "client_connection_check_interval": 1000,
            "tcp_user_timeout": round(self.answer_timeout * 1000),
            "tcp_keepalives_idle": 5,
            "tcp_keepalives_interval": 1,
            "tcp_keepalives_count": 3,
        }


class LimitedConnection(psycopg.AsyncConnection[Any]):
    """A connection that is closed when the database is silent for too long; made by ``Link.connect``."""

    link: "Link | None" = None
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
        if self.link is None:
            return await super().wait(gen, interval, timeout)
        limit = self._limit(self.link) if timeout is None else timeout
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
            self._drop(self.link)
            raise psycopg.OperationalError(
                f"the database did not answer within {limit:.1f} s; the connection was closed"
            ) from None
        except psycopg.Error as error:
            self._judge(self.link, error)
            raise
        self.link.heard()
        return answer

    async def limit_transaction(self) -> None:
        """Have the server end the transaction that begins here, whatever it is at; servers before 17 can't.

        A client that falls silent in the middle of a pipeline leaves the server waiting for the pipeline's end, with
        its locks and under none of the other limits.
        """
        if self.link is not None and self.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
            milliseconds = round(self.link.limits.transaction_timeout * 1000)
            await self.execute(f"SET LOCAL transaction_timeout = {milliseconds}")

    def _limit(self, link: "Link") -> float:
        limit = link.limits.answer_timeout
        return limit if self.until is None else min(limit, self.until - time.monotonic())

    def _judge(self, link: "Link", error: psycopg.Error) -> None:
        state = state_of(error)
        if error.sqlstate is not None:
            link.heard()
        if state is EXHAUSTED:
            link.in_trouble()
        if state is not None and state.drop:
            self._drop(link)

    def _drop(self, link: "Link") -> None:
        """Close at once: a rollback, or a request to cancel, would wait for the same silence."""
        self.pgconn.finish()
        link.distrust()


class Link:
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

    def heard(self) -> None:
        """Note that the database has answered."""
        self._heard_at = time.monotonic()

    def distrust(self) -> None:
        """Note that a connection has failed: those of its time may be as dead, or lead to a server of before."""
        now = time.monotonic()
        if now - self._distrusted_at >= _DISTRUST_SECONDS:
            self._distrusted_at = now
            self.generation += 1

    def in_trouble(self) -> None:
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
        self.heard()
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
        connection.link = self
        return connection
