"""Run the real collector and Jaeger over the files of deploy/.

    with backends(folder) as running, stack(folder, {"OTEL_EXPORTER_OTLP_ENDPOINT": running.otlp}):
        ...
        running.trace(trace_id)

``make backends`` builds the two.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from ticketcap_testing.stack import ServiceProcess, free_port

from tests.canary.recorder import Recorder
from tests.stack_under_test import answers

ROOT: Final = Path(__file__).resolve().parents[2]
_FILES: Final = {
    "otel-collector": ROOT / "deploy/otel-collector/collector.yaml",
    "jaeger": ROOT / "deploy/jaeger/jaeger.yaml",
}
_IMAGES: Final = {"otel-collector": "otelcol", "jaeger": "jaeger"}
"""Service in docker-compose.yml, and what its program is called."""
_ARRIVES_SECONDS: Final = 30.0
"""A trace is held for five seconds until it is whole."""
_POLL_SECONDS: Final = 0.2


def program(service: str) -> Path:
    """Return the program of a service, of the version in docker-compose.yml; raise AssertionError without it."""
    image = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]["image"]
    path = ROOT / f".build/programs/{_IMAGES[service]}-{image.split(':')[1]}"
    assert path.exists(), f"{path.name} is missing: run `make backends`"
    return path


@dataclass(frozen=True, slots=True)
class Backends:
    """The running receivers of telemetry."""

    otlp: str
    otlp_grpc: str
    jaeger_url: str
    pages: Mapping[str, str]
    """Prometheus' job to the address of its page."""
    logs: Recorder
    jaeger: ServiceProcess
    collector: ServiceProcess

    def query(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer of Jaeger's HTTP API; raise AssertionError for an error."""
        answer = httpx.get(f"{self.jaeger_url}{path}", params=parameters, timeout=10, trust_env=False)
        body = answer.json()
        assert answer.status_code == httpx.codes.OK, answer.text
        assert not body["errors"], answer.text
        return body["data"]

    def trace(self, trace_id: str, *names: str) -> dict[str, Any]:
        """Wait until Jaeger has a trace with spans of all ``names`` and return it; raise AssertionError."""
        spans: set[str] = set()
        deadline = time.monotonic() + _ARRIVES_SECONDS
        while time.monotonic() < deadline:
            if trace := self._now(trace_id):
                spans = {span["operationName"] for span in trace["spans"]}
                if set(names) <= spans:
                    return trace
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"{set(names) - spans or 'nothing'} of trace {trace_id} never came to Jaeger")

    def has(self, trace_id: str) -> bool:
        """Say whether Jaeger has a trace now."""
        return self._now(trace_id) is not None

    def _now(self, trace_id: str) -> dict[str, Any] | None:
        found = httpx.get(f"{self.jaeger_url}/api/traces/{trace_id}", timeout=10, trust_env=False).json()["data"]
        return found[0] if found else None


@contextmanager
def backends(folder: Path, **settings: str) -> Iterator[Backends]:
    """Run them in ``folder`` on free ports; ``settings`` are the collector's environment."""
    ports = _free_addresses()
    with Recorder() as logs:
        jaeger = _jaeger(folder, ports)
        collector = _collector(folder, ports, logs, settings)
        with jaeger, collector:
            yield Backends(
                otlp=f"http://{ports['http']}",
                otlp_grpc=ports["grpc"],
                jaeger_url=f"http://{ports['query']}",
                pages={"spans": ports["spans"], "otel-collector": ports["own"]},
                logs=logs,
                jaeger=jaeger,
                collector=collector,
            )


@contextmanager
def through_the_collector(folder: Path, sink_url: str) -> Iterator[str]:
    """Run the collector before a sink that takes Jaeger's place, in a hurry; yield where it receives."""
    ports = _free_addresses()
    hurry = {
        "exporters": {"otlp_http/sink": {"endpoint": sink_url}},
        "processors": {"tail_sampling": {"decision_wait": "100ms"}, "batch": {"timeout": "50ms"}},
        "service": {"pipelines": {"traces/kept": {"exporters": ["otlp_http/sink"]}}},
    }
    with Recorder() as logs, _collector(folder, ports, logs, {}, hurry):
        yield f"http://{ports['http']}"


def _free_addresses() -> dict[str, str]:
    names = ("grpc", "http", "jaeger", "query", "spans", "health", "own")
    return {name: f"127.0.0.1:{free_port()}" for name in names}


def _jaeger(folder: Path, ports: Mapping[str, str]) -> ServiceProcess:
    addresses = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": ports["jaeger"]}}}},
        "extensions": {
            "jaeger_query": {"http": {"endpoint": ports["query"]}, "grpc": {"endpoint": f"127.0.0.1:{free_port()}"}}
        },
        "service": {"telemetry": _page(f"127.0.0.1:{free_port()}")},
    }
    data = {"JAEGER_DATA": str(folder / "jaeger")}
    return _process("jaeger", [addresses], folder, data, lambda: answers(f"http://{ports['query']}/api/services"))


def _collector(
    folder: Path,
    ports: Mapping[str, str],
    logs: Recorder,
    settings: Mapping[str, str],
    *more: Mapping[str, Any],
) -> ServiceProcess:
    committed = yaml.safe_load(_FILES["otel-collector"].read_text())["service"]["telemetry"]["metrics"]["readers"][0]
    exporter = committed["pull"]["exporter"]["prometheus"]
    host, port = ports["own"].split(":")
    exporter.update(host=host, port=int(port))
    addresses = {
        "receivers": {
            "otlp": {"protocols": {"grpc": {"endpoint": ports["grpc"]}, "http": {"endpoint": ports["http"]}}}
        },
        "exporters": {
            "otlp_grpc/jaeger": {"endpoint": ports["jaeger"]},
            "otlp_http/loki": {"endpoint": f"http://{logs.address}/otlp"},
            "prometheus": {"endpoint": ports["spans"]},
        },
        "extensions": {"health_check": {"endpoint": ports["health"]}},
        # A list replaces a list: it is given whole.
        "service": {"telemetry": {"metrics": {"readers": [committed]}}},
    }
    ready = f"http://{ports['health']}/"
    return _process("otel-collector", [addresses, *more], folder, settings, lambda: answers(ready))


def _page(address: str) -> dict[str, Any]:
    host, port = address.split(":")
    return {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": host, "port": int(port)}}}}]}}


def _process(
    service: str,
    differences: Sequence[Mapping[str, Any]],
    folder: Path,
    settings: Mapping[str, str],
    ready: Callable[[], bool],
) -> ServiceProcess:
    """Return ``service`` over the committed file, with files of ``differences`` that are merged into it."""
    argv = [str(program(service)), f"--config={_FILES[service]}"]
    for number, difference in enumerate(differences):
        path = folder / f"{service}-{number}.yaml"
        # JSON is YAML.
        path.write_text(dumps(difference))
        argv.append(f"--config={path}")
    return ServiceProcess(service, argv, settings, ready=ready, folder=folder)
