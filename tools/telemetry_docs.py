"""Write docs/telemetry.md from the schema, or check that it is current."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ticketcap_observability import schema
from ticketcap_observability.schema.kinds import HistogramMetric, Label, Metric
from ticketcap_observability.schema.spans import CONVENTIONAL_ATTRIBUTES, CONVENTIONAL_SPANS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "telemetry.md"


def page() -> str:
    return "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    yield "# Telemetry"
    yield ""
    yield "Every span, attribute, metric and log event of TicketCap. `make docs` writes this page from"
    yield "`ticketcap_observability.schema`. A test fails when the page, the schema and the code disagree."
    yield "Histograms carry exemplars."
    yield ""
    yield "## Spans"
    yield "| span | made by | attributes | meaning |"
    yield "|---|---|---|---|"
    for span in schema.SPANS:
        yield f"| `{span}` | {span.service} | {names(span.attributes)} | {span.description} |"
    for name, service, description in CONVENTIONAL_SPANS:
        yield f"| `{name}` | {service} | by the conventions | {description} |"
    yield ""
    yield "## Attributes"
    yield "| attribute | type | meaning |"
    yield "|---|---|---|"
    for attribute in sorted(schema.ATTRIBUTES):
        yield f"| `{attribute}` | {attribute.type} | {attribute.description} |"
    yield ""
    yield "Named by OpenTelemetry's conventions:"
    yield ""
    yield from (f"- `{name}`" for name in sorted(CONVENTIONAL_ATTRIBUTES))
    yield ""
    yield "## Metrics"
    yield "A label has at most its bound of different values. Further values become `_OTHER` and count in"
    yield "`telemetry.dropped`."
    yield ""
    yield "| metric | Prometheus | kind, unit | labels | made by | meaning |"
    yield "|---|---|---|---|---|---|"
    yield from (row(metric) for metric in schema.METRICS)
    yield ""
    yield "### Buckets"
    yield "| metric | upper bounds |"
    yield "|---|---|"
    for metric in schema.METRICS:
        if isinstance(metric, HistogramMetric):
            yield f"| `{metric.name}` | {', '.join(f'{bound:g}' for bound in metric.buckets)} |"
    yield ""
    yield "## Log events"
    yield "Every line also has `timestamp`, `level`, `logger`, `service`, `version` and, inside a request,"
    yield "`trace_id` and `span_id`. `exc_info` becomes `exception`: type and frames, never a message."
    yield ""
    yield "| event | level | made by | fields | meaning |"
    yield "|---|---|---|---|---|"
    for event in sorted(schema.LOG_EVENTS, key=lambda event: event.name):
        fields = names(event.fields)
        yield f"| `{event.name}` | {event.level} | {event.service} | {fields} | {event.description} |"


def row(metric: Metric) -> str:
    labels = ", ".join(label(each) for each in metric.labels)
    return (
        f"| `{metric.name}` | `{metric.prometheus}` | {metric.kind}, {metric.unit} | {labels} "
        f"| {metric.service} | {metric.description} |"
    )


def label(each: Label) -> str:
    values = f": {', '.join(each.values)}" if each.values and len(each.values) <= 8 else f" (≤ {each.bound})"  # noqa: PLR2004 - what a cell holds
    return f"`{each.name}`{values}"


def names(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


def main() -> None:
    if sys.argv[1:] == ["check"]:
        sys.exit(0 if PAGE.read_text() == page() else f"{PAGE} is stale: run make docs")
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
