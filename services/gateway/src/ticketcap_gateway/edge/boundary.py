"""Answer every request, with security headers, even after an unexpected error."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ticketcap_chassis.errors import InternalError, ServiceError, Unavailable
from ticketcap_observability import get_logger

from ticketcap_gateway.edge.problems import Problems, Refusal

_log = get_logger(__name__)

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DEFAULT_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class Boundary:
    """Turns errors into problems.

    It logs an unexpected error, and raises it again after the answer, for the
    telemetry around it.
    """

    def __init__(self, app: ASGIApp, problems: Problems) -> None:
        self._app = app
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        secured = _SecuredSend(send)
        try:
            await self._app(scope, receive, secured)
        except ClientDisconnect:
            return
        except (Refusal, ServiceError) as error:
            await self._refuse(error, secured, scope, receive)
        except asyncio.CancelledError:
            # The server cancels the running requests at the end of its drain: the client gets a 503, then the
            # cancellation continues, or the server would wait for this task for ever.
            await self._refuse(Unavailable("the gateway is stopping; try again"), secured, scope, receive)
            raise
        except Exception as error:
            _log.error("http.unexpected_error", exc_info=error)
            failure = InternalError("an unexpected error; the log has it under this trace id")
            await self._refuse(failure, secured, scope, receive)
            raise

    async def _refuse(
        self, error: Refusal | ServiceError, secured: "_SecuredSend", scope: Scope, receive: Receive
    ) -> None:
        if secured.started:
            # Too late for a status: the cut-off body shows the client that it is not whole.
            _log.warning("http.answer_cut_off", error_type=type(error).__name__)
            return
        await self._problems.response_to(error)(scope, receive, secured)


class _SecuredSend:
    """Adds the security headers to a response, and remembers that it started."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = message["headers"]
            names = {name for name, _ in headers}
            missing = [header for header in _DEFAULT_HEADERS if header[0] not in names]
            message["headers"] = [*headers, *_HEADERS, *missing]
        await self._send(message)
