"""Set-up from the environment, export, and an end within a bound whatever the collector does."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import opentelemetry.environment_variables
import opentelemetry.sdk.environment_variables
import pytest
from ticketcap_local.sink import serving
from ticketcap_local.trace_store import TraceStore
from ticketcap_observability import Telemetry, current_trace_id
from ticketcap_observability.settings import TelemetrySettings
from ticketcap_testing.stack import free_port

WRONG = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "nowhere"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a b:1"),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://collector:port"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "no equals sign"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=line%0Abreak"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=מפתח"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "api key=a"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/roots.pem"),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/nowhere/key.pem"),
    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/nowhere/chain.pem"),
    ("OTEL_TRACES_SAMPLER", "sometimes"),
    ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ("OTEL_TRACES_SAMPLER_ARG", "many"),
    ("OTEL_TRACES_SAMPLER_ARG", "nan"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "inf"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ("OTEL_PROPAGATORS", "b3"),
    ("OTEL_SDK_DISABLED", "maybe"),
    ("OTEL_SDK_DISABLED", "1"),
    ("OTEL_RESOURCE_ATTRIBUTES", "a"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "-1"),
    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "nowhere"),
    ("LOG_EXPORT_LEVEL", "loud"),
    ("LOG_EXPORT_RATIO", "2"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_that_can_not_be_used_is_named_and_its_default_stands(name: str, value: str) -> None:
    """By the variable, without the value; everything else is as if it were not set."""
    read = TelemetrySettings.read({name: value}, "test")
    assert list(read.unused) == [name]
    assert read.unused[name].endswith("the default is used")
    assert value not in read.unused[name] or value in {"0", "1", "a"}
    assert replace(read, unused={}) == TelemetrySettings.read({}, "test")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_SERVICE_NAME", "shop"),
        ("LOG_EXPORT_LEVEL", "ERROR"),
    ],
)
def test_a_blank_at_the_end_is_named_and_read_without(name: str, value: str) -> None:
    """What is meant is plain; it is warned of all the same."""
    read = TelemetrySettings.read({name: f"{value} "}, "test")
    assert list(read.unused) == [name]
    meant = TelemetrySettings.read({name: value}, "test")
    assert (replace(read, unused={}), meant.unused) == (meant, {})


def test_a_wrong_endpoint_of_a_signal_leaves_the_shared_one() -> None:
    """That is its default."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "nowhere"}
    read = TelemetrySettings.read(environ, "t")
    assert read.traces_endpoint == "http://collector:4318/v1/traces"
    assert list(read.unused) == ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]


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


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "https://collector:4317"),
        ({"OTEL_EXPORTER_OTLP_INSECURE": "true"}, "http://collector:4317"),
        ({"OTEL_EXPORTER_OTLP_INSECURE": "false"}, "https://collector:4317"),
        ({"OTEL_EXPORTER_OTLP_INSECURE": "yes"}, "https://collector:4317"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "[::1]:1", "OTEL_EXPORTER_OTLP_TRACES_INSECURE": "TRUE"},
            "http://[::1]:1",
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other:1"}, "http://other:1"),
    ],
)
def test_the_endpoint_of_grpc_may_be_host_and_port(environ: dict[str, str], endpoint: str) -> None:
    """Encrypted unless OTEL_EXPORTER_OTLP_INSECURE says otherwise, as the specification has it."""
    base = {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert TelemetrySettings.read({**base, **environ}, "t").traces_endpoint == endpoint


@pytest.mark.parametrize("value", ["collector", "4317", "collector:4317/path", "collector:port", ":4317", "a b:4317"])
def test_what_is_no_host_and_port_is_named(value: str) -> None:
    """Nothing is sent then."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": value, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    read = TelemetrySettings.read(environ, "t")
    assert (read.traces_endpoint, list(read.unused)) == (None, ["OTEL_EXPORTER_OTLP_ENDPOINT"])


def test_the_names_of_choices_may_be_written_large() -> None:
    """The specification does not tell their letters apart."""
    environ = {"OTEL_TRACES_SAMPLER": "Always_Off", "OTEL_EXPORTER_OTLP_PROTOCOL": "GRPC", "OTEL_SDK_DISABLED": "True"}
    read = TelemetrySettings.read(environ, "t")
    assert (read.sampling_ratio, read.protocol, read.disabled, read.unused) == (0.0, "grpc", True, {})


def test_headers_suit_both_protocols() -> None:
    """gRPC takes small letters only."""
    read = TelemetrySettings.read({"OTEL_EXPORTER_OTLP_HEADERS": "Api-Key=a%20b, x=y=z"}, "t")
    assert read.headers == {"api-key": "a b", "x": "y=z"}


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
    if request.param == "absent":
        yield "http://collector.invalid:4318"
        return
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        if request.param == "silent":
            bound.listen(50)  # connections are taken, and never answered
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


SERVICE = """
import asyncio, time
from ticketcap_observability import Telemetry
async def main():
    telemetry = Telemetry.start("shop", "1")
    for _ in range(20000):
        telemetry.tracer.start_span("work").end()
    print(time.monotonic(), flush=True)
    await telemetry.shutdown(timeout=1)
asyncio.run(main())
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_useless_collector_costs_a_bounded_time_at_exit(collector: str, protocol: str) -> None:
    """No more than its bound of one second and what a process needs to end: no thread is waited for."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    done = run(SERVICE, environ)
    ended = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert ended - float(done.stdout) < 1 + 3


def test_disabled_means_ids_and_nothing_else() -> None:
    """Wherever the variable stands: log lines still carry a trace; nothing is kept, at the edge neither."""
    code = """
from ticketcap_observability import Telemetry, current_trace_id
telemetry = Telemetry.start("shop", "1")
with telemetry.tracer.start_as_current_span("work") as span:
    print(len(current_trace_id() or ""), span.is_recording(), telemetry.samples_new_trace())
"""
    environ = {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert run(code, environ).stdout.split() == ["32", "False", "False"]


def test_no_other_variable_is_read_behind_our_back() -> None:
    """What the SDK would read for itself, and replace by a default, changes and prints nothing."""
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
    """Replicas do not write into each other's series; the operator's word goes before ours."""
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
