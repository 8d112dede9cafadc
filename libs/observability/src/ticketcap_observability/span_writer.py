"""Writes spans as OTLP's bytes, without personal data. What it writes is what OpenTelemetry's encoder would.

A span's attributes are nearly all the same few again and again: each is looked
at for personal data and encoded once, and then looked up. Building messages
span by span costs five times as much, in a thread that takes the interpreter
from the requests. A span with anything unusual goes the long way.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode

from ticketcap_observability.redacted_spans import redacted
from ticketcap_observability.redaction import redact, redact_under

_KEPT: Final = 8192
_LONG: Final = 200
"""Longer texts are statements: few, and not among the small ones."""
_STATEMENTS: Final = 256

# Fields one after another as protobuf lays them out: (number << 3 | type), the length of what has one, the value.
# https://protobuf.dev/programming-guides/encoding/
_IDS: Final = struct.Struct(">2sQQ2sQ")
"""trace_id (1, 16 bytes) and span_id (2, 8 bytes)."""
_PARENT: Final = struct.Struct(">2sQ")
"""parent_span_id (4, 8 bytes)."""
_TIMES: Final = struct.Struct("<cQcQ2sI")
"""start_time_unix_nano (7) and end_time_unix_nano (8), 64 bits each, and flags (16), 32 bits."""
_LINK: Final = struct.Struct(">2s2sQQ2sQ")
"""A link (13, 33 bytes): trace_id (1) and span_id (2), before its flags (6)."""
_LINK_FLAGS: Final = struct.Struct("<cI")
_STATUS: Final = {
    StatusCode.UNSET: b"\x7a\x00",
    StatusCode.OK: b"\x7a\x02\x18\x01",
    StatusCode.ERROR: b"\x7a\x02\x18\x02",
}
"""status (15) with its code (3)."""
_SPANS_FIELD: Final = b"\x12"
"""spans (2) of a scope."""
_SCOPES_FIELD: Final = b"\x12"
"""scope_spans (2) of a resource."""
_ATTRIBUTES_FIELD: Final = b"\x4a"
"""attributes (9) of a span."""
_KEY_FIELD: Final = b"\x0a"
"""key (1) of an attribute."""
_VALUE_FIELD: Final = b"\x12"
"""value (2) of an attribute."""
_TEXT_FIELD: Final = b"\x0a"
"""string_value (1) of a value."""
_RESOURCES_FIELD: Final = b"\x0a"
"""resource_spans (1) of a request."""

_REMOTE_IS_KNOWN: Final = 0x100
_REMOTE: Final = 0x200
_LOW_64: Final = (1 << 64) - 1
_SEVEN_BITS: Final = 0x7F


class SpanWriter:
    """Remembers what it has written before. One thread at a time."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str | int], bytes] = {}
        self._names: dict[tuple[str, SpanKind], bytes] = {}
        self._heads: dict[tuple[int, int], tuple[ReadableSpan, bytes, bytes]] = {}

    def request(self, spans: Sequence[ReadableSpan]) -> bytes:
        """Return an ExportTraceServiceRequest of ``spans``."""
        groups: dict[tuple[int, int], list[ReadableSpan]] = {}
        for span in spans:
            groups.setdefault((id(span.resource), id(span.instrumentation_scope)), []).append(span)
        return b"".join(self._group(key, group) for key, group in groups.items())

    def _group(self, key: tuple[int, int], spans: Sequence[ReadableSpan]) -> bytes:
        """Return the spans of one scope of one resource."""
        known = self._heads.get(key)
        if known is None:
            # The span is kept for its resource and its scope: their ids are the key as long as they live.
            known = self._heads[key] = (spans[0], *_heads(spans[0]))
        _, resource, scope = known
        scoped = b"".join((scope, *(_field(_SPANS_FIELD, self._span(span)) for span in spans)))
        return _field(_RESOURCES_FIELD, resource + _field(_SCOPES_FIELD, scoped))

    def _span(self, span: ReadableSpan) -> bytes:
        context, links = span.context, span.links
        if context is None or not _is_ordinary(span, context, links):
            return _the_long_way(span)
        try:
            return self._ordinary(span, context, links)
        except ValueError:
            # A number too large for protobuf, or no text: the stock encoder leaves such an attribute out.
            return _the_long_way(span)

    def _ordinary(self, span: ReadableSpan, context: SpanContext, links: Sequence[Link]) -> bytes:
        parent = span.parent
        trace_id = context.trace_id
        parts = [
            _IDS.pack(b"\x0a\x10", trace_id >> 64, trace_id & _LOW_64, b"\x12\x08", context.span_id),
            self._name(span.name, span.kind),
            _TIMES.pack(b"\x39", span.start_time, b"\x41", span.end_time, b"\x85\x01", _flags(parent)),
            _STATUS[span.status.status_code],
        ]
        if parent is not None:
            parts.append(_PARENT.pack(b"\x22\x08", parent.span_id))
        if attributes := span.attributes:
            parts += self._attributes(attributes)
        parts += [_link(link.context) for link in links]
        return b"".join(parts)

    def _attributes(self, attributes: Mapping[str, Any]) -> list[bytes]:
        pairs = self._pairs
        written = []
        # A copy is a plain dict, and several times as quick to go through.
        for pair in attributes.copy().items():  # type: ignore[attr-defined]  # a view of a mapping that has it
            known = pairs.get(pair) if type(pair[1]) in _LOOKED_UP else None
            written.append(self._pair(*pair) if known is None else known)
        return written

    def _pair(self, key: str, value: Any) -> bytes:
        """Write an attribute; remember it if it may be told as it is. What was hidden is never kept."""
        if type(value) not in _LOOKED_UP:
            return _written(redact(key), redact_under(key, value))
        if isinstance(value, str) and len(value) >= _LONG:
            return _statement(key, value)
        shown, name = redact_under(key, value), redact(key)
        written = _written(name, shown)
        if shown == value and name == key:
            if len(self._pairs) >= _KEPT:
                self._pairs.clear()
            self._pairs[key, value] = written
        return written

    def _name(self, name: str, kind: SpanKind) -> bytes:
        known = self._names.get((name, kind))
        if known is None:
            known = Message(name=redact(name), kind=_kind(kind)).SerializeToString()
            if len(self._names) < _KEPT and len(name) < _LONG and redact(name) == name:
                self._names[name, kind] = known
        return known


