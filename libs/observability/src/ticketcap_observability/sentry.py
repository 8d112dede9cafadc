"""Errors to Sentry: set up from SENTRY_*, told without persons, each with its OpenTelemetry trace.

Nothing is imported while SENTRY_DSN is unset. OpenTelemetry does the tracing;
Sentry gets unexpected exceptions, warnings and errors of the log, and profiles.
The functions here do nothing when Sentry is off, never raise and never wait.
"""

import logging
import platform
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from opentelemetry import trace

from ticketcap_observability.instruments import Counter
from ticketcap_observability.logs import told
from ticketcap_observability.redaction import redact, redact_all, redact_under

_SAMPLE_RATE: Final = 1.0
_PRODUCTION_PROFILES: Final = 0.1
_QUEUE: Final = 100
_BREADCRUMBS: Final = 30
_CLOSE_SECONDS: Final = 2.0
_HIDDEN_HEADERS: Final = frozenset({"authorization", "cookie", "set-cookie", "x-manage-token", "x-forwarded-for"})
_USER: Final = frozenset({"id", "role"})
# Expected ways for a call to end; by name, because the libraries that they are of are not all here.
_EXPECTED: Final = frozenset(
    {
        "asyncio.exceptions.CancelledError",
        "builtins.GeneratorExit",
        "builtins.KeyboardInterrupt",
        "builtins.SystemExit",
        "grpc._cython.cygrpc.AbortError",
        "starlette.requests.ClientDisconnect",
        "ticketcap_chassis.errors.ServiceError",
        "ticketcap_gateway.http.problem.Refusal",
    }
)
_LOST: Final = {"queue_overflow": "queue_full", "network_error": "export_failed", "ratelimit_backoff": "export_failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SentrySettings:
    """Where errors go, and as what they are told."""

    dsn: str
    environment: str
    release: str
    production: bool

    @classmethod
    def read(cls, environ: Mapping[str, str], release: str) -> "SentrySettings":
        """Read SENTRY_*; ``release`` is the one of every other signal, which SENTRY_RELEASE has named before."""
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
        """Send what is left, within a bound, and end."""
        import sentry_sdk

        logging.getLogger().removeHandler(self._lines)
        sentry_sdk.profiler.stop_profiler()
        sentry_sdk.get_client().close(timeout=_CLOSE_SECONDS)


def start(settings: SentrySettings, dropped: Counter) -> Sentry | None:
    """Switch Sentry on if there is a DSN. Raises ValueError, without it, when it is none."""
    if not settings.dsn:
        return None
    try:
        return Sentry(settings, dropped)
    except ValueError:
        # Sentry's own text, or that of the address's parser, may quote a part of it.
        raise ValueError("must be an address like https://key@host/project") from None


def options(settings: SentrySettings) -> dict[str, Any]:
    """Return what Sentry is set up with."""
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
        # Those that would patch the libraries below us, or read requests and variables for themselves.
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


# What code says while it works


def scope(operation: str) -> AbstractContextManager[object]:
    """Keep what is said of the code inside apart from everything else that runs; ``operation`` names it.

    An unexpected exception that leaves it is reported with all of that.
    """
    sdk = _sdk()
    return nullcontext() if sdk is None else _Scope(sdk, operation)


def set_operation(operation: str) -> None:
    """Name what runs anew, once it is known better."""
    sdk = _sdk()
    if sdk is not None:
        sdk.get_isolation_scope().set_tag("operation", operation)
        sdk.get_isolation_scope().set_transaction_name(operation)


def report(error: BaseException) -> None:
    """Tell of an exception that nobody expected; the expected ones are left out."""
    sdk = _sdk()
    if sdk is not None and not is_expected(error):
        sdk.capture_exception(error)


def set_user(user_id: str, role: str) -> None:
    """Say who acts: by id and role, nothing else."""
    sdk = _sdk()
    if sdk is not None:
        sdk.get_isolation_scope().set_user({"id": user_id, "role": role})


def set_school(slug: str, school_id: object = None) -> None:
    """Tag reports with the school's slug and, where it is known, its id."""
    sdk = _sdk()
    if sdk is not None:
        scope = sdk.get_isolation_scope()
        scope.set_tag("school_slug", slug)
        if school_id is not None:
            scope.set_tag("school_id", str(school_id))
        scope.set_context("school", {"slug": slug, **({} if school_id is None else {"id": str(school_id)})})


def set_event(event_id: str) -> None:
    """Say for which event."""
    sdk = _sdk()
    if sdk is not None:
        sdk.get_isolation_scope().set_tag("event_id", event_id)


def breadcrumb(category: str, message: str, **data: str | int) -> None:
    """Leave a note that goes along with an exception that comes later."""
    sdk = _sdk()
    if sdk is not None:
        sdk.add_breadcrumb(category=category, message=message, level="info", data=data)


class _Scope:
    """An isolation scope of Sentry's with its operation."""

    def __init__(self, sdk: ModuleType, operation: str) -> None:
        self._inner = sdk.isolation_scope()
        self._operation = operation

    def __enter__(self) -> None:
        made = self._inner.__enter__()
        made.clear_breadcrumbs()
        set_operation(self._operation)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: object) -> None:
        if isinstance(error, Exception):
            report(error)
        self._inner.__exit__(kind, error, frames)


