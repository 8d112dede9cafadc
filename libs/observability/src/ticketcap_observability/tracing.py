"""The tracer: what is not kept costs next to nothing, what is kept is noted down plainly and looked at later.

The SDK's own spans check, copy and lock each attribute as it is set. Ours are
of one request's making, hold what our code gives them, and are only read once
they have ended. Sampling is decided once, where a trace begins; whoever has a
parent follows it.
"""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes, AttributeValue

from ticketcap_observability.calls import record_exception as note_exception

_MOST: Final = 128
"""Attributes, events and links of a span; what comes after is counted and left out."""


class RecordedSpan(Span, ReadableSpan):
    """A span that is kept. Attributes are taken as they are given: texts, numbers and sequences of them."""

    def __init__(
        self,
        tracer: SdkTracer,
        scope: InstrumentationScope,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] | None,
        start_time: int | None,
    ) -> None:
        self._processor = tracer.span_processor
        self._resource = tracer.resource
        self._instrumentation_scope = scope
        self._instrumentation_info = None
        self._name = name
        self._context: SpanContext = context
        self._parent = parent
        self._kind = kind
        self._start_time = time.time_ns() if start_time is None else start_time
        self._end_time = None
        self._status = _UNSET
        self._attributes: dict[str, Any] = {}
        self._events: Sequence[Event] = ()
        self._links: Sequence[Link] = ()
        self._left_out = [0, 0, 0]
        if attributes:
            self.set_attributes(attributes)
        for link in links or ():
            self.add_link(link.context, link.attributes)

    @property
    def dropped_attributes(self) -> int:
        """How many were left out."""
        return self._left_out[0]

    @property
    def dropped_events(self) -> int:
        """How many were left out."""
        return self._left_out[1]

    @property
    def dropped_links(self) -> int:
        """How many were left out."""
        return self._left_out[2]

    def get_span_context(self) -> SpanContext:
        """Return its ids."""
        return self._context

    def is_recording(self) -> bool:
        """Say whether it has not ended."""
        return self._end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Note ``value`` down, unless the span has ended."""
        if self._end_time is not None:
            return
        if len(self._attributes) >= _MOST and key not in self._attributes:
            self._left_out[0] += 1
            return
        # A list may still change before it is sent.
        self._attributes[key] = tuple(value) if isinstance(value, list) else value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Note all of them down."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Note that something happened now."""
        if self._end_time is not None:
            return
        if len(self._events) >= _MOST:
            self._left_out[1] += 1
            return
        self._events = (*self._events, Event(name, dict(attributes or {}), timestamp))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Point to another span."""
        if self._end_time is not None or not context.is_valid:
            return
        if len(self._links) >= _LINKS_MOST:
            self._left_out[2] += 1
            return
        if not isinstance(self._links, list):
            self._links = []
        self._links.append(Link(context, dict(attributes) if attributes else None))

    def update_name(self, name: str) -> None:
        """Name it anew."""
        if self._end_time is None:
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went; OK is final."""
        told = status if isinstance(status, Status) else Status(status, description)
        ok = StatusCode.OK
        if self._end_time is None and self._status.status_code is not ok and told.status_code is not StatusCode.UNSET:
            self._status = told

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,  # noqa: ARG002 - OpenTelemetry's shape
        timestamp: int | None = None,  # noqa: ARG002
        escaped: bool = False,  # noqa: ARG002
    ) -> None:
        """Note an exception down: its type and where it was raised, never its message."""
        note_exception(self, exception)

    def end(self, end_time: int | None = None) -> None:
        """End it and hand it on; a second time does nothing."""
        if self._end_time is None:
            self._end_time = time.time_ns() if end_time is None else end_time
            self._processor.on_end(self)


_UNSET: Final = Status()
_LINKS_MOST: Final = 1024
"""A batch is linked to every request that it serves."""


class QuickTracer(trace.Tracer):
    """Makes spans, with the SDK's sampler, ids and processors."""

    def __init__(self, inner: SdkTracer, scope: InstrumentationScope) -> None:
        self._inner = inner
        self._scope = scope
        self._ids = inner.id_generator

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: ARG002 - these concern spans that are used by ``with``
        set_status_on_exception: bool = True,  # noqa: ARG002
    ) -> Span:
        """Return a span that has begun: a recorded one when its trace is kept."""
        parent: SpanContext | None = trace.get_current_span(context).get_span_context()
        if parent is not None and parent.is_valid:
            made = SpanContext(
                parent.trace_id,
                self._ids.generate_span_id(),
                is_remote=False,
                trace_flags=parent.trace_flags,
                trace_state=parent.trace_state,
            )
        else:
            parent, made = None, self._root(name)
        if not made.trace_flags & TraceFlags.SAMPLED:
            return NonRecordingSpan(made)
        return RecordedSpan(self._inner, self._scope, name, made, parent, kind, attributes, links, start_time)

    def start_as_current_span(  # type: ignore[override]  # the API's context manager is also a decorator; ours is not
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> "_Current":
        """Return a span that is the current one of the code inside."""
        span = self.start_span(name, context, kind, attributes, links, start_time)
        return _Current(span, record=record_exception, tell=set_status_on_exception, end=end_on_exit)

    def _root(self, name: str) -> SpanContext:
        """Begin a trace, and decide whether it is kept."""
        trace_id = self._ids.generate_trace_id()
        decision = self._inner.sampler.should_sample(None, trace_id, name).decision
        flags = TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT
        if self._ids.is_trace_id_random():
            flags |= TraceFlags.RANDOM_TRACE_ID
        return SpanContext(trace_id, self._ids.generate_span_id(), is_remote=False, trace_flags=TraceFlags(flags))


class _Current:
    """Makes a span the current one."""

    __slots__ = ("_end", "_record", "_span", "_tell", "_token")

    def __init__(self, span: Span, *, record: bool, tell: bool, end: bool) -> None:
        self._span = span
        self._record = record
        self._tell = tell
        self._end = end

    def __enter__(self) -> Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        otel_context.detach(self._token)
        if isinstance(error, Exception) and self._span.is_recording():
            if self._record:
                self._span.record_exception(error)
            if self._tell:
                # Without a description: a message may quote what somebody typed.
                self._span.set_status(Status(StatusCode.ERROR))
        if self._end:
            self._span.end()
