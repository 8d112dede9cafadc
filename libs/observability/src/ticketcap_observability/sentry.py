"""Report unexpected errors to Sentry, redacted and with their trace.

Without SENTRY_DSN nothing is imported, and the functions here do nothing. They never raise and never wait.
OpenTelemetry traces; Sentry receives unexpected exceptions, warnings and errors of the log, and profiles.
"""

import logging
import platform
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final
from uuid import UUID

from opentelemetry import trace

from ticketcap_observability._expected import is_expected
from ticketcap_observability._metrics.instruments import Counter
from ticketcap_observability.logs import event_of
from ticketcap_observability.redaction import redact, redact_all, redact_under

_SAMPLE_RATE: Final = 1.0
_PRODUCTION_PROFILES: Final = 0.1
_QUEUE: Final = 100
_BREADCRUMBS: Final = 30
_CLOSE_SECONDS: Final = 2.0
_HIDDEN_HEADERS: Final = frozenset({"authorization", "cookie", "set-cookie", "x-manage-token", "x-forwarded-for"})
_USER: Final = frozenset({"id", "role"})
_LOST: Final = {"queue_overflow": "queue_full", "network_error": "export_failed", "ratelimit_backoff": "export_failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SentrySettings:
    """The address of Sentry, and the names under which it files an error."""

    dsn: str
    environment: str
    release: str
    production: bool

    @classmethod
    def read(cls, environ: Mapping[str, str], release: str) -> "SentrySettings":
        """Read SENTRY_*. ``release`` is that of every other signal; it has taken SENTRY_RELEASE into account."""
        deployment = environ.get("DEPLOYMENT_ENVIRONMENT") or "development"
        return cls(
            dsn=environ.get("SENTRY_DSN", "").strip(),
            environment=environ.get("SENTRY_ENVIRONMENT") or deployment,
            release=release,
            production=deployment == "production",
        )


class Sentry:
    """Sentry of one process, switched on."""

    def __init__(self, settings: SentrySettings, dropped: Counter, transport: Any = None) -> None:
        import sentry_sdk

        sentry_sdk.init(**options(settings), transport=transport or _transport(dropped))
        self._lines = _Lines(logging.WARNING)
        logging.getLogger().addHandler(self._lines)
        if settings.production:
            sentry_sdk.profiler.start_profiler()

    def close(self) -> None:
        """Send the rest, within a bound, and end."""
        import sentry_sdk

        logging.getLogger().removeHandler(self._lines)
        sentry_sdk.profiler.stop_profiler()
        sentry_sdk.get_client().close(timeout=_CLOSE_SECONDS)


def start(settings: SentrySettings, dropped: Counter) -> Sentry | None:
    """Start Sentry if there is a DSN. Raises ValueError, which does not quote the DSN, when it is invalid."""
    if not settings.dsn:
        return None
    try:
        return Sentry(settings, dropped)
    except ValueError:
        # Sentry's message may quote a part of the DSN.
        raise ValueError("must be an address like https://key@host/project") from None


def options(settings: SentrySettings) -> dict[str, Any]:
    """Return Sentry's options."""
    from sentry_sdk.integrations.dedupe import DedupeIntegration

    return {
        "dsn": settings.dsn,
        "environment": settings.environment,
        "release": settings.release,
        "sample_rate": _SAMPLE_RATE,
        # OpenTelemetry traces: one tracer.
        "traces_sample_rate": None,
        "profile_session_sample_rate": _PRODUCTION_PROFILES if settings.production else 0.0,
        "profile_lifecycle": "manual",
        "before_send": before_send,
        "before_breadcrumb": before_breadcrumb,
        "before_send_log": before_send_log,
        "enable_logs": True,
        # The default integrations patch libraries, or read requests and variables.
        "default_integrations": False,
        "auto_enabling_integrations": False,
        "integrations": [DedupeIntegration()],
        "include_local_variables": False,
        "max_request_body_size": "never",
        "max_breadcrumbs": _BREADCRUMBS,
        "transport_queue_size": _QUEUE,
        "shutdown_timeout": _CLOSE_SECONDS,
        "auto_session_tracking": False,
        "spotlight": False,
    }


# Called by services


def scope(operation: str) -> AbstractContextManager[object]:
    """Return a scope for the code inside, named ``operation``: tags and breadcrumbs set there stay there.

    An unexpected exception that leaves the scope is reported with them.
    """
    sdk = _sdk()
    return nullcontext() if sdk is None else _Scope(sdk, operation)


def set_operation(operation: str) -> None:
    """Rename the operation of the current scope."""
    sdk = _sdk()
    if sdk is not None:
        sdk.get_isolation_scope().set_tag("operation", operation)
        sdk.get_isolation_scope().set_transaction_name(operation)


def report(error: BaseException) -> None:
    """Report an exception, unless it is expected."""
    sdk = _sdk()
    if sdk is not None and not is_expected(error):
        sdk.capture_exception(error)


def set_user(user_id: str, role: str) -> None:
    """Set the acting user: id and role, nothing else."""
    sdk = _sdk()
    if sdk is not None:
        sdk.get_isolation_scope().set_user({"id": user_id, "role": role})


def set_school(slug: str, school_id: UUID | str | None = None, synthetic: bool = False) -> None:
    """Tag reports of the current scope with the school's slug, its id if it is given, and that it is synthetic."""
    sdk = _sdk()
    if sdk is not None:
        scope = sdk.get_isolation_scope()
        scope.set_tag("school_slug", slug)
        if school_id is not None:
            scope.set_tag("school_id", str(school_id))
        if synthetic:
            scope.set_tag("school_synthetic", "true")
        scope.set_context("school", {"slug": slug, **({} if school_id is None else {"id": str(school_id)})})


def set_event(event_id: str) -> None:
    """Set the event of the current scope."""
    sdk = _sdk()
    if sdk is not None:
        sdk.get_isolation_scope().set_tag("event_id", event_id)


def breadcrumb(category: str, message: str, **data: str | int) -> None:
    """Add a note to an exception that may follow."""
    sdk = _sdk()
    if sdk is not None:
        sdk.add_breadcrumb(category=category, message=message, level="info", data=data)


class _Scope:
    """An isolation scope of Sentry with its operation."""

    def __init__(self, sdk: ModuleType, operation: str) -> None:
        self._inner = sdk.isolation_scope()
        self._operation = operation

    def __enter__(self) -> None:
        entered = self._inner.__enter__()
        entered.clear_breadcrumbs()
        set_operation(self._operation)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: object) -> None:
        if isinstance(error, Exception):
            report(error)
        self._inner.__exit__(kind, error, frames)


