"""The one transaction that changes seats: lock, load, decide, write, commit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import SqlTelemetry, Telemetry, get_logger, schema

from ticketcap_registration.domain.commands import Command
from ticketcap_registration.domain.errors import EventNotFound
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.ledger import Known, Outcome, SeatLedger, SeatRules
from ticketcap_registration.domain.states import RegistrationStatus
from ticketcap_registration.domain.waitlist import candidates
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.seats import Loaded, SeatConnection, seat_connection

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """When seats were decided (nanoseconds of the wall clock), on which state of the event, and what else moved.

    ``promoted`` and ``expired`` hold the spots of each registration that was promoted or whose hold expired,
    ``waits`` the seconds that each promoted one had waited.
    """

    began: int
    ended: int
    event: Event
    promoted: tuple[int, ...] = ()
    expired: tuple[int, ...] = ()
    waits: tuple[float, ...] = ()
    confirmed: int = 0
    """Registrations of before that got their place for good: holds confirmed, promotions to a free event."""
    filled: bool = False
    """Whether the last free spot went."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a transaction made true: one outcome per command, in their order."""

    outcomes: list[Outcome | ServiceError]
    decided: Decided


class SeatTransactions:
    """Runs commands of one event in one transaction, which waits at most ``lock_seconds`` for a lock."""

    def __init__(self, engine: AsyncEngine, rules: SeatRules, telemetry: Telemetry, *, lock_seconds: float) -> None:
        self._engine = engine
        self._lock_seconds = lock_seconds
        self._rules = rules
        self._statements = SqlTelemetry(telemetry)
        self._duration = telemetry.histogram(schema.DB_TRANSACTION_DURATION)
        self._violations = telemetry.counter(schema.ISOLATION_VIOLATION)
        self._commit_duration = telemetry.histogram(schema.LANE_COMMIT)

    async def run(self, key: EventKey, commands: Sequence[Command]) -> Committed:
        """Apply ``commands`` in order and commit; raise EventNotFound, or what the store raises."""
        began = time.perf_counter()
        async with seat_connection(self._engine, self._statements) as connection:
            locked = await connection.lock(key, commands, lock_seconds=self._lock_seconds)
            if locked is None:
                raise EventNotFound(key.school.slug, str(key.id))
            event, loaded = locked
            self._must_be_of(key, event)
            known = await self._known(connection, event, loaded, commands)
            committed, ledger = self._decide(event, known, commands)
            if ledger.touched:
                await self._commit(connection, ledger)
        self._duration.record(time.perf_counter() - began, operation="seats")
        return committed

    def _must_be_of(self, key: EventKey, event: Event) -> None:
        """Row-level security has let only this school's row through; should it ever not, nothing is done."""
        if event.school_id != key.school.id:
            self._violations.add(1, where="lane")
            _log.error("tenant.isolation.violation", where="lane", event_id=str(event.id))
            raise EventNotFound(key.school.slug, str(key.id))

    async def _commit(self, connection: SeatConnection, ledger: SeatLedger) -> None:
        began = time.perf_counter()
        await connection.commit(ledger)
        self._commit_duration.record(time.perf_counter() - began)

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
            waits=tuple((known.now - registration.created_at).total_seconds() for registration in ledger.promoted),
            confirmed=sum(
                transition.registration.status is RegistrationStatus.CONFIRMED
                for transition in ledger.transitions.values()
                if transition.registration.id not in ledger.added
            ),
            filled=event.available > 0 >= ledger.event.available,
        )
        return Committed(outcomes, decided), ledger
