"""Test that a collector in trouble delays no request and no exit."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_local.traffic import Rush, rush
from ticketcap_testing.stack import ServiceProcess, free_port, postgres_server
from ticketcap_testing.troubled_collector import TROUBLES

from tests.stack_under_test import EVENTS, SECRET, bearer, serves

DRAIN_SECONDS = 2
EXIT_SECONDS = 5 + DRAIN_SECONDS
SLACK_SECONDS = 20
"""Extra seconds on a busy machine."""
QUEUE_SPANS = 8192
GROWTH_BYTES = 64_000_000
"""A full queue is some 20 MB; the rest is the service's own work, and slack."""
FAILING = [trouble for trouble in TROUBLES if trouble != "none"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A gateway and its registration service."""

    url: str
    gateway: ServiceProcess
    registration: ServiceProcess
    pages: tuple[str, str]
    """The metrics of both, in this order."""

    @property
    def processes(self) -> tuple[ServiceProcess, ServiceProcess]:
        """Both of them."""
        return self.gateway, self.registration

    def register(self, event: str, parents: int) -> Rush:
        """Let parents register for an event of their own."""
        headers = bearer("SUPER_ADMIN", None)
        school = {"slug": "herzl", "name": "בית ספר"}
        httpx.post(f"{self.url}/api/v1/schools", json=school, headers=headers, trust_env=False)
        body = {"slug": event, "title": event, "starts_at": "2035-01-01T10:00:00Z", "capacity": 50}
        response = httpx.post(f"{self.url}{EVENTS}", json=body, headers=bearer("OWNER"), trust_env=False)
        assert response.status_code == 201, response.text
        return asyncio.run(rush(url=self.url, school="herzl", event=event, parents=parents, concurrency=64))

    def dropped(self, reason: str) -> list[int]:
        """Return how many spans each has dropped for ``reason``, the gateway's first."""
        pattern = rf'^telemetry_dropped_total{{reason="{reason}",signal="traces"}} (\d+)'
        pages = [httpx.get(f"http://{page}/metrics", trust_env=False, timeout=10).text for page in self.pages]
        return [int(found[1]) if (found := re.search(pattern, page, re.MULTILINE)) else 0 for page in pages]


@pytest.fixture(scope="module")
def database() -> Iterator[EmbeddedPostgres]:
    """A database, migrated."""
    with postgres_server() as server:
        server.create_database("registration")
        environment = {"DATABASE_URL": server.url("registration"), "GRPC_VERBOSITY": "ERROR"}
        subprocess.run([sys.executable, "-m", "ticketcap_registration", "migrate"], env=environment, check=True)
        yield server


@contextmanager
def served(folder: Path, database: EmbeddedPostgres, collector_port: int) -> Iterator[Served]:
    """Run both services, every trace kept, with a collector at ``collector_port``."""
    registration_address, gateway_address, *pages = (f"127.0.0.1:{free_port()}" for _ in range(4))
    common = {
        "JWT_SECRET": SECRET,
        "DEPLOYMENT_ENVIRONMENT": "development",
        "DRAIN_SECONDS": str(DRAIN_SECONDS),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector_port}",
    }
    of_registration = {
        **common,
        "DATABASE_URL": database.url("registration"),
        "MANAGE_TOKEN_SECRET": SECRET,
        "LISTEN_ADDRESS": registration_address,
        "METRICS_ADDRESS": pages[1],
    }
    of_gateway = {
        **common,
        "REGISTRATION_TARGET": registration_address,
        "PUBLIC_URL": f"http://{gateway_address}",
        "LISTEN_ADDRESS": gateway_address,
        "METRICS_ADDRESS": pages[0],
    }
    with ExitStack() as running:
        registration, gateway = (
            running.enter_context(
                ServiceProcess(name, [sys.executable, "-m", f"ticketcap_{name}"], env, ready=ready, folder=folder)
            )
            for name, env, ready in (
                ("registration", of_registration, lambda: serves(registration_address)),
                ("gateway", of_gateway, lambda: lives(f"http://{gateway_address}/livez")),
            )
        )
        yield Served(
            url=f"http://{gateway_address}",
            gateway=gateway,
            registration=registration,
            pages=(pages[0], pages[1]),
        )


@contextmanager
def collector(folder: Path, trouble: str) -> Iterator[int]:
    """Run a collector; yields its port."""
    port = free_port()
    argv = [sys.executable, "-m", "ticketcap_testing.troubled_collector", str(port), trouble]
    with ServiceProcess("collector", argv, {}, ready=lambda: lives(f"http://127.0.0.1:{port}/"), folder=folder):
        yield port


def lives(url: str) -> bool:
    """Say whether a server answers at all."""
    try:
        httpx.get(url, timeout=0.5, trust_env=False)
    except httpx.ConnectError:
        return False
    except httpx.TransportError:
        return True
    return True


def assert_ends(processes: tuple[ServiceProcess, ...]) -> None:
    """Each in its time and cleanly, with spans still to be sent."""
    for process in processes:
        began = time.monotonic()
        assert process.terminate(EXIT_SECONDS + SLACK_SECONDS) == 0, process.output()[-2000:]
        assert time.monotonic() - began < EXIT_SECONDS + SLACK_SECONDS


def assert_counted(services: Served, reason: str) -> None:
    """Both tell what they lost."""
    deadline = time.monotonic() + 30
    while not all(services.dropped(reason)):
        assert time.monotonic() < deadline, f"{reason} was never counted: {services.dropped(reason)}"
        time.sleep(0.2)


def assert_served(result: Rush, parents: int) -> None:
    """Every parent got an answer, and the first fifty got a seat."""
    assert not result.refusals
    assert dict(result.statuses) == {"CONFIRMED": 50, "WAITLISTED": parents - 50}


@pytest.mark.parametrize("trouble", [*FAILING, "absent"])
def test_nobody_notices(tmp_path: Path, database: EmbeddedPostgres, trouble: str) -> None:
    """Everybody is answered, what was lost is counted, and both processes end in time."""
    with ExitStack() as running:
        port = free_port() if trouble == "absent" else running.enter_context(collector(tmp_path, trouble))
        services = running.enter_context(served(tmp_path, database, port))
        assert_served(services.register(f"rush-{trouble}", 300), 300)
        assert_counted(services, "export_failed")
        assert_served(services.register(f"again-{trouble}", 100), 100)
        assert_ends(services.processes)


def test_a_full_queue_is_bounded(tmp_path: Path, database: EmbeddedPostgres) -> None:
    """Thousands of requests while the collector hangs: the queue fills, spans are dropped, memory stays."""
    with collector(tmp_path, "hanging") as port, served(tmp_path, database, port) as services:
        assert_served(services.register("warm-up", 300), 300)
        before = [resident_bytes(process.pid) for process in services.processes]
        for number in range(3):
            assert_served(services.register(f"full-{number}", 2500), 2500)
        full = services.dropped("queue_full")[1]
        assert full > 0
        # Three spans of a claim at least; what is neither dropped nor waiting was tried to be sent.
        tried = services.dropped("export_failed")[1]
        assert 3 * 7800 - full - tried <= QUEUE_SPANS + 1024
        grown = [resident_bytes(process.pid) - was for process, was in zip(services.processes, before, strict=True)]
        assert max(grown) < GROWTH_BYTES, grown
        assert_ends(services.processes)


def resident_bytes(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
