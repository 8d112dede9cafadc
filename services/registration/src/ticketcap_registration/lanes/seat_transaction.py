"""Run the one transaction that changes seats: lock, load, decide, write, commit."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from ticketcap_registration.domain.commands import Command
from ticketcap_registration.domain.errors import EventNotFound
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.domain.ledger import Decision, SeatLedger, SeatRules, Snapshot
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.domain.waitlist import candidates
from ticketcap_registration.store.seats import SeatConnection, seat_connection
from ticketcap_registration.telemetry.lanes import LaneTelemetry


class SeatTransactions:
    """Runs commands of one event in one transaction, which waits at most ``lock_seconds`` for a lock.

    ``announce`` takes the seats of each commit, and does not wait.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        rules: SeatRules,
        telemetry: LaneTelemetry,
        announce: Callable[[SeatAnnouncement], None],
        *,
        lock_seconds: float,
    ) -> None:
        self._announce = announce
        self._engine = engine
        self._lock_seconds = lock_seconds
        self._rules = rules
        self._telemetry = telemetry

    async def run(self, key: EventKey, commands: Sequence[Command]) -> Decision:
        """Apply ``commands`` in order and commit; raise EventNotFound, or what the store raises."""
        with self._telemetry.transaction():
            async with seat_connection(self._engine, self._telemetry.statements) as connection:
                # The lock comes first. From here to the commit no other transaction changes this event's seats, so the
                # snapshot that is loaded with it stays true until then.
                locked = await connection.lock(key, commands, lock_seconds=self._lock_seconds)
                if locked is None:
                    raise EventNotFound(key.school.slug, str(key.id))
                event, snapshot = locked
                self._must_belong(key, event)
                snapshot = await _with_candidates(connection, event, snapshot, commands)
                decision = self._decide(event, snapshot, commands)
                if decision.ledger.touched:
                    with self._telemetry.commit():
                        await connection.commit(decision.ledger)
                    # After the commit: a listener that hears of the seats can read them.
                    self._announce(_announcement(decision.ledger))
        return decision

    def _must_belong(self, key: EventKey, event: Event) -> None:
        """Raise EventNotFound for another school's event. Row-level security should have hidden its row."""
        if event.school_id != key.school.id:
            self._telemetry.isolation_violated(key)
            raise EventNotFound(key.school.slug, str(key.id))

    def _decide(self, event: Event, snapshot: Snapshot, commands: Sequence[Command]) -> Decision:
        began = time.time_ns()
        ledger = SeatLedger(event, snapshot, self._rules)
        outcomes = ledger.apply(commands)
        return Decision(commands=commands, outcomes=outcomes, ledger=ledger, began=began, ended=time.time_ns())


async def _with_candidates(
    connection: SeatConnection, event: Event, snapshot: Snapshot, commands: Sequence[Command]
) -> Snapshot:
    """Load the part of the waitlist that the commands can promote from. Most batches need none."""
    needed = candidates(event, snapshot.registrations, commands)
    return replace(snapshot, waiting=await connection.waiting(event, needed)) if needed else snapshot


def _announcement(ledger: SeatLedger) -> SeatAnnouncement:
    return SeatAnnouncement.of(ledger.event, promoted=len(ledger.promoted), decided_at=time.time())
