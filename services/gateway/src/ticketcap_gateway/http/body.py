"""Takes in a request's body: within its bound, and declared as what it is."""

from typing import Final

from starlette.requests import Request

from ticketcap_gateway.http.problem import BodyTooLarge

_UTF8: Final = frozenset({"", "utf-8", "utf8"})


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """Return the body, or raise BodyTooLarge."""
    length = request.headers.get("content-length", "0")
    # The parser let only digits through.
    if int(length) > max_bytes:
        raise _too_large(request, max_bytes)
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > max_bytes:
            raise _too_large(request, max_bytes)
    return bytes(chunks)


def media_type_of(request: Request) -> str:
    """Return what the body is declared as; "" where it is nothing, or in another encoding than UTF-8."""
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    return media_type.strip().lower() if charset in _UTF8 else ""


def _too_large(request: Request, max_bytes: int) -> BodyTooLarge:
    # A client that waits for 100-continue will not send this body on this connection.
    headers = {"connection": "close"} if "expect" in request.headers else {}
    return BodyTooLarge(f"the body must have at most {max_bytes} bytes", headers=headers)
