"""Trace, measure, log and report errors in every TicketCap service."""

# _sdk is the first: the imports below would make the SDK read the environment.
from ticketcap_observability import _sdk, schema, sentry  # noqa: F401 - _sdk is imported for its effect
from ticketcap_observability._http import HttpTelemetry
from ticketcap_observability._metrics.instruments import Counter, Histogram, Reading
from ticketcap_observability._propagation import (
    context_from_traceparent,
    current_trace_id,
    link_to,
    traceparent_of,
)
from ticketcap_observability._schools import (
    collect_synthetic_schools,
    read_synthetic_metadata,
    school_attributes,
    set_school,
    synthetic_label,
    synthetic_metadata,
)
from ticketcap_observability._sql import SqlTelemetry, instrument_engine
from ticketcap_observability._tracing import set_error
from ticketcap_observability.logs import configure_logging, get_logger
from ticketcap_observability.telemetry import InMemoryTelemetry, Telemetry

__all__ = [
    "Counter",
    "Histogram",
    "HttpTelemetry",
    "InMemoryTelemetry",
    "Reading",
    "SqlTelemetry",
    "Telemetry",
    "collect_synthetic_schools",
    "configure_logging",
    "context_from_traceparent",
    "current_trace_id",
    "get_logger",
    "instrument_engine",
    "link_to",
    "read_synthetic_metadata",
    "schema",
    "school_attributes",
    "sentry",
    "set_error",
    "set_school",
    "synthetic_label",
    "synthetic_metadata",
    "traceparent_of",
]
