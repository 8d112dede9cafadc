"""Send parents who repeat a claim until its answer is final.

A parent keeps the idempotency key and goes to another gateway after each attempt, as a load balancer would send it.
"""

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import httpx

from tests.stack_under_test import EVENTS

_ATTEMPTS: Final = 400
_PAUSE_SECONDS: Final = 0.1
_REPEATED: Final = frozenset({409, 429, 500, 502, 503, 504})
_LONGEST_SECONDS: Final = 100
Answer = dict[str, Any]


@cache
def seed_of_run() -> int:
    """Return SCALE_SEED, or a new seed for this run."""
    return int(os.environ.get("SCALE_SEED") or secrets.randbelow(2**31))


@dataclass(kw_only=True)
class Outcome:
    """The final answers of a rush, by the parent's number."""

    parents: int
    answers: dict[int, Answer] = field(default_factory=dict)
    moments: dict[int, float] = field(default_factory=dict)
    """When each answer came, on the monotonic clock."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Attempts that a parent repeated, by ``<HTTP status> <code>``."""

    def first_after(self, moment: float) -> float:
        """Return the seconds from ``moment`` to the next final answer; 0 when there is none."""
        return min((at - moment for at in self.moments.values() if at > moment), default=0.0)


@contextmanager
def rush(urls: Sequence[str], event: str, parents: int, *, seed: int, slots: int = 30) -> Iterator[Outcome]:
    """Run a rush beside the code inside, and wait for the last parent's final answer.

    The parents run in a thread of their own: a process that a thread starts dies with that thread, so the code inside
    must be the one that starts processes.
    """
    outcome = Outcome(parents=parents)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, _insist(urls, event, outcome, random.Random(seed), slots))
        try:
            yield outcome
        finally:
            running.result(timeout=_LONGEST_SECONDS)


def wait_for(outcome: Outcome, answers: int) -> None:
    """Wait until a rush has so many final answers."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while len(outcome.answers) < answers:
        assert time.monotonic() < deadline, f"{len(outcome.answers)} of {answers} answers: {outcome.refusals}"
        time.sleep(0.002)


async def _insist(urls: Sequence[str], event: str, outcome: Outcome, dice: random.Random, slots: int) -> None:
    free = asyncio.Semaphore(slots)
    order = [dice.randrange(len(urls)) for _ in range(outcome.parents)]
    async with contextlib.AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(httpx.AsyncClient(base_url=url, timeout=15, trust_env=False))
            for url in urls
        ]

        async def register(number: int) -> None:
            body = {"name": "דנה כהן", "phone": f"054-{number + 2_000_000:07d}", "spots": 1}
            key = {"Idempotency-Key": f"{event}-{number}"}
            async with free:
                for attempt in range(_ATTEMPTS):
                    client = clients[(order[number] + attempt) % len(clients)]
                    with _counted(outcome):
                        answer = await client.post(f"{EVENTS}/{event}/registrations", json=body, headers=key)
                        if answer.status_code == httpx.codes.CREATED:
                            outcome.moments[number] = time.monotonic()
                            outcome.answers[number] = answer.json()
                            return
                        assert answer.status_code in _REPEATED, answer.text
                        outcome.refusals[f"{answer.status_code} {answer.json().get('code', '')}"] += 1
                    await asyncio.sleep(_PAUSE_SECONDS)

        await asyncio.gather(*(register(number) for number in range(outcome.parents)))


@contextmanager
def _counted(outcome: Outcome) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        outcome.refusals[type(error).__name__] += 1


def at_once(calls: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """Make calls at the same time, each in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]
