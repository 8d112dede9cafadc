"""Send log lines over OTLP.

They have the same redacted text as on stdout.
"""

import logging
import random
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import get_current_span

from ticketcap_observability._export.queues import LogQueue
from ticketcap_observability.logs import event_of

_SEVERITIES: Final = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.NOTSET, SeverityNumber.DEBUG),
)
# The record's own fields and the resource hold these already.
_ELSEWHERE: Final = frozenset({"event", "level", "timestamp", "service", "version", "trace_id", "span_id"})
# Loggers that write while a line is exported: their lines would cause more lines without end.
_EXPORTING: Final = ("opentelemetry", "urllib3", "requests")
_TRACE_BITS: Final = 1 << 56


class OtlpHandler(logging.Handler):
    """A handler of lines of ``level`` and above. Below WARNING it sends ``ratio`` of them, whole traces at a time."""

    def __init__(self, resource: Resource, queue: LogQueue, *, level: str, ratio: float) -> None:
        super().__init__(level)
        self._provider = LoggerProvider(resource, shutdown_on_exit=False)
        self._provider.add_log_record_processor(queue)
        self._ratio = ratio

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line. An error in it never reaches the code that logs."""
        if record.name.startswith(_EXPORTING) or not self._is_sampled(record):
            return
        try:
            self._send(record, event_of(record))
        except Exception:  # noqa: BLE001 - as every logging handler does
            self.handleError(record)

    def shutdown(self) -> None:
        """Export the rest, and end."""
        logging.getLogger().removeHandler(self)
        self._provider.shutdown()

    def _is_sampled(self, record: logging.LogRecord) -> bool:
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
    attributes = {key: value for key, value in event.items() if key not in _ELSEWHERE and not key.startswith("_")}
    exception = attributes.pop("exception", None)
    if isinstance(exception, Mapping):
        attributes["exception.type"] = exception.get("type", "")
        attributes["exception.stacktrace"] = "\n".join(exception.get("frames", ()))
    return attributes
