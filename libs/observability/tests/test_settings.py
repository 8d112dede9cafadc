"""Check settings of telemetry: a wrong value leaves the default."""

import os
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from ticketcap_observability import Telemetry
from ticketcap_observability.settings import TelemetrySettings

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
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "unset"),
    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "nowhere"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000"),
    ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "lz4"),
    ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/nowhere/roots.pem"),
    ("OTEL_EXPORTER_OTLP_INSECURE", "yes"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "soon"),
    ("OTEL_METRICS_EXPORTER", "prometheus"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "some"),
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
    """The meaning is plain; the settings still list the name as unused."""
    read = TelemetrySettings.read({name: f"{value} "}, "test")
    assert list(read.unused) == [name]
    meant = TelemetrySettings.read({name: value}, "test")
    assert (replace(read, unused={}), meant.unused) == (meant, {})


def test_a_wrong_endpoint_of_a_signal_leaves_the_shared_one() -> None:
    """The shared one is its default."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "nowhere"}
    read = TelemetrySettings.read(environ, "t")
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" not in read.accepted
    assert "traces" in read.exported
    assert list(read.unused) == ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({}, "TraceIdRatioBased{1.0}"),
        ({"DEPLOYMENT_ENVIRONMENT": "production"}, "TraceIdRatioBased{0.1}"),
        ({"DEPLOYMENT_ENVIRONMENT": "production", "OTEL_TRACES_SAMPLER_ARG": "0.3"}, "TraceIdRatioBased{0.3}"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "AlwaysOffSampler"),
        ({"OTEL_TRACES_SAMPLER": "Parentbased_Always_On", "DEPLOYMENT_ENVIRONMENT": "production"}, "AlwaysOnSampler"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, "TraceIdRatioBased{0.25}"),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_SAMPLER": "always_on"}, "AlwaysOffSampler"),
    ],
)
def test_sampling_follows_the_environment(environ: dict[str, str], root: str) -> None:
    """All traces in development, a tenth in production, or the share of the variables."""
    with TelemetrySettings.read(environ, "test").environment():
        sampler = TracerProvider(shutdown_on_exit=False).sampler
    description = sampler.get_description().removeprefix("ParentBased{root:").split(",")[0]
    assert description == root


SHARED, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "exported"),
    [
        ({}, set()),
        ({SHARED: "http://collector:4318"}, {"traces", "logs"}),
        ({SHARED: "http://collector:4318", "OTEL_METRICS_EXPORTER": "otlp"}, {"traces", "metrics", "logs"}),
        ({SHARED: "http://c:1", "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "None"}, set()),
        ({TRACES: "http://c:1"}, {"traces"}),
        ({SHARED: "http://c:1", "OTEL_SDK_DISABLED": "true"}, set()),
    ],
)
def test_a_signal_needs_an_endpoint_and_an_exporter(environ: dict[str, str], exported: set[str]) -> None:
    """Metrics are pushed only when OTEL_METRICS_EXPORTER says so: Prometheus reads the page."""
    read = TelemetrySettings.read(environ, "t")
    assert (set(read.exported), read.unused) == (exported, {})


@pytest.mark.parametrize("value", ["collector", "4317", "collector:4317/path", "collector:port", ":4317", "a b:4317"])
def test_a_wrong_host_and_port_is_named(value: str) -> None:
    """gRPC has no other form without a scheme."""
    read = TelemetrySettings.read({SHARED: value, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "t")
    assert (read.exported, list(read.unused)) == (frozenset(), [SHARED])


def test_each_signal_may_have_its_protocol_and_compression() -> None:
    """Beside the shared one."""
    environ = {SHARED: "http://c:1", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}
    read = TelemetrySettings.read({**environ, "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "none"}, "t")
    assert (read.protocols["traces"], read.protocols["logs"]) == ("http/protobuf", "grpc")
    assert (read.compressions["traces"], read.compressions["logs"]) == ("none", "gzip")


def test_queues_have_their_variables() -> None:
    """A batch is never larger than its queue, for which the SDK would raise."""
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BLRP_MAX_QUEUE_SIZE": "nine"}
    read = TelemetrySettings.read(environ, "t")
    assert (read.span_queue.max_queue_size, read.span_queue.batch_size, read.span_queue.schedule_delay) == (
        100,
        100,
        50,
    )
    assert (read.log_queue.max_queue_size, list(read.unused)) == (4096, ["OTEL_BLRP_MAX_QUEUE_SIZE"])


def test_the_sdk_sees_the_accepted_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the process has its own again afterwards."""
    variables = {
        "OTEL_BSP_MAX_QUEUE_SIZE": "many",
        "OTEL_PYTHON_METER_PROVIDER": "x",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with TelemetrySettings.read(os.environ, "t").environment():
        seen = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    assert seen.keys() & variables.keys() == {"OTEL_EXPORTER_OTLP_TIMEOUT"}
    assert variables.items() <= os.environ.items()


def test_the_names_of_choices_may_be_written_large() -> None:
    """The specification does not distinguish their letters."""
    environ = {
        "OTEL_TRACES_SAMPLER": "Always_Off",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "GRPC",
        "OTEL_METRICS_EXEMPLAR_FILTER": "Always_On",
    }
    read = TelemetrySettings.read(environ, "t")
    assert (read.protocols["traces"], read.unused) == ("grpc", {})
    Telemetry.start("t", "1", environ, set_global=False)
