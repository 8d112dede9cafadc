"""How much may be sent at once."""

from starlette.requests import Request


class TooLarge(ValueError):
    """A request is larger than is taken."""


async def body_of(request: Request, most: int) -> bytes:
    """Read a body; raise TooLarge before more than ``most`` bytes are kept."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"a body has at most {most} bytes")
    return bytes(body)
