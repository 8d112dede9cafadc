"""Test that acknowledged registrations survive kill -9 of any process."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.stack_under_test import EVENTS, Stack

PARENTS = 300
CAPACITY = 50


def rush_disturbed_by(disturb: Callable[[], None], stack: Stack, event: str) -> dict[int, dict[str, Any]]:
    """Let every parent retry until a final answer. Disturb the system when a quarter of them have one.

    The parents run in a thread of their own: a process started by a thread dies with that thread.
    """
    answers: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(1) as thread:
        parents = thread.submit(asyncio.run, insistent_parents(stack, event, answers))
        while len(answers) < PARENTS // 4 and not parents.done():
            time.sleep(0.002)
        disturb()
        parents.result(timeout=100)
    return answers


async def insistent_parents(stack: Stack, event: str, answers: dict[int, dict[str, Any]]) -> None:
    slots = asyncio.Semaphore(20)
    async with httpx.AsyncClient(base_url=stack.url, timeout=10, trust_env=False) as client:

        async def register(number: int) -> None:
            body = {"name": "דנה כהן", "phone": f"054-{number:07d}", "spots": 1}
            key = {"Idempotency-Key": f"key-{number}"}
            async with slots:
                for _ in range(300):
                    with contextlib.suppress(httpx.TransportError):
                        answer = await client.post(f"{EVENTS}/{event}/registrations", json=body, headers=key)
                        if answer.status_code == 201:
                            answers[number] = answer.json()
                            return
                        assert answer.status_code in {409, 429, 500, 502, 503, 504}, answer.text
                    await asyncio.sleep(0.1)

        await asyncio.gather(*(register(number) for number in range(PARENTS)))


def assert_stored(stack: Stack, event: str, answers: dict[int, dict[str, Any]]) -> None:
    """Every parent has an answer, every answer is true, and every number adds up."""
    assert len(answers) == PARENTS
    rows = {row["id"]: row for row in stack.registrations(event)}
    assert {answer["id"] for answer in answers.values()} == rows.keys(), "answers and rows differ"
    assert all(rows[answer["id"]]["status"] == answer["status"] for answer in answers.values())
    seats = stack.event(event)
    assert (seats["confirmed"], seats["waitlisted"]) == (CAPACITY, PARENTS - CAPACITY)
    positions = sorted(answer["waitlist_position"] for answer in answers.values() if answer["status"] == "WAITLISTED")
    assert positions == list(range(1, PARENTS - CAPACITY + 1))


def test_registration_killed_in_the_rush(own_stack: Stack) -> None:
    """SIGKILL of the service: the gateway finds the new one, keys find what was committed unheard."""
    own_stack.open_event("kill", capacity=CAPACITY)

    def kill() -> None:
        own_stack.registration.kill()
        own_stack.registration.start()

    answers = rush_disturbed_by(kill, own_stack, "kill")
    assert_stored(own_stack, "kill", answers)


def test_database_killed_in_the_rush(own_stack: Stack) -> None:
    """SIGKILL of PostgreSQL: it recovers from its log, the service reconnects by itself."""
    own_stack.open_event("kill", capacity=CAPACITY)

    def restart() -> None:
        pid = own_stack.postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while own_stack.postgres.pid == pid:
            time.sleep(0.01)
        own_stack.postgres.stop()
        own_stack.postgres.start()

    answers = rush_disturbed_by(restart, own_stack, "kill")
    assert_stored(own_stack, "kill", answers)
    assert own_stack.registration.pid


def test_a_dead_collector_is_not_noticed(own_stack: Stack) -> None:
    """Requests are served as before, and both services still stop in time, cleanly."""
    own_stack.open_event("dark")
    own_stack.sink.kill()
    assert all(own_stack.register("dark", number).status_code == 201 for number in range(50))
    for process in (own_stack.gateway, own_stack.registration):
        assert process.terminate(30) == 0, process.output()[-2000:]


@pytest.mark.parametrize("which", ["gateway", "registration"])
def test_a_drain_loses_no_answer(own_stack: Stack, which: str) -> None:
    """SIGTERM in a rush: every acknowledged claim is in the database, and the process exits with 0."""
    own_stack.open_event("drain", capacity=CAPACITY)
    process: Any = getattr(own_stack, which)

    def drain() -> None:
        assert process.terminate(30) == 0, process.output()[-2000:]
        process.start()

    answers = rush_disturbed_by(drain, own_stack, "drain")
    assert_stored(own_stack, "drain", answers)
