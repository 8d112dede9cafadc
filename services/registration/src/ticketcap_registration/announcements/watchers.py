"""Hold the newest seat announcement for each reader of an event."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from ticketcap_chassis.errors import Unavailable

from ticketcap_registration.domain.seat_announcement import SeatAnnouncement


class Watcher:
    """One reader of one event. Holds only the newest announcement, so a slow reader costs nothing.

    All of its methods run on the event loop. ``next`` awaits in one place and takes everything that arrived
    before it woke up, so no announcement falls between two calls.
    """

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._newest: SeatAnnouncement | None = None
        self._promoted = 0
        self._ended = False

    async def next(self) -> tuple[SeatAnnouncement | None, int]:
        """Wait for an announcement. Return the newest one and the number of promotions since the last call.

        None instead of an announcement means that some were missed: read the event itself.
        Raises Unavailable when this replica stops.
        """
        await self._arrived.wait()
        # No await from here on: an announcement that arrives later sets the event again.
        if self._ended:
            raise Unavailable("this replica is stopping; watch again", reason="STOPPING")
        self._arrived.clear()
        newest, promoted = self._newest, self._promoted
        self._newest, self._promoted = None, 0
        return newest, promoted

    def announce(self, announcement: SeatAnnouncement) -> None:
        """Store the announcement unless a newer one is stored."""
        if self._newest is None or announcement.version > self._newest.version:
            self._newest = announcement
        self._promoted += announcement.promoted
        self._arrived.set()

    def invalidate(self) -> None:
        """Make the reader read the event: announcements may have been missed."""
        self._newest = None
        self._arrived.set()

    def end(self) -> None:
        """Make ``next`` raise, now and later."""
        self._ended = True
        self._arrived.set()


class Watchers:
    """The watchers of this replica, by event."""

    def __init__(self) -> None:
        self._of_event: defaultdict[UUID, set[Watcher]] = defaultdict(set)
        self._ended = False

    @contextmanager
    def watch(self, event_id: UUID) -> Iterator[Watcher]:
        """Watch one event. Read the event after this has begun: a change in between is then announced."""
        watcher = Watcher()
        if self._ended:
            watcher.end()
        self._of_event[event_id].add(watcher)
        try:
            yield watcher
        finally:
            self._of_event[event_id].discard(watcher)
            if not self._of_event[event_id]:
                del self._of_event[event_id]

    def announce(self, announcement: SeatAnnouncement) -> bool:
        """Hand the announcement to the event's watchers; say whether it has any."""
        watchers = self._of_event.get(announcement.event_id, ())
        for watcher in watchers:
            watcher.announce(announcement)
        return bool(watchers)

    def invalidate(self) -> None:
        """Make every reader read its event."""
        for watcher in self._all():
            watcher.invalidate()

    def end(self) -> None:
        """End every watcher, later ones included."""
        self._ended = True
        for watcher in self._all():
            watcher.end()

    def _all(self) -> list[Watcher]:
        return [watcher for watchers in self._of_event.values() for watcher in watchers]
