"""Test that one event's trouble delays no other event."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import psycopg
from ticketcap_local.traffic import rush

from tests.stack_under_test import Stack

CONNECTIONS = 300
PARENTS = 2000


def test_a_locked_event_delays_no_other(stack: Stack) -> None:
    """30 parents wait for the locked event; another event's are answered meanwhile, and all 30 in the end."""
    stack.open_event("locked")
    stack.open_event("unlocked")
    with ThreadPoolExecutor(30) as parents:
        with psycopg.connect(stack.postgres.url("registration")) as other:
            other.execute("SELECT 1 FROM events WHERE slug = 'locked' FOR UPDATE")
            stuck = [parents.submit(stack.register, "locked", number) for number in range(30)]
            time.sleep(0.5)
            assert [stack.register("unlocked", number).status_code for number in range(10)] == [201] * 10
            assert not any(parent.done() for parent in stuck)
            other.rollback()
        assert [parent.result().status_code for parent in stuck] == [201] * 30
    assert (stack.event("locked")["confirmed"], stack.event("unlocked")["confirmed"]) == (30, 10)


def test_a_cold_event_does_not_queue_behind_a_hot_one(stack: Stack) -> None:
    """Its parents wait much shorter than those of the hot event, who queue in hundreds."""
    stack.open_event("hot")
    stack.open_event("cold")
    cold: list[float] = []
    queued = threading.Event()

    def progress(done: int) -> None:
        if done >= CONNECTIONS:
            queued.set()

    with ThreadPoolExecutor(1) as thread:
        traffic = rush(
            url=stack.url, school="herzl", event="hot", parents=PARENTS, concurrency=CONNECTIONS, progress=progress
        )
        hot = thread.submit(asyncio.run, traffic)
        assert queued.wait(60)
        while not hot.done():
            began = time.perf_counter()
            assert stack.register("cold", len(cold)).status_code == 201
            if not hot.done():
                cold.append(time.perf_counter() - began)
        assert len(hot.result().latencies) == PARENTS
    assert median(cold) < 0.6 * hot.result().percentile(0.5), f"{median(cold)} s, {hot.result().percentile(0.5)} s"
