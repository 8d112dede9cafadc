"""The bounded queue between a request and the sender of spans; what it could not keep or deliver is counted."""

import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from ticketcap_observability.instruments import Counter

_EXPORTED_AT_ONCE: Final = 1024
_EXPORT_DELAY_MS: Final = 1000
_UNUSED_TIMEOUT_MS: Final = 30_000
"""Given only so that no variable of the SDK's is read for it."""


class SpanQueue(BatchSpanProcessor):
    """Hands spans to ``exporter`` in batches, from a thread of its own. When it is full, the oldest goes."""

    def __init__(self, exporter: SpanExporter, dropped: Counter, *, size: int) -> None:
        self._dropped = dropped
        self._places = Places(size)
        super().__init__(
            _Sender(exporter, dropped, self._places),
            max_queue_size=size,
            max_export_batch_size=min(size, _EXPORTED_AT_ONCE),
            schedule_delay_millis=_EXPORT_DELAY_MS,
            export_timeout_millis=_UNUSED_TIMEOUT_MS,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended; never waits."""
        if span.context is not None and span.context.trace_flags.sampled and not self._places.take():
            self._dropped.add(1, signal="traces", reason="queue_full")
        super().on_end(span)


class Places:
    """How many of a queue's places are taken. Spans come from any thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a place; say whether one was free."""
        with self._lock:
            free = self._taken < self._size
            self._taken += free
        return free

    def give_back(self, count: int) -> None:
        """Free ``count`` of them."""
        with self._lock:
            self._taken -= count


class _Sender(SpanExporter):
    """Sends batches, and counts those that were not taken."""

    def __init__(self, inner: SpanExporter, dropped: Counter, places: Places) -> None:
        self._inner = inner
        self._dropped = dropped
        self._places = places

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._places.give_back(len(spans))
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self._dropped.add(len(spans), signal="traces", reason="export_failed")
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