def _sdk() -> ModuleType | None:
    """Return Sentry's module when it is on; it is not even imported when it is off."""
    sdk = sys.modules.get("sentry_sdk")
    return sdk if sdk is not None and sdk.is_initialized() else None


def is_expected(error: BaseException) -> bool:
    """Say whether a call may end like this without anybody's fault."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in _EXPECTED for kind in type(error).__mro__)


# What leaves


def before_send(event: Any, hint: Mapping[str, Any]) -> Any:
    """Return an event without persons and with its trace; None for what was expected."""
    error = (hint.get("exc_info") or (None, None, None))[1]
    if error is not None and is_expected(error):
        return None
    for exception in (event.get("exception") or {}).get("values") or ():
        # The type and the frames tell it; a message may quote what somebody typed.
        exception["value"] = ""
    _without_secrets(event)
    contexts = redact_all(event.get("contexts") or {})
    contexts["runtime"] = {"name": "python", "version": platform.python_version()}
    if span := _span():
        contexts["trace"] = span
    event["contexts"] = contexts
    return event


def _without_secrets(event: Any) -> None:
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
    """Return of a request its method and the address without its query, and harmless headers."""
    headers = {name: value for name, value in request.get("headers", {}).items() if name.lower() not in _HIDDEN_HEADERS}
    told: dict[str, object] = {"headers": redact_all(headers)}
    for part in ("method", "url"):
        if request.get(part):
            told[part] = redact(str(request[part]).partition("?")[0])
    return told


def before_breadcrumb(crumb: Any, _hint: Mapping[str, Any]) -> Any:
    """Return a breadcrumb without persons."""
    kept = {key: crumb[key] for key in ("timestamp", "type") if key in crumb}
    return {**redact_all({key: value for key, value in crumb.items() if key not in kept}), **kept}


def before_send_log(line: Any, _hint: Mapping[str, Any]) -> Any:
    """Return a log line without persons and with its trace."""
    line["body"] = redact(str(line["body"]))
    line["attributes"] = redact_all(line.get("attributes") or {})
    if span := _span():
        line.update(span)
    return line


def _span() -> dict[str, str]:
    """Return the ids of the current span of OpenTelemetry's; nothing outside of any."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(span.trace_id), "span_id": trace.format_span_id(span.span_id)}


class _Lines(logging.Handler):
    """Passes warnings and errors of the log on, as they are written."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("sentry_sdk", "urllib3", "opentelemetry")):
            return
        try:
            self._send(record, told(record))
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
    """Return Sentry's own sender, which also tells us what it lost."""
    from sentry_sdk.transport import HttpTransport

    class Counting(HttpTransport):
        def record_lost_event(self, reason: str, *details: Any, quantity: int = 1, **more: Any) -> None:
            if reason in _LOST:
                dropped.add(quantity, signal="errors", reason=_LOST[reason])
            super().record_lost_event(reason, *details, quantity=quantity, **more)

    return Counting
