"""Measure a cold event's registrations beside hot and locked events.

Everything runs on this machine, clients included, so compare runs and read the
ratios: each round measures the idle value again. The clients of the hot event
and of the cold one are processes of their own.
"""

import argparse
import asyncio
import multiprocessing
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue

import psycopg
from bench_stack import EVENTS, SCHOOL, Stack, latency_text, temporary_stack
from ticketcap_local.http_client import HttpConnection
from ticketcap_local.traffic import Rush, rush

PAUSE_SECONDS = 0.01
LOCKED_SECONDS = 9
SPAWN = multiprocessing.get_context("spawn")


async def register_in_turn(url: str, event: str, seconds: float) -> Rush:
    """Register one parent after another for ``seconds``."""
    result, connection = Rush(parents=0, seed=0), HttpConnection(url)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        body = {"name": "דנה כהן", "phone": f"052-{2_000_001 + len(result.latencies)}", "spots": 1}
        began = time.perf_counter()
        answer = await connection.request("POST", f"{EVENTS}/{event}/registrations", body)
        result.latencies.append(time.perf_counter() - began)
        if answer.status != 201:  # noqa: PLR2004 - Created
            raise RuntimeError(f"registration for {event} answered {answer.status}: {answer.body}")
        await asyncio.sleep(PAUSE_SECONDS)
    connection.close()
    return result


async def register_until_terminated(url: str, event: str, connections: int) -> float:
    """Keep ``connections`` busy with registrations until SIGTERM; return the rate per second."""
    counts = [0]
    began = time.perf_counter()
    load = rush(url=url, school=SCHOOL, event=event, parents=1_000_000, concurrency=connections, progress=counts.append)
    task = asyncio.ensure_future(load)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])
    return counts[-1] / (time.perf_counter() - began)


def cold_client(url: str, event: str, seconds: float) -> Rush:
    return asyncio.run(register_in_turn(url, event, seconds))


def hot_client(url: str, event: str, connections: int, rates: "SimpleQueue[float]") -> None:
    rates.put(asyncio.run(register_until_terminated(url, event, connections)))


def cold(stack: Stack, event: str, seconds: float) -> Rush:
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        return pool.submit(cold_client, stack.url, event, seconds).result(seconds + 60)


@contextmanager
def hot(stack: Stack, events: Sequence[str], connections: int, warm_up_seconds: float) -> Iterator[list[float]]:
    """Keep events hot, each by a process of its own; the list gets their rates (per second) at the end."""
    queue: SimpleQueue[float] = SPAWN.SimpleQueue()
    processes = [SPAWN.Process(target=hot_client, args=(stack.url, event, connections, queue)) for event in events]
    for process in processes:
        process.start()
    time.sleep(warm_up_seconds)
    rates: list[float] = []
    try:
        yield rates
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(60)
    if failed := [process.exitcode for process in processes if process.exitcode != 0]:
        sys.exit(f"clients of hot events ended with {failed}")
    rates += [queue.get() for _ in processes]


@contextmanager
def locked(database_url: str, slugs: list[str]) -> Iterator[None]:
    """Lock the rows of events, as a transaction of another program would."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT 1 FROM events WHERE slug = ANY(%s) FOR UPDATE", [slugs])
        yield
        connection.rollback()


def report(name: str, result: Rush, more: str = "") -> None:
    print(f"{name:22} {latency_text(result, (0.5, 0.95, 0.99, 1))}  of {len(result.latencies)}  {more}", flush=True)


def measure(stack: Stack, rounds: int, seconds: float, connections: int, locked_events: list[int]) -> None:
    ratios: list[float] = []
    for number in range(rounds):
        hot_event = stack.open_event(f"hot-{number}", 100)
        cold(stack, stack.open_event(f"cold-{number}", 100), 1)
        alone = cold(stack, stack.open_event(f"cold-i-{number}", 100), seconds)
        report("alone", alone)
        cold_event = stack.open_event(f"cold-h-{number}", 100)
        with hot(stack, [hot_event], connections, warm_up_seconds=1.5) as rates:
            beside = cold(stack, cold_event, seconds)
        report("beside a hot event", beside, f"hot {rates[0]:.0f}/s")
        ratios.append(beside.percentile(0.99) / alone.percentile(0.99))
        time.sleep(2)
        for count in locked_events:
            events = [stack.open_event(f"locked-{number}-{count}-{k}", 100) for k in range(count)]
            cold_event = stack.open_event(f"cold-l-{number}-{count}", 100)
            with locked(stack.postgres.url("registration"), events), hot(stack, events, 20, warm_up_seconds=1):
                beside = cold(stack, cold_event, LOCKED_SECONDS - 2)
            report(f"beside {count} locked", beside)
    print(f"p99 hot / alone  {statistics.median(ratios):.1f}  {[round(ratio, 1) for ratio in ratios]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=300)
    parser.add_argument("--locked", type=int, nargs="*", default=[1])
    options = parser.parse_args()
    with temporary_stack() as stack, stack.running():
        measure(stack, options.rounds, options.seconds, options.connections, options.locked)


if __name__ == "__main__":
    main()
