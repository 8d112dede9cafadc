"""The kinds of answers that the calls give: JSON, nothing, a stream."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import AsyncExitStack
from typing import Final

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

EVENT_STREAM: Final = "text/event-stream"
_JSON: Final = "application/json"


def json(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``model`` as JSON."""
    return Response(model.model_dump_json().encode(), status, media_type=_JSON, headers=headers)


def created(model: BaseModel, *, location: str, replayed: bool) -> Response:
    """Return a new object, or the one that an earlier request with this idempotency key made."""
    headers = {"location": location}
    if replayed:
        headers["idempotent-replayed"] = "true"
    return json(model, 201, headers)


def no_content() -> Response:
    """Return nothing, successfully."""
    return Response(status_code=204)


class StreamedResponse(Response):
    """An answer sent chunk by chunk until ``chunks`` end or the client leaves; then ``resources`` are closed."""

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
    """Wait until one of ``works`` ends, cancel the others, and raise what the first one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
