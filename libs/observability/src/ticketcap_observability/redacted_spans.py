"""A span as it may leave the process: its name, attributes, events, links and status without personal data.

It is looked at by the thread that sends, not by the request that made it.
"""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes

from ticketcap_observability.redaction import Harmless, redact, redact_under

_NONE: Final[dict[str, Any]] = {}
_harmless: Final = Harmless()


def redacted(span: ReadableSpan) -> ReadableSpan:
    """Return ``span`` itself when there is nothing to hide, else a copy."""
    if _is_clean(span):
        return span
    attributes = _attributes(span.attributes)
    return ReadableSpan(
        name=redact(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes if attributes is None else attributes,
        events=[_event(event) for event in span.events],
        links=[_link(link) for link in span.links],
        kind=span.kind,
        status=_status(span.status),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _is_clean(span: ReadableSpan) -> bool:
    """Say whether nothing of a span is personal; nearly always so, and quick."""
    return (
        _harmless.knows(span.name)
        and _are_clean(span.attributes)
        and span.status.description is None  # a message that somebody raised with; error.type says enough
        and all(_is_clean_event(event) for event in span.events)
        and all(_are_clean(link.attributes) for link in span.links if link.attributes)
    )


def _is_clean_event(event: Event) -> bool:
    return not _quotes(event) and _harmless.knows(event.name) and _are_clean(event.attributes)


def _are_clean(attributes: Attributes) -> bool:
    for key, value in (attributes or _NONE).items():
        if key not in _harmless.keys and not _harmless.knows_key(key):
            return False
        if isinstance(value, str):
            if value not in _harmless.texts and not _harmless.knows(value):
                return False
        elif not isinstance(value, float) and _shown(key, value) != value:
            return False
    return True


def _attributes(attributes: Attributes) -> Attributes:
    """Return the attributes that may be told, None when all of them may be as they are."""
    given: Mapping[str, Any] = attributes or {}
    told: dict[str, Any] = {}
    changed = False
    for key, value in given.items():
        shown = _shown(key, value)
        name = redact(key)
        changed = changed or shown != value or name != key
        told[name] = shown
    return told if changed else None


def _shown(key: str, value: Any) -> Any:
    """Return a value as it may be told; a list in the shape that it has, so that an unchanged one is equal."""
    shown = redact_under(key, value)
    return tuple(shown) if isinstance(shown, list) else shown


def _event(event: Event) -> Event:
    if _quotes(event):
        return Event(
            event.name, {"exception.type": (event.attributes or {}).get("exception.type", "")}, event.timestamp
        )
    attributes = _attributes(event.attributes)
    name = redact(event.name)
    if attributes is None and name == event.name:
        return event
    return Event(name, event.attributes if attributes is None else attributes, event.timestamp)


def _quotes(event: Event) -> bool:
    """Say whether an exception was recorded as OpenTelemetry does it: its message, which is in the stack too."""
    return "exception.message" in (event.attributes or {})


def _link(link: Link) -> Link:
    attributes = _attributes(link.attributes)
    return link if attributes is None else Link(link.context, attributes)


def _status(status: Status) -> Status:
    return status if status.description is None else Status(status.status_code)
