"""Record the caller, school, trace and failures of the current work.

The handlers and queues call these one-line helpers; only this module, main and
the kit in edge/ know how telemetry works.
"""

from collections.abc import Iterable

from opentelemetry.context import attach
from ticketcap_chassis.identity.roles import Principal
from ticketcap_observability import (
    context_from_traceparent,
    read_synthetic_metadata,
    sentry,
    set_school,
    traceparent_of,
)


def record_caller(principal: Principal) -> None:
    """Name the verified caller on this request's error reports, by subject and role."""
    sentry.set_user(principal.subject, principal.role)


def record_school(slug: str) -> None:
    """Name the school on the current span, its error reports, and the calls to the services."""
    set_school(slug)


def read_synthetic(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Remember the synthetic schools that a service's answer names."""
    read_synthetic_metadata(metadata)


def current_traceparent() -> str:
    """Return the traceparent of the current span; "" outside of any trace."""
    return traceparent_of()


def continue_trace(traceparent: str) -> None:
    """Let the current task belong to the trace of ``traceparent``; an invalid one changes nothing."""
    if (context := context_from_traceparent(traceparent)) is not None:
        attach(context)  # Never detached: it ends with the task.


def report_error(error: Exception) -> None:
    """Report an unexpected error; its callers get no more than an InternalError."""
    sentry.report(error)
