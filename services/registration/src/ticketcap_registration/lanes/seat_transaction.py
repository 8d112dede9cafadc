"""The one transaction that changes seats: lock, load, decide, write, commit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import SqlTelemetry, Telemetry

from ticketcap_registration.domain.commands import Command
from ticketcap_registration.domain.errors import EventNotFound
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.ledger import Known, Outcome, SeatLedger, SeatRules
from ticketcap_registration.domain.waitlist import candidates
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.seats import Loaded, SeatConnection, seat_connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """When seats were decided (nanoseconds of the wall clock), on which state of the event, and what else moved.

    ``promoted`` and ``expired`` hold the spots of each registration that was promoted or whose hold expired.
    """

    began: int
    ended: int
    event: Event
    promoted: tuple[int, ...] = ()
    expired: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """What a transaction made true: one outcome per command, in their order."""

    outcomes: list[Outcome | ServiceError]
    decided: Decided


class SeatTransactions:
    """Runs commands of one event in one transaction."""

    def __init__(self, engine: AsyncEngine, rules: SeatRules, telemetry: Telemetry) -> None:
        self._engine = engine
        self._rules = rules
        self._statements = SqlTelemetry(telemetry)

    async def run(self, key: EventKey, commands: Sequence[Command]) -> Committed:
        """Apply ``commands`` in order and commit; raise EventNotFound, or what the store raises."""
        async with seat_connection(self._engine, self._statements) as connection:
            locked = await connection.lock(key, commands)
            if locked is None:
                raise EventNotFound(key.school.slug, str(key.id))
            event, loaded = locked
            known = await self._known(connection, event, loaded, commands)
            committed, ledger = self._decide(event, known, commands)
            if ledger.touched:
                await connection.commit(ledger)
        return committed

    async def _known(
        self, connection: SeatConnection, event: Event, loaded: Loaded, commands: Sequence[Command]
    ) -> Known:
        registrations = loaded.registrations or []
        wanted = candidates(event, registrations, commands)
        return Known(
            now=loaded.now,
            answers=loaded.answers or {},
            live_phones=loaded.live_phones or frozenset(),
            registrations=registrations,
            waiting=await connection.waiting(event, wanted) if wanted else (),
        )

    def _decide(self, event: Event, known: Known, commands: Sequence[Command]) -> tuple[Committed, SeatLedger]:
        began = time.time_ns()
        ledger = SeatLedger(event, known, self._rules)
        outcomes = ledger.apply(commands)
        decided = Decided(
            began=began,
            ended=time.time_ns(),
            event=event,
            promoted=tuple(registration.spots for registration in ledger.promoted),
            expired=tuple(registration.spots for registration in ledger.expired),
        )
        return Committed(outcomes, decided), ledger
