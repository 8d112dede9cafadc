"""Takes in a request's body: within its bound, and declared as what it is."""

import email.message
from functools import lru_cache
from typing import Final

from starlette.requests import Request

from ticketcap_gateway.edge.problems import BodyTooLarge, UnsupportedMediaType

_UTF8: Final = frozenset({"", "utf-8", "utf8"})
_UNCHANGED: Final = frozenset({"", "identity"})


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """Return the body. Raises BodyTooLarge, or UnsupportedMediaType where it is compressed."""
    codings = request.headers.getlist("content-encoding")
    if any(coding.strip().lower() not in _UNCHANGED for coding in ",".join(codings).split(",")):
        raise UnsupportedMediaType("send the body without Content-Encoding", headers={"accept-encoding": "identity"})
    # The connection let at most 19 digits through.
    if int(request.headers.get("content-length", "0")) > max_bytes:
        raise _too_large(max_bytes)
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(chunks)


def media_type_of(request: Request) -> str:
    """Return what the body is declared as; "" where it is nothing or two things, or in another encoding than UTF-8.

    Parameters that are not known change nothing (RFC 9110, 8.3.1).
    """
    declared = request.headers.getlist("content-type")
    return _media_type(declared[0]) if len(declared) == 1 else ""


@lru_cache(maxsize=256)
def _media_type(declared: str) -> str:
    message = email.message.Message()
    message["content-type"] = declared
    (media_type, _), *parameters = message.get_params(failobj=[("", "")])
    # A value in RFC 2231's spelling is a tuple, and no charset that HTTP knows.
    charsets = {str(value).lower() for name, value in parameters if name.lower() == "charset"}
    return media_type.strip().lower() if charsets <= _UTF8 else ""


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body must have at most {max_bytes} bytes")
