"""Queue spans and log lines for export; count the lost ones.

The queues and their threads are the SDK's: a request appends and never waits, and one thread exports. When a queue is
full the SDK drops its oldest item. It does not count that, so ``_Room`` does.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from ticketcap_observability._export.redacted_spans import redacted
from ticketcap_observability._metrics.instruments import Counter
from ticketcap_observability.settings import QueueSettings, Signal


class SpanQueue(BatchSpanProcessor):
    """The queue of spans. They are redacted in the exporting thread, not in the request's."""

    def __init__(self, exporter: SpanExporter, dropped: Counter, settings: QueueSettings) -> None:
        self._room = _Room(settings.max_queue_size, "traces", dropped)
        super().__init__(
            _CountingExporter(exporter, self._room, prepare=redacted),
            max_queue_size=settings.max_queue_size,
            schedule_delay_millis=settings.schedule_delay,
            max_export_batch_size=settings.batch_size,
            export_timeout_millis=settings.export_timeout,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Append a span that has ended; return immediately."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._room.take()
        super().on_end(span)


class LogQueue(BatchLogRecordProcessor):
    """The queue of log lines."""

    def __init__(self, exporter: LogRecordExporter, dropped: Counter, settings: QueueSettings) -> None:
        self._room = _Room(settings.max_queue_size, "logs", dropped)
        super().__init__(
            _CountingExporter(exporter, self._room),
            max_queue_size=settings.max_queue_size,
            schedule_delay_millis=settings.schedule_delay,
            max_export_batch_size=settings.batch_size,
            export_timeout_millis=settings.export_timeout,
        )

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Append a line; return immediately."""
        self._room.take()
        super().on_emit(log_record)


class _Room:
    """The number of items in a queue, counted beside it.

    Requests take room in any thread and the exporting thread frees it, so both change the number under the lock. The
    lock is held for one addition and never while an item is exported. Room is taken before the SDK appends the item
    and freed before it is exported: between these two steps the number may exceed the queue's length, never the
    reverse, so an item that the SDK drops is always counted.
    """

    def __init__(self, size: int, signal: Signal, dropped: Counter) -> None:
        self._size = size
        self._used = 0
        self._lock = threading.Lock()
        self._signal = signal
        self._dropped = dropped

    def take(self) -> None:
        """Count one item more. Without room the SDK drops the oldest, and the number stays."""
        with self._lock:
            full = self._used >= self._size
            if not full:
                self._used += 1
        if full:
            self._dropped.add(1, signal=self._signal, reason="queue_full")

    def free(self, count: int) -> None:
        """Count ``count`` items less."""
        with self._lock:
            self._used -= count

    def lose(self, count: int) -> None:
        """Count items that were not exported."""
        self._dropped.add(count, signal=self._signal, reason="export_failed")


class _CountingExporter(SpanExporter, LogRecordExporter):
    """An exporter of spans or of log lines that counts the batches which fail."""

    def __init__(
        self, exporter: SpanExporter | LogRecordExporter, room: _Room, prepare: Callable[[Any], Any] | None = None
    ) -> None:
        self._exporter = exporter
        self._room = room
        self._prepare = prepare

    def export(self, batch: Sequence[Any]) -> Any:
        """Export ``batch``; the result is the inner exporter's."""
        self._room.free(len(batch))
        succeeded = False
        try:
            items = batch if self._prepare is None else [self._prepare(item) for item in batch]
            result = self._exporter.export(items)
            succeeded = result.name == "SUCCESS"
        finally:
            # An exporter that raises has lost its batch too.
            if not succeeded:
                self._room.lose(len(batch))
        return result

    def shutdown(self) -> None:
        """Close the exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)
