"""One HTTP call: what serves it, and what the document tells about it.

The router, the answers to errors and the OpenAPI document are all made of these,
so that they can't disagree.
"""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from ticketcap_chassis import deadlines

from ticketcap_gateway.edge.admission import Admission
from ticketcap_gateway.edge.problems import MethodNotAllowed, UnknownPath

Handler = Callable[[Request], Awaitable[Response]]
Method = Literal["GET", "POST", "PATCH", "DELETE"]


class Caller(enum.Enum):
    """Who may make a call."""

    ANYONE = "anyone"
    ORGANISER = "an organiser, with a JSON Web Token"
    HOLDER = "the holder of the manage token, or an organiser"
    PAYER = "the holder of the manage token, and nobody else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One way a call ends well. ``body`` is a model, or an example of text."""

    status: int
    description: str
    body: type[BaseModel] | str | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path.

    ``problems`` are the statuses of its own refusals; ``seconds`` is its own
    deadline. A status may have several answers, of different media types.
    """

    method: Method
    path: str
    name: str
    summary: str
    topic: str
    handler: Handler
    answers: Sequence[Answer]
    problems: Sequence[int] = ()
    caller: Caller = Caller.ANYONE
    body: type[BaseModel] | None = None
    body_required: bool = True
    body_media_type: str = "application/json"
    query: type[BaseModel] | None = None
    creates: bool = False
    seconds: float | None = None


class Resource:
    """Everything under one path, as an ASGI application: a method's handler, or a problem."""

    def __init__(self, operations: Sequence[Operation], admission: Admission, *, request_seconds: float) -> None:
        self._operations: dict[str, Operation] = {operation.method: operation for operation in operations}
        methods = sorted({*self._operations, *(["HEAD"] if "GET" in self._operations else [])})
        self._allow = ", ".join(methods)
        self._admission = admission
        # Only these are documented to be refused so; the others wait for nothing.
        self._may_wait = any(operation.path.startswith("/api/v1/") for operation in operations)
        self._request_seconds = request_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._operations.get(method)
        if operation is None:
            raise MethodNotAllowed(f"this path takes {self._allow}", headers={"allow": self._allow})
        request = Request(scope, receive)
        with self._admission.share(request):
            response = await self._respond(operation, request)
            await response(scope, receive, send)

    async def _respond(self, operation: Operation, request: Request) -> Response:
        seconds = operation.seconds or self._request_seconds
        turn = self._admission.turn(request, seconds) if self._may_wait else nullcontext()
        with turn, deadlines.within(seconds):
            return await operation.handler(request)


def routes(operations: Sequence[Operation], admission: Admission, *, request_seconds: float) -> list[Route]:
    """Return one route per path."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    return [
        Route(path, Resource(under_path, admission, request_seconds=request_seconds), name=path)
        for path, under_path in by_path.items()
    ]


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - the shape of ASGI
    """Answer for every path that has no route."""
    raise UnknownPath("nothing is served under this path; /docs lists what is")
