"""Measure the cost of telemetry for the running services.

One load runs without telemetry and with a tenth of the traces, on real processes: PostgreSQL, registration, gateway, a
collector that discards everything, and this client, all on one machine. Each variant of each round has fresh services;
variants take turns. CPU per request is that of the services alone. It is the steadier figure: the rate also pays for
the client and for any other work on the machine.

``off`` is OTEL_SDK_DISABLED, no endpoint, no page of metrics. Traces still have ids then and travel between services.
``--against`` measures the services of another checkout in the same rounds.
"""

import argparse
import asyncio
import itertools
import math
import os
import random
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import jwt
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_local.traffic import Rush, rush
from ticketcap_testing.stack import ServiceProcess, free_port
from ticketcap_testing.troubled_collector import TROUBLES

SECRET: Final = "a secret of the bench, long enough for anybody"  # noqa: S105 - of no system
EVENTS: Final = "/api/v1/schools/herzl/events"
WARM_UP: Final = 400
SEATS: Final = 100
LANE_OF_IDLE: Final = 100_000
SINGLES_OF_A_SLICE: Final = 30
SETTLE_SECONDS: Final = 1.6
"""Longer than the queue of spans waits, so that a load's exports count with it."""
SCRAPE_AFTER_SECONDS: Final = 0.3
TICKS: Final = os.sysconf("SC_CLK_TCK")
OPENMETRICS: Final = {"Accept": "application/openmetrics-text"}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The services to measure. ``trouble`` is the collector's; None: no collector."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    scraped: bool = True
    trouble: str | None = "none"
    source: Path | None = None
    """Another checkout, whose services run."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The result of one load on one variant."""

    rate: float
    cpu_us: float
    p50_ms: float
    p95_ms: float
    resident_mb: float


@dataclass(frozen=True)
class Load:
    """A number of parents, and how many of them register at a time."""

    name: str
    parents: int
    concurrency: int
    capacity: int


@dataclass(kw_only=True)
class Services:
    """A gateway and its registration service, running."""

    url: str
    processes: tuple[ServiceProcess, ...]
    pages: tuple[str, ...]

    def cpu_seconds(self) -> float:
        """Return the CPU time that they used so far."""
        return sum(cpu_seconds(process.pid) for process in self.processes)

    def resident_mb(self) -> float:
        """Return their resident memory together."""
        return sum(resident_mb(process.pid) for process in self.processes)


def cpu_seconds(pid: int) -> float:
    """Return a process's CPU time, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    """Return decimal megabytes."""
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


class Bench:
    """A database and collectors that stay, and services that come and go."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running
        self._events = itertools.count()
        self._collectors: dict[str, int] = {}
        self._postgres = EmbeddedPostgres(folder / "data", free_port())
        self._postgres.start()
        running.callback(self._postgres.stop)
        self._postgres.create_database("registration")
        self._migrate()

    @contextmanager
    def services(self, variant: Variant) -> Iterator[Services]:
        """Run fresh services, warmed up."""
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(4)]
        listens, pages = addresses[:2], addresses[2:] if variant.scraped else ["", ""]
        own: dict[str, dict[str, str]] = {
            "registration": {"DATABASE_URL": self._postgres.url("registration"), "MANAGE_TOKEN_SECRET": SECRET},
            "gateway": {"REGISTRATION_TARGET": listens[0], "PUBLIC_URL": f"http://{listens[1]}"},
        }
        with ExitStack() as running:
            processes = []
            for (name, settings), listen, page in zip(own.items(), listens, pages, strict=True):
                environment = {
                    **self._environment(variant),
                    **settings,
                    "LISTEN_ADDRESS": listen,
                    "METRICS_ADDRESS": page,
                }
                processes.append(running.enter_context(self._process(name, environment, listen)))
            services = Services(
                url=f"http://{listens[1]}", processes=tuple(processes), pages=tuple(filter(None, pages))
            )
            open_school(services.url)
            self.load(services, Load("warm-up", WARM_UP, 64, SEATS))
            yield services

    def load(self, services: Services, load: Load) -> Figures:
        """Put a load on an event of its own."""
        event = f"{load.name}-{next(self._events)}-{secrets.token_hex(3)}"
        open_event(services.url, event, load.capacity)
        time.sleep(SETTLE_SECONDS)
        before = services.cpu_seconds()
        result = asyncio.run(scraped_load(services, event, load))
        time.sleep(SETTLE_SECONDS)
        used = services.cpu_seconds() - before
        if result.refusals or len(result.answers) != load.parents:
            sys.exit(f"some claims got no answer: {result.refusals}")
        return Figures(
            rate=load.parents / result.seconds,
            cpu_us=used / load.parents * 1e6,
            p50_ms=result.percentile(0.5) * 1000,
            p95_ms=result.percentile(0.95) * 1000,
            resident_mb=services.resident_mb(),
        )

    def _process(self, name: str, environment: Mapping[str, str], listen: str) -> ServiceProcess:
        host, _, port = listen.rpartition(":")
        argv = [sys.executable, "-m", f"ticketcap_{name}"]
        return ServiceProcess(
            name, argv, environment, ready=lambda: accepts(host, int(port)), folder=self._folder, start_seconds=60
        )

    def _environment(self, variant: Variant) -> dict[str, str]:
        environment = {"JWT_SECRET": SECRET, "DEPLOYMENT_ENVIRONMENT": "development", **variant.environment}
        if "OTEL_SDK_DISABLED" not in environment:
            port = free_port() if variant.trouble is None else self._collector(variant.trouble)
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        if variant.source is not None:
            environment["PYTHONPATH"] = ":".join(str(path) for path in sorted(variant.source.glob("*/*/src")))
        return environment

    def _collector(self, trouble: str) -> int:
        if trouble not in self._collectors:
            port = self._collectors[trouble] = free_port()
            argv = [sys.executable, "-m", "ticketcap_testing.troubled_collector", str(port), trouble]
            self._running.enter_context(
                ServiceProcess("collector", argv, {}, ready=lambda: accepts("127.0.0.1", port), folder=self._folder)
            )
        return self._collectors[trouble]

    def _migrate(self) -> None:
        environment = {**os.environ, "DATABASE_URL": self._postgres.url("registration")}
        subprocess.run([sys.executable, "-m", "ticketcap_registration", "migrate"], env=environment, check=True)


