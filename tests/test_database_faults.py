"""Test a database that is silent, stopped, read-only or moved."""

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import httpx
import psycopg
import pytest
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_testing.silent_proxy import SilentProxy
from ticketcap_testing.stack import free_port

from tests.stack_under_test import EVENTS, Stack
from tests.stack_under_test import stack as run_stack

_EVENTS: Final = 6
_BUSY_MACHINE: Final = 8.0
"""Seconds that every bound gets on top: the machine of the tests may have other things to do."""


@pytest.fixture(scope="module")
def broken_way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, SilentProxy]]:
    """A system, and the network between its services and PostgreSQL. Each fault of a test ends with the test."""
    ways: list[SilentProxy] = []

    @contextmanager
    def through_a_proxy(postgres: EmbeddedPostgres) -> Iterator[Callable[[str], Mapping[str, str]]]:
        with SilentProxy(postgres.port) as proxy:
            ways.append(proxy)
            yield lambda url: {"DATABASE_URL": proxy.led(url)}

    with run_stack(tmp_path_factory.mktemp("stack"), database_way=through_a_proxy) as running:
        for number in range(_EVENTS):
            running.open_event(f"event-{number}", capacity=1000)
        yield running, ways[0]


class Traffic:
    """Parents who register at several events and look at them, one after another, until told to stop."""

    def __init__(self, stack: Stack, first: int) -> None:
        self._stack = stack
        self._next = first
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.answers: list[tuple[float, float, httpx.Response]] = []
        """When each was asked, on the monotonic clock, how long it took, and the answer."""

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(_EVENTS)
        for event in range(_EVENTS):
            self._pool.submit(self._run, event)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown()

    def _run(self, event: int) -> None:
        path = f"{EVENTS}/event-{event}"
        with httpx.Client(base_url=self._stack.url, timeout=30, trust_env=False) as client:
            while not self._stopped.is_set():
                with self._lock:
                    self._next += 1
                    number = self._next
                body = {"name": "דנה כהן", "phone": f"052-{number:07d}", "spots": 1}
                key = {"Idempotency-Key": f"traffic-{number}"}
                self._send(client.build_request("POST", f"{path}/registrations", json=body, headers=key), client)
                self._send(client.build_request("GET", path), client)
                time.sleep(0.05)

    def _send(self, request: httpx.Request, client: httpx.Client) -> None:
        began = time.monotonic()
        with contextlib.suppress(httpx.TransportError):
            answer = client.send(request)
            self.answers.append((began, time.monotonic() - began, answer))

    def since(self, moment: float) -> list[tuple[float, httpx.Response]]:
        return self.between(moment, time.monotonic())

    def registered_at(self, moment: float) -> set[int]:
        """Return the events with a registration that was requested after a moment."""
        return {
            int(answer.request.url.path.split("/")[-2].removeprefix("event-"))
            for _, answer in self.since(moment)
            if answer.status_code == httpx.codes.CREATED
        }

    def between(self, begin: float, end: float) -> list[tuple[float, httpx.Response]]:
        """Return how long each took, and its answer, of those that were asked and answered between two moments."""
        return [
            (seconds, answer) for asked, seconds, answer in self.answers if begin <= asked and asked + seconds <= end
        ]


def seconds_until_health(stack: Stack, status: int, at_most: float, path: str = "/api/health") -> float:
    began = time.monotonic()
    while stack.client.get(path).status_code != status:
        assert time.monotonic() - began < at_most + _BUSY_MACHINE, f"{path} did not become {status}"
        time.sleep(0.1)
    return time.monotonic() - began


