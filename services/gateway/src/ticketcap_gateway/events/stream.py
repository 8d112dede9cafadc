"""Seats as server-sent events: now, then each change."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import InternalError, NotFound, ServiceError, Unavailable
from ticketcap_observability import get_logger

from ticketcap_gateway import schemas, translate
from ticketcap_gateway.access.callers import Access, event_of
from ticketcap_gateway.edge.operation import Answer, Operation
from ticketcap_gateway.edge.responses import EVENT_STREAM, StreamedResponse
from ticketcap_gateway.events.seat_watch import CapacityHub, SeatsUpdate, Subscription

_HEADERS: Final = {"content-type": f"{EVENT_STREAM}; charset=utf-8", "x-accel-buffering": "no"}
_BEGINNING: Final = b"retry: 1000\n: seats follow\n\n"
_NOT_NOW: Final = b"retry: %d\n: %b\n\n"
# Browsers that were refused together must not come back together.
_REFUSED_RETRY_MS: Final = (10_000, 20_000)
_HEARTBEAT: Final = b": still here\n\n"
# So long an unknown event may take to be a 404; a stream whose seats take longer has begun.
_FIRST_STATE_SECONDS: Final = 1.0

_log = get_logger(__name__)


class Stream:
    """Serves an event's stream. ``heartbeat`` is the longest silence, in seconds."""

    def __init__(self, hub: CapacityHub, access: Access, *, heartbeat: float) -> None:
        self._hub = hub
        self._access = access
        self._heartbeat = heartbeat

    def operations(self) -> Sequence[Operation]:
        """Return the call."""
        return (
            Operation(
                method="GET",
                path="/api/v1/schools/{school}/events/{event}/stream",
                name="watchEvent",
                summary="Seats now, then each change within a second, as server-sent events named seats; "
                "one named deleted ends the stream of a deleted event.",
                topic="Events",
                handler=self.watch,
                answers=[
                    Answer(
                        status=200,
                        description="The stream; an event's id is the version of the seats.",
                        body=schemas.SeatsEvent,
                        media_type=EVENT_STREAM,
                    )
                ],
            ),
        )

    async def watch(self, request: Request) -> Response:
        """Stream an event's seats."""
        try:
            return await self._begun(request)
        except (Unavailable, InternalError) as error:
            if EVENT_STREAM not in request.headers.get("accept", ""):
                raise
            return _not_now(error)

    async def _begun(self, request: Request) -> Response:
        school, event = event_of(request)
        async with AsyncExitStack() as stack:
            subscription = await stack.enter_async_context(
                self._hub.subscribe(school, event, address=self._access.address(request))
            )
            first = await _first(subscription)
            return StreamedResponse(self._frames(subscription, first), resources=stack.pop_all(), headers=_HEADERS)

    async def _frames(self, subscription: Subscription, update: SeatsUpdate | None) -> AsyncGenerator[bytes, None]:
        yield _BEGINNING
        if update is not None:
            yield _frame(update)
        while True:
            try:
                async with asyncio.timeout(self._heartbeat):
                    update = await subscription.next()
            except TimeoutError:
                yield _HEARTBEAT
                continue
            except ServiceError as error:
                _log.info("stream.ended", reason=error.reason)
                if isinstance(error, NotFound):
                    yield _deleted(error)
                # Else the browser connects again, and is then told by a status.
                return
            if update is None:
                return
            yield _frame(update)


async def _first(subscription: Subscription) -> SeatsUpdate | None:
    """Return the seats, or None when they take a while: a browser never comes back to a stream that began as an error.

    Raises the ServiceError that says that there is no such event.
    """
    try:
        async with asyncio.timeout(deadlines.bounded(_FIRST_STATE_SECONDS)):
            update = await subscription.next()
    except TimeoutError:
        return None
    if update is None:
        raise Unavailable("the gateway is stopping; try again")
    return update


def _not_now(error: ServiceError) -> Response:
    """Return a stream that ends at once, and has a browser come again: after a 503 it never would."""
    _log.info("stream.ended", reason=error.reason)
    wait = random.randint(*_REFUSED_RETRY_MS)  # noqa: S311 - spreads reconnects
    return Response(_NOT_NOW % (wait, error.message.encode()), headers=_HEADERS)


def _deleted(error: NotFound) -> bytes:
    data = {"code": error.reason, "detail": "the event was deleted; close the stream"}
    return f"event: deleted\ndata: {json.dumps(data)}\n\n".encode()


def _frame(update: SeatsUpdate) -> bytes:
    seats = translate.seats(update.seats, update.promoted)
    return f"event: seats\nid: {seats.version}\ndata: {seats.model_dump_json()}\n\n".encode()
