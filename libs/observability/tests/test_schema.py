"""Compare the schema with the code and with docs/telemetry.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ticketcap_observability import schema
from ticketcap_observability.schema.kinds import Attribute, Metric, SpanName
from ticketcap_observability.schema.spans import CONVENTIONAL_ATTRIBUTES

ROOT = Path(__file__).resolve().parents[3]
SPAN_CALLS = {"start_span", "start_as_current_span"}
LOG_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
INSTRUMENT_CALLS = {"counter", "histogram", "gauge", "duration"}
MAKES_INSTRUMENTS = "instruments.py"


def sources() -> list[tuple[Path, ast.Module]]:
    """Return every module that runs in a service, parsed, but the schema itself."""
    paths = [path for folder in ("libs", "services") for path in sorted((ROOT / folder).glob("*/src/**/*.py"))]
    ours = [path for path in paths if not {"schema", "stubs"} & set(path.relative_to(ROOT).parts)]
    assert len(ours) > 50
    return [(path, ast.parse(path.read_text())) for path in ours]


SOURCES = sources()


def calls(*names: str) -> Iterator[tuple[Path, ast.Call, str]]:
    for path, module in SOURCES:
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                yield path, node, node.func.attr


def literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def place(path: Path, node: ast.expr) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def test_spans_are_named_by_the_schema() -> None:
    """No span's name is spelled where it is started."""
    spelled = [
        place(path, call)
        for path, call, _ in calls(*SPAN_CALLS)
        if call.args and isinstance(call.args[0], ast.Constant | ast.JoinedStr)
    ]
    assert spelled == []


def test_attributes_are_known() -> None:
    """Each attribute of a span has a name from the schema or from the conventions."""
    names = set(schema.ATTRIBUTES) | CONVENTIONAL_ATTRIBUTES
    keys = [(path, call, literal(call.args[0])) for path, call, _ in calls("set_attribute") if call.args]
    for path, call, _ in calls(*SPAN_CALLS, "add_event"):
        mappings = [keyword.value for keyword in call.keywords if keyword.arg == "attributes"] + call.args[1:]
        for attributes in mappings:
            if isinstance(attributes, ast.Dict):
                keys += [(path, call, literal(key)) for key in attributes.keys]
    assert [f"{place(path, call)} {key}" for path, call, key in keys if key and key not in names] == []


def test_instruments_are_made_of_definitions() -> None:
    """One module alone calls OpenTelemetry's factories; all others pass a definition of the schema to TicketCap's."""
    own = [place(path, call) for path, call, name in calls("create_counter", "create_histogram", "create_gauge",
        "create_observable_gauge", "create_observable_counter", "create_up_down_counter",
        "create_observable_up_down_counter") if path.name != MAKES_INSTRUMENTS]  # fmt: skip
    assert own == []
    spelled = [
        place(path, call)
        for path, call, _ in calls(*INSTRUMENT_CALLS)
        if call.args and isinstance(call.args[0], ast.Constant)
    ]
    assert spelled == []


def test_log_events_are_known_with_their_level_and_fields() -> None:
    """A change of an event's name, level or fields would break searches of the logs."""
    events = {event.name: event for event in schema.LOG_EVENTS}
    wrong, seen = [], set()
    for path, call, level in calls(*LOG_LEVELS):
        if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)):
            continue
        if call.func.value.id != "_log":
            continue
        name = literal(call.args[0]) or "?"
        event = events.get(name)
        seen.add(name)
        fields = {keyword.arg for keyword in call.keywords if keyword.arg}
        if event is None or event.level != level or not fields <= set(event.fields):
            wrong.append(f"{place(path, call)} {name} {level} {sorted(fields)}")
    assert wrong == []
    assert events.keys() - seen == set()


def test_nothing_is_named_that_is_not_emitted() -> None:
    """A dashboard on it would stay empty."""
    used = {node.attr for _, module in SOURCES for node in ast.walk(module) if isinstance(node, ast.Attribute)}
    used |= {node.id for _, module in SOURCES for node in ast.walk(module) if isinstance(node, ast.Name)}
    names = {name for name, value in vars(schema).items() if isinstance(value, Attribute | SpanName | Metric)}
    assert names - used == set()


def test_the_page_is_what_the_schema_makes() -> None:
    """`make docs` was run."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools/telemetry_docs.py", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


PROMETHEUS = {
    schema.REGISTRATION_CREATED: "registration_created_total",
    schema.REGISTRATION_CONFIRMED: "registration_confirmed_total",
    schema.REGISTRATION_WAITLISTED: "registration_waitlisted_total",
    schema.REGISTRATION_DURATION: "registration_duration_seconds",
    schema.CAPACITY_UTILIZATION: "registration_capacity_utilization",
    schema.PAYMENT_CREATED: "payment_created_total",
    schema.PAYMENT_COMPLETED: "payment_completed_total",
    schema.PAYMENT_FAILED: "payment_failed_total",
    schema.PAYMENT_PROCESSING_TIME: "payment_processing_time_seconds",
    schema.PAYMENT_AMOUNTS: "payment_amount",
    schema.API_REQUEST_DURATION: "api_request_duration_seconds",
    schema.API_REQUEST_COUNT: "api_request_count_total",
    schema.API_ERROR_COUNT: "api_error_count_total",
    schema.DB_QUERY_DURATION: "db_query_duration_seconds",
    schema.DB_TRANSACTION_DURATION: "db_transaction_duration_seconds",
    schema.DB_CONNECTION_COUNT: "db_connection_count",
    schema.CAPACITY_REACHED: "event_capacity_reached_total",
    schema.WAITLIST_PROMOTION: "waitlist_promotion_total",
    schema.ACTIVE_EVENTS: "school_active_events",
}


@pytest.mark.parametrize("metric", PROMETHEUS, ids=lambda metric: str(metric.name))
def test_prometheus_names_are_the_operators(metric: Metric) -> None:
    """Dashboards and alerts are written with them."""
    assert metric.prometheus == PROMETHEUS[metric]


def test_names_do_not_clash() -> None:
    """Neither in TicketCap's spelling nor in Prometheus'."""
    assert len({metric.name for metric in schema.METRICS}) == len(schema.METRICS)
    assert len({metric.prometheus for metric in schema.METRICS}) == len(schema.METRICS)
    assert len({event.name for event in schema.LOG_EVENTS}) == len(schema.LOG_EVENTS)


def test_every_label_is_bounded_and_none_is_a_person() -> None:
    """Ids of events and schools stand on the two gauges of open events alone."""
    for metric in schema.METRICS:
        assert all(label.bound > 1 or label.values for label in metric.labels), metric.name
        ids = {label.name for label in metric.labels if label.name.endswith("_id")}
        assert not ids or metric in {schema.CAPACITY_UTILIZATION, schema.ACTIVE_EVENTS}


def test_a_name_is_text_that_does_not_change() -> None:
    """It is used as the span's or attribute's name itself."""
    assert schema.CREATE == "registration.create"
    assert {schema.EVENT_ID: 1} == {"event.id": 1}
    with pytest.raises(AttributeError, match="fixed"):
        schema.CREATE.description = "other"
