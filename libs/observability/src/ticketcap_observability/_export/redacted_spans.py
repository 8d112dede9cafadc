"""Redact a span before it is exported: name, attributes, events, links, status.

The exporting thread does this, not the request that made the span. Nearly every span has nothing to hide, so texts in
which nothing was found are remembered.
"""

from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes

from ticketcap_observability.redaction import HarmlessTexts, redact, redact_under

_harmless: Final = HarmlessTexts()


def redacted(span: ReadableSpan) -> ReadableSpan:
    """Return ``span`` itself when it has nothing to hide, else a redacted copy."""
    if _is_clean(span):
        return span
    return ReadableSpan(
        name=redact(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_attributes(span.attributes),
        events=[_event(event) for event in span.events],
        links=[Link(link.context, _attributes(link.attributes)) for link in span.links],
        kind=span.kind,
        # A description quotes an exception's message; error.type says enough.
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _is_clean(span: ReadableSpan) -> bool:
    return (
        _harmless.has(span.name)
        and span.status.description is None
        and _are_clean(span.attributes)
        and all(
            not _quotes(event) and _harmless.has(event.name) and _are_clean(event.attributes) for event in span.events
        )
        and all(_are_clean(link.attributes) for link in span.links)
    )


def _are_clean(attributes: Attributes) -> bool:
    for key, value in (attributes or {}).items():
        if not _harmless.has_key(key):
            return False
        if isinstance(value, str):
            if not _harmless.has(value):
                return False
        elif not isinstance(value, float) and _value(key, value) != value:
            return False
    return True


def _attributes(attributes: Attributes) -> dict[str, Any]:
    return {redact(key): _value(key, value) for key, value in (attributes or {}).items()}


def _value(key: str, value: Any) -> Any:
    """Return a value redacted; a sequence as the tuple that it is on a span, so that an unchanged one is equal."""
    redacted_value = redact_under(key, value)
    return tuple(redacted_value) if isinstance(redacted_value, list) else redacted_value


def _event(event: Event) -> Event:
    if _quotes(event):
        kind = (event.attributes or {}).get("exception.type", "")
        return Event(event.name, {"exception.type": kind}, event.timestamp)
    return Event(redact(event.name), _attributes(event.attributes), event.timestamp)


def _quotes(event: Event) -> bool:
    """Return whether OpenTelemetry recorded an exception: its message is on the event, and in the stack trace too."""
    return "exception.message" in (event.attributes or {})