async def scraped_load(services: Services, event: str, load: Load) -> Rush:
    """Run the load, with one scrape of each page in its middle: more than every 15 s."""
    scraper = asyncio.create_task(scrape(services.pages))
    try:
        return await rush(
            url=services.url, school="herzl", event=event, parents=load.parents, concurrency=load.concurrency
        )
    finally:
        await scraper


async def scrape(pages: Sequence[str]) -> None:
    await asyncio.sleep(SCRAPE_AFTER_SECONDS)
    for page in pages:
        answer = await asyncio.to_thread(
            httpx.get, f"http://{page}/metrics", headers=OPENMETRICS, trust_env=False, timeout=10
        )
        answer.raise_for_status()


def accepts(host: str, port: int) -> bool:
    import socket

    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def token(role: str, school: str | None = None) -> dict[str, str]:
    claims = {"sub": "bench", "role": role, "iss": "ticketcap", "exp": time.time() + 3600}
    signed = jwt.encode({**claims, **({"school": school} if school else {})}, SECRET, algorithm="HS256")
    return {"Authorization": f"Bearer {signed}"}


def open_school(url: str) -> None:
    body = {"slug": "herzl", "name": "בית ספר"}
    for _ in range(50):
        answer = httpx.post(f"{url}/api/v1/schools", json=body, headers=token("SUPER_ADMIN"), trust_env=False)
        if answer.status_code in {201, 409}:
            return
        time.sleep(0.1)
    answer.raise_for_status()


def open_event(url: str, slug: str, capacity: int) -> None:
    body = {"slug": slug, "title": slug, "starts_at": "2035-01-01T10:00:00Z", "capacity": capacity}
    answer = httpx.post(f"{url}{EVENTS}", json=body, headers=token("OWNER", "herzl"), trust_env=False)
    answer.raise_for_status()


def sampled(share: str) -> dict[str, str]:
    return {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}


def cost_variants(against: Path | None) -> list[Variant]:
    """Return the variants, those of another checkout too; the others are compared with the first."""
    variants = []
    for source, suffix in ((None, ""), *(((against, " before"),) if against else ())):
        variants += [
            Variant(name=f"off{suffix}", environment={"OTEL_SDK_DISABLED": "true"}, scraped=False, source=source),
            Variant(name=f"10 %{suffix}", environment=sampled("0.1"), source=source),
        ]
    return variants


def trouble_variants() -> list[Variant]:
    """Return a healthy collector, then one for each trouble, every trace sampled."""
    return [
        *(Variant(name=trouble, environment=sampled("1"), trouble=trouble) for trouble in TROUBLES),
        Variant(name="absent", environment=sampled("1"), trouble=None),
    ]


Rounds = dict[tuple[str, str], list[Figures]]


def measure(bench: Bench, variants: Sequence[Variant], loads: Sequence[Load], rounds: int) -> Rounds:
    """Measure each load on each variant in each round, in a random order: a variant may profit from the one before."""
    found: Rounds = {}
    dice = random.Random(0)  # noqa: S311 - the same orders each time
    for number in range(rounds):
        for variant in dice.sample(variants, len(variants)):
            with bench.services(variant) as services:
                for load in loads:
                    figures = bench.load(services, load)
                    found.setdefault((load.name, variant.name), []).append(figures)
                    print(f"{number + 1}  {load.name:7} {variant.name:13} {as_text(figures)}", flush=True)
    return found