def _sdk() -> ModuleType | None:
    """Return Sentry's module; None when Sentry is off, and not imported then."""
    sdk = sys.modules.get("sentry_sdk")
    return sdk if sdk is not None and sdk.is_initialized() else None


# Called by Sentry


def before_send(event: Any, hint: Mapping[str, Any]) -> Any:
    """Return an event redacted and with its trace; None for an expected exception."""
    error = (hint.get("exc_info") or (None, None, None))[1]
    if error is not None and is_expected(error):
        return None
    for exception in (event.get("exception") or {}).get("values") or ():
        # The type and the frames are enough; a message may quote personal data.
        exception["value"] = ""
    _redact_parts(event)
    contexts = redact_all(event.get("contexts") or {})
    contexts["runtime"] = {"name": "python", "version": platform.python_version()}
    if span := _span():
        contexts["trace"] = span
    event["contexts"] = contexts
    return event


def _redact_parts(event: Any) -> None:
    if "request" in event:
        event["request"] = _request(event["request"])
    if "user" in event:
        event["user"] = {key: redact_under(key, value) for key, value in event["user"].items() if key in _USER}
    crumbs = (event.get("breadcrumbs") or {}).get("values") or []
    event["breadcrumbs"] = {"values": [before_breadcrumb(crumb, {}) for crumb in crumbs]}
    for part in ("extra", "tags", "logentry"):
        if event.get(part):
            event[part] = redact_all(event[part])
    for part in ("message", "transaction"):
        if event.get(part):
            event[part] = redact(str(event[part]))


def _request(request: Mapping[str, Any]) -> dict[str, object]:
    """Return a request's method, its address without the query, and its harmless headers."""
    headers = {name: value for name, value in request.get("headers", {}).items() if name.lower() not in _HIDDEN_HEADERS}
    parts: dict[str, object] = {"headers": redact_all(headers)}
    for part in ("method", "url"):
        if request.get(part):
            parts[part] = redact(str(request[part]).partition("?")[0])
    return parts


def before_breadcrumb(crumb: Any, _hint: Mapping[str, Any]) -> Any:
    """Return a breadcrumb redacted."""
    plain = {key: crumb[key] for key in ("timestamp", "type") if key in crumb}
    return {**redact_all({key: value for key, value in crumb.items() if key not in plain}), **plain}


def before_send_log(line: Any, _hint: Mapping[str, Any]) -> Any:
    """Return a log line redacted and with its trace."""
    line["body"] = redact(str(line["body"]))
    line["attributes"] = redact_all(line.get("attributes") or {})
    if span := _span():
        line.update(span)
    return line


def _span() -> dict[str, str]:
    """Return the ids of OpenTelemetry's current span; nothing outside a span."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(span.trace_id), "span_id": trace.format_span_id(span.span_id)}


class _Lines(logging.Handler):
    """Send warnings and errors of the log to Sentry."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("sentry_sdk", "urllib3", "opentelemetry")):
            return
        try:
            self._send(record, event_of(record))
        except Exception:  # noqa: BLE001 - as every logging handler does
            self.handleError(record)

    def _send(self, record: logging.LogRecord, event: Mapping[str, Any]) -> None:
        import sentry_sdk.logger

        attributes = {
            key: value if isinstance(value, str | int | float | bool) else str(value)
            for key, value in event.items()
            if key not in {"event", "level", "timestamp", "exception"} and not key.startswith("_")
        }
        send = sentry_sdk.logger.error if record.levelno >= logging.ERROR else sentry_sdk.logger.warning
        send(str(event.get("event", "")), attributes=attributes)


def _transport(dropped: Counter) -> Any:
    """Return Sentry's own sender, which counts lost events too."""
    from sentry_sdk.transport import HttpTransport

    class Counting(HttpTransport):
        def record_lost_event(self, reason: str, *details: Any, quantity: int = 1, **more: Any) -> None:
            if reason in _LOST:
                dropped.add(quantity, signal="errors", reason=_LOST[reason])
            super().record_lost_event(reason, *details, quantity=quantity, **more)

    return Counting
