"""Check the page for Prometheus: names, exemplars, slow readers."""

import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from prometheus_client.parser import text_string_to_metric_families as parse_plain
from ticketcap_observability import Telemetry, schema
from ticketcap_observability._metrics.reader import SharedReader, metrics_of

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Yield telemetry whose page is on a port of its own."""
    telemetry = Telemetry.start("shop", "ticketcap@1+abc", {}, metrics_address="127.0.0.1:0", set_global=False)
    yield telemetry
    assert telemetry._page is not None
    telemetry._page.close()


def get(telemetry: Telemetry, path: str = "/metrics", **headers: str) -> tuple[int, str, str]:
    connection = HTTPConnection("127.0.0.1", telemetry.metrics_port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["Content-Type"], page


def samples(page: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for family in parse(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def test_names_are_those_of_the_dashboards(telemetry: Telemetry) -> None:
    """Counter, histogram and gauge as the schema spells them for Prometheus, with their labels and units."""
    telemetry.counter(schema.API_ERROR_COUNT).add(
        2, method="GET", route="/x", error_type="OSError", school_synthetic="true"
    )
    telemetry.histogram(schema.REGISTRATION_DURATION).record(0.02, outcome="confirmed")
    telemetry.histogram(schema.PAYMENT_AMOUNTS).record(12.5)
    telemetry.gauge(
        schema.CAPACITY_UTILIZATION,
        lambda: [(0.5, {"event_id": "e", "school_id": "1", "school_slug": "herzl", "school_synthetic": "false"})],
    )
    telemetry.duration(schema.HTTP_SERVER_DURATION).record(0.1, {"http.response.status_code": 200})
    status, kind, page = get(telemetry, **OPENMETRICS)
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    found = samples(page)
    [errors] = found["api_error_count_total"]
    assert (errors.labels, errors.value) == (
        {"method": "GET", "route": "/x", "error_type": "OSError", "school_synthetic": "true"},
        2,
    )
    buckets = {sample.labels["le"]: sample.value for sample in found["registration_duration_seconds_bucket"]}
    assert (buckets["0.01"], buckets["0.025"], buckets["+Inf"]) == (0, 1, 1)
    assert found["payment_amount_sum"][0].value == 12.5
    assert found["registration_capacity_utilization"][0].labels == {
        "event_id": "e",
        "school_id": "1",
        "school_slug": "herzl",
        "school_synthetic": "false",
    }
    assert found["http_server_request_duration_seconds_count"][0].labels == {"http_response_status_code": "200"}
    assert found["target_info"][0].labels["service_version"] == "ticketcap@1+abc"
    assert found["process_memory_usage_bytes"][0].value > 0


def test_exemplars_lead_to_traces_and_stay(telemetry: Telemetry) -> None:
    """Each bucket keeps its newest, although the SDK forgets them at each read."""
    with telemetry.tracer.start_as_current_span("slow") as span:
        telemetry.histogram(schema.REGISTRATION_DURATION).record(0.02, outcome="confirmed")
    with telemetry.tracer.start_as_current_span("slower") as slower:
        telemetry.histogram(schema.REGISTRATION_DURATION).record(4, outcome="confirmed")
        telemetry.counter(schema.REGISTRATION_CREATED).add(1, school_synthetic="false")
    for _ in range(2):
        found = samples(get(telemetry, **OPENMETRICS)[2])
        exemplars = {
            sample.labels["le"]: sample.exemplar.labels["trace_id"]
            for sample in found["registration_duration_seconds_bucket"]
            if sample.exemplar
        }
        assert exemplars == {
            "0.025": f"{span.get_span_context().trace_id:032x}",
            "5.0": f"{slower.get_span_context().trace_id:032x}",
        }
        time.sleep(0.6)


def test_an_older_reader_gets_plain_text(telemetry: Telemetry) -> None:
    """Without exemplars, under the same names."""
    with telemetry.tracer.start_as_current_span("x"):
        telemetry.histogram(schema.REGISTRATION_DURATION).record(0.02, outcome="confirmed")
    _, kind, page = get(telemetry)
    assert kind.startswith("text/plain")
    assert "registration_duration_seconds" in {family.name for family in parse_plain(page)}


def test_only_the_page_is_served(telemetry: Telemetry) -> None:
    """Nothing else is behind it."""
    assert get(telemetry, "/")[0] == 404
    assert get(telemetry, "/metrics?x=1")[0] == 200


def test_a_reader_that_hangs_is_let_go(telemetry: Telemetry) -> None:
    """The next one is served within its bound of two seconds."""
    with socket.create_connection(("127.0.0.1", telemetry.metrics_port or 0)):
        began = time.monotonic()
        assert get(telemetry)[0] == 200
        assert time.monotonic() - began < 30


def test_reading_takes_nothing_from_a_request(telemetry: Telemetry) -> None:
    """Measurements continue while pages are written one after another: no page holds a lock while it is written."""
    for number in range(60):
        for outcome in ("confirmed", "waitlisted"):
            telemetry.histogram(schema.REGISTRATION_DURATION).record(number / 10, outcome=outcome)
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            get(telemetry, **OPENMETRICS)

    reader = threading.Thread(target=read)
    reader.start()
    longest = 0.0
    for _ in range(2000):
        began = time.perf_counter()
        telemetry.histogram(schema.REGISTRATION_DURATION).record(0.1, outcome="confirmed")
        longest = max(longest, time.perf_counter() - began)
    ended.set()
    reader.join()
    assert longest < 1


def test_an_address_that_is_taken_is_named(telemetry: Telemetry) -> None:
    """With the variable that moves it."""
    address = f"127.0.0.1:{telemetry.metrics_port}"
    with pytest.raises(OSError, match=f"{address}.*METRICS_ADDRESS"):
        Telemetry.start("shop", "1", {}, metrics_address=address, set_global=False)


def test_without_an_address_there_is_no_page() -> None:
    """Nor when telemetry is switched off."""
    assert Telemetry.start("shop", "1", {}, set_global=False).metrics_port is None
    off = {"OTEL_SDK_DISABLED": "true"}
    assert Telemetry.start("shop", "1", off, metrics_address="127.0.0.1:0", set_global=False).metrics_port is None


class Collector(MetricExporter):
    """Stores each export in ``got`` and returns ``answer``."""

    def __init__(self, answer: MetricExportResult = MetricExportResult.SUCCESS) -> None:
        super().__init__()
        self.answer = answer
        self.got: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        self.got.append(metrics_data)
        return self.answer

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None: ...

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True


def reading(collector: Collector) -> tuple[SharedReader, Any]:
    from opentelemetry.sdk.metrics import MeterProvider
    from ticketcap_observability._fast.meter import FastMeter
    from ticketcap_observability._metrics.instruments import Instruments

    reader = SharedReader(interval=0.05, fast=FastMeter())
    meters = MeterProvider([reader], shutdown_on_exit=False)
    instruments = Instruments(meters.get_meter("t"), strict=True, fast=reader.fast)
    reader.export(collector, instruments.counter(schema.DROPPED))
    return reader, instruments


def test_collector_and_page_see_the_same() -> None:
    """One takes no exemplar from the other, and labels are redacted for both."""
    collector = Collector()
    reader, instruments = reading(collector)
    tracer = Telemetry.in_memory().tracer
    with tracer.start_as_current_span("x"):
        instruments.conventional(schema.HTTP_SERVER_DURATION).record(1, {"http.route": "/050-1234567"})
    wait_until = time.monotonic() + 5
    while len(collector.got) < 3 and time.monotonic() < wait_until:
        time.sleep(0.01)
    snapshot = reader.snapshot()
    assert snapshot is not None
    for data in (*collector.got[-1:], snapshot):
        [metric] = metrics_of(data)
        [point] = metric.data.data_points
        assert dict(point.attributes or {}) == {"http.route": "/[redacted]"}
        assert len(vars(point)["exemplars"]) == 1
    reader.shutdown()


def test_points_that_are_not_taken_are_counted() -> None:
    """Like every lost item."""
    reader, instruments = reading(Collector(MetricExportResult.FAILURE))
    instruments.counter(schema.REGISTRATION_CREATED).add(1, school_synthetic="false")
    reader.shutdown()
    data = reader.snapshot()
    [dropped] = [metric for metric in metrics_of(data) if metric.name == "telemetry.dropped"]
    assert sum(vars(point)["value"] for point in dropped.data.data_points) >= 1
