"""Check how Prometheus and Alertmanager are set up over the embedded stack."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ticketcap_local import monitoring, stack
from ticketcap_local.part import PartError
from ticketcap_local.settings import StackSettings
from ticketcap_local.state import StateFolder

DEPLOY = Path(__file__).resolve().parents[2]
SETTINGS = StackSettings(with_monitoring=True, gateway_metrics_port=1111, prometheus_port=2222)


def test_the_jobs_are_productions_without_span_metrics() -> None:
    """The rules tell services apart by their job's name; the sink makes no span metrics."""
    jobs = {
        job["job_name"] for job in yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    }
    config = monitoring.prometheus_config(SETTINGS)
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets.keys() == jobs - {"spans"}
    assert targets["gateway"] == ["127.0.0.1:1111"]
    assert "otel-collector" not in str(
        monitoring.prometheus_config(replace(SETTINGS, otlp_endpoint="http://real:4318"))
    )


def test_its_ports_must_be_free_only_when_it_runs() -> None:
    """Debian's own service may hold 9090: without --monitoring that is no problem."""
    assert 2222 in {needed.port for needed in stack.needed_ports(SETTINGS)}
    assert 2222 not in {needed.port for needed in stack.needed_ports(replace(SETTINGS, with_monitoring=False))}


def test_a_missing_program_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PartError, match=r"apt-get install .*prometheus-alertmanager"):
        monitoring.parts(replace(SETTINGS, state_dir=tmp_path), StateFolder(tmp_path))
