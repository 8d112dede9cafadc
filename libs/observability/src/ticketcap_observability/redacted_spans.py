"""A span as it may leave the process: its name, attributes, events, links and status without personal data.

It is looked at by the thread that sends, not by the request that made it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes

from ticketcap_observability.redaction import redact, redact_under


class RedactingExporter(SpanExporter):
    """Hands spans on without personal data."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans``."""
        return self._inner.export([redacted(span) for span in spans])

    def shutdown(self) -> None:
        """End."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is kept."""
        return self._inner.force_flush(timeout_millis)


def redacted(span: ReadableSpan) -> ReadableSpan:
    """Return ``span`` itself when there is nothing to hide, else a copy."""
    name, attributes, status = redact(span.name), _attributes(span.attributes), _status(span.status)
    events, links = [_event(event) for event in span.events], [_link(link) for link in span.links]
    same = (
        name == span.name
        and attributes is None
        and status is span.status
        and all(told is event for told, event in zip(events, span.events, strict=True))
        and all(told is link for told, link in zip(links, span.links, strict=True))
    )
    if same:
        return span
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes if attributes is None else attributes,
        events=events,
        links=links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _attributes(attributes: Attributes) -> Attributes:
    """Return the attributes that may be told, None when all of them may be as they are."""
    given: Mapping[str, Any] = attributes or {}
    told: dict[str, Any] = {}
    changed = False
    for key, value in given.items():
        shown = redact_under(key, value) if isinstance(value, str | int) else _sequence(key, value)
        name = redact(key)
        changed = changed or shown != value or name != key
        told[name] = shown
    return told if changed else None


def _sequence(key: str, value: Any) -> Any:
    """Return a list of attributes in the shape that it has: an unchanged one must stay equal."""
    shown = redact_under(key, value)
    return tuple(shown) if isinstance(shown, list) else shown


def _event(event: Event) -> Event:
    attributes = _attributes(event.attributes)
    name = redact(event.name)
    if attributes is None and name == event.name:
        return event
    return Event(name, event.attributes if attributes is None else attributes, event.timestamp)


def _link(link: Link) -> Link:
    attributes = _attributes(link.attributes)
    return link if attributes is None else Link(link.context, attributes)


def _status(status: Status) -> Status:
    description = status.description
    if description is None or redact(description) == description:
        return status
    return Status(status.status_code, redact(description))
