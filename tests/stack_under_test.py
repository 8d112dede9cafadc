"""Run the whole system with real processes, sockets and database."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_testing.stack import ServiceProcess, free_port

SECRET = "the secret of the end-to-end tests, long enough"
EVENTS = "/api/v1/schools/herzl/events"
YAADPAY_KEY = "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running system and what a test does with it."""

    url: str
    postgres: EmbeddedPostgres
    registration: ServiceProcess
    payment: ServiceProcess
    simulator_url: str
    gateway: ServiceProcess
    registration_address: str
    payment_address: str
    sink: ServiceProcess
    sink_url: str
    client: httpx.Client
    metrics: Mapping[str, str] = field(default_factory=dict)
    """Where each service's page for Prometheus is."""
    tokens: "Tokens"
    replicas: Mapping[str, Sequence[ServiceProcess]] = field(default_factory=dict)
    """All processes of each service, the ones above first."""

    @property
    def urls(self) -> list[str]:
        """The address of each gateway."""
        return [f"http://{address_of(gateway)}" for gateway in self.replicas["gateway"]]

    def token(self, role: str, school: str | None = "herzl") -> dict[str, str]:
        """Return the header of an organiser."""
        return self.tokens(role, school)

    def open_school(self, slug: str = "herzl") -> None:
        response = self.client.post(
            "/api/v1/schools", json={"slug": slug, "name": "בית ספר"}, headers=self.token("SUPER_ADMIN", None)
        )
        assert response.status_code in {201, 409}, response.text

    def open_event(self, slug: str, **fields: Any) -> dict[str, Any]:
        """Open an event of the school herzl; it begins in January 2030."""
        body = {"slug": slug, "title": "משחק האביב", "starts_at": "2030-01-01T10:00:00Z", "capacity": 100, **fields}
        response = self.client.post(EVENTS, json=body, headers=self.token("OWNER"))
        assert response.status_code == 201, response.text
        event: dict[str, Any] = response.json()
        return event

    def event(self, slug: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"{EVENTS}/{slug}").json()
        return found

    def register(self, slug: str, number: int, **fields: Any) -> httpx.Response:
        headers = fields.pop("headers", {})
        body = {"name": "דנה כהן", "phone": f"052-{number:07d}", "spots": 1, **fields}
        return self.client.post(f"{EVENTS}/{slug}/registrations", json=body, headers=headers)

    def registrations(self, slug: str) -> list[dict[str, Any]]:
        """Return every registration of an event, page by page."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.client.get(
                f"{EVENTS}/{slug}/registrations",
                params={"limit": 200, **({"cursor": cursor} if cursor else {})},
                headers=self.token("VIEWER"),
            ).json()
            items += page["items"]
            cursor = page.get("next_cursor") or ""
            if not cursor:
                return items

    def trace(self, trace_id: str, *names: str) -> list[dict[str, Any]]:
        """Wait until a trace holds spans of all ``names`` and return its spans."""
        spans: list[dict[str, Any]] = []
        for _ in range(100):
            answer = httpx.get(f"{self.sink_url}/api/traces/{trace_id}", timeout=5)
            spans = answer.json().get("spans", [])
            if set(names) <= {span["name"] for span in spans}:
                return spans
            time.sleep(0.1)
        raise AssertionError(f"{set(names) - {span['name'] for span in spans}} never came in trace {trace_id}")


def as_it_is(module: str) -> list[str]:
    """Return how a service is started by everybody."""
    return [sys.executable, "-m", module]


Tokens = Callable[[str, str | None], dict[str, str]]
"""Given a role and a school: the header of such an organiser."""

Way = Callable[[Path, str], AbstractContextManager[str]]
"""Given a folder and the sink's URL: what runs before the sink, and the URL to send to."""


def straight(_folder: Path, sink_url: str) -> AbstractContextManager[str]:
    """Send to the sink itself."""
    return nullcontext(sink_url)


DatabaseWay = Callable[[EmbeddedPostgres], AbstractContextManager[Callable[[str], Mapping[str, str]]]]
"""Given the server: what runs before it, and the settings with which the service of a database's URL connects.

With DATABASE_OWNER_URL among the settings the service's roles get logins of their own."""


def at_its_own_address(_postgres: EmbeddedPostgres) -> AbstractContextManager[Callable[[str], Mapping[str, str]]]:
    """Connect to the server itself."""
    return nullcontext(lambda url: {"DATABASE_URL": url})


