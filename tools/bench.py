"""Measure the embedded stack as a user has it: start, memory at rest, an idle event, a rush on a hot one.

Everything runs on this machine, client included, so figures are this machine's;
compare runs, and the ratio of the hot event to the idle one.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from bench_payments import opening
from ticketcap_local.http_client import HttpConnection
from ticketcap_local.traffic import Rush, rush
from ticketcap_testing.stack import free_port

TICKETCAP = Path(sys.executable).parent / "ticketcap"
EVENTS = "/api/v1/schools/herzl/events"
START_SECONDS = 90
SETTLE_SECONDS = 5


@contextmanager
def running(environment: dict[str, str], log_file: Path) -> Iterator[float]:
    """Run `ticketcap up`; yields the seconds until it was ready, as it says itself."""
    with log_file.open("wb") as log:
        process = subprocess.Popen([TICKETCAP, "up"], env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (ready := re.search(r"ready in ([\d.]+) s", log_file.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the stack did not come up:\n{log_file.read_text()}")
            time.sleep(0.05)
        yield float(ready[1])
    finally:
        process.terminate()
        process.wait(60)


def stack_environment(folder: Path) -> dict[str, str]:
    """Return an environment with ports and a state folder of its own."""
    services = ("GATEWAY", "REGISTRATION", "PAYMENT")
    names = [*services, *(f"{name}_METRICS" for name in services), "YAADPAY", "POSTGRES", "OTLP_GRPC", "OTLP_HTTP"]
    ports = {f"TICKETCAP_{name}_PORT": str(free_port()) for name in names}
    return {**os.environ, **ports, "TICKETCAP_STATE_DIR": str(folder), "PYTHONUNBUFFERED": "1"}


def memory(environment: dict[str, str]) -> list[str]:
    """Return a line per service: resident memory, and the part of it that it shares with nobody or its share of."""
    status = subprocess.run([TICKETCAP, "status"], env=environment, capture_output=True, text=True, check=True).stdout
    lines = []
    for part in ("registration", "payment", "gateway"):
        found = re.search(rf"^\W*{part}\s+\S+\s+(\d+)", status, re.MULTILINE)
        if found is None:
            sys.exit(f"no {part} in:\n{status}")
        rollup = Path(f"/proc/{found[1]}/smaps_rollup").read_text()
        rss, pss = (int(re.search(rf"^{name}:\s+(\d+)", rollup, re.MULTILINE)[1]) / 1024 for name in ("Rss", "Pss"))  # type: ignore[index]  # always there
        lines.append(f"{part:14} {rss:6.1f} MiB resident, {pss:6.1f} MiB proportional")
    return lines


def open_event(url: str, token: str, slug: str, capacity: int, price_agorot: int = 0) -> None:
    body = {"slug": slug, "title": slug, "starts_at": "2035-01-01T10:00:00Z", "capacity": capacity}
    body["price_agorot"] = price_agorot
    answer = httpx.post(f"{url}{EVENTS}", json=body, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    answer.raise_for_status()


async def measured(url: str, event: str, *, parents: int, concurrency: int) -> Rush:
    return await rush(url=url, school="herzl", event=event, parents=parents, concurrency=concurrency)


async def page_latency(url: str) -> float:
    """Return the p50 (seconds) of a page that does nothing: what HTTP itself costs at this moment."""
    connection = HttpConnection(url)
    latencies = []
    for _ in range(300):
        began = time.perf_counter()
        await connection.request("GET", "/livez")
        latencies.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(latencies)


def told(result: Rush) -> str:
    latency = "  ".join(f"{name} {result.percentile(share) * 1000:6.1f} ms" for name, share in PERCENTILES)
    outcome = "  ".join(f"{name} {count}" for name, count in [*result.statuses.items(), *result.refusals.items()])
    return f"{result.seconds:5.2f} s  {len(result.latencies) / result.seconds:6.0f}/s  {latency}  {outcome}"


PERCENTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parents", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ticketcap-bench-") as name:
        environment = stack_environment(Path(name) / "state")
        log_file = Path(name) / "up.log"
        with running(environment, log_file) as cold:
            print(f"start, cold     {cold:5.1f} s")
        with running(environment, log_file) as warm:
            print(f"start, warm     {warm:5.1f} s")
            time.sleep(2)
            print(*(f"at rest, {line}" for line in memory(environment)), sep="\n")
            measure(environment, options)


def measure(environment: dict[str, str], options: argparse.Namespace) -> None:
    url = f"http://127.0.0.1:{environment['TICKETCAP_GATEWAY_PORT']}"
    command = [str(TICKETCAP), "token", "--school", "herzl", "--role", "OWNER"]
    token = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    idle_rates, hot_rates, idle_shares = [], [], []
    for number in range(options.rounds):
        # The spans of the rush before are still being sent: they are no part of what an idle event costs.
        time.sleep(SETTLE_SECONDS)
        open_event(url, token, f"idle-{number}", 100_000)
        page = asyncio.run(page_latency(url))
        print(f"empty page {number + 1}    p50 {page * 1000:6.1f} ms")
        idle = asyncio.run(measured(url, f"idle-{number}", parents=300, concurrency=1))
        open_event(url, token, f"hot-{number}", 100)
        hot = asyncio.run(measured(url, f"hot-{number}", parents=options.parents, concurrency=options.concurrency))
        print(f"idle event {number + 1}    {told(idle)}")
        print(f"hot event {number + 1}     {told(hot)}")
        seats = httpx.get(f"{url}{EVENTS}/hot-{number}", trust_env=False).json()
        if seats["confirmed"] > seats["capacity"] or hot.statuses["CONFIRMED"] > seats["capacity"]:
            sys.exit(f"OVERSOLD: {seats}")
        idle_shares.append(idle.percentile(0.5) / page)
        idle_rates.append(len(idle.latencies) / idle.seconds)
        hot_rates.append(len(hot.latencies) / hot.seconds)
        open_event(url, token, f"paid-{number}", 1000, price_agorot=4990)
        simulator = f"http://127.0.0.1:{environment['TICKETCAP_YAADPAY_PORT']}"
        print(f"payments {number + 1}      {opening(url, simulator, f'paid-{number}', rounds=100)}")
    ratios = [hot / idle for hot, idle in zip(hot_rates, idle_rates, strict=True)]
    print(f"hot / idle      {statistics.median(ratios):5.1f} times the rate  {[round(ratio, 1) for ratio in ratios]}")
    print(f"idle / page     {statistics.median(idle_shares):5.1f} times the p50   {[round(x, 1) for x in idle_shares]}")
    print("nothing oversold")


if __name__ == "__main__":
    main()
