"""Check PromQL against every metric that Prometheus scrapes or records.

The services' metrics come from their telemetry schema, so a renamed metric fails here and not as an empty panel.
"""

import re
from typing import Final

import promql_parser
from ticketcap_observability.schema import METRICS
from ticketcap_observability.schema.kinds import HistogramMetric

Series = dict[str, tuple[str, ...]]
"""The labels of each time series by its name."""


class UnknownMetric(ValueError):
    """An expression reads a metric or a label that does not exist."""


SCRAPED: Final = frozenset({"job", "instance"})
"""Labels that the scrape adds to every series."""


def _histogram(name: str, labels: tuple[str, ...]) -> Series:
    return {f"{name}_bucket": (*labels, "le"), f"{name}_sum": labels, f"{name}_count": labels}


def _services() -> Series:
    series: Series = {}
    for metric in METRICS:
        labels = tuple(label.name.replace(".", "_") for label in metric.labels)
        is_histogram = isinstance(metric, HistogramMetric)
        series |= _histogram(metric.prometheus, labels) if is_histogram else {metric.prometheus: labels}
    return series


RECORDED: Final[Series] = {
    "api_error_rate": ("route",),
    "payment_success_rate": (),
    "registration:errors:increase1h": (),
    "registration:errors:increase6h": (),
    **{
        f"registration:{part}_ratio:rate{window}": ()
        for part in ("error", "slow")
        for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
    },
}
"""The results of TicketCap's recording rules."""

_SPANS: Final = ("service_name", "span_name", "span_kind", "status_code")

PROGRAMS: Final[Series] = {
    # The collector.
    "traces_span_metrics_calls_total": _SPANS,
    **_histogram("traces_span_metrics_duration_seconds", _SPANS),
    "otelcol_receiver_accepted_spans_total": ("receiver",),
    "otelcol_receiver_refused_spans_total": ("receiver",),
    "otelcol_exporter_sent_spans_total": ("exporter",),
    "otelcol_exporter_send_failed_spans_total": ("exporter",),
    "otelcol_exporter_queue_size": ("exporter",),
    "otelcol_exporter_queue_capacity": ("exporter",),
    "otelcol_process_memory_rss_bytes": (),
    # Prometheus.
    "up": (),
    "scrape_duration_seconds": (),
    "scrape_samples_scraped": (),
    "ALERTS": ("alertname", "alertstate", "severity"),
    # Its value is the Unix time at which the alert's condition became true.
    "ALERTS_FOR_STATE": ("alertname", "severity"),
    "prometheus_notifications_dropped_total": (),
    "prometheus_tsdb_head_series": (),
    # Alertmanager.
    "alertmanager_notifications_total": ("integration",),
    "alertmanager_notifications_failed_total": ("integration",),
}
"""The metrics of the monitoring programs that dashboards, rules and runbooks use."""

_SERIES: Final[Series] = {**_services(), **RECORDED, **PROGRAMS}

NOT_SYNTHETIC: Final = 'school_synthetic!="true"'
"""The selector of the series of real schools; ``deploy/prometheus/start.sh`` can remove it."""
_WITH_SCHOOL: Final = "|".join(name for name, labels in _services().items() if "school_synthetic" in labels)
_SELECTOR: Final = re.compile(rf"\b({_WITH_SCHOOL})\b(?:{{(?:{NOT_SYNTHETIC}(?:, )?)?([^}}]*)}})?")


def without_synthetic(expression: str) -> str:
    """Return a PromQL expression whose selectors leave synthetic schools out, where the metric has their label."""

    def select(found: re.Match[str]) -> str:
        return f"{found[1]}{{{', '.join(filter(None, (NOT_SYNTHETIC, found[2])))}}}"

    return _SELECTOR.sub(select, expression)


def check(expression: str) -> set[str]:
    """Return the series that a PromQL expression reads.

    Raises UnknownMetric for an unknown metric or label, ValueError for invalid PromQL.
    """
    names: set[str] = set()
    grouped: set[str] = set()
    labels = {*SCRAPED, "le"}

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            name = node.name or ""
            if name not in _SERIES:
                raise UnknownMetric(
                    f"{expression}: the metric {name!r} does not exist; declare it in the telemetry schema"
                    " or in deploy/grafana/metrics.py"
                )
            own = SCRAPED.union(_SERIES[name])
            if unknown := {matcher.name for matcher in node.matchers.matchers} - own:
                raise UnknownMetric(f"{expression}: {name} has no label {', '.join(sorted(unknown))}")
            names.add(name)
            labels.update(own)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(expression), visit)
    if unknown := grouped - labels:
        raise UnknownMetric(f"{expression}: groups by {', '.join(sorted(unknown))}, which no metric in it has")
    return names
