"""Send events with due holds through their lanes."""

import asyncio
from typing import Final
from uuid import UUID

from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import get_logger

from ticketcap_registration.domain.commands import ExpireHolds
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.store.watchkeeping import Watchkeeping

_RUNNING_AT_ONCE: Final = 2000
"""Events whose holds expire at the same time, at most."""

_log = get_logger(__name__)


class HoldExpiry:
    """Expires the holds of each event in a task of its own: an event that is stuck delays no other."""

    def __init__(self, watchkeeping: Watchkeeping, lanes: Lanes) -> None:
        self._watchkeeping = watchkeeping
        self._lanes = lanes
        self._running: dict[UUID, asyncio.Task[None]] = {}

    async def look(self) -> None:
        """Send every event with due holds through its lane; return without waiting for the lanes.

        An event whose task still runs is left out: it is never in its lane twice.
        """
        if len(self._running) >= _RUNNING_AT_ONCE:
            return
        for event in await self._watchkeeping.due_holds(but=list(self._running)):
            self._start(event)

    async def close(self) -> None:
        """Cancel the tasks that still run; the next process finds their holds due."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, event: EventKey) -> None:
        task = asyncio.create_task(self._expire(event), name=f"expire holds of {event.id}")
        self._running[event.id] = task
        task.add_done_callback(lambda _: self._running.pop(event.id, None))

    async def _expire(self, event: EventKey) -> None:
        try:
            applied = await self._lanes.submit(event, ExpireHolds())
        except ServiceError as error:
            _log.warning("hold.expire_failed", event_id=str(event.id), reason=error.reason)
            return
        ledger = applied.decision.ledger
        if ledger.expired:
            _log.info("hold.expired", event_id=str(event.id), count=len(ledger.expired), promoted=len(ledger.promoted))
