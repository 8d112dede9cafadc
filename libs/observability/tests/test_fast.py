"""Compare the fast histograms with the SDK's."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import set_span_in_context
from ticketcap_observability import Telemetry, schema
from ticketcap_observability._fast.meter import FastMeter

AMOUNTS = st.floats(min_value=-1, max_value=20, allow_nan=False)
OUTCOMES = st.sampled_from(["confirmed", "waitlisted", "failed"])
POINT = ("attributes", "count", "sum", "bucket_counts", "explicit_bounds", "min", "max")


def shape(data: Any) -> list[dict[str, Any]]:
    points = [{name: getattr(point, name) for name in POINT} for point in data.data_points]
    for point in points:
        point.update(bucket_counts=tuple(point["bucket_counts"]), explicit_bounds=tuple(point["explicit_bounds"]))
        point.update(attributes=dict(point["attributes"]), sum=pytest.approx(point["sum"]))
    return sorted(points, key=str)


@given(st.lists(st.tuples(AMOUNTS, OUTCOMES), min_size=1))
def test_a_histogram_equals_the_sdks(measurements: list[tuple[float, str]]) -> None:
    """Counts, sums, extremes and bounds. Both ignore negative amounts."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    fast = FastMeter()
    definition = schema.REGISTRATION_DURATION
    ours = fast.histogram(definition)
    theirs = meters.get_meter("t").create_histogram(
        definition.name, explicit_bucket_boundaries_advisory=definition.buckets
    )
    for amount, outcome in measurements:
        for histogram in (ours, theirs):
            histogram.record(amount, {"outcome": outcome})
    data: Any = reader.get_metrics_data()
    metrics = fast.collect()
    if data is None or not data.resource_metrics:
        assert all(not metric.data.data_points for metric in metrics)
        return
    [metric] = metrics
    [expected] = data.resource_metrics[0].scope_metrics[0].metrics
    assert shape(metric.data) == shape(expected.data)


def test_threads_lose_no_measurement() -> None:
    """Requests and jobs measure in several threads while the page is read."""
    fast = FastMeter()
    histogram = fast.histogram(schema.WAITLIST_WAIT)

    def measure() -> None:
        for number in range(5000):
            histogram.record(1, {"a": str(number % 10)})

    threads = [threading.Thread(target=measure) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        fast.collect()
    [metric] = fast.collect()
    assert [vars(point)["count"] for point in metric.data.data_points] == [2000] * 10


def test_an_exemplar_is_the_newest_of_its_bucket() -> None:
    """Of sampled traces only; it stays over reads."""
    fast = FastMeter()
    histogram = fast.histogram(schema.WAITLIST_WAIT)
    sampled, dropped = Telemetry.in_memory().tracer, Telemetry.in_memory(sampling_ratio=0).tracer
    spans = [sampled.start_span("a"), sampled.start_span("b"), dropped.start_span("c")]
    for span in spans:
        histogram.record(5, context=set_span_in_context(span))
    for _ in range(2):
        [metric] = fast.collect()
        [point] = metric.data.data_points
        [exemplar] = vars(point)["exemplars"]
        assert exemplar.span_id == spans[1].get_span_context().span_id


@pytest.mark.system
def test_a_setting_returns_the_sdks_histograms() -> None:
    """``TELEMETRY_FAST=false``."""
    for value, is_fast in (("true", True), ("false", False)):
        telemetry = Telemetry.start(
            "t", "1", {"TELEMETRY_FAST": value}, metrics_address="127.0.0.1:0", set_global=False
        )
        module = type(telemetry.duration(schema.HTTP_SERVER_DURATION)).__module__
        assert module.startswith("ticketcap_observability._fast") is is_fast
