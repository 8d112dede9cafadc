"""Measure a cold event's registrations: alone, beside a hot event, and beside events whose rows are locked.

Everything runs on this machine, clients included, so compare runs and read the
ratios: each round measures the idle value again. The clients of the hot event
and of the cold one are processes of their own.
"""

import argparse
import asyncio
import json
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from bench import TICKETCAP, open_event, running, stack_environment
from ticketcap_local.http_client import HttpConnection
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_local.traffic import rush

PAUSE_SECONDS = 0.01
LOCKED_SECONDS = 9


async def cold_client(url: str, path: str, seconds: float) -> None:
    """Register one parent after another for ``seconds``; print the latencies (seconds) as JSON."""
    connection, latencies, number = HttpConnection(url), [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        body = {"name": "דנה כהן", "phone": f"052-{2_000_000 + number}", "spots": 1}
        began = time.perf_counter()
        answer = await connection.request("POST", path, body)
        latencies.append(time.perf_counter() - began)
        if answer.status != 201:  # noqa: PLR2004 - Created
            sys.exit(f"{answer.status}: {answer.body}")
        await asyncio.sleep(PAUSE_SECONDS)
    connection.close()
    print(json.dumps(latencies))


async def hot_client(url: str, event: str, connections: int) -> None:
    """Keep ``connections`` busy with registrations until SIGTERM; print the rate."""
    done = 0
    began = time.perf_counter()

    def count(now: int) -> None:
        nonlocal done
        done = now

    task = asyncio.ensure_future(
        rush(url=url, school="herzl", event=event, parents=1_000_000, concurrency=connections, progress=count)
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])
    print(json.dumps(done / (time.perf_counter() - began)))


@contextmanager
def hot(url: str, event: str, connections: int) -> Iterator[list[float]]:
    """Keep an event hot; the list gets its rate per second at the end."""
    rates: list[float] = []
    process = _client("hot", url, event, str(connections))
    time.sleep(1.5)
    try:
        yield rates
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        rates.append(float(output))


def cold(url: str, slug: str, seconds: float) -> list[float]:
    process = _client("cold", url, f"/api/v1/schools/herzl/events/{slug}/registrations", str(seconds))
    output, _ = process.communicate(timeout=seconds + 60)
    return list(json.loads(output))


def _client(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--client", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@contextmanager
def locked(database: str, slugs: list[str]) -> Iterator[None]:
    """Hold the rows of events, as a transaction of another program would."""
    with psycopg.connect(database) as connection:
        connection.execute("SELECT 1 FROM events WHERE slug = ANY(%s) FOR UPDATE", [slugs])
        yield
        connection.rollback()


def percentile(latencies: list[float], share: float) -> float:
    ordered = sorted(latencies)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def told(name: str, latencies: list[float], more: str = "") -> None:
    numbers = "  ".join(
        f"p{share * 100:g} {percentile(latencies, share) * 1000:7.1f} ms" for share in (0.5, 0.95, 0.99, 1)
    )
    print(f"{name:22} {numbers}  of {len(latencies)}  {more}", flush=True)


def measure(url: str, database: str, token: str, options: argparse.Namespace) -> None:
    ratios: list[float] = []
    for number in range(options.rounds):
        open_event(url, token, f"cold-{number}", 100)
        open_event(url, token, f"hot-{number}", 100)
        cold(url, f"cold-{number}", 1)
        open_event(url, token, f"cold-i-{number}", 100)
        idle = cold(url, f"cold-i-{number}", options.seconds)
        told("alone", idle)
        open_event(url, token, f"cold-h-{number}", 100)
        with hot(url, f"hot-{number}", options.connections) as rates:
            beside = cold(url, f"cold-h-{number}", options.seconds)
        told("beside a hot event", beside, f"hot {rates[0]:.0f}/s")
        ratios.append(percentile(beside, 0.99) / percentile(idle, 0.99))
        time.sleep(2)
        for events in options.locked:
            slugs = [f"locked-{number}-{events}-{k}" for k in range(events)]
            for slug in slugs:
                open_event(url, token, slug, 100)
            open_event(url, token, f"cold-l-{number}-{events}", 100)
            with locked(database, slugs):
                clients = [_client("hot", url, slug, "20") for slug in slugs]
                time.sleep(1)
                beside = cold(url, f"cold-l-{number}-{events}", LOCKED_SECONDS - 2)
                for client in clients:
                    client.send_signal(signal.SIGTERM)
                for client in clients:
                    client.communicate(timeout=30)
            told(f"beside {events} locked", beside)
    print(f"p99 hot / alone  {statistics.median(ratios):.1f}  {[round(ratio, 1) for ratio in ratios]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=300)
    parser.add_argument("--locked", type=int, nargs="*", default=[1])
    parser.add_argument("--client", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        run_client(options.client)
        return
    with tempfile.TemporaryDirectory(prefix="ticketcap-bench-") as name:
        state = Path(name) / "state"
        environment = stack_environment(state)
        with running(environment, Path(name) / "up.log"):
            url = f"http://127.0.0.1:{environment['TICKETCAP_GATEWAY_PORT']}"
            postgres = EmbeddedPostgres(state / "postgres" / "data", int(environment["TICKETCAP_POSTGRES_PORT"]))
            command = [str(TICKETCAP), "token", "--school", "herzl", "--role", "OWNER"]
            token = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
            measure(url, postgres.url("registration"), token, options)


def run_client(arguments: list[str]) -> None:
    """Be one of the clients."""
    kind, url, event, number = arguments
    work: Any = cold_client(url, event, float(number)) if kind == "cold" else hot_client(url, event, int(number))
    asyncio.run(work)


if __name__ == "__main__":
    main()
