"""The outermost layer: every request gets an answer, whatever happens inside, with the security headers."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ticketcap_chassis.errors import InternalError, ServiceError, Unavailable
from ticketcap_observability import get_logger

from ticketcap_gateway.edge.problems import Refusal, response_to

_log = get_logger(__name__)

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_NO_CONTENT: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Boundary:
    """Turns errors into problems.

    An unexpected one is logged, and raised again once it is answered, for the
    telemetry around.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            return
        except (Refusal, ServiceError) as error:
            await self._refuse(error, answer, scope, receive)
        except asyncio.CancelledError:
            await self._refuse(Unavailable("the gateway is stopping; try again"), answer, scope, receive)
            raise
        except Exception as error:
            _log.error("http.unexpected_error", exc_info=error)
            await self._refuse(
                InternalError("an unexpected error; the log has it under this trace id"), answer, scope, receive
            )
            raise

    async def _refuse(self, error: Refusal | ServiceError, answer: "_Answer", scope: Scope, receive: Receive) -> None:
        if answer.started:
            # Too late for a status: the cut-off body tells the client that it is not whole.
            _log.warning("http.answer_cut_off", error_type=type(error).__name__)
            return
        await response_to(error)(scope, receive, answer.send)


class _Answer:
    """Adds the security headers to an answer, and remembers that it began."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = _secured(message["headers"])
        await self._send(message)


def _secured(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in headers}
    missing = [header for header in (_NO_STORE, _NO_CONTENT) if header[0] not in names]
    return [*headers, *_HEADERS, *missing]
