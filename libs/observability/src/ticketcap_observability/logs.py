"""Log lines: JSON, with their trace, without secrets, with an exception's frames but not its message."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import Processor

from ticketcap_observability.calls import frames
from ticketcap_observability.redaction import redact_under

Event = MutableMapping[str, Any]

_PLAIN: Final = (str, bytes, int, float, Mapping, list, tuple, set, frozenset)
_OURS: Final = frozenset({"level", "logger", "service", "span_id", "timestamp", "trace_id", "version"})
"""What we put into a line ourselves, and nobody's data stands in."""


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


def told(record: logging.LogRecord) -> Event:
    """Return what a record says, as it is written: ours was made ready when it was logged, others' are now."""
    if isinstance(record.msg, dict):
        return record.msg
    event: Event = {"event": record.getMessage(), "_record": record, "logger": record.name, "exc_info": record.exc_info}
    event = structlog.stdlib.ExtraAdder()(logging.getLogger(record.name), "", event)
    return _redact(None, "", _reduce_exception(None, "", event))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: its first argument is the event's name, keywords are what it says."""
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
    """Keep an exception's type and frames: its message may quote what a person typed."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else None
    if error is None and given:
        error = (given if isinstance(given, tuple) else sys.exc_info())[1]
    if error is not None:
        event["exception"] = {"type": type(error).__qualname__, "frames": frames(error)}
        if error.__cause__ is not None:
            event["exception"]["cause"] = type(error.__cause__).__qualname__
    return event


def _redact(_logger: Any, _method: str, event: Event) -> Event:
    """Hide what is personal, by key and by shape, at any depth; a thing without a form in JSON by its text."""
    return {
        key: value if key in _OURS or key.startswith("_") else _redacted(key, value) for key, value in event.items()
    }


def _redacted(key: str, value: object) -> object:
    return redact_under(key, value if isinstance(value, _PLAIN) or value is None else _as_text(value))


def _as_text(value: object) -> str:
    """Return what JSON has no form for; of an exception its type only, as everywhere."""
    return type(value).__qualname__ if isinstance(value, BaseException) else str(value)