def alternate(bench: Bench, variants: Sequence[Variant], rush_load: Load, slices: int, singles: int) -> None:
    """Print latencies of single claims beside the first variant's, all services running, a few claims each in turn.

    A rush on each comes before: it fills the queues of those whose collector takes nothing.
    """
    dice = random.Random(0)  # noqa: S311 - the same orders each time
    medians: dict[str, list[float]] = {variant.name: [] for variant in variants}
    tails: dict[str, list[float]] = {variant.name: [] for variant in variants}
    with ExitStack() as running:
        services = {variant.name: running.enter_context(bench.services(variant)) for variant in variants}
        for name, running_services in services.items():
            print(f"{name:8} {as_text(bench.load(running_services, rush_load))}", flush=True)
            open_event(running_services.url, f"singles-{name}", LANE_OF_IDLE)
        for _ in range(slices):
            for name, running_services in dice.sample(list(services.items()), len(services)):
                claims = rush(
                    url=running_services.url, school="herzl", event=f"singles-{name}", parents=singles, concurrency=1
                )
                result = asyncio.run(claims)
                medians[name].append(result.percentile(0.5))
                tails[name].append(result.percentile(0.95))
    first = variants[0].name
    for of, found in (("p50", medians), ("p95", tails)):
        for name in list(services)[1:]:
            ratios = [one / other for one, other in zip(found[name], found[first], strict=True)]
            print(f"{name:8} / {first}  {of}  {interval_of(ratios)}")


def interval_of(ratios: Sequence[float]) -> str:
    """Return the median and where it lies with 95 % confidence, by the ranks of a sign test."""
    ordered, half = sorted(ratios), 0.98 * math.sqrt(len(ratios))
    low = ordered[max(0, math.floor(len(ratios) / 2 - half))]
    high = ordered[min(len(ratios) - 1, math.ceil(len(ratios) / 2 + half))]
    return f"{statistics.median(ratios):5.3f}  [{low:.3f} {high:.3f}]{'' if low > 1 or high < 1 else '  not resolved'}"


def as_text(figures: Figures) -> str:
    return (
        f"{figures.rate:7.0f}/s  {figures.cpu_us:6.0f} us CPU  p50 {figures.p50_ms:6.1f}  p95 {figures.p95_ms:6.1f} ms"
        f"  {figures.resident_mb:5.0f} MB"
    )


MEASURES: Final[tuple[tuple[str, Callable[[Figures], float]], ...]] = (
    ("req/s", lambda figures: figures.rate),
    ("CPU", lambda figures: figures.cpu_us),
    ("p50", lambda figures: figures.p50_ms),
    ("p95", lambda figures: figures.p95_ms),
    ("memory", lambda figures: figures.resident_mb),
)


def compare(found: Rounds, loads: Sequence[Load], pairs: Sequence[tuple[str, str]]) -> None:
    """Print each variant's ratio to its base, paired by round."""
    for load in loads:
        print(f"\n{load.name}: {load.parents} claims, {load.concurrency} at a time")
        for name, base in pairs:
            for measure_name, of in MEASURES:
                one, other = found[load.name, name], found[load.name, base]
                ratios = [of(figures) / of(against) for figures, against in zip(one, other, strict=True)]
                print(f"  {name:13} / {base:11} {measure_name:6} {ratio_of(ratios)}")


def ratio_of(ratios: Sequence[float]) -> str:
    """Return the median and all of them; a difference that not every round shows in one direction is not resolved."""
    resolved = all(ratio > 1 for ratio in ratios) or all(ratio < 1 for ratio in ratios)
    rounds = " ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"{statistics.median(ratios):5.2f}  [{rounds}]{'' if resolved else '  not resolved'}"


def pairs_of(variants: Sequence[Variant]) -> list[tuple[str, str]]:
    """Return the pairs to compare: each variant with the first of its checkout, and with itself before."""
    pairs, base = [], variants[0].name
    names = {variant.name for variant in variants}
    for variant in variants:
        if variant.name.startswith("off"):
            base = variant.name
        if variant.name != base:
            pairs.append((variant.name, base))
        if f"{variant.name} before" in names:
            pairs.append((variant.name, f"{variant.name} before"))
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parents", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--singles", type=int, default=300)
    parser.add_argument("--against", type=Path, help="another checkout, whose services are measured too")
    parser.add_argument("--collectors", action="store_true", help="compare collectors in trouble instead")
    parser.add_argument("--slices", type=int, default=40, help="turns of each collector")
    options = parser.parse_args()
    variants = cost_variants(options.against)
    loads = [
        Load("rush", options.parents, options.concurrency, SEATS),
        Load("single", options.singles, 1, LANE_OF_IDLE),
    ]
    with tempfile.TemporaryDirectory(prefix="ticketcap-bench-") as name, ExitStack() as running:
        bench = Bench(Path(name), running)
        if options.collectors:
            alternate(bench, trouble_variants(), loads[0], options.slices, SINGLES_OF_A_SLICE)
            return
        found = measure(bench, variants, loads, options.rounds)
    compare(found, loads, pairs_of(variants))


if __name__ == "__main__":
    main()
