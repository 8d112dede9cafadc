"""Trace and measure HTTP requests on the server."""

import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ticketcap_observability import schema, sentry
from ticketcap_observability._identifiers import is_identifier
from ticketcap_observability._rpc.calls import record_exception
from ticketcap_observability._schools import synthetic_label
from ticketcap_observability.schema.kinds import OTHER
from ticketcap_observability.telemetry import Telemetry

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTE_KEY: Final = "ticketcap.route"
"""The key of the scope under which an app stores its route's template."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_SERVER_ERROR: Final = 500
_FAULTS: Final = ("500", "503", "504")
"""Statuses of the service's own faults, as an error's type."""
_PARAMETER: Final = re.compile(r"{(\w+)(?::\w+)?}")
_STREAM: Final = b"text/event-stream"


class HttpTelemetry:
    """ASGI middleware, the outermost.

    At the edge it continues a caller's trace, ignores its sampled flag and drops its baggage. ``calls`` are the methods
    and routes that will be counted: each starts at 0.
    """

    def __init__(
        self, app: App, telemetry: Telemetry, *, edge: bool = True, calls: Iterable[tuple[str, str]] = ()
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._edge = edge
        self._duration = telemetry.duration(schema.HTTP_SERVER_DURATION)
        self._api = _ApiMetrics(telemetry)
        self._api.begin(calls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request under a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = self._parent(scope)
        request = _Request(scope, self._begin(scope, parent), send)
        token = otel_context.attach(trace.set_span_in_context(request.span, parent))
        try:
            with sentry.scope(request.method):
                await self._named(request, receive)
        except BaseException as error:
            request.failed(error)
            raise
        finally:
            request.synthetic = synthetic_label()
            otel_context.detach(token)
            self._end(request)

    async def _named(self, request: "_Request", receive: Receive) -> None:
        """Serve a request; name a failed one by its route, which the app chose meanwhile."""
        try:
            await self._app(request.scope, receive, request.send)
        except Exception:
            sentry.set_operation(f"{request.method} {request.route or OTHER}")
            raise

    def _parent(self, scope: Scope) -> Context:
        headers = ((key.decode("latin-1"), value) for key, value in scope["headers"])
        # A stranger's baggage is not even parsed.
        parent = self._telemetry.propagator.extract(headers, with_baggage=not self._edge)
        return self._own_decision(parent) if self._edge else parent

    def _begin(self, scope: Scope, parent: Context) -> Span:
        method = _method(scope)
        return self._telemetry.tracer.start_span(
            method,
            parent,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.scheme": scope.get("scheme", "http")},
        )

    def _own_decision(self, parent: Context) -> Context:
        """Continue the caller's trace, and decide here whether it is sampled."""
        caller = trace.get_current_span(parent).get_span_context()
        if not caller.is_valid:
            return Context()
        flags = TraceFlags.SAMPLED if self._telemetry.samples_new_trace() else TraceFlags.DEFAULT
        caller_span = SpanContext(caller.trace_id, caller.span_id, is_remote=True, trace_flags=TraceFlags(flags))
        return trace.set_span_in_context(NonRecordingSpan(caller_span), Context())

    def _end(self, request: "_Request") -> None:
        attributes = request.attributes()
        seconds = time.perf_counter() - request.began
        context = trace.set_span_in_context(request.span, Context())
        self._duration.record(seconds, attributes, context=context)
        self._api.record(request, seconds, context)
        request.end(attributes)


class _ApiMetrics:
    """The operator's own metrics of requests."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._duration = telemetry.histogram(schema.API_REQUEST_DURATION)
        self._count = telemetry.counter(schema.API_REQUEST_COUNT)
        self._errors = telemetry.counter(schema.API_ERROR_COUNT)

    def begin(self, calls: Iterable[tuple[str, str]]) -> None:
        """Add 0 to every series.

        To Prometheus a new series has not increased: without a 0 the errors of a day's first rush, if they all come
        within one scrape, would be none.
        """
        real = synthetic_label(synthetic=False)
        for method, route in calls:
            self._count.add(0, method=method, route=route, **real)
            for error_type in _FAULTS:
                self._errors.add(0, method=method, route=route, error_type=error_type, **real)

    def record(self, request: "_Request", seconds: float, context: Context) -> None:
        labels = {"method": request.method, "route": request.route or OTHER, **request.synthetic}
        # A stream lasts as long as its reader likes: the time to its start counts.
        answered = seconds if request.stream_began is None else request.stream_began
        self._duration.record(answered, context, status_class=request.status_class, **labels)
        self._count.add(1, **labels)
        if request.error_type is not None:
            self._errors.add(1, error_type=request.error_type, **labels)


class _Request:
    def __init__(self, scope: Scope, span: Span, send: Send) -> None:
        self.span = span
        self.began = time.perf_counter()
        self.scope = scope
        self._send = send
        self._status: int | None = None
        self._error: str | None = None
        self.synthetic: Mapping[str, str] = {}
        """The label of its school."""
        self.stream_began: float | None = None
        """Seconds until an event stream began; None for another answer."""

    @property
    def method(self) -> str:
        return _method(self.scope)

    @property
    def route(self) -> str:
        return _route(self.scope)

    @property
    def status_class(self) -> str:
        return "none" if self._status is None else f"{self._status // 100}xx"

    @property
    def error_type(self) -> str | None:
        """The type of the service's fault; None without one."""
        if self._error or (self._status or 0) >= _SERVER_ERROR:
            return self._error or str(self._status)
        return None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = [*message.get("headers", ()), (b"traceresponse", _traceresponse(self.span))]
            if any(name == b"content-type" and value.startswith(_STREAM) for name, value in headers):
                self.stream_began = time.perf_counter() - self.began
            message = {**message, "headers": headers}
        await self._send(message)

    def failed(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            return  # a client that left is no error
        self._error = type(error).__name__
        # The server's answer in the app's stead.
        self._status = self._status or _SERVER_ERROR
        if self.span.is_recording():
            record_exception(self.span, error)

    def attributes(self) -> dict[str, str | int]:
        attributes: dict[str, str | int] = {
            "http.request.method": _method(self.scope),
            "url.scheme": self.scope.get("scheme", "http"),
        }
        if route := _route(self.scope):
            attributes["http.route"] = route
        if self._status is not None:
            attributes["http.response.status_code"] = self._status
        if self.error_type is not None:
            attributes["error.type"] = self.error_type
        return attributes

    def end(self, attributes: dict[str, str | int]) -> None:
        if self.span.is_recording():
            self.span.update_name(" ".join(filter(None, (_method(self.scope), _route(self.scope)))))
            self.span.set_attributes(attributes)
            if route := _route(self.scope):
                self.span.set_attribute("url.path", _path(route, self.scope))
            if "error.type" in attributes:
                self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()


def _method(scope: Scope) -> str:
    method = scope["method"]
    return method if method in _METHODS else "_OTHER"


def _route(scope: Scope) -> str:
    route = scope.get(ROUTE_KEY) or getattr(scope.get("route"), "path", "")
    return str(route or "")


def _path(route: str, scope: Scope) -> str:
    """Return the route with the ids and slugs of this request.

    Any other text in their place stays out: it may be personal data. A path without a route is never returned.
    """
    parameters: Mapping[str, object] = scope.get("path_params") or {}

    def fill(placeholder: re.Match[str]) -> str:
        value = str(parameters.get(placeholder[1]))
        return value if is_identifier(value) else placeholder[0]

    return _PARAMETER.sub(fill, route)


def _traceresponse(span: Span) -> bytes:
    ids = span.get_span_context()
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}".encode()
