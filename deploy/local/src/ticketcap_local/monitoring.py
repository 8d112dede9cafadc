"""Run Debian's Prometheus and Alertmanager over the embedded stack.

Rules and routes are those of production; only the addresses are the stack's own.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from ticketcap_local.part import PartError
from ticketcap_local.process import ServicePart
from ticketcap_local.ready import http_ok
from ticketcap_local.settings import HOST, StackSettings
from ticketcap_local.state import StateFolder

_DEPLOY: Final = Path(__file__).resolve().parents[3]
_WRITE_RULES: Final = _DEPLOY / "prometheus/start.sh"
_ROUTES: Final = _DEPLOY / "alertmanager/alertmanager.yml"
_INTERVAL: Final = "5s"
"""Shorter than production's 15 s: a person waits for the result."""


def parts(settings: StackSettings, state: StateFolder) -> list[ServicePart]:
    """Return both programs as parts; raise PartError when one is not installed."""
    prometheus_program = _program("prometheus")
    alertmanager_program = _program("prometheus-alertmanager", "alertmanager")
    folder = settings.state_dir / "monitoring"
    folder.mkdir(exist_ok=True)
    # A copy: the drill alert-delivery-failing edits the file that Alertmanager reads.
    routes = alertmanager_config(settings)
    routes.write_text(_ROUTES.read_text())
    # start.sh completes the runbooks' links, as in production. Here they lead to this checkout unless set otherwise.
    # The rules count the demo school, which is synthetic: its drills must fire their alerts.
    done = subprocess.run(
        ["sh", str(_WRITE_RULES), "--write", str(_rules(settings))],
        env={"RUNBOOK_BASE_URL": _DEPLOY.parent.as_uri(), **os.environ, "SYNTHETIC_SCHOOLS": "included"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PartError(done.stderr.strip())
    config = folder / "prometheus.json"
    config.write_text(json.dumps(prometheus_config(settings), indent=2))
    alertmanager = [
        alertmanager_program,
        f"--config.file={routes}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={HOST}:{settings.alertmanager_port}",
        "--cluster.listen-address=",
    ]
    prometheus = [
        prometheus_program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        "--storage.tsdb.retention.time=2d",
        f"--web.listen-address={HOST}:{settings.prometheus_port}",
    ]
    return [
        _part(state, "alertmanager", alertmanager, settings.alertmanager_port),
        _part(state, "prometheus", prometheus, settings.prometheus_port, path="/alerts"),
    ]


def _part(state: StateFolder, name: str, argv: list[str], port: int, *, path: str = "") -> ServicePart:
    return ServicePart(
        name=name,
        argv=argv,
        env=dict,
        address=f"http://{HOST}:{port}{path}",
        ready=http_ok(port, "/-/ready"),
        log_file=state.logs / f"{name}.log",
    )


def alertmanager_config(settings: StackSettings) -> Path:
    """Return the file that the stack's Alertmanager reads."""
    return settings.state_dir / "monitoring/alertmanager.yml"


def _rules(settings: StackSettings) -> Path:
    return settings.state_dir / "monitoring/rules"


def prometheus_config(settings: StackSettings) -> dict[str, Any]:
    """Return Prometheus' configuration; JSON is YAML too. The trace sink stands for the collector."""
    ports = {
        "gateway": settings.gateway_metrics_port,
        "registration": settings.registration_metrics_port,
        "payment": settings.payment_metrics_port,
        "alertmanager": settings.alertmanager_port,
        "prometheus": settings.prometheus_port,
    }
    if settings.otlp_endpoint is None:
        ports["otel-collector"] = settings.otlp_http_port
    return {
        "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
        "rule_files": [str(_rules(settings) / "*.yml")],
        "alerting": {"alertmanagers": [_targets(settings.alertmanager_port)]},
        "scrape_configs": [{"job_name": job, **_targets(port)} for job, port in ports.items()],
    }


def _targets(port: int) -> dict[str, Any]:
    return {"static_configs": [{"targets": [f"{HOST}:{port}"]}]}


def _program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise PartError(
            f"{names[0]} is not installed: apt-get install --no-install-recommends prometheus prometheus-alertmanager"
        )
    return found
