"""Nudges the lanes of events whose holds are over, so that their spots move on although nobody asks."""

import asyncio
from typing import Final
from uuid import UUID

from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import get_logger

from ticketcap_registration.domain.commands import ExpireHolds
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.watchkeeping import Watchkeeping

_UNDER_WAY: Final = 2000
"""Events whose holds are being expired at the same time, at most."""

_log = get_logger(__name__)


class HoldExpiry:
    """Expires the holds of each event by a task of its own: an event that is stuck delays no other's."""

    def __init__(self, watchkeeping: Watchkeeping, lanes: Lanes) -> None:
        self._watchkeeping = watchkeeping
        self._lanes = lanes
        self._under_way: dict[UUID, asyncio.Task[None]] = {}

    async def look(self) -> None:
        """Send every event with due holds through its lane; return without waiting for the lanes."""
        if len(self._under_way) >= _UNDER_WAY:
            return
        for event in await self._watchkeeping.due_holds(but=list(self._under_way)):
            self._start(event)

    async def close(self) -> None:
        """Cancel what is under way; the next process finds it due."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, event: EventKey) -> None:
        task = asyncio.create_task(self._expire(event), name=f"expire holds of {event.id}")
        self._under_way[event.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(event.id, None))

    async def _expire(self, event: EventKey) -> None:
        try:
            answer = await self._lanes.submit(event, ExpireHolds())
        except ServiceError as error:
            _log.warning("hold.expire_failed", event_id=str(event.id), reason=error.reason)
            return
        if answer.decided.expired:
            _log.info(
                "hold.expired",
                event_id=str(event.id),
                count=len(answer.decided.expired),
                promoted=len(answer.decided.promoted),
            )
