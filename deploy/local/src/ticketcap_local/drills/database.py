"""Break the database: long locks, a wrong counter, an unprotected table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString
from uuid import UUID

from ticketcap_local.corrections import recount
from ticketcap_local.drills.event import DrillEvent
from ticketcap_local.drills.repeat import repeat
from ticketcap_local.drills.target import CannotDrill, Target

REGISTRATION: Final = "registration"
PAYMENT: Final = "payment"
# The drill waits for a lock no longer than the services do, and none of its statements lasts longer than this.
_OPTIONS: Final = "-c lock_timeout=3000 -c statement_timeout=10000 -c application_name=ticketcap-drill"
_CONNECT_SECONDS: Final = 5
_TRIES: Final = 10


@asynccontextmanager
async def connected(target: Target, database: str) -> AsyncIterator[Any]:
    """Connect to one of the stack's databases as its owner, in autocommit mode. Raises OSError."""
    import psycopg

    try:
        connection = await psycopg.AsyncConnection.connect(
            target.database_url(database), autocommit=True, connect_timeout=_CONNECT_SECONDS, options=_OPTIONS
        )
        async with connection:
            yield connection
    except psycopg.OperationalError as error:
        raise OSError(f"the database {database} failed a statement of the drill: {type(error).__name__}") from error


async def execute(target: Target, database: str, statement: LiteralString, values: Any = ()) -> int:
    """Execute one statement, retrying lock timeouts and lost connections; return the number of rows."""
    for left in reversed(range(_TRIES)):
        try:
            async with connected(target, database) as connection:
                return int((await connection.execute(statement, values)).rowcount)
        except OSError:
            if not left:
                raise
            await asyncio.sleep(0.5)
    raise AssertionError("the last try returns or raises")


async def hold_lock(
    target: Target,
    lock: LiteralString,
    *,
    seconds: float,
    free: float,
    event: DrillEvent | None = None,
    database: str = REGISTRATION,
) -> None:
    """Hold ``lock`` for ``seconds``, release it for ``free`` seconds, and so on.

    The id of ``event`` is the statement's parameter. The server releases the lock when the connection ends.
    """

    async def hold_once() -> None:
        async with connected(target, database) as connection, connection.transaction():
            await connection.execute(lock, (event.id,) if event else ())
            await asyncio.sleep(seconds)

    target.part("postgres")
    repeat(target, hold_once, pause=free)


async def miscount(target: Target, event: DrillEvent) -> None:
    """Count one confirmed spot more than the event has."""

    async def correct() -> None:
        url = target.database_url(REGISTRATION)
        await asyncio.to_thread(recount, url, UUID(event.id), apply=True, say=lambda _line: None)

    target.part("postgres")
    target.undo(correct)
    statement: LiteralString = "UPDATE events SET confirmed = confirmed + 1 WHERE id = %s"
    if not await execute(target, REGISTRATION, statement, (event.id,)):
        raise CannotDrill(f"row-level security hides event {event.id} from this login")


async def silence_seat_announcements(target: Target) -> None:
    """Refuse new connections to registration's database and end the listening one; pools keep theirs."""

    async def accept_connections() -> None:
        await execute(target, PAYMENT, "ALTER DATABASE registration ALLOW_CONNECTIONS true")

    target.part("postgres")
    target.undo(accept_connections)
    # From payment's database: a session can't refuse connections to the database that it uses itself.
    await execute(target, PAYMENT, "ALTER DATABASE registration ALLOW_CONNECTIONS false")
    await execute(
        target,
        PAYMENT,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ticketcap-announcements'",
    )


async def expose_table(target: Target) -> None:
    """Disable row-level security of ``idempotency_keys``, which holds no personal data."""

    async def protect() -> None:
        await execute(target, REGISTRATION, "ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY")

    target.part("postgres")
    target.undo(protect)
    await execute(target, REGISTRATION, "ALTER TABLE idempotency_keys DISABLE ROW LEVEL SECURITY")
