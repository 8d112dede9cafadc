"""Railway and Grafana Cloud: their files hold what the guide asks for, and name only what the services read."""

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ticketcap_observability.settings import TelemetrySettings

from deploy.railway.__main__ import FOLDER, SECRET, commands, railway_file, services

ROOT = Path(__file__).resolve().parents[2]
SERVICES = services()
TELEMETRY = {
    *("OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_SAMPLER"),
    *("OTEL_TRACES_SAMPLER_ARG", "OTEL_METRIC_EXPORT_INTERVAL", "SENTRY_DSN", "SENTRY_ENVIRONMENT", "METRICS_ADDRESS"),
}
PLATFORM = {"PORT", "GIT_SHA"}


def fields(path: Path) -> set[str]:
    """Return the settings that a module declares, as variables."""
    return {
        node.target.id.upper()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def test_there_is_one_file_for_each_service() -> None:
    """And Railway's JSON is what it says."""
    assert SERVICES.keys() == {"gateway", "registration", "payment"}
    for name, service in SERVICES.items():
        assert (FOLDER / f"{name}.json").read_text() == railway_file(service), "run `python -m deploy.railway write`"


@pytest.mark.parametrize(("name", "service"), SERVICES.items(), ids=SERVICES)
def test_the_guides_health_check_is_kept(name: str, service: dict[str, Any]) -> None:
    """Ten seconds, every thirty; at the port where the page is."""
    assert service["health_check"]["timeout_seconds"] == 10
    assert service["health_check"]["interval_seconds"] == 30
    address = {"/api/health": "LISTEN_ADDRESS", "/metrics": "METRICS_ADDRESS"}[service["health_check"]["path"]]
    assert service["variables"][address].endswith(":" + service["variables"]["PORT"])
    written = json.loads((FOLDER / f"{name}.json").read_text())
    assert written["deploy"]["healthcheckPath"] == service["health_check"]["path"]
    assert written["deploy"]["healthcheckTimeout"] == 10
    assert SERVICES["gateway"]["health_check"]["path"] == "/api/health"


@pytest.mark.parametrize(("name", "service"), SERVICES.items(), ids=SERVICES)
def test_a_service_is_built_from_its_dockerfile_and_given_what_it_reads(name: str, service: dict[str, Any]) -> None:
    """Production, a tenth of the traces, no secret in the file, no misspelled variable."""
    variables = service["variables"]
    assert variables["DEPLOYMENT_ENVIRONMENT"] == variables["SENTRY_ENVIRONMENT"] == "production"
    assert variables["OTEL_TRACES_SAMPLER_ARG"] == "0.1"
    assert variables.keys() >= TELEMETRY
    secrets = {variable for variable in variables if re.search(r"SECRET|DSN|HEADERS|KEY|PASSP|TOKEN", variable)}
    assert all(variables[variable] == SECRET for variable in secrets)
    settings = ROOT / f"services/{name}/src/ticketcap_{name}/settings.py"
    assert (ROOT / service["build"]["dockerfile"]).exists()
    chassis = ROOT / "libs/chassis/src/ticketcap_chassis"
    known = fields(settings) | fields(chassis / "settings.py") | fields(chassis / "service_identity.py")
    assert variables.keys() <= known | TELEMETRY | PLATFORM


def test_the_commands_take_secrets_from_the_environment_and_leave_references_to_railway() -> None:
    """A shell that runs them sees one argument for each variable."""
    pairs = [shlex.split(command)[-1] for command in commands("registration")]
    assert "MANAGE_TOKEN_SECRET=$MANAGE_TOKEN_SECRET" in pairs
    assert "DATABASE_URL=${{registration-db.DATABASE_URL}}" in pairs
    quoted = next(command for command in commands("registration") if "DATABASE_URL" in command)
    assert quoted.endswith("'DATABASE_URL=${{registration-db.DATABASE_URL}}'")


def compose(*options: str) -> subprocess.CompletedProcess[str]:
    """Return what compose makes of the file and its variant for Grafana Cloud."""
    command = [str(Path(sys.executable).parent / "docker-compose"), *options, "-f", "docker-compose.yml"]
    command += ["-f", "deploy/grafana-cloud/docker-compose.yml", "config"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_grafana_cloud_is_an_endpoint_and_headers_and_nothing_else() -> None:
    """The example's values reach both services, and mean what they should to the telemetry library."""
    done = compose("--env-file", "deploy/grafana-cloud/cloud.env.example")
    assert done.returncode == 0, done.stderr
    for name in ("gateway", "registration", "payment"):
        environment = yaml.safe_load(done.stdout)["services"][name]["environment"]
        settings = TelemetrySettings.read(environment, name)
        assert settings.traces_endpoint == "https://otlp-gateway-prod-eu-west-0.grafana.net/otlp/v1/traces"
        assert settings.metrics_endpoint == "https://otlp-gateway-prod-eu-west-0.grafana.net/otlp/v1/metrics"
        headers = {header.lower(): value for header, value in dict(settings.headers).items()}
        assert headers["authorization"].startswith("Basic ")


def test_without_endpoint_the_cloud_variant_does_not_start() -> None:
    """It says what is missing, instead of sending nothing in silence."""
    done = compose()
    assert done.returncode != 0
    assert "set it in cloud.env" in done.stderr