@dataclass(frozen=True, kw_only=True)
class ReplicaCounts:
    """The number of processes of each service."""

    registration: int = 1
    payment: int = 1
    gateway: int = 1


_ONE_OF_EACH: Final = ReplicaCounts()


@contextmanager
def stack(
    folder: Path,
    settings: Mapping[str, str] | None = None,
    started: Callable[[str], list[str]] = as_it_is,
    way: Way = straight,
    database_way: DatabaseWay = at_its_own_address,
    tokens: Tokens | None = None,
    counts: ReplicaCounts = _ONE_OF_EACH,
) -> Iterator[Stack]:
    """Run the system in ``folder`` on any free ports; nothing is left of it afterwards.

    ``settings`` are for all three services; ``started`` says how the one of a module is run; ``way`` is how telemetry
    comes to the sink, ``database_way`` how the services come to PostgreSQL; ``tokens`` are an identity provider's,
    where the settings name one. A setting METRICS_ADDRESS without a port gives each a page of its own. ``counts`` runs
    several processes of a service, which share its database; the callers find them through gRPC's own resolver.
    """
    with ExitStack() as running:
        postgres = EmbeddedPostgres(folder / "postgres" / "data", free_port())
        postgres.start()
        running.callback(postgres.stop)
        for name in ("registration", "payment"):
            postgres.create_database(name)
        database = running.enter_context(database_way(postgres))
        sink, sink_url = running.enter_context(_sink(folder))
        common = {
            "JWT_SECRET": SECRET,
            "OTEL_EXPORTER_OTLP_ENDPOINT": running.enter_context(way(folder, sink_url)),
            "DEPLOYMENT_ENVIRONMENT": "development",
            "DRAIN_SECONDS": "10",
            # The jobs of a process that a test kills continue soon.
            "JOB_LEASE_SECONDS": "2",
            **(settings or {}),
        }
        registrations = running.enter_context(
            _registration(folder, database(postgres.url("registration")), common, started, counts.registration)
        )
        gateway_address = f"127.0.0.1:{free_port()}"
        simulator_url = running.enter_context(_simulator(folder, f"http://{gateway_address}"))
        payments = running.enter_context(
            _payment(
                folder,
                database(postgres.url("payment")),
                target_of(registrations),
                simulator_url,
                common,
                started,
                counts.payment,
            )
        )
        targets = {
            **common,
            "REGISTRATION_TARGET": target_of(registrations),
            "PAYMENT_TARGET": target_of(payments),
            "PUBLIC_URL": f"http://{gateway_address}",
        }
        gateways = running.enter_context(_gateway(folder, targets, started, gateway_address, counts.gateway))
        url = f"http://{gateway_address}"
        client = running.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
        stack = Stack(
            url=url,
            postgres=postgres,
            registration=registrations[0],
            payment=payments[0],
            simulator_url=simulator_url,
            gateway=gateways[0],
            registration_address=address_of(registrations[0]),
            payment_address=address_of(payments[0]),
            sink=sink,
            sink_url=sink_url,
            client=client,
            tokens=tokens or bearer,
            metrics={
                process.name: f"http://{address}/metrics"
                for process in (*registrations, *payments, *gateways)
                if (address := process.settings["METRICS_ADDRESS"])
            },
            replicas={"registration": registrations, "payment": payments, "gateway": gateways},
        )
        stack.open_school()
        yield stack


def _page(env: Mapping[str, str]) -> str:
    host = env.get("METRICS_ADDRESS", "")
    return f"{host}:{free_port()}" if host else ""


def address_of(process: ServiceProcess) -> str:
    """Return where a service listens."""
    return process.settings["LISTEN_ADDRESS"]


def target_of(processes: Sequence[ServiceProcess]) -> str:
    """Return the target with which gRPC's own resolver finds every one of ``processes``."""
    addresses = ",".join(address_of(process) for process in processes)
    return addresses if len(processes) == 1 else f"ipv4:{addresses}"


@contextmanager
def _replicas(
    name: str,
    argv: list[str],
    env: Mapping[str, str],
    addresses: Sequence[str],
    *,
    ready: Callable[[str], bool],
    folder: Path,
) -> Iterator[list[ServiceProcess]]:
    processes = [
        ServiceProcess(
            name if number == 1 else f"{name}-{number}",
            argv,
            {**env, "LISTEN_ADDRESS": address, "METRICS_ADDRESS": _page(env)},
            ready=partial(ready, address),
            folder=folder,
        )
        for number, address in enumerate(addresses, 1)
    ]
    with ExitStack() as running:
        for process in processes:
            running.callback(process.kill)
            process.launch()
        for process in processes:
            process.wait_until_ready()
        yield processes


