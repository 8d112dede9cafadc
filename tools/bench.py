"""Measure the embedded stack's start, memory, idle event, rush and payments.

Everything runs on this machine, client included, so figures are this machine's;
compare runs, and the ratio of the hot event to the idle one.
"""

import argparse
import asyncio
import re
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from bench_payments import payment_latency
from bench_stack import EVENTS, SCHOOL, Stack, latency_text, temporary_stack
from ticketcap_local.http_client import HttpConnection
from ticketcap_local.traffic import Rush, rush

SETTLE_SECONDS = 5


def memory(stack: Stack) -> Iterator[str]:
    """Yield a line per service: resident memory, and memory with each shared page divided among its users."""
    status = stack.ticketcap("status")
    for part in ("registration", "payment", "gateway"):
        found = re.search(rf"^\W*{part}\s+\S+\s+(\d+)", status, re.MULTILINE)
        if found is None:
            sys.exit(f"no process id of {part} in:\n{status}")
        sizes = dict(re.findall(r"^(\w+):\s+(\d+)", Path(f"/proc/{found[1]}/smaps_rollup").read_text(), re.MULTILINE))
        resident, proportional = (int(sizes[name]) / 1024 for name in ("Rss", "Pss"))
        yield f"{part:14} {resident:6.1f} MiB resident, {proportional:6.1f} MiB proportional"


async def page_latency(url: str) -> float:
    """Return the p50 (seconds) of a page without content: the cost of HTTP at this moment."""
    connection = HttpConnection(url)
    latencies = []
    for _ in range(300):
        began = time.perf_counter()
        await connection.request("GET", "/livez")
        latencies.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(latencies)


def describe(result: Rush) -> str:
    outcome = "  ".join(f"{name} {count}" for name, count in [*result.statuses.items(), *result.refusals.items()])
    return f"{result.seconds:5.2f} s  {rate(result):6.0f}/s  {latency_text(result)}  {outcome}"


def rate(result: Rush) -> float:
    return len(result.latencies) / result.seconds


def measure(stack: Stack, rounds: int, parents: int, concurrency: int) -> None:
    def register(event: str, parents: int, concurrency: int) -> Rush:
        load = rush(url=stack.url, school=SCHOOL, event=event, parents=parents, concurrency=concurrency)
        return asyncio.run(load)

    rate_ratios, latency_ratios = [], []
    for number in range(1, rounds + 1):
        # The services still send the spans of the rush before, which must not count for the idle event.
        time.sleep(SETTLE_SECONDS)
        idle_event = stack.open_event(f"idle-{number}", 100_000)
        page = asyncio.run(page_latency(stack.url))
        print(f"empty page {number}    p50 {page * 1000:6.1f} ms")
        idle = register(idle_event, 300, 1)
        print(f"idle event {number}    {describe(idle)}")
        hot_event = stack.open_event(f"hot-{number}", 100)
        hot = register(hot_event, parents, concurrency)
        print(f"hot event {number}     {describe(hot)}")
        seats = httpx.get(f"{stack.url}{EVENTS}/{hot_event}", trust_env=False).json()
        if seats["confirmed"] > seats["capacity"] or hot.statuses["CONFIRMED"] > seats["capacity"]:
            sys.exit(f"OVERSOLD: {seats}")
        latency_ratios.append(idle.percentile(0.5) / page)
        rate_ratios.append(rate(hot) / rate(idle))
        paid_event = stack.open_event(f"paid-{number}", 1000, price_agorot=4990)
        print(f"payments {number}      {payment_latency(stack, paid_event, rounds=100)}")
    for name, ratios, of in (("hot / idle ", rate_ratios, "rate"), ("idle / page", latency_ratios, "p50 ")):
        each = [round(ratio, 1) for ratio in ratios]
        print(f"{name}     {statistics.median(ratios):5.1f} times the {of}  {each}")
    print("nothing oversold")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parents", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=256)
    options = parser.parse_args()
    with temporary_stack() as stack:
        with stack.running() as seconds:
            print(f"start, cold     {seconds:5.1f} s")
        with stack.running() as seconds:
            print(f"start, warm     {seconds:5.1f} s")
            time.sleep(2)
            print(*(f"at rest, {line}" for line in memory(stack)), sep="\n")
            measure(stack, options.rounds, options.parents, options.concurrency)


if __name__ == "__main__":
    main()
