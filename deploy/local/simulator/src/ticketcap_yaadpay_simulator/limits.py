"""Limit the size of request bodies."""

from starlette.requests import Request


class TooLarge(ValueError):
    """A request is larger than is taken."""


async def body_of(request: Request, most: int) -> bytes:
    """Read a body; raise TooLarge before it holds more than ``most`` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"a body has at most {most} bytes")
    return bytes(body)
