"""Test the change to a synchronous standby in a rush."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest
from ticketcap_local.postgres import EmbeddedPostgres

from tests.scale.exactness import assert_exact
from tests.scale.parents import Outcome, rush, wait_for
from tests.scale.standby import Cluster, cluster
from tests.stack_under_test import Stack
from tests.stack_under_test import stack as run_stack
from tests.test_end_to_end import watching

CAPACITY: Final = 150
PARENTS: Final = 500
_FIRST_SUCCESS_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 8.0
"""Until a service has left silent connections and tried the silent host before the healthy one."""
_BUSY_MACHINE_SECONDS: Final = 15.0
Report = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A system on a primary and its standby."""

    stack: Stack
    cluster: Cluster


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("failover")
    clusters: list[Cluster] = []

    @contextmanager
    def to_both(primary: EmbeddedPostgres) -> Iterator[Callable[[str], Mapping[str, str]]]:
        with cluster(primary, folder) as running:
            clusters.append(running)
            yield lambda url: {"DATABASE_URL": running.url(url)}

    # A client that left is noticed at the next heartbeat, so a watch ends soon.
    with run_stack(folder, {"HEARTBEAT_SECONDS": "1"}, database_way=to_both) as running:
        yield Pair(stack=running, cluster=clusters[0])


@pytest.fixture
def pair(system: Pair) -> Pair:
    """The system, with a new standby in the place of a primary that a test before has lost."""
    system.cluster.repair()
    return system


@dataclass
class Readiness:
    """The changes of a gateway's /readyz, each with its moment on the monotonic clock."""

    changes: list[tuple[float, int]] = field(default_factory=list)

    def statuses(self) -> list[int]:
        return [status for _, status in self.changes]


@contextmanager
def readiness(url: str) -> Iterator[Readiness]:
    """Ask /readyz ten times a second in a thread of its own."""
    found = Readiness()
    ended = threading.Event()

    def query() -> None:
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
            while not ended.wait(0.1):
                status = client.get("/readyz").status_code
                if not found.changes or found.changes[-1][1] != status:
                    found.changes.append((time.monotonic(), status))

    thread = threading.Thread(target=query, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(15)


def wait_for_status(ready: Readiness, status: int, *, at_most: float) -> float:
    """Return the seconds until /readyz has this status."""
    began = time.monotonic()
    while ready.statuses()[-1:] != [status]:
        assert time.monotonic() - began < at_most + _BUSY_MACHINE_SECONDS, f"/readyz did not become {status}"
        time.sleep(0.02)
    return time.monotonic() - began


def fail_over(pair: Pair, event: str, fail: Callable[[], None], seed: int, report: Report) -> tuple[Outcome, float]:
    """Run a rush in which the primary fails and the standby is promoted.

    Return the answers and the seconds from the promotion to the first of them. The open stream must tell the end of it.
    """
    stack = pair.stack
    stack.open_event(event, capacity=CAPACITY)
    with readiness(stack.url) as ready, watching(stack, event) as seen:
        wait_for_status(ready, 200, at_most=5)
        with rush([stack.url], event, PARENTS, seed=seed, slots=20) as outcome:
            wait_for(outcome, PARENTS // 4)
            fail()
            report("/readyz 503 after", wait_for_status(ready, 503, at_most=5))
            promoted = pair.cluster.promote()
            report("/readyz 200 after the promotion", wait_for_status(ready, 200, at_most=_SILENCE_SECONDS))
        assert ready.statuses()[:3] == [200, 503, 200]
        first = outcome.first_after(promoted)
        assert first, "the rush was over before the promotion"
        report("first registration after the promotion", first)
        began = time.monotonic()
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1]["waitlisted"] != PARENTS - CAPACITY:
            frames.append(seen.get(timeout=15 + _BUSY_MACHINE_SECONDS))
        report("stream complete after the rush", time.monotonic() - began)
    versions = [frame["version"] for frame in frames]
    assert versions == sorted(set(versions))
    return outcome, first


def assert_nothing_lost(pair: Pair, event: str, outcome: Outcome) -> None:
    """Every parent has a final answer that the new primary holds; rows are exact."""
    assert len(outcome.answers) == PARENTS, outcome.refusals
    assert_exact(pair.stack, event, outcome.answers.values(), capacity=CAPACITY)


def test_a_primary_stopped_at_once(pair: Pair, seed: int, report: Report) -> None:
    """Immediate stop: registrations continue within seconds of the promotion; nothing acknowledged is lost."""
    outcome, first = fail_over(pair, "stop", pair.cluster.stop_primary_at_once, seed, report)
    assert_nothing_lost(pair, "stop", outcome)
    assert first < _FIRST_SUCCESS_SECONDS + _BUSY_MACHINE_SECONDS


def test_a_primary_that_falls_silent(pair: Pair, seed: int, report: Report) -> None:
    """The network swallows every byte to the primary, of old and new connections: the services leave it."""
    outcome, first = fail_over(pair, "silence", pair.cluster.silence_primary, seed, report)
    assert_nothing_lost(pair, "silence", outcome)
    assert first < _SILENCE_SECONDS + _BUSY_MACHINE_SECONDS
