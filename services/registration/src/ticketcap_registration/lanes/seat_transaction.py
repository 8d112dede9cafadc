"""The one transaction that changes seats: lock, load, decide, write, commit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.errors import ServiceError

from ticketcap_registration.domain.commands import Command
from ticketcap_registration.domain.errors import EventNotFound
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.ledger import Known, Outcome, SeatLedger, SeatRules
from ticketcap_registration.domain.waitlist import candidates
from ticketcap_registration.store import seats
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.transactions import school_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """When seats were decided (nanoseconds of the wall clock), on which state of the event, and what else moved."""

    began: int
    ended: int
    event: Event
    promoted: int
    expired: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What a transaction made true: one outcome per command, in their order."""

    outcomes: list[Outcome | ServiceError]
    decided: Decided


class SeatTransactions:
    """Runs commands of one event in one transaction."""

    def __init__(self, engine: AsyncEngine, rules: SeatRules) -> None:
        self._engine = engine
        self._rules = rules

    async def run(self, key: EventKey, commands: Sequence[Command]) -> Committed:
        """Apply ``commands`` in order and commit; raise EventNotFound, or what the store raises."""
        async with school_transaction(self._engine, key.school.id) as connection:
            event = await seats.lock(connection, key.id)
            if event is None:
                raise EventNotFound(key.school.slug, str(key.id))
            known = await self._known(connection, event, commands)
            committed, ledger = self._decide(event, known, commands)
            if ledger.touched:
                await seats.write(connection, ledger)
        return committed

    async def _known(self, connection: AsyncConnection, event: Event, commands: Sequence[Command]) -> Known:
        loaded = await seats.load(connection, event, commands)
        registrations = loaded.registrations or []
        wanted = candidates(event, registrations, commands)
        return Known(
            now=loaded.now,
            answers=loaded.answers or {},
            live_phones=loaded.live_phones or frozenset(),
            registrations=registrations,
            waiting=await seats.waiting(connection, event, wanted) if wanted else (),
        )

    def _decide(self, event: Event, known: Known, commands: Sequence[Command]) -> tuple[Committed, SeatLedger]:
        began = time.time_ns()
        ledger = SeatLedger(event, known, self._rules)
        outcomes = ledger.apply(commands)
        decided = Decided(
            began=began,
            ended=time.time_ns(),
            event=event,
            promoted=len(ledger.promoted),
            expired=len(ledger.expired),
        )
        return Committed(outcomes, decided), ledger
