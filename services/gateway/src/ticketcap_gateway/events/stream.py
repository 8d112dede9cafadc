"""Stream an event's seats as server-sent events."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import InternalError, NotFound, ServiceError, Unavailable
from ticketcap_observability import get_logger

from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.access.paths import event_of
from ticketcap_gateway.edge.operation import EVENT_STREAM, ResponseSpec, call
from ticketcap_gateway.edge.responses import StreamedResponse
from ticketcap_gateway.events import schemas, translation
from ticketcap_gateway.events.seat_watch import SeatReader, SeatsUpdate, SeatWatches

_HEADERS: Final = {"content-type": f"{EVENT_STREAM}; charset=utf-8", "x-accel-buffering": "no"}
_BEGINNING: Final = b"retry: 1000\n: seats follow\n\n"
_RETRY: Final = b"retry: %d\n: %b\n\n"
# Browsers that were refused together must not reconnect together.
_REFUSED_RETRY_MS: Final = (10_000, 20_000)
_HEARTBEAT: Final = b": still here\n\n"
# Within this time an unknown event is a 404; a stream that waits longer for its seats has begun with a 200.
_FIRST_SEATS_SECONDS: Final = 1.0

_log = get_logger(__name__)


class SeatStream:
    """Serves an event's stream. ``heartbeat`` is the longest silence, in seconds."""

    topic = "Events"

    def __init__(self, watches: SeatWatches, access: Access, *, heartbeat: float) -> None:
        self._watches = watches
        self._access = access
        self._heartbeat = heartbeat

    @call(
        "GET",
        "/api/v1/schools/{school}/events/{event}/stream",
        name="watchEvent",
        summary="Seats now, then each change within a second, as server-sent events named seats; "
        "one named deleted ends the stream of a deleted event.",
        responses=[
            ResponseSpec(
                200,
                "The stream; an event's id is the version of the seats.",
                schemas.SeatsEvent,
                media_type=EVENT_STREAM,
            )
        ],
    )
    async def watch(self, request: Request) -> Response:
        """Stream an event's seats."""
        try:
            return await self._start(request)
        except (Unavailable, InternalError) as error:
            if EVENT_STREAM not in request.headers.get("accept", ""):
                raise
            return _retry_later(error)

    async def _start(self, request: Request) -> Response:
        school, event = event_of(request)
        async with AsyncExitStack() as stack:
            reader = await stack.enter_async_context(
                self._watches.open(school, event, address=self._access.address(request))
            )
            first = await _first(reader)
            return StreamedResponse(self._frames(reader, first), resources=stack.pop_all(), headers=_HEADERS)

    async def _frames(self, reader: SeatReader, update: SeatsUpdate | None) -> AsyncGenerator[bytes, None]:
        yield _BEGINNING
        if update is not None:
            yield _frame(update)
        while True:
            try:
                async with asyncio.timeout(self._heartbeat):
                    update = await reader.next()
            except TimeoutError:
                yield _HEARTBEAT
                continue
            except ServiceError as error:
                _log.info("stream.ended", reason=error.reason)
                if isinstance(error, NotFound):
                    yield _deleted(error)
                # After any other error the browser reconnects, and then gets a status.
                return
            if update is None:
                return
            yield _frame(update)


async def _first(reader: SeatReader) -> SeatsUpdate | None:
    """Return the seats, or None when they take a while: a browser never reconnects to a stream that began as an error.

    Raises NotFound for an unknown event.
    """
    try:
        async with asyncio.timeout(deadlines.bounded(_FIRST_SEATS_SECONDS)):
            update = await reader.next()
    except TimeoutError:
        return None
    if update is None:
        raise Unavailable("the gateway is stopping; try again")
    return update


def _retry_later(error: ServiceError) -> Response:
    """Return a stream that ends at once and makes a browser reconnect later: after a 503 it never would."""
    _log.info("stream.ended", reason=error.reason)
    wait = random.randint(*_REFUSED_RETRY_MS)  # noqa: S311 - spreads reconnects
    return Response(_RETRY % (wait, error.message.encode()), headers=_HEADERS)


def _deleted(error: NotFound) -> bytes:
    data = {"code": error.reason, "detail": "the event was deleted; close the stream"}
    return f"event: deleted\ndata: {json.dumps(data)}\n\n".encode()


def _frame(update: SeatsUpdate) -> bytes:
    seats = translation.seats(update.seats, update.promoted)
    return f"event: seats\nid: {seats.version}\ndata: {seats.model_dump_json()}\n\n".encode()
