"""Write log lines as JSON, with their trace and without personal data.

An exception is logged by its type and frames; its message may quote personal data.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import Processor

from ticketcap_observability._rpc.calls import frames
from ticketcap_observability.redaction import redact_under

Event = MutableMapping[str, Any]

_SELDOM_SECONDS: Final = 60.0
_SELDOM_MESSAGES: Final = 100
_PLAIN: Final = (str, bytes, int, float, Mapping, list, tuple, set, frozenset)
_OURS: Final = frozenset({"level", "logger", "service", "span_id", "timestamp", "trace_id", "version"})
"""Fields that this module sets itself; they hold no personal data."""


class _Seldom(logging.Filter):
    """Pass each message of OpenTelemetry's own loggers once a minute: a dead collector would log every second."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry"):
            return True
        key = (record.name, str(record.msg))
        if record.created - self._passed.get(key, 0) < _SELDOM_SECONDS:
            return False
        if len(self._passed) >= _SELDOM_MESSAGES:
            self._passed.clear()
        self._passed[key] = record.created
        return True


def configure_logging(service: str, version: str, level: str = "INFO", stream: TextIO = sys.stdout) -> None:
    """Send every log line of the process, other libraries' too, to ``stream`` as JSON."""
    shared = _processors(service, version)
    foreign: list[Processor] = [structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *shared]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=foreign,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=_as_text),
            ],
        )
    )
    handler.addFilter(_Seldom())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def event_of(record: logging.LogRecord) -> Event:
    """Return the event of a record, redacted. structlog's records hold theirs; a library's is made here."""
    if isinstance(record.msg, dict):
        return record.msg
    event: Event = {"event": record.getMessage(), "_record": record, "logger": record.name, "exc_info": record.exc_info}
    event = structlog.stdlib.ExtraAdder()(logging.getLogger(record.name), "", event)
    return _redact(None, "", _reduce_exception(None, "", event))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger. A line has the event's name as its argument and the event's fields as keywords."""
    return structlog.stdlib.get_logger(name)


def _processors(service: str, version: str) -> list[Processor]:
    def add_service(_logger: Any, _method: str, event: Event) -> Event:
        event["service"], event["version"] = service, version
        return event

    return [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        _add_trace,
        _reduce_exception,
        _redact,
    ]


def _add_trace(_logger: Any, _method: str, event: Event) -> Event:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event


def _reduce_exception(_logger: Any, _method: str, event: Event) -> Event:
    """Replace an exception by its type and frames."""
    info = event.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else None
    if error is None and info:
        error = (info if isinstance(info, tuple) else sys.exc_info())[1]
    if error is not None:
        event["exception"] = {"type": type(error).__qualname__, "frames": frames(error)}
        if error.__cause__ is not None:
            event["exception"]["cause"] = type(error.__cause__).__qualname__
    return event


def _redact(_logger: Any, _method: str, event: Event) -> Event:
    """Redact by key and by shape, at any depth. An object without a JSON form is redacted as text."""
    return {
        key: value if key in _OURS or key.startswith("_") else _redacted(key, value) for key, value in event.items()
    }


def _redacted(key: str, value: object) -> object:
    return redact_under(key, value if isinstance(value, _PLAIN) or value is None else _as_text(value))


def _as_text(value: object) -> str:
    """Return the text of an object without a JSON form; of an exception only its type."""
    return type(value).__qualname__ if isinstance(value, BaseException) else str(value)
