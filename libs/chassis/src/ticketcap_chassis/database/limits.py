"""Set the limit of every wait for one database."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


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
