"""Log lines: JSON, with their trace, without secrets, with an exception's frames but not its message."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import Processor

from ticketcap_observability.calls import frames

Event = MutableMapping[str, Any]

_SECRET_WORDS: Final = frozenset({"authorization", "cookie", "email", "passp", "password", "phone", "secret", "token"})
"""A key that has one of these among its words is hidden."""
_SECRET_KEYS: Final = frozenset(
    {"api_key", "card_number", "first_name", "full_name", "last_name", "name", "national_id", "parent_name"}
)
_REDACTED: Final = "[redacted]"
_DEPTH: Final = 4


def configure_logging(service: str, version: str, level: str = "INFO", stream: TextIO = sys.stdout) -> None:
    """Send every log line of the process, other libraries' too, to ``stream`` as JSON."""
    shared = _processors(service, version)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *shared],
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
        *_REDACTORS,
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


def _redact_by_key(_logger: Any, _method: str, event: Event) -> Event:
    for key, value in event.items():
        event[key] = _redacted(key, value)
    return event


def _redacted(key: object, value: object, depth: int = _DEPTH) -> object:
    """Return ``value`` as it may be written under ``key``; mappings and lists inside it, too."""
    if _is_secret(str(key)):
        return _REDACTED
    if isinstance(value, Mapping):
        return {inner: _redacted(inner, held, depth - 1) for inner, held in value.items()} if depth else _REDACTED
    if isinstance(value, list | tuple):
        return [_redacted("", held, depth - 1) for held in value] if depth else _REDACTED
    return value


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    key = key.casefold().replace("-", "_")
    return key in _SECRET_KEYS or not _SECRET_WORDS.isdisjoint(key.split("_"))


def _as_text(value: object) -> str:
    """Return what JSON has no form for; of an exception its type only, as everywhere."""
    return type(value).__qualname__ if isinstance(value, BaseException) else str(value)


_REDACTORS: Final[list[Processor]] = [_redact_by_key]
"""What hides personal data in a line, in their order; the last thing before it is written."""
