"""Set the limit of every wait for one database."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Limits of one pool; all times are in seconds."""

    size: int = 8
    checkout_timeout: float = 3.0
    """Longest wait of a caller for a free connection of the pool."""
    connect_timeout: float = 2.0
    """Longest time to open a connection: name, TCP, TLS and login."""
    answer_timeout: float = 2.5
    """Longest silence of the database after one statement, or during a lane's whole transaction."""

    @property
    def server_timeout(self) -> float:
        """Limit after which the server ends a statement, an idle transaction or a lane's whole transaction.

        It is shorter than ``answer_timeout``, so that locks are free before the next connection asks for them.
        """
        return 0.8 * self.answer_timeout

    @property
    def lock_timeout(self) -> float:
        """Limit after which the server ends a wait for a lock."""
        return 0.6 * self.answer_timeout

    def of_tcp(self) -> dict[str, int]:
        """Return libpq's parameters with which the kernel closes a silent connection."""
        return {
            "connect_timeout": max(2, math.ceil(self.connect_timeout)),
            "tcp_user_timeout": round(self.answer_timeout * 1000),
            "keepalives": 1,
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 3,
        }

    def of_session(self) -> Mapping[str, object]:
        """Return the settings of every session: the server ends slow statements and sessions without a client."""
        return {
            "timezone": "UTC",
            "statement_timeout": round(self.server_timeout * 1000),
            "lock_timeout": round(self.lock_timeout * 1000),
            "idle_in_transaction_session_timeout": round(self.server_timeout * 1000),
            "client_connection_check_interval": 1000,
            "tcp_user_timeout": round(self.answer_timeout * 1000),
            "tcp_keepalives_idle": 5,
            "tcp_keepalives_interval": 1,
            "tcp_keepalives_count": 3,
        }
