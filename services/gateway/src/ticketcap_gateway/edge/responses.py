"""Build the responses of the calls: JSON, empty, redirected or streamed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import AsyncExitStack

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from ticketcap_chassis.errors import InternalError

from ticketcap_gateway.edge.operation import JSON


def json(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``model`` as JSON."""
    # The serializer itself returns bytes; model_dump_json would make a str of them first.
    return Response(model.__pydantic_serializer__.to_json(model), status, media_type=JSON, headers=headers)


def created(model: BaseModel, *, location: str, replayed: bool) -> Response:
    """Return a new object, or the one that an earlier request with this idempotency key created."""
    headers = {"location": location}
    if replayed:
        headers["idempotent-replayed"] = "true"
    return json(model, 201, headers)


def no_content() -> Response:
    """Return an empty success."""
    return Response(status_code=204)


def see_other(location: str) -> Response:
    """Send the browser to ``location`` with a GET, exactly as it is written."""
    if not (location.isascii() and location.isprintable()):
        raise InternalError("the redirect's address holds characters that no address may hold")
    return Response(status_code=303, headers={"location": location})


class StreamedResponse(Response):
    """A response sent chunk by chunk until ``chunks`` end or the client leaves; then ``resources`` are closed."""

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], *, resources: AsyncExitStack, headers: Mapping[str, str]
    ) -> None:
        self._chunks = chunks
        self._resources = resources
        self.status_code = 200
        self.background = None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        async with self._resources:
            if scope["method"] == "HEAD":
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": b""})
                return
            # A quiet stream sends nothing for seconds, so only receive() shows that its client has left.
            await _first_to_end(self._pump(send), _disconnected(receive))

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_to_end(*works: Awaitable[None]) -> None:
    """Wait until one of ``works`` ends, cancel the others, and raise the first one's error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Also when this task is cancelled: wait() leaves its tasks running, and the pump still holds ``resources``.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