def test_silent_connections_are_left_for_new_ones(broken_way: tuple[Stack, SilentProxy]) -> None:
    """Each event's lane and reads work again within seconds. No request is lost, and watchers hear changes."""
    stack, way = broken_way
    with Traffic(stack, first=0) as traffic:
        time.sleep(1)
        silenced = time.monotonic()
        assert way.silence() > 0
        while traffic.registered_at(silenced) != set(range(_EVENTS)):
            assert time.monotonic() - silenced < 3 + 2 * _BUSY_MACHINE, "a lane does not go on"
            time.sleep(0.1)
    answers = traffic.since(0)
    assert max(seconds for seconds, _ in answers) < 3 + _BUSY_MACHINE
    assert {answer.status_code for _, answer in answers} <= {200, 201, 503}
    answer_ids = {answer.json()["id"] for _, answer in answers if answer.status_code == 201}
    row_ids = {row["id"] for number in range(_EVENTS) for row in stack.registrations(f"event-{number}")}
    assert answer_ids <= row_ids
    seconds_until_health(stack, 200, 2)


def test_a_stopped_database_is_told_as_such(broken_way: tuple[Stack, SilentProxy]) -> None:
    """SIGSTOP of every process of PostgreSQL: health turns 503 and back, callers get 503 with Retry-After."""
    stack, _ = broken_way
    with Traffic(stack, first=1000) as traffic:
        time.sleep(0.5)
        with _stopped(stack.postgres):
            stopped = time.monotonic()
            seconds_until_health(stack, 503, 5)
            seconds_until_health(stack, 503, 5, "/readyz")  # payment's database may have been found first
            time.sleep(6)
        ended = time.monotonic()
        seconds_until_health(stack, 200, 2)
    refused = [answer for _, answer in traffic.between(stopped, ended) if answer.status_code not in {200, 201}]
    assert refused
    assert {answer.status_code for answer in refused} == {503}, [answer.text for answer in refused]
    assert all(answer.headers["retry-after"] for answer in refused)
    assert stack.register("event-0", 5_000_000).status_code == 201


@contextmanager
def _stopped(postgres: EmbeddedPostgres) -> Iterator[None]:
    """Stop every process of a server (SIGSTOP)."""
    assert postgres.pid is not None
    # The server first: from then on it makes no process, though one of its children may still end by itself.
    os.kill(postgres.pid, signal.SIGSTOP)
    pids = _processes_of(postgres)
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _processes_of(postgres: EmbeddedPostgres) -> set[int]:
    """Return the server's process and its children."""
    assert postgres.pid is not None
    children = Path(f"/proc/{postgres.pid}/task/{postgres.pid}/children").read_text().split()
    return {postgres.pid, *map(int, children)}


def test_a_read_only_primary_and_then_another_one(broken_way: tuple[Stack, SilentProxy], tmp_path: Path) -> None:
    """Writes are 503, reads work, health reports it. The new primary is used at once over the same address."""
    stack, way = broken_way
    assert stack.register("event-0", 6_000_001).status_code == 201
    with _copy_of(stack.postgres, tmp_path / "other" / "data") as other:
        stack.postgres.start()
        seconds_until_health(stack, 200, 5)
        with psycopg.connect(stack.postgres.url(), autocommit=True) as owner:
            owner.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            owner.execute("SELECT pg_reload_conf()")
        seconds_until_health(stack, 503, 5)
        refused = stack.register("event-0", 6_000_002)
        assert (refused.status_code, refused.json()["code"]) == (503, "STORE_READ_ONLY")
        assert refused.headers["retry-after"]
        assert stack.client.get(f"{EVENTS}/event-0").status_code == 200
        assert "lane.poisoned_item" not in stack.registration.output()
        way.lead_to(other.port)
        seconds_until_health(stack, 200, 2)
        assert [stack.register(f"event-{number}", 6_000_100 + number).status_code for number in range(_EVENTS)] == [
            201
        ] * _EVENTS


@contextmanager
def _copy_of(postgres: EmbeddedPostgres, folder: Path) -> Iterator[EmbeddedPostgres]:
    """Stop a server, and run another one over a copy of its data."""
    postgres.stop()
    shutil.copytree(postgres.data_dir.parent, folder.parent)
    other = EmbeddedPostgres(folder, free_port())
    other.start()
    try:
        yield other
    finally:
        other.stop()
