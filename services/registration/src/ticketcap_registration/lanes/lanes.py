"""Find the lane of an event; drop lanes in which nothing waits."""

import asyncio
from uuid import UUID

from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import Unavailable

from ticketcap_registration.domain.commands import Command
from ticketcap_registration.domain.errors import WaitedTooLong
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.lanes.batch import Batches
from ticketcap_registration.lanes.lane import Lane, LaneLimits, Turns
from ticketcap_registration.lanes.waiter import Applied


class Lanes:
    """Every lane of this process. ``patient`` runs the batches whose rows were locked, ``batches`` all others."""

    def __init__(self, batches: Batches, limits: LaneLimits, *, patient: Batches | None = None) -> None:
        self._limits = limits
        self._ordinary = Turns(batches, asyncio.Semaphore(limits.transactions))
        self._patient = Turns(patient or batches, asyncio.Semaphore(limits.patient))
        self._lanes: dict[UUID, Lane] = {}
        self._closing = False

    async def submit(self, event: EventKey, command: Command) -> Applied:
        """Run ``command`` in its event's lane within the caller's deadline; raise the errors of ``Lane.submit``."""
        if self._closing:
            raise Unavailable("this replica is stopping; nothing was done, try again", reason="STOPPING")
        left = deadlines.remaining()
        # Before the look-up: a lane in which nothing was ever queued would never be dropped.
        if left is not None and left <= 0:
            raise WaitedTooLong(event.id)
        # No await between the look-up and the queue: the lane is dropped only when nothing waits in it.
        return await self._lane(event).submit(command, left)

    @property
    def depths(self) -> list[int]:
        """How many commands wait in each lane. Any thread may read it."""
        return [lane.depth for lane in list(self._lanes.values())]

    async def close(self, grace: float) -> None:
        """Refuse new commands; give those that wait ``grace`` seconds to finish."""
        self._closing = True
        # Lanes drop themselves when they are empty: the dictionary changes during the wait.
        draining = [asyncio.create_task(lane.drained()) for lane in self._lanes.values()]
        if draining:
            await asyncio.wait(draining, timeout=grace)
        for lane in list(self._lanes.values()):
            lane.cancel()

    def _lane(self, event: EventKey) -> Lane:
        lane = self._lanes.get(event.id)
        if lane is None:
            lane = Lane(
                event,
                self._limits,
                ordinary=self._ordinary,
                patient=self._patient,
                on_empty=lambda: self._drop(event.id),
            )
            self._lanes[event.id] = lane
        return lane

    def _drop(self, event_id: UUID) -> None:
        self._lanes.pop(event_id, None)
