"""Check start, export and a bounded end with any collector."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import opentelemetry.environment_variables
import opentelemetry.sdk.environment_variables
import pytest
from ticketcap_local.sink import serving
from ticketcap_local.trace_store import TraceStore
from ticketcap_observability import Telemetry, current_trace_id
from ticketcap_testing.stack import free_port

START = """
import asyncio
from ticketcap_observability import Telemetry, configure_logging, get_logger
configure_logging("shop", "1")
telemetry = Telemetry.start("shop", "1")
with telemetry.tracer.start_as_current_span("work"):
    get_logger("x").info("goes on")
asyncio.run(telemetry.shutdown(timeout=0.1))
"""


def otel_variables() -> list[str]:
    """Return the name of every variable that OpenTelemetry's packages know."""
    modules = (opentelemetry.environment_variables, opentelemetry.sdk.environment_variables)
    names = {str(value) for module in modules for value in vars(module).values()}
    return sorted(name for name in names if re.fullmatch("OTEL_[A-Z_]+", name))


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "nonsense"])
def test_no_variable_stops_a_process(protocol: str) -> None:
    """Nonsense in all of them at once: as the SDK is imported and as telemetry begins. None is warned of twice."""
    names = otel_variables()
    assert {"OTEL_PROPAGATORS", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"} <= set(names)
    environ = {**dict.fromkeys(names, "nonsense"), "SENTRY_DSN": "nonsense", "LOG_EXPORT_LEVEL": "nonsense"}
    environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
    if protocol != "nonsense":
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "https://127.0.0.1:1"
    done = run(START, environ)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    warned = [line["variable"] for line in lines if line["event"] == "telemetry.setting_unused"]
    assert len(warned) == len(set(warned))
    assert {"OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_PROPAGATORS", "SENTRY_DSN"} <= set(warned)
    assert "goes on" in {line["event"] for line in lines}


async def test_without_an_endpoint_there_are_ids_and_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    """Log lines carry trace ids although nothing is sent."""
    telemetry = Telemetry.start("test", "1", {}, set_global=False)
    with telemetry.tracer.start_as_current_span("work"):
        assert current_trace_id() is not None
    await telemetry.shutdown()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_spans_reach_a_collector(protocol: str) -> None:
    """The shutdown exports the spans that are left."""
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
    if request.param == "absent":
        yield "http://collector.invalid:4318"
        return
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        if request.param == "silent":
            bound.listen(50)  # connections are taken, and never answered
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


SERVICE = """
import asyncio, threading, time
from ticketcap_observability import Telemetry
async def main():
    telemetry = Telemetry.start("shop", "1")
    for _ in range(20000):
        telemetry.tracer.start_span("work").end()
    began = time.monotonic()
    await telemetry.shutdown(timeout=1)
    print(time.monotonic() - began)
asyncio.run(main())
print(*(thread.name for thread in threading.enumerate() if not thread.daemon))
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_useless_collector_costs_a_bounded_time_at_exit(collector: str, protocol: str) -> None:
    """One second, which is its bound; and the exit waits for no thread."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    done = run(SERVICE, environ)
    assert done.returncode == 0, done.stderr
    seconds, threads = done.stdout.splitlines()
    assert (float(seconds) < 1 + 3, threads) == (True, "MainThread")


def test_disabled_means_ids_and_nothing_else() -> None:
    """Log lines still carry a trace id; no span is recorded, and the edge samples no new trace."""
    code = """
from ticketcap_observability import Telemetry, current_trace_id
telemetry = Telemetry.start("shop", "1")
with telemetry.tracer.start_as_current_span("work") as span:
    print(len(current_trace_id() or ""), span.is_recording(), telemetry.samples_new_trace())
"""
    environ = {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert run(code, environ).stdout.split() == ["32", "False", "False"]


def test_a_wrong_value_is_never_quoted() -> None:
    """The SDK would raise for some of these, and log the value of others."""
    code = """
import asyncio
from ticketcap_observability import Telemetry
asyncio.run(Telemetry.start("shop", "1").shutdown())
"""
    names = [
        "OTEL_BSP_EXPORT_TIMEOUT",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_METRIC_EXPORT_TIMEOUT",
        "OTEL_BLRP_EXPORT_TIMEOUT",
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        "OTEL_BLRP_SCHEDULE_DELAY",
    ]
    names += ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_METRICS_EXEMPLAR_FILTER"]
    for protocol in ("grpc", "http/protobuf"):
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        done = run(code, {**environ, **dict.fromkeys(names, "nonsense")})
        assert (done.returncode, "nonsense" in done.stderr) == (0, False), done.stderr


def run(code: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process of its own, with nothing else in its environment."""
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_each_process_is_an_instance_of_its_service() -> None:
    """Replicas do not write into each other's series; an id that the operator sets wins."""
    started = [Telemetry.start("shop", "1.2", {}, set_global=False) for _ in range(2)]
    first, second = (telemetry.tracer.start_span("x").resource.attributes for telemetry in started)  # type: ignore[attr-defined]  # the SDK's span has one
    assert first["service.instance.id"] != second["service.instance.id"]
    assert (first["service.name"], first["service.version"]) == ("shop", "1.2")
    named = {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=a,team=b%20c", "OTEL_SERVICE_NAME": "store"}
    own = Telemetry.start("shop", "1", named, set_global=False).tracer.start_span("x").resource.attributes  # type: ignore[attr-defined]  # as above
    assert (own["service.instance.id"], own["team"], own["service.name"]) == ("a", "b c", "store")


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=store"}, "store"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=store", "OTEL_SERVICE_NAME": "counter"}, "counter"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name="}, "shop"),
        ({}, "shop"),
    ],
)
def test_the_resource_may_name_the_service(environ: dict[str, str], name: str) -> None:
    """OTEL_SERVICE_NAME goes before it."""
    started = Telemetry.start("shop", "1", environ, set_global=False)
    assert started.tracer.start_span("x").resource.attributes["service.name"] == name  # type: ignore[attr-defined]  # the SDK's span has one


async def test_shutting_down_does_not_block_the_loop() -> None:
    """Other tasks continue meanwhile."""
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
