"""Log lines over OTLP, beside the ones on stdout: the same text, a bounded queue, what is lost is counted."""

import logging
import random
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import get_current_span

from ticketcap_observability.instruments import Counter
from ticketcap_observability.logs import told
from ticketcap_observability.span_queue import Places

_EXPORTED_AT_ONCE: Final = 512
_EXPORT_DELAY_MS: Final = 1000
_UNUSED_TIMEOUT_MS: Final = 30_000
"""Given only so that no variable of the SDK's is read for it."""
_LIMITS: Final = LogRecordLimits(128, LogRecordLimits.UNSET, 128, LogRecordLimits.UNSET)
"""The SDK's own defaults, given so that no variable is read for them: a wrong one would stop the service."""
_SEVERITIES: Final = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.NOTSET, SeverityNumber.DEBUG),
)
# Said once already, as the record's own fields or as the resource's.
_ELSEWHERE: Final = frozenset({"event", "level", "timestamp", "service", "version", "trace_id", "span_id"})
_TRACE_BITS: Final = 1 << 56


class LogQueue(BatchLogRecordProcessor):
    """Hands records to ``exporter`` in batches, from a thread of its own. When it is full, the oldest goes."""

    def __init__(self, exporter: LogRecordExporter, dropped: Counter, *, size: int) -> None:
        self._dropped = dropped
        self._places = Places(size)
        super().__init__(
            _Sender(exporter, dropped, self._places),
            schedule_delay_millis=_EXPORT_DELAY_MS,
            max_export_batch_size=min(size, _EXPORTED_AT_ONCE),
            export_timeout_millis=_UNUSED_TIMEOUT_MS,
            max_queue_size=size,
        )

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Take a record; never waits."""
        if not self._places.take():
            self._dropped.add(1, signal="logs", reason="queue_full")
        super().on_emit(log_record)


class _Sender(LogRecordExporter):
    """Sends batches, and counts those that were not taken."""

    def __init__(self, inner: LogRecordExporter, dropped: Counter, places: Places) -> None:
        self._inner = inner
        self._dropped = dropped
        self._places = places

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self._places.give_back(len(batch))
        result = LogRecordExportResult.FAILURE
        try:
            result = self._inner.export(batch)
        finally:
            if result is not LogRecordExportResult.SUCCESS:
                self._dropped.add(len(batch), signal="logs", reason="export_failed")
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()  # type: ignore[no-untyped-call]  # untyped upstream

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class LogExport(logging.Handler):
    """Sends lines of ``level`` and above; below WARNING only a share of them, whole traces at a time."""

    def __init__(self, resource: Resource, queue: LogQueue, *, level: str, ratio: float) -> None:
        super().__init__(level)
        self._provider = LoggerProvider(resource, shutdown_on_exit=False, log_record_limits=_LIMITS)
        self._provider.add_log_record_processor(queue)
        self._ratio = ratio

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line. What goes wrong with it is no trouble of whoever logs."""
        # The SDK's own lines about sending would be sent too, and make more.
        if record.name.startswith("opentelemetry") or not self._is_kept(record):
            return
        try:
            self._send(record, told(record))
        except Exception:  # noqa: BLE001 - as every logging handler does
            self.handleError(record)

    def shutdown(self) -> None:
        """Send what is left, and end."""
        logging.getLogger().removeHandler(self)
        self._provider.shutdown()

    def _is_kept(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING or self._ratio >= 1:
            return True
        span = get_current_span().get_span_context()
        share = (span.trace_id % _TRACE_BITS) / _TRACE_BITS if span.is_valid else random.random()  # noqa: S311 - a sample
        return share < self._ratio

    def _send(self, record: logging.LogRecord, event: Mapping[str, Any]) -> None:
        severity = next(number for level, number in _SEVERITIES if record.levelno >= level)
        self._provider.get_logger(str(event.get("logger", record.name))).emit(
            timestamp=int(record.created * 1e9),
            severity_number=severity,
            severity_text=record.levelname,
            body=str(event.get("event", "")),
            attributes=_attributes(event),
        )


def _attributes(event: Mapping[str, Any]) -> dict[str, Any]:
    attributes: MutableMapping[str, Any] = {
        key: value for key, value in event.items() if key not in _ELSEWHERE and not key.startswith("_")
    }
    exception = attributes.pop("exception", None)
    if isinstance(exception, Mapping):
        attributes["exception.type"] = exception.get("type", "")
        attributes["exception.stacktrace"] = "\n".join(exception.get("frames", ()))
    return dict(attributes)
