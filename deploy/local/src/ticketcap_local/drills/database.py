"""Faults of the database: locks that are held too long, a counter that lies, rows that nothing protects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from ticketcap_local.drills.families import OwnEvent
from ticketcap_local.drills.ground import CannotDrill, Ground
from ticketcap_local.drills.repeated import Repeated

REGISTRATION: Final = "registration"
PAYMENT: Final = "payment"
# A drill waits for a lock no longer than the services do, and none of its statements outlives a second of trouble.
_OPTIONS: Final = "-c lock_timeout=3000 -c statement_timeout=10000 -c application_name=ticketcap-drill"
_CONNECT_SECONDS: Final = 5
_TRIES: Final = 10


@asynccontextmanager
async def connected(ground: Ground, database: str) -> AsyncIterator[Any]:
    """Connect to one of the stack's databases as its owner, outside of any transaction. Raises OSError."""
    import psycopg

    try:
        connection = await psycopg.AsyncConnection.connect(
            ground.database_url(database), autocommit=True, connect_timeout=_CONNECT_SECONDS, options=_OPTIONS
        )
        async with connection:
            yield connection
    except psycopg.OperationalError as error:
        raise OSError(f"the database {database} does not do as the drill asks: {type(error).__name__}") from error


async def insist(ground: Ground, database: str, statement: LiteralString, values: Any = ()) -> int:
    """Run one statement, again when it has to wait for others too long; return the rows that it touched."""
    for left in reversed(range(_TRIES)):
        try:
            async with connected(ground, database) as connection:
                return int((await connection.execute(statement, values)).rowcount)
        except OSError:
            if not left:
                raise
            await asyncio.sleep(0.5)
    raise AssertionError("unreachable")


@dataclass
class Locked:
    """``lock`` held for ``held`` seconds, given back for ``free``, and so on; it goes when the connection goes."""

    lock: LiteralString
    held: float
    free: float
    event: OwnEvent | None = None
    """Whose id is the parameter of ``lock``."""
    database: str = REGISTRATION
    _pulses: Repeated | None = field(default=None, init=False, repr=False)

    async def begin(self, ground: Ground) -> None:
        """Begin to take the lock."""
        ground.part("postgres")
        self._pulses = Repeated(self._hold, pause=self.free)
        await self._pulses.begin(ground)

    async def _hold(self, ground: Ground) -> None:
        async with connected(ground, self.database) as connection, connection.transaction():
            await connection.execute(self.lock, (self.event.id,) if self.event else ())
            await asyncio.sleep(self.held)

    async def end(self, ground: Ground) -> None:
        """Give it back."""
        if self._pulses is not None:
            await self._pulses.end(ground)


@dataclass
class CounterTamperedWith:
    """One confirmed spot more in an event's counter than there are registrations."""

    event: OwnEvent
    _is_done: bool = field(default=False, init=False, repr=False)

    async def begin(self, ground: Ground) -> None:
        """Count one more."""
        ground.part("postgres")
        self._is_done = True
        touched = await insist(
            ground, REGISTRATION, "UPDATE events SET confirmed = confirmed + 1 WHERE id = %s", (self.event.id,)
        )
        if not touched:
            self._is_done = False
            raise CannotDrill(f"the counter of event {self.event.id} can't be reached: row-level security binds us")

    async def end(self, ground: Ground) -> None:
        """Put the counter back to what the rows say."""
        if self._is_done:
            await insist(
                ground,
                REGISTRATION,
                """UPDATE events SET confirmed = (SELECT coalesce(sum(spots), 0) FROM registrations
                   WHERE event_id = events.id AND status = 'CONFIRMED') WHERE id = %s""",
                (self.event.id,),
            )


@dataclass
class DeafListener:
    """End the listener's connection to registration's database and accept no new one; the pools keep theirs."""

    async def begin(self, ground: Ground) -> None:
        """Refuse connections, then end the listener's: it can't make another."""
        ground.part("postgres")
        # From another database: one can't refuse connections to the database that it is in.
        await insist(ground, PAYMENT, "ALTER DATABASE registration ALLOW_CONNECTIONS false")
        await insist(
            ground,
            PAYMENT,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ticketcap-announcements'",
        )

    async def end(self, ground: Ground) -> None:
        """Accept connections again; the listener makes its own within a second."""
        await insist(ground, PAYMENT, "ALTER DATABASE registration ALLOW_CONNECTIONS true")


@dataclass
class Unprotected:
    """A table whose rows every school sees: row-level security is off. It is the keys', in which nobody is named."""

    async def begin(self, ground: Ground) -> None:
        """Switch it off."""
        ground.part("postgres")
        await insist(ground, REGISTRATION, "ALTER TABLE idempotency_keys DISABLE ROW LEVEL SECURITY")

    async def end(self, ground: Ground) -> None:
        """Switch it on again; it is forced as before."""
        await insist(ground, REGISTRATION, "ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY")
