"""The telemetry that every TicketCap service shares: tracing, per-RPC metrics, logs."""

# isolated_sdk is the first: what the others import would read the environment.
from ticketcap_observability import isolated_sdk, schema, sentry  # noqa: F401 - imported for what it does
from ticketcap_observability.http import HttpTelemetry
from ticketcap_observability.logs import configure_logging, get_logger
from ticketcap_observability.propagation import (
    context_from_traceparent,
    current_trace_id,
    link_to,
    set_school,
    traceparent_of,
)
from ticketcap_observability.sql import SqlTelemetry, instrument_engine
from ticketcap_observability.telemetry import InMemoryTelemetry, Telemetry

__all__ = [
    "HttpTelemetry",
    "InMemoryTelemetry",
    "SqlTelemetry",
    "Telemetry",
    "configure_logging",
    "context_from_traceparent",
    "current_trace_id",
    "get_logger",
    "instrument_engine",
    "link_to",
    "schema",
    "sentry",
    "set_school",
    "traceparent_of",
]
