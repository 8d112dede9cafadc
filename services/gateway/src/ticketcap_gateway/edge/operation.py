"""Describe one HTTP call: its handler, and its entry in the document.

The router, the error responses and the OpenAPI document are all made of
operations, so that they can't disagree.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from ticketcap_chassis import deadlines

from ticketcap_gateway.edge.admission import Admission
from ticketcap_gateway.edge.problems import MethodNotAllowed, UnknownPath

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
_API: Final = "/api/v1/"
_DECLARATION: Final = "declared_call"

Handler = Callable[[Request], Awaitable[Response]]
_Handler = TypeVar("_Handler", bound=Callable[..., Awaitable[Response]])
Method = Literal["GET", "POST", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The callers that a call admits: those with one of ``credentials``, which name security schemes; none: anyone."""

    name: str
    credentials: Sequence[str] = ()


ANYONE: Final = Caller(name="anyone")


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """One response of a call, for the document. ``body`` is a model, or an example of text."""

    status: int
    description: str
    body: type[BaseModel] | str | None = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path, with its handler.

    ``problems`` are the statuses of its own refusals; ``deadline`` names the
    time that it has. A status may have several responses, of different media
    types.
    """

    method: Method
    path: str
    name: str
    summary: str
    topic: str
    handler: Handler
    responses: Sequence[ResponseSpec]
    problems: Sequence[int] = ()
    caller: Caller = ANYONE
    body: type[BaseModel] | None = None
    body_required: bool = True
    body_media_type: str = JSON
    query: type[BaseModel] | None = None
    creates: bool = False
    deadline: str = "request"

    @property
    def in_api(self) -> bool:
        """Whether the call belongs to the API, and not to the pages or the platform."""
        return self.path.startswith(_API)


def call(method: Method, path: str, **fields: Any) -> Callable[[_Handler], _Handler]:
    """Declare the call that a method of an Endpoints class serves; ``fields`` are those of its Operation."""

    def declare(handler: _Handler) -> _Handler:
        setattr(handler, _DECLARATION, {"method": method, "path": path, **fields})
        return handler

    return declare


class Endpoints(Protocol):
    """An object whose methods serve calls; ``topic`` is their heading in the document."""

    topic: str


def operations_of(endpoints: Endpoints) -> list[Operation]:
    """Return the declared calls in the order of their definition; TypeError for a field that no Operation has."""
    return [
        Operation(topic=endpoints.topic, handler=getattr(endpoints, name), **getattr(method, _DECLARATION))
        for name, method in vars(type(endpoints)).items()
        if hasattr(method, _DECLARATION)
    ]


class Resource:
    """All calls under one path, as an ASGI application: a method's handler, or a problem."""

    def __init__(self, operations: Sequence[Operation], admission: Admission, seconds: Mapping[str, float]) -> None:
        self._operations: dict[str, Operation] = {operation.method: operation for operation in operations}
        methods = sorted({*self._operations, *(["HEAD"] if "GET" in self._operations else [])})
        self._allow = ", ".join(methods)
        self._admission = admission
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._operations.get(method)
        if operation is None:
            raise MethodNotAllowed(f"this path allows {self._allow}", headers={"allow": self._allow})
        request = Request(scope, receive)
        # The share lasts until the response is sent; the turn only until there is one.
        with self._admission.share(request):
            response = await self._respond(operation, request)
            await response(scope, receive, send)

    async def _respond(self, operation: Operation, request: Request) -> Response:
        seconds = self._seconds[operation.deadline]
        # Only calls of the API are documented to be refused for want of a turn; the others wait for no service.
        turn = self._admission.turn(request, seconds) if operation.in_api else nullcontext()
        with turn, deadlines.within(seconds):
            return await operation.handler(request)


def routes(operations: Sequence[Operation], admission: Admission, seconds: Mapping[str, float]) -> list[Route]:
    """Return one route per path, in the order of the operations; ``seconds`` are by the names of deadlines."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    return [Route(path, Resource(under_path, admission, seconds), name=path) for path, under_path in by_path.items()]


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - the shape of ASGI
    """Answer for every path that has no route."""
    raise UnknownPath("no call has this path; /docs lists every call")