_LOOKED_UP: Final = frozenset({str, int})
"""Types of values that are equal only when they are the same: a bool or a float may equal an int."""


@lru_cache(maxsize=_STATEMENTS)
def _statement(key: str, value: str) -> bytes:
    return _written(redact(key), redact_under(key, value))


def _written(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        # Codes and ids, each of them new.
        text = _field(_TEXT_FIELD, value.encode())
        return _field(_ATTRIBUTES_FIELD, _field(_KEY_FIELD, key.encode()) + _field(_VALUE_FIELD, text))
    return Message(attributes=[KeyValue(key=key, value=_value(value))]).SerializeToString()


def _value(value: Any) -> AnyValue:
    """Return a message. Lists, and what else is rare, the stock encoder knows."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return _stock(ReadableSpan("", _NOWHERE, attributes={"value": value})).attributes[0].value


_NOWHERE: Final = SpanContext(0, 0, is_remote=False)


def _is_ordinary(span: ReadableSpan, context: SpanContext, links: Sequence[Link]) -> bool:
    return not (
        span.events
        or context.trace_state
        or span.status.description
        or span.dropped_attributes
        or span.dropped_links
        or span.dropped_events
        or span.start_time is None
        or span.end_time is None
        or any(link.attributes for link in links)
    )


def _the_long_way(span: ReadableSpan) -> bytes:
    return _stock(redacted(span)).SerializeToString()


def _stock(span: ReadableSpan) -> Message:
    return encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]


def _heads(span: ReadableSpan) -> tuple[bytes, bytes]:
    """Return the beginnings of what holds a span: its resource's and its scope's."""
    request: ExportTraceServiceRequest = encode_spans([span])
    resource: ResourceSpans = request.resource_spans[0]
    scope: ScopeSpans = resource.scope_spans[0]
    del scope.spans[:]
    written = scope.SerializeToString()
    del resource.scope_spans[:]
    return resource.SerializeToString(), written


def _link(context: SpanContext) -> bytes:
    trace_id = context.trace_id
    ids = _LINK.pack(b"\x6a\x21", b"\x0a\x10", trace_id >> 64, trace_id & _LOW_64, b"\x12\x08", context.span_id)
    return ids + _LINK_FLAGS.pack(b"\x35", _flags(context))


def _flags(context: SpanContext | None) -> int:
    """Say whether a span's parent, or what a link leads to, is of another process."""
    return _REMOTE_IS_KNOWN | (_REMOTE if context is not None and context.is_remote else 0)


def _kind(kind: SpanKind) -> Message.SpanKind.ValueType:
    return Message.SpanKind.Value(f"SPAN_KIND_{kind.name}")


def _field(tag: bytes, content: bytes) -> bytes:
    """Return a field that has a length: its tag, the length in groups of seven bits, the lowest first, the content."""
    length = len(content)
    if length <= _SEVEN_BITS:
        return b"%b%c%b" % (tag, length, content)
    sizes = bytearray()
    while length > _SEVEN_BITS:
        sizes.append(length & _SEVEN_BITS | 0x80)
        length >>= 7
    sizes.append(length)
    return b"".join((tag, sizes, content))
