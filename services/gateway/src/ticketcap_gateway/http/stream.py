"""Seats as server-sent events: now, then each change."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import DeadlineExceeded, ServiceError, Unavailable
from ticketcap_observability import get_logger

from ticketcap_gateway.capacity_hub import CapacityHub, SeatsUpdate, Subscription
from ticketcap_gateway.http import schemas, translate
from ticketcap_gateway.http.access import event_of
from ticketcap_gateway.http.operation import Answer, Operation
from ticketcap_gateway.http.responses import StreamedResponse

_HEADERS: Final = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
_RETRY: Final = b"retry: 1000\n\n"
_HEARTBEAT: Final = b": still here\n\n"
_FIRST_STATE_SECONDS: Final = 10.0

_log = get_logger(__name__)


class Stream:
    """Serves an event's stream. ``heartbeat`` is the longest silence, in seconds."""

    def __init__(self, hub: CapacityHub, *, heartbeat: float) -> None:
        self._hub = hub
        self._heartbeat = heartbeat

    def operations(self) -> Sequence[Operation]:
        """Return the call."""
        return (
            Operation(
                method="GET",
                path="/api/v1/schools/{school}/events/{event}/stream",
                name="watchEvent",
                summary="Seats now, then each change within a second, as server-sent events named seats.",
                topic="Events",
                handler=self.watch,
                answers=[
                    Answer(
                        status=200,
                        description="The stream; an event's id is the version of the seats.",
                        body=schemas.SeatsEvent,
                        media_type="text/event-stream",
                    )
                ],
            ),
        )

    async def watch(self, request: Request) -> Response:
        """Stream an event's seats."""
        school, event = event_of(request)
        async with AsyncExitStack() as stack:
            subscription = await stack.enter_async_context(self._hub.subscribe(school, event))
            first = await _first(subscription)
            return StreamedResponse(self._frames(subscription, first), resources=stack.pop_all(), headers=_HEADERS)

    async def _frames(self, subscription: Subscription, first: SeatsUpdate) -> AsyncGenerator[bytes, None]:
        yield _RETRY + _frame(first)
        while True:
            try:
                async with asyncio.timeout(self._heartbeat):
                    update = await subscription.next()
            except TimeoutError:
                yield _HEARTBEAT
                continue
            except ServiceError as error:
                # The browser connects again, and is then told by a status.
                _log.info("stream.ended", reason=error.reason)
                return
            if update is None:
                return
            yield _frame(update)


async def _first(subscription: Subscription) -> SeatsUpdate:
    try:
        async with asyncio.timeout(deadlines.bounded(_FIRST_STATE_SECONDS)):
            update = await subscription.next()
    except TimeoutError:
        raise DeadlineExceeded("the event's seats did not come in time") from None
    if update is None:
        raise Unavailable("the gateway is stopping; try again")
    return update


def _frame(update: SeatsUpdate) -> bytes:
    seats = translate.seats(update.seats, update.promoted)
    return f"event: seats\nid: {seats.version}\ndata: {seats.model_dump_json()}\n\n".encode()
