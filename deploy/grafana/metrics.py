"""List every metric that dashboards, rules and runbooks use, with labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import promql_parser


class Kind(StrEnum):
    """Prometheus' metric types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """The producer of a metric."""

    SERVICE = "one of TicketCap's services"
    RULE = "one of TicketCap's recording rules"
    COLLECTOR = "the collector"
    PROMETHEUS = "Prometheus itself"
    ALERTMANAGER = "Alertmanager"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A histogram's name is without ``_bucket``, ``_sum`` and ``_count``."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    source: Source = Source.SERVICE

    def series(self) -> tuple[str, ...]:
        """Return the names of its series in Prometheus."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(self.name + part for part in ("_bucket", "_sum", "_count"))
        return (self.name,)


class UnknownMetric(ValueError):
    """An expression reads a metric or a label that does not exist."""


EVERYWHERE: Final = frozenset({"job", "instance"})
"""Labels that the scrape adds to every series."""

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""The windows of the burn-rate alerts."""

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_API = ("method", "route")
_POOL = ("db_client_connection_pool_name",)

SERVICES: Final = (
    # The operators' guide's own.
    Metric("registration_created_total", _C),
    Metric("registration_confirmed_total", _C),
    Metric("registration_waitlisted_total", _C),
    Metric("registration_duration_seconds", _H, ("outcome",)),
    Metric("registration_capacity_utilization", _G, ("event_id", "school_id", "school_slug")),
    Metric("payment_created_total", _C),
    Metric("payment_completed_total", _C),
    Metric("payment_failed_total", _C, ("reason",)),
    Metric("payment_processing_time_seconds", _H, ("outcome",)),
    Metric("payment_amount", _H),
    Metric("api_request_duration_seconds", _H, (*_API, "status_class")),
    Metric("api_request_count_total", _C, _API),
    Metric("api_error_count_total", _C, (*_API, "error_type")),
    Metric("db_query_duration_seconds", _H, ("operation",)),
    Metric("db_transaction_duration_seconds", _H, ("operation",)),
    Metric("db_connection_count", _G, ("state",)),
    Metric("event_capacity_reached_total", _C),
    Metric("waitlist_promotion_total", _C),
    Metric("school_active_events", _G, ("school_id", "school_slug")),
    # Beyond the guide: calls and the database, by OpenTelemetry's conventions.
    Metric("rpc_server_call_duration_seconds", _H, ("rpc_method", "rpc_response_status_code", "error_type")),
    Metric("rpc_client_call_duration_seconds", _H, ("rpc_method", "rpc_response_status_code", "error_type")),
    Metric("db_client_operation_duration_seconds", _H, ("db_operation_name", "db_query_summary", "error_type")),
    Metric("db_client_connection_wait_time_seconds", _H, (*_POOL, "error_type")),
    Metric("db_client_connection_count", _G, (*_POOL, "db_client_connection_state")),
    Metric("db_connection_errors_total", _C),
    # Beyond the guide: seats.
    Metric("lane_depth", _G),
    Metric("lane_active", _G),
    Metric("lane_batch_size", _H),
    Metric("lane_wait_seconds", _H),
    Metric("lane_commit_duration_seconds", _H),
    Metric("hold_expired_total", _C),
    Metric("waitlist_wait_seconds", _H),
    Metric("waitlist_promotion_delay_seconds", _H),
    Metric("seat_announcement_age_seconds", _G),
    Metric("capacity_audit_drift", _G),
    Metric("tenant_isolation_violation_total", _C, ("where",)),
    # Beyond the guide: money.
    Metric("payment_unsettled", _G, ("kind", "age")),
    Metric("payment_escalated", _G, ("kind",)),
    Metric("payment_return_refused_total", _C, ("reason",)),
    Metric("outbox_lag_seconds", _G),
    Metric("registration_feed_age_seconds", _G),
    Metric("yaadpay_call_duration_seconds", _H, ("action", "outcome")),
    # Beyond the guide: the processes.
    Metric("telemetry_dropped_total", _C, ("signal", "reason")),
    Metric("eventloop_lag_seconds", _H),
    Metric("process_cpu_utilization", _G),
    Metric("process_memory_usage_bytes", _G),
    Metric("process_open_file_descriptors", _G),
    Metric("process_uptime_seconds", _G),
)

