"""Check images and compose files as far as possible without an engine."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OWN = ("registration", "payment", "gateway")


def run(*command: str) -> None:
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("docker-compose", "config", "--quiet"),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"),
        ("yamllint", "--strict", "."),
        ("hadolint", "deploy/local/simulator/Dockerfile", *(f"services/{name}/Dockerfile" for name in OWN)),
        (
            *("shellcheck", ".ci/run", "deploy/docker/exercise.sh", "deploy/docker/stand-in-postgres.sh"),
            *("deploy/alertmanager/start.sh", "deploy/prometheus/start.sh", "deploy/programs/build.sh"),
        ),
    ],
    ids=lambda command: command[0],
)
def test_the_files_are_what_their_tools_accept(command: tuple[str, ...]) -> None:
    """Compose, its schema, YAML, Dockerfiles, scripts."""
    run(*command)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    """By a full version, never by a tag that moves; our own are built here."""
    image = SERVICES[name]["image"]
    assert image.endswith(":local") or re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image), image


@pytest.mark.parametrize("service", OWN)
def test_base_images_are_pinned_and_the_same(service: str) -> None:
    """Both stages, both services."""
    bases = re.findall(r"^FROM (\S+)", (ROOT / f"services/{service}/Dockerfile").read_text(), re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_on_loopback(name: str) -> None:
    """Nothing is published to the network by a development file."""
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_held_tight(name: str) -> None:
    """Only the named capabilities, no new privileges, bounded memory, read-only files for TicketCap's services."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]
    if name != "postgres":
        assert service["read_only"] is True


