"""Nudges the lanes of events whose holds are over, so that their spots move on although nobody asks."""

import asyncio

from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import get_logger

from ticketcap_registration.domain.commands import ExpireHolds
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.watchkeeping import Watchkeeping

_log = get_logger(__name__)


async def expire_due_holds(watchkeeping: Watchkeeping, lanes: Lanes) -> None:
    """Send every event with due holds through its lane once."""
    events = await watchkeeping.due_holds()
    await asyncio.gather(*(_expire(lanes, event) for event in events))


async def _expire(lanes: Lanes, event: EventKey) -> None:
    try:
        answer = await lanes.submit(event, ExpireHolds())
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