def _addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{free_port()}" for _ in range(count)]


@contextmanager
def _sink(folder: Path) -> Iterator[tuple[ServiceProcess, str]]:
    grpc_port, http_port = free_port(), free_port()
    env = {"TICKETCAP_OTLP_GRPC_PORT": str(grpc_port), "TICKETCAP_OTLP_HTTP_PORT": str(http_port)}
    url = f"http://127.0.0.1:{http_port}"
    argv = [sys.executable, "-m", "ticketcap_local.sink"]
    with ServiceProcess("sink", argv, env, ready=lambda: answers(f"{url}/api/traces"), folder=folder) as process:
        yield process, url


@contextmanager
def _registration(
    folder: Path, database: Mapping[str, str], common: dict[str, str], started: Callable[[str], list[str]], count: int
) -> Iterator[list[ServiceProcess]]:
    env = {**common, **database, "MANAGE_TOKEN_SECRET": SECRET}
    argv = started("ticketcap_registration")
    _migrate("ticketcap_registration", env)
    with _replicas("registration", argv, env, _addresses(count), ready=serves, folder=folder) as processes:
        yield processes


def _migrate(module: str, env: Mapping[str, str]) -> None:
    logins = ["--logins"] if "DATABASE_OWNER_URL" in env else []
    subprocess.run([*as_it_is(module), "migrate", *logins], env={**os.environ, **env}, check=True)


@contextmanager
def _simulator(folder: Path, gateway_url: str) -> Iterator[str]:
    url = f"http://127.0.0.1:{free_port()}"
    env = {
        "LISTEN_ADDRESS": url.removeprefix("http://"),
        "SIMULATOR_STATE": str(folder / "yaadpay.sqlite"),
        "SIMULATOR_SUCCESS_URL": f"{gateway_url}/api/v1/payments/yaadpay/return",
    }
    argv = [sys.executable, "-m", "ticketcap_yaadpay_simulator"]
    ready = f"{url}/simulator/health"
    with ServiceProcess("yaadpay", argv, env, ready=lambda: answers(ready), folder=folder):
        yield url


@contextmanager
def _payment(
    folder: Path,
    database: Mapping[str, str],
    registration: str,
    simulator_url: str,
    common: dict[str, str],
    started: Callable[[str], list[str]],
    count: int,
) -> Iterator[list[ServiceProcess]]:
    env = {
        **common,
        **database,
        "REGISTRATION_TARGET": registration,
        "YAADPAY_BASE_URL": f"{simulator_url}/p/",
        # The vendor's public test terminal.
        "YAADPAY_MASOF": "0010131918",
        "YAADPAY_KEY": common.get("YAADPAY_KEY", YAADPAY_KEY),
        "YAADPAY_PASSP": common.get("YAADPAY_PASSP", "yaad"),
    }
    argv = started("ticketcap_payment")
    _migrate("ticketcap_payment", env)
    with _replicas("payment", argv, env, _addresses(count), ready=serves, folder=folder) as processes:
        yield processes


@contextmanager
def _gateway(
    folder: Path, env: dict[str, str], started: Callable[[str], list[str]], first: str, count: int
) -> Iterator[list[ServiceProcess]]:
    addresses = [first, *_addresses(count - 1)]
    argv = started("ticketcap_gateway")
    with _replicas("gateway", argv, env, addresses, ready=_is_ready, folder=folder) as processes:
        yield processes


def _is_ready(gateway_address: str) -> bool:
    return answers(f"http://{gateway_address}/readyz")


def bearer(role: str, school: str | None = "herzl") -> dict[str, str]:
    """Return the header of an organiser."""
    claims: dict[str, Any] = {"sub": "test", "role": role, "iss": "ticketcap", "exp": time.time() + 86_400}
    if school:
        claims["school"] = school
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}


def answers(url: str) -> bool:
    """Say whether GET answers 200."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def serves(address: str) -> bool:
    """Say whether a gRPC service tells that it is healthy."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # set when it is made
        try:
            return bool(check(health_pb2.HealthCheckRequest(), timeout=2).status == 1)
        except grpc.RpcError:
            return False


def events_of(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    """Yield the data of server-sent events."""
    for line in stream.iter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))
