"""A flood: more families at once than an event has places."""

from dataclasses import dataclass
from typing import Final

from ticketcap_local import traffic
from ticketcap_local.drills.families import OwnEvent
from ticketcap_local.drills.ground import Ground, Refused
from ticketcap_local.seed import SCHOOL

_CONCURRENCY: Final = 16


@dataclass
class Flooded:
    """A rush of ``parents`` against an event, once."""

    event: OwnEvent
    parents: int

    async def begin(self, ground: Ground) -> None:
        """Let them all register."""
        url = ground.part("gateway").address
        told = await traffic.rush(
            url=url, school=SCHOOL, event=self.event.slug, parents=self.parents, concurrency=_CONCURRENCY
        )
        if not told.statuses:
            raise Refused(f"nobody could register: {dict(told.refusals)}")

    async def end(self, _ground: Ground) -> None:
        """Nothing: the event is closed by whoever opened it."""
