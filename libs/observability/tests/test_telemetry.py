"""Set-up from the environment, export, and an end within a bound whatever the collector does."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ticketcap_local.sink import serving
from ticketcap_local.testing import free_port
from ticketcap_local.trace_store import TraceStore
from ticketcap_observability import Telemetry, TelemetrySettingError, current_trace_id
from ticketcap_observability.settings import TelemetrySettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "nowhere"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no equals sign"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "many"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
        ("OTEL_SDK_DISABLED", "maybe"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    """Before anything is started."""
    with pytest.raises(TelemetrySettingError, match=name):
        Telemetry.start("test", "1", {name: value}, set_global=False)


@pytest.mark.parametrize(
    ("environ", "ratio"),
    [
        ({}, 1.0),
        ({"DEPLOYMENT_ENVIRONMENT": "production"}, 0.1),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on", "DEPLOYMENT_ENVIRONMENT": "production"}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, 0.25),
    ],
)
def test_sampling_follows_the_environment(environ: dict[str, str], ratio: float) -> None:
    """Everything in development, a tenth in production, or what the variables say."""
    assert TelemetrySettings.read(environ, "test").sampling_ratio == ratio


def test_endpoints_follow_the_protocol() -> None:
    """HTTP has a path per signal, gRPC none, and a signal's own variable is taken as it is."""
    base = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}
    read = TelemetrySettings.read
    assert read(base, "t").traces_endpoint == "http://collector:4318/v1/traces"
    assert read({**base, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "t").metrics_endpoint == base[next(iter(base))]
    own = {**base, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other/x"}
    assert read(own, "t").traces_endpoint == "http://other/x"


async def test_without_an_endpoint_there_are_ids_and_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    """Log lines carry trace ids although nothing is sent."""
    telemetry = Telemetry.start("test", "1", {}, set_global=False)
    with telemetry.tracer.start_as_current_span("work"):
        assert current_trace_id() is not None
    await telemetry.shutdown()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_spans_reach_a_collector(protocol: str) -> None:
    """What is left is sent at the end."""
    grpc_port, http_port = free_port(), free_port()
    store = TraceStore()
    async with serving(store, grpc_port, http_port):
        port = grpc_port if protocol == "grpc" else http_port
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        telemetry = Telemetry.start("shop", "1.2", environ, set_global=False)
        with telemetry.tracer.start_as_current_span("work"):
            trace_id = current_trace_id()
        await telemetry.shutdown()
    assert trace_id is not None
    trace = store.get(trace_id)
    assert trace is not None
    assert [(span.service, span.name) for span in trace.spans] == [("shop", "work")]


@pytest.fixture(params=["absent", "refusing", "silent"])
def collector(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the address of a collector that is of no use."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        if request.param == "silent":
            listening.listen(50)
        if request.param == "absent":
            yield f"http://127.0.0.1:{free_port()}"
        else:
            yield f"http://127.0.0.1:{port}"


SERVICE = """
import asyncio, sys
from ticketcap_observability import Telemetry
async def main():
    telemetry = Telemetry.start("shop", "1")
    for _ in range(5000):
        telemetry.tracer.start_span("work").end()
    await telemetry.shutdown(timeout=2)
    print("left", flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_useless_collector_costs_a_bounded_time_at_exit(collector: str, protocol: str) -> None:
    """The process really ends: no thread is waited for."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SERVICE], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "left"), done.stderr
    assert time.monotonic() - began < 20


async def test_what_can_not_be_delivered_is_counted() -> None:
    """A failed export adds its spans to telemetry.dropped."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from ticketcap_observability.exporters import CountingSpanExporter

    class Failing(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.FAILURE

    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    dropped = meters.get_meter("t").create_counter("telemetry.dropped")
    telemetry = Telemetry.in_memory()
    telemetry.tracer.start_span("work").end()
    CountingSpanExporter(Failing(), dropped).export(telemetry.spans)
    data: Any = reader.get_metrics_data()
    [point] = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert (point.value, point.attributes["signal"]) == (1, "traces")
    meters.shutdown()


async def test_shutting_down_does_not_block_the_loop() -> None:
    """Others go on meanwhile."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        telemetry = Telemetry.start("t", "1", environ, set_global=False)
        telemetry.tracer.start_span("work").end()
        ticks = 0
        ending = asyncio.create_task(telemetry.shutdown(timeout=0.5))
        while not ending.done():
            ticks += 1
            await asyncio.sleep(0.01)
    assert ticks > 5