AGES: Final = ("under_1m", "under_10m", "under_1h", "over_1h")
"""Values of the label ``age`` of ``payment_unsettled``; PaymentsUnsettled ignores the first three."""

_COLLECTED = Source.COLLECTOR
_SPANS = ("service_name", "span_name", "span_kind", "status_code")

OTHERS: Final = (
    Metric("api_error_rate", _G, ("route",), Source.RULE),
    Metric("payment_success_rate", _G, (), Source.RULE),
    *(Metric(f"registration:error_ratio:rate{window}", _G, (), Source.RULE) for window in WINDOWS),
    *(Metric(f"registration:slow_ratio:rate{window}", _G, (), Source.RULE) for window in WINDOWS),
    Metric("registration:errors:increase1h", _G, (), Source.RULE),
    Metric("registration:errors:increase6h", _G, (), Source.RULE),
    Metric("traces_span_metrics_calls_total", _C, _SPANS, _COLLECTED),
    Metric("traces_span_metrics_duration_seconds", _H, _SPANS, _COLLECTED),
    Metric("otelcol_receiver_accepted_spans_total", _C, ("receiver",), _COLLECTED),
    Metric("otelcol_receiver_refused_spans_total", _C, ("receiver",), _COLLECTED),
    Metric("otelcol_exporter_sent_spans_total", _C, ("exporter",), _COLLECTED),
    Metric("otelcol_exporter_send_failed_spans_total", _C, ("exporter",), _COLLECTED),
    Metric("otelcol_exporter_queue_size", _G, ("exporter",), _COLLECTED),
    Metric("otelcol_exporter_queue_capacity", _G, ("exporter",), _COLLECTED),
    Metric("otelcol_process_memory_rss_bytes", _G, (), _COLLECTED),
    Metric("up", _G, (), Source.PROMETHEUS),
    Metric("scrape_duration_seconds", _G, (), Source.PROMETHEUS),
    Metric("scrape_samples_scraped", _G, (), Source.PROMETHEUS),
    Metric("ALERTS", _G, ("alertname", "alertstate", "severity"), Source.PROMETHEUS),
    # Its value is the Unix time at which the alert's condition became true.
    Metric("ALERTS_FOR_STATE", _G, ("alertname", "severity"), Source.PROMETHEUS),
    Metric("prometheus_notifications_dropped_total", _C, (), Source.PROMETHEUS),
    Metric("prometheus_tsdb_head_series", _G, (), Source.PROMETHEUS),
    Metric("alertmanager_notifications_total", _C, ("integration",), Source.ALERTMANAGER),
    Metric("alertmanager_notifications_failed_total", _C, ("integration",), Source.ALERTMANAGER),
)

_BY_SERIES: Final = {series: metric for metric in (*SERVICES, *OTHERS) for series in metric.series()}


def check(expression: str) -> set[str]:
    """Return the series that a PromQL expression reads.

    Raises UnknownMetric for an unknown metric or label, ValueError for invalid PromQL.
    """
    tree = promql_parser.parse(expression)
    names: set[str] = set()
    grouped: set[str] = set()
    labels = set(EVERYWHERE) | {"le"}

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            metric = _selected(node, expression)
            names.add(node.name or "")
            labels.update(metric.labels)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)

    promql_parser.walk(tree, visit)
    if strange := grouped - labels:
        raise UnknownMetric(f"{expression}: groups by {', '.join(sorted(strange))}, which no metric in it has")
    return names


def _selected(node: promql_parser.VectorSelector, expression: str) -> Metric:
    metric = _BY_SERIES.get(node.name or "")
    if metric is None:
        raise UnknownMetric(
            f"{expression}: the metric {node.name!r} does not exist; add it to deploy/grafana/metrics.py"
        )
    allowed = EVERYWHERE.union(metric.labels, {"le"} if metric.kind is Kind.HISTOGRAM else ())
    if strange := set(_matched(node)) - allowed:
        raise UnknownMetric(f"{expression}: {metric.name} has no label {', '.join(sorted(strange))}")
    return metric


def _matched(node: promql_parser.VectorSelector) -> Iterator[str]:
    for matcher in node.matchers.matchers:
        yield matcher.name
