"""Set a span's status from the exception that leaves it.

OpenTelemetry's defaults put an exception's message on the span, and a message may quote personal data. Here an
unexpected exception sets status ERROR and ``error.type``; an expected one changes nothing.
"""

from collections.abc import Sequence
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes

from ticketcap_observability._expected import is_expected

ERROR_TYPE = "error.type"


class StatusTracer(trace.Tracer):
    """A tracer around the SDK's. Spans, sampling, limits and processors are the SDK's."""

    def __init__(self, inner: trace.Tracer) -> None:
        self._inner = inner

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = False,  # noqa: ARG002 - OpenTelemetry's shape; exceptions are never recorded
        set_status_on_exception: bool = True,  # noqa: ARG002 - OpenTelemetry's shape
    ) -> Span:
        """Start a span that the caller ends."""
        return self._inner.start_span(
            name, context, kind, attributes, links, start_time, record_exception=False, set_status_on_exception=False
        )

    def start_as_current_span(  # type: ignore[override]  # the API's context manager is also a decorator
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = False,  # noqa: ARG002 - as above
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> "_CurrentSpan":
        """Start a span that is the current one of the code inside."""
        span = self.start_span(name, context, kind, attributes, links, start_time)
        return _CurrentSpan(span, set_status=set_status_on_exception, end=end_on_exit)


class _CurrentSpan:
    """Make a span the current one, then end it."""

    __slots__ = ("_end", "_set_status", "_span", "_token")

    def __init__(self, span: Span, *, set_status: bool, end: bool) -> None:
        self._span = span
        self._set_status = set_status
        self._end = end

    def __enter__(self) -> Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        otel_context.detach(self._token)
        if error is not None and self._set_status:
            set_error(self._span, error)
        if self._end:
            self._span.end()


def set_error(span: Span, error: BaseException) -> None:
    """Set status ERROR and the error's type on ``span``, unless the error is expected. A type that is set stays."""
    if not span.is_recording() or is_expected(error):
        return
    if ERROR_TYPE not in (getattr(span, "attributes", None) or {}):
        span.set_attribute(ERROR_TYPE, type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))
