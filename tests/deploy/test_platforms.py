"""Check the files of Railway and Grafana Cloud."""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ticketcap_chassis.settings import ServiceSettings, load
from ticketcap_gateway.settings import GatewaySettings
from ticketcap_observability.settings import TelemetrySettings
from ticketcap_payment.settings import Settings as PaymentSettings
from ticketcap_registration.settings import Settings as RegistrationSettings

from deploy.railway.__main__ import FOLDER, SECRET, commands, railway_file, services

ROOT = Path(__file__).resolve().parents[2]
SERVICES = services()
TELEMETRY = {
    *("OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_SAMPLER"),
    *("OTEL_TRACES_SAMPLER_ARG", "OTEL_METRICS_EXPORTER", "OTEL_METRIC_EXPORT_INTERVAL", "SENTRY_DSN"),
    *("SENTRY_ENVIRONMENT", "METRICS_ADDRESS"),
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
    shared = (ROOT / "libs/chassis/src/ticketcap_chassis").rglob("*settings.py")
    setting_names = fields(settings).union(*map(fields, shared))
    assert variables.keys() <= setting_names | TELEMETRY | PLATFORM


def test_the_commands_take_secrets_from_the_environment_and_leave_references_to_railway() -> None:
    """A shell that runs them sees one argument for each variable."""
    pairs = [shlex.split(command)[-1] for command in commands("registration")]
    assert "MANAGE_TOKEN_SECRET=$MANAGE_TOKEN_SECRET" in pairs
    assert "DATABASE_URL=${{registration-db.DATABASE_URL}}?sslmode=require" in pairs
    quoted = next(command for command in commands("registration") if "DATABASE_URL" in command)
    assert quoted.endswith("'DATABASE_URL=${{registration-db.DATABASE_URL}}?sslmode=require'")


# Values that an operator's environment and Railway put in place of a secret and of a reference.
OPERATOR_VALUES = {
    "JWT_JWKS_URL": "https://login.example.org/jwks",
    "JWT_ISSUER": "https://login.example.org",
    "JWT_AUDIENCE": "ticketcap",
    "SERVICE_TOKEN": "header.payload.signature-of-the-provider",
    "MANAGE_TOKEN_SECRET": "3f9a1c0b7e5d2846b0c1d2e3f4a59687",
    "YAADPAY_MASOF": "4501234567",
    "YAADPAY_KEY": "the key of the real terminal",
    "YAADPAY_PASSP": "the password of the real terminal",
}
REFERENCES = {
    "-db.DATABASE_URL": "postgresql://postgres:hunter2@db.railway.internal:5432/railway",
    "RAILWAY_PUBLIC_DOMAIN": "tickets.up.railway.app",
    "RAILWAY_PRIVATE_DOMAIN": "service.railway.internal",
    "RAILWAY_GIT_COMMIT_SHA": "abc1234",
}
SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "registration": RegistrationSettings,
    "payment": PaymentSettings,
}
# Everything that production demands to be set, and that Railway therefore sets.
DEMANDED = {
    "gateway": {"JWT_JWKS_URL", "JWT_AUDIENCE", "PUBLIC_URL"},
    "registration": {"JWT_JWKS_URL", "JWT_AUDIENCE", "DATABASE_URL", "MANAGE_TOKEN_SECRET"},
    "payment": {"JWT_JWKS_URL", "JWT_AUDIENCE", "DATABASE_URL", "SERVICE_TOKEN", "YAADPAY_MASOF"},
}


def on_railway(name: str) -> dict[str, str]:
    """Return a service's variables as Railway hands them over."""
    environment = {}
    for variable, value in SERVICES[name]["variables"].items():
        text = OPERATOR_VALUES.get(variable, "") if value == SECRET else value
        environment[variable] = re.sub(r"\$\{\{(.*?)\}\}", lambda match: _reference(match[1]), text)
    return environment


def _reference(named: str) -> str:
    return next(value for end, value in REFERENCES.items() if named.endswith(end))


def started(monkeypatch: pytest.MonkeyPatch, name: str, environment: Mapping[str, str]) -> str:
    """Return what stops a service's start in this environment, or ""."""
    with monkeypatch.context() as patched:
        for variable in {field.upper() for kind in SETTINGS.values() for field in kind.model_fields}:
            patched.delenv(variable, raising=False)
        for variable, value in environment.items():
            patched.setenv(variable, value)
        try:
            load(SETTINGS[name])
        except SystemExit as stopped:
            return str(stopped.code)
    return ""


def test_the_page_lists_every_rule_of_production() -> None:
    """In the rules' own words, with the services that they hold for."""
    services_of: dict[tuple[str, str], list[str]] = {}
    for name, kind in SETTINGS.items():
        for rule in kind.production_rules:
            services_of.setdefault((rule.variable, rule.demanded), []).append(name)
    rows = [
        f"| `{variable}` | {demanded} | {'all' if len(names) == len(SETTINGS) else ', '.join(names)} |"
        for (variable, demanded), names in services_of.items()
    ]
    page = (ROOT / "docs/production.md").read_text().splitlines()
    assert [line for line in page if line.startswith("| `")] == rows


@pytest.mark.parametrize("name", SERVICES)
def test_railway_sets_what_production_demands(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """All of its variables start the service; without a demanded one it does not start, and says which."""
    variables = on_railway(name)
    assert started(monkeypatch, name, variables) == ""
    for demanded in DEMANDED[name]:
        without = {variable: value for variable, value in variables.items() if variable != demanded}
        assert demanded in started(monkeypatch, name, without)


@pytest.mark.parametrize("name", SERVICES)
def test_composes_settings_do_not_start_production(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each secret that docker-compose.yml publishes is refused by name, also beside settings that are good."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]["environment"]
    published = {
        variable: re.sub(r"\$\{\w+:?-(.*?)\}", r"\1", str(value))
        for variable, value in compose.items()
        if re.search(r"SECRET|DATABASE_URL|YAADPAY_|PUBLIC_URL", variable)
    }
    assert published
    for variable, value in published.items():
        message = started(monkeypatch, name, {**on_railway(name), variable: value})
        assert f"{variable}: in production" in message, (variable, message)
        assert value not in message
    whole = started(monkeypatch, name, {**published, "DEPLOYMENT_ENVIRONMENT": "production"})
    assert len(whole.splitlines()) > len(published)


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
        assert (set(settings.exported), dict(settings.unused)) == ({"traces", "metrics", "logs"}, {})
        endpoint = settings.accepted["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert endpoint == "https://otlp-gateway-prod-eu-west-0.grafana.net/otlp"
        assert settings.accepted["OTEL_EXPORTER_OTLP_HEADERS"].startswith("Authorization=Basic%20")


def test_without_endpoint_the_cloud_variant_does_not_start() -> None:
    """It says what is missing, instead of sending nothing in silence."""
    done = compose()
    assert done.returncode != 0
    assert "set it in cloud.env" in done.stderr
