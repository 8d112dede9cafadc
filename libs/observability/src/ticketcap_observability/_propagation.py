"""Read and write trace context and baggage as W3C headers."""

import re
from collections.abc import Container, Iterable, Mapping
from typing import Final

from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ticketcap_observability.redaction import redact, redact_under

_TRACE: Final = TraceContextTextMapPropagator()
_BAGGAGE: Final = W3CBaggagePropagator()
_MEMBER: Final = re.compile(
    r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=\s*[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*(?:;[\x20-\x7e]*)?"
)
_MAX_BAGGAGE: Final = 4096
"""Bytes of a whole baggage."""
_MAX_MEMBERS: Final = 180
_KEYS: Final = frozenset({"traceparent", "tracestate", "baggage"})


class Propagator:
    """Trace context and baggage, or one of them, as ``OTEL_PROPAGATORS`` names them."""

    def __init__(self, names: Container[str] = ("tracecontext", "baggage")) -> None:
        self._traces = "tracecontext" in names
        self._baggage = "baggage" in names

    def extract(self, headers: Iterable[tuple[str, str | bytes]], *, with_baggage: bool = True) -> Context:
        """Return the context that ``headers`` (lower-case keys) carry; an empty one when they carry none."""
        carrier: dict[str, list[str]] = {}
        for key, value in headers:
            if key in _KEYS:
                carrier.setdefault(key, []).append(value.decode("latin-1") if isinstance(value, bytes) else value)
        if not carrier:
            return Context()
        context = _TRACE.extract(carrier, Context()) if self._traces else Context()
        if with_baggage and self._baggage and (members := _members(carrier.get("baggage", ()))):
            return _BAGGAGE.extract({"baggage": [members]}, context)
        return context

    def inject(self, current: Context | None = None) -> dict[str, str]:
        """Return the headers that carry ``current``, or the current context."""
        carrier: dict[str, str] = {}
        if self._traces:
            _TRACE.inject(carrier, current)
        if self._baggage:
            _BAGGAGE.inject(carrier, _without_persons(current))
        return carrier


def _members(headers: Iterable[str]) -> str:
    """Return the well-formed members of a baggage. OpenTelemetry would log the others with their content.

    https://www.w3.org/TR/baggage/#definition
    """
    members: list[str] = []
    left = _MAX_BAGGAGE
    for member in (member.strip() for header in headers if len(header) <= _MAX_BAGGAGE for member in header.split(",")):
        left -= len(member) + 1
        if len(members) == _MAX_MEMBERS or left < 0:
            break
        if _MEMBER.fullmatch(member):
            members.append(member)
    return ",".join(members)


def _without_persons(current: Context | None) -> Context | None:
    """Remove every entry of the baggage that is personal, by its key or by its shape."""
    for key, value in baggage.get_all(current).items():
        if redact_under(key, value) != value or redact(key) != key:
            current = baggage.remove_baggage(key, current)
    return current


def context_from_traceparent(traceparent: str) -> Context | None:
    """Return the context of a traceparent, with the baggage of the current one; None when it is not valid."""
    # Parsed in an empty context: an invalid header leaves it empty.
    span = trace.get_current_span(_TRACE.extract({"traceparent": traceparent}, Context()))
    return trace.set_span_in_context(span) if span.get_span_context().is_valid else None


def traceparent_of(current: Context | None = None) -> str:
    """Return the traceparent of ``current`` or of the current context; "" outside of any trace."""
    carrier: dict[str, str] = {}
    _TRACE.inject(carrier, current)
    return carrier.get("traceparent", "")


def current_trace_id() -> str | None:
    """Return the current trace's id (32 hex digits), or None outside of any."""
    span = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span.trace_id) if span.is_valid else None


def link_to(span: Span | SpanContext, attributes: Mapping[str, str] | None = None) -> Link:
    """Return a link to a span."""
    return Link(span if isinstance(span, SpanContext) else span.get_span_context(), attributes)