@pytest.mark.parametrize("service", OWN)
def test_our_images_run_as_nobody_and_tell_their_health(service: str) -> None:
    """A numeric user, a health check, and an entry point that gets SIGTERM itself."""
    text = (ROOT / f"services/{service}/Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert re.search(r'^ENTRYPOINT \["python", "-m", "ticketcap_\w+"\]$', text, re.MULTILINE)


@pytest.mark.parametrize("service", OWN)
def test_an_image_holds_only_the_packages_that_its_service_needs(service: str) -> None:
    """The workspace packages copied are those of pyproject.toml, followed to the end."""
    copied = set(
        re.findall(
            r"^COPY ((?:libs|services)/\w+)/src", (ROOT / f"services/{service}/Dockerfile").read_text(), re.MULTILINE
        )
    )
    assert copied == _needed(f"services/{service}")


def _needed(folder: str) -> set[str]:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    ours = {f"libs/{match[1]}" for item in project["dependencies"] if (match := re.match(r"ticketcap-(\w+)$", item))}
    return {folder}.union(ours, *(_needed(name) for name in ours))


def test_services_start_in_order_and_wait_for_no_telemetry() -> None:
    """Database, schema, registration, gateway; the collector is never in the way."""
    needs = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    assert needs["registration-migrate"] == {"postgres"}
    assert needs["registration"] == {"postgres", "registration-migrate"}
    assert needs["payment-migrate"] == {"postgres"}
    assert needs["payment"] == {"postgres", "payment-migrate"}
    assert needs["gateway"] == {"registration", "payment"}
    conditions = SERVICES["registration"]["depends_on"]
    assert conditions["registration-migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["gateway"]["depends_on"]["registration"]["condition"] == "service_healthy"


@pytest.mark.parametrize("service", OWN)
def test_every_setting_that_is_given_is_one_that_is_read(service: str) -> None:
    """A misspelled variable would be ignored in silence."""
    variables = {name.upper() for name in _fields(ROOT / f"services/{service}/src/ticketcap_{service}/settings.py")}
    for path in (ROOT / "libs/chassis/src/ticketcap_chassis").rglob("*settings.py"):
        variables |= {name.upper() for name in _fields(path)}
    variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT", "METRICS_ADDRESS"}
    assert set(SERVICES[service]["environment"]) <= variables


def _fields(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _config(path: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / path).read_text())
    return config


def test_the_telemetry_parts_speak_to_each_other() -> None:
    """Services → collector → Jaeger and Loki; Grafana reads all of them."""
    collector = _config("otel-collector/collector.yaml")
    http = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert COMPOSE["x-environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://otel-collector:{http.split(':')[1]}"
    jaeger = _config("jaeger/jaeger.yaml")["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert collector["exporters"]["otlp_grpc/jaeger"]["endpoint"] == f"jaeger:{jaeger.split(':')[1]}"
    loki = _config("loki/loki.yaml")["server"]["http_listen_port"]
    assert collector["exporters"]["otlp_http/loki"]["endpoint"] == f"http://loki:{loki}/otlp"
    sources = _config("grafana/provisioning/datasources/ticketcap.yaml")["datasources"]
    assert {source["url"].split("//")[1].split(":")[0] for source in sources} <= SERVICES.keys()


def test_prometheus_reads_the_pages_that_there_are() -> None:
    """Each service's own, the collector's two, and those of the watchers; and it tells Alertmanager."""
    collector = _config("otel-collector/collector.yaml")
    prometheus = _config("prometheus/prometheus.yml")
    pages = {job["job_name"]: job["static_configs"][0]["targets"][0] for job in prometheus["scrape_configs"]}
    for name in ("gateway", "registration", "payment"):
        assert pages[name].split(":")[0] == name
        assert SERVICES[name]["environment"]["METRICS_ADDRESS"] == f"0.0.0.0:{pages[name].split(':')[1]}"
    spans = collector["exporters"]["prometheus"]["endpoint"].split(":")[1]
    assert pages["spans"] == f"otel-collector:{spans}"
    own = collector["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["port"]
    assert pages["otel-collector"] == f"otel-collector:{own}"
    targets = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert targets == ["alertmanager:9093"]
    assert "127.0.0.1:9093:9093" in SERVICES["alertmanager"]["ports"]


def test_every_pipeline_of_the_collector_is_whole() -> None:
    """Made of parts that are configured, bounded first, batched last, redacted on the way in."""
    collector = _config("otel-collector/collector.yaml")
    connectors = collector["connectors"].keys()
    pipelines = collector["service"]["pipelines"]
    for pipeline in pipelines.values():
        assert set(pipeline["receivers"]) <= collector["receivers"].keys() | connectors
        assert set(pipeline["processors"]) <= collector["processors"].keys()
        assert set(pipeline["exporters"]) <= collector["exporters"].keys() | connectors
        assert pipeline["processors"][0] == "memory_limiter"
    assert pipelines["traces/in"]["processors"][1:] == ["transform/carry", "redaction", "transform/carried"]
    assert pipelines["logs"]["processors"][1] == "redaction"
    assert pipelines["traces/kept"]["processors"][-2:] == ["tail_sampling", "batch"]
    # Prometheus reads the services' own pages: their metrics must not come in twice.
    assert not [
        name
        for name in pipelines
        if {"otlp", "prometheus"} <= {*pipelines[name]["receivers"], *pipelines[name]["exporters"]}
    ]


def test_errors_and_slow_traces_are_always_kept() -> None:
    """At any sampling ratio of the other traces."""
    policies = {
        p["name"]: p for p in _config("otel-collector/collector.yaml")["processors"]["tail_sampling"]["policies"]
    }
    assert policies["errors"]["status_code"] == {"status_codes": ["ERROR"]}
    assert policies["slow"]["latency"] == {"threshold_ms": 1000}
    share = policies["of-the-rest"]["and"]["and_sub_policy"][1]
    assert share["probabilistic"] == {"sampling_percentage": "${env:TRACE_KEEP_PERCENT:-100}"}


@pytest.mark.parametrize(
    "text",
    [
        "dana@example.co.il",
        "050-123-4567",
        "0501234567",
        "+972 50 123 4567",
        "4580 4580 4580 4580",
        "4580458045804580",
        "123456782",
        "02-123-4567",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkYW5hIn0.c2lnbmF0dXJl",
        "bearer abcdef123456",
        "7110eda4d09e062aa5e4a390b0a572ac0d2c0220",
    ],
)
def test_the_collector_masks_personal_values(text: str) -> None:
    """The patterns mean the same to Python as to the collector, which test_backends.py asks."""
    patterns = _config("otel-collector/collector.yaml")["processors"]["redaction"]["blocked_values"]
    assert any(re.search(pattern, f"before {text} after") for pattern in patterns)


@pytest.mark.parametrize(
    "text",
    [
        "0198f3c4-7b1e-7cc3-98c4-dc0c0c07398f",
        "2030-05-01T08:00:00Z",
        "SELECT 1",
        "200",
        "127.0.0.1:50051",
        "0.123456789",
    ],
)
def test_the_collector_leaves_ordinary_values(text: str) -> None:
    """Ids, times, statements, addresses."""
    patterns = _config("otel-collector/collector.yaml")["processors"]["redaction"]["blocked_values"]
    assert not any(re.search(pattern, text) for pattern in patterns)


def test_this_file_is_for_development_only() -> None:
    """Its secrets are defaults that an environment replaces, and it can't claim to be production."""
    environment = COMPOSE["x-environment"]
    assert environment["DEPLOYMENT_ENVIRONMENT"] == "development"
    assert environment["JWT_SECRET"].startswith("${JWT_SECRET:-local-")
