"""Histograms of our own say what the SDK's say."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from ticketcap_observability import Telemetry, schema
from ticketcap_observability.histograms import AddingHistogram

DEFINITION = schema.REGISTRATION_DURATION
OUTCOMES = st.sampled_from(["confirmed", "waitlisted", "failed"])
MEASUREMENTS = st.lists(
    st.tuples(st.floats(0, 100, allow_nan=False) | st.sampled_from(DEFINITION.buckets), OUTCOMES), max_size=30
)


def of_the_sdk(measurements: list[tuple[float, str]]) -> dict[str, HistogramDataPoint]:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("t")
    buckets = list(DEFINITION.buckets)
    histogram = meter.create_histogram(DEFINITION.name, explicit_bucket_boundaries_advisory=buckets)
    for amount, outcome in measurements:
        histogram.record(amount, {"outcome": outcome})
    data = reader.get_metrics_data()
    return {} if data is None else by_outcome(data.resource_metrics[0].scope_metrics[0].metrics[0])


def by_outcome(metric: Any) -> dict[str, HistogramDataPoint]:
    return {} if metric is None else {point.attributes["outcome"]: point for point in metric.data.data_points}


def told(point: HistogramDataPoint) -> tuple[object, ...]:
    bounds = tuple(point.explicit_bounds)
    return point.count, pytest.approx(point.sum), tuple(point.bucket_counts), bounds, point.min, point.max


@given(MEASUREMENTS)
def test_the_sdk_would_say_the_same(measurements: list[tuple[float, str]]) -> None:
    """Counts, sums, extremes, and the bucket of a value that is a bound."""
    histogram = AddingHistogram(DEFINITION)
    for amount, outcome in measurements:
        histogram.record(amount, {"outcome": outcome})
    ours, theirs = by_outcome(histogram.metric()), of_the_sdk(measurements)
    assert {outcome: told(point) for outcome, point in ours.items()} == {
        outcome: told(point) for outcome, point in theirs.items()
    }


def test_the_order_of_attributes_does_not_matter() -> None:
    """One series, whoever wrote them down."""
    histogram = AddingHistogram(DEFINITION)
    histogram.record(1, {"a": 1, "b": 2})
    histogram.record(1, {"b": 2, "a": 1})
    metric = histogram.metric()
    assert metric is not None
    assert [point.count for point in metric.data.data_points if isinstance(point, HistogramDataPoint)] == [2]


def test_what_is_negative_is_left_out() -> None:
    """As the SDK does: a clock that was set back is no measurement."""
    histogram = AddingHistogram(DEFINITION)
    histogram.record(-1)
    assert histogram.metric() is None


def test_the_newest_kept_trace_of_each_bucket_is_its_exemplar() -> None:
    """Also at a second look; a trace that is not kept is none."""
    telemetry, dropped = Telemetry.in_memory(), Telemetry.in_memory(sampling_ratio=0)
    histogram = AddingHistogram(DEFINITION)
    spans = [telemetry.tracer.start_span("x") for _ in range(3)] + [dropped.tracer.start_span("x")]
    for amount, span in zip((0.02, 0.02, 5, 0.02), spans, strict=True):
        histogram.record(amount, {"outcome": "confirmed"}, trace.set_span_in_context(span))
    for _ in range(2):
        point = by_outcome(histogram.metric())["confirmed"]
        kept = [spans[1].get_span_context(), spans[2].get_span_context()]
        assert [(each.trace_id, each.span_id) for each in point.exemplars] == [(c.trace_id, c.span_id) for c in kept]


def test_no_measurement_is_lost_between_threads() -> None:
    """Nor while it is read."""
    histogram = AddingHistogram(DEFINITION)

    def measure() -> None:
        for _ in range(2000):
            histogram.record(0.1, {"outcome": "confirmed"})

    threads = [threading.Thread(target=measure) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        histogram.metric()
    assert by_outcome(histogram.metric())["confirmed"].count == 8000
