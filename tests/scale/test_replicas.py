"""Test several replicas of every service on one database and one YaadPay."""

import asyncio
import queue
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest
from ticketcap_local.traffic import Rush
from ticketcap_local.traffic import rush as traffic
from ticketcap_testing.stack import ServiceProcess

from tests.scale.counters import of_each, soon
from tests.scale.exactness import assert_exact
from tests.scale.parents import at_once, rush, seed_of_run, wait_for
from tests.stack_under_test import EVENTS, ReplicaCounts, Stack, as_it_is
from tests.stack_under_test import stack as run_stack
from tests.test_end_to_end import watching
from tests.test_payments_end_to_end import held, opened, paid_on_the_page

CAPACITY: Final = 100
PARENTS: Final = 500
"""Of each gateway."""
REPEATS: Final = 20
_REREAD_SECONDS: Final = 15.0
_BUSY_MACHINE_SECONDS: Final = 15.0
_ROUTE: Final = "/api/v1/schools/{school}/events/{event}/registrations"
Frames = list[dict[str, Any]]


def _started(module: str) -> list[str]:
    """Spread the events whose slug begins with ``spread-`` over the replicas; others go to one of them."""
    spreading = [sys.executable, "-m", "tests.scale.spreading"]
    return spreading if module == "ticketcap_gateway" else as_it_is(module)


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three registration, two payment and two gateway processes."""
    counts = ReplicaCounts(registration=3, payment=2, gateway=2)
    # A client that left is noticed at the next heartbeat, so a watch ends soon.
    settings = {"METRICS_ADDRESS": "127.0.0.1", "HEARTBEAT_SECONDS": "1"}
    with run_stack(tmp_path_factory.mktemp("replicas"), settings, _started, counts=counts) as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Rushed:
    """A rush through both gateways: its outcomes, what each gateway's stream told, and the growth of counters."""

    outcomes: list[Rush]
    frames: list[Frames]
    requests: list[float]
    created: list[float]
    confirmed: list[float]
    waitlisted: list[float]


@pytest.fixture(scope="module")
def rushed(replicas: Stack) -> Rushed:
    replicas.open_event("spread-rush", capacity=CAPACITY)
    before = _counters(replicas)
    with ExitStack() as watches:
        streams = [watches.enter_context(watching(_through(replicas, url), "spread-rush")) for url in replicas.urls]
        outcomes = asyncio.run(_through_both(replicas, seed_of_run()))
        frames = [_frames_until(stream, waitlisted=2 * PARENTS - CAPACITY) for stream in streams]
    expected = [2 * PARENTS, 2 * PARENTS, CAPACITY, 2 * PARENTS - CAPACITY]
    soon(lambda: [sum(_growth(old, new)) for old, new in zip(before, _counters(replicas), strict=True)], expected)
    growth = [_growth(old, new) for old, new in zip(before, _counters(replicas), strict=True)]
    requests, created, confirmed, waitlisted = growth
    return Rushed(
        outcomes=outcomes,
        frames=frames,
        requests=requests,
        created=created,
        confirmed=confirmed,
        waitlisted=waitlisted,
    )


async def _through_both(stack: Stack, seed: int) -> list[Rush]:
    calls = [
        traffic(
            url=url,
            school="herzl",
            event="spread-rush",
            parents=PARENTS,
            concurrency=64,
            seconds=60,
            seed=seed + number,
        )
        for number, url in enumerate(stack.urls)
    ]
    return list(await asyncio.gather(*calls))


def _through(stack: Stack, url: str) -> Stack:
    """Return the same system, seen through another gateway."""
    return replace(stack, url=url)


def _frames_until(stream: "queue.Queue[dict[str, Any]]", *, waitlisted: int) -> Frames:
    """Read a stream until it tells this waitlist."""
    frames: Frames = []
    while not frames or frames[-1]["waitlisted"] != waitlisted:
        frames.append(stream.get(timeout=_REREAD_SECONDS + _BUSY_MACHINE_SECONDS))
    return frames


def _counters(stack: Stack) -> list[list[float]]:
    created, confirmed, waitlisted = (
        of_each(stack, "registration", f"registration_{name}_total") for name in ("created", "confirmed", "waitlisted")
    )
    requests = of_each(stack, "gateway", "api_request_count_total", method="POST", route=_ROUTE)
    return [requests, created, confirmed, waitlisted]


def _growth(before: list[float], after: list[float]) -> list[float]:
    return [new - old for old, new in zip(before, after, strict=True)]


def test_a_rush_through_both_gateways_is_exact(replicas: Stack, rushed: Rushed) -> None:
    """Every parent gets an answer, 100 a seat, the others the positions 1 to 900; rows and seats agree."""
    assert [outcome.refusals for outcome in rushed.outcomes] == [Counter(), Counter()]
    answers = [answer for outcome in rushed.outcomes for answer in outcome.answers]
    assert len(answers) == 2 * PARENTS
    assert_exact(replicas, "spread-rush", answers, capacity=CAPACITY)


def test_both_gateways_streams_are_complete_and_in_order(replicas: Stack, rushed: Rushed) -> None:
    """Versions only grow, no frame oversells, and the last one is the event itself."""
    event = replicas.event("spread-rush")
    for frames in rushed.frames:
        versions = [frame["version"] for frame in frames]
        assert versions == sorted(set(versions))
        assert all(frame["confirmed"] <= CAPACITY for frame in frames)
        assert all(frame["confirmed"] == CAPACITY for frame in frames if frame["waitlisted"])
        assert {name: frames[-1][name] for name in ("confirmed", "waitlisted", "available")} == {
            name: event[name] for name in ("confirmed", "waitlisted", "available")
        }
    assert rushed.frames[0][-1]["version"] == rushed.frames[1][-1]["version"]


def test_the_replicas_counters_add_up(rushed: Rushed) -> None:
    """Gateways count the requests, registrations the outcomes, and every replica does a part."""
    assert rushed.requests == [PARENTS, PARENTS]
    assert sum(rushed.created) == 2 * PARENTS
    assert sum(rushed.confirmed) == CAPACITY
    assert sum(rushed.waitlisted) == 2 * PARENTS - CAPACITY
    assert all(rushed.created), "a replica got no claim: the gateways do not reach it"


def test_one_key_through_both_gateways_is_one_registration(replicas: Stack) -> None:
    """Four requests at once, two through each gateway: one id; a repeat while the first is in flight is refused."""
    replicas.open_event("spread-keys")
    for number in range(REPEATS):
        answers = at_once(
            [_claim(url, "spread-keys", number, {"Idempotency-Key": f"one-{number}"}) for url in replicas.urls * 2]
        )
        created = [answer.json()["id"] for answer in answers if answer.status_code == httpx.codes.CREATED]
        refused = [answer.json()["code"] for answer in answers if answer.status_code != httpx.codes.CREATED]
        assert len(set(created)) == 1
        assert set(refused) <= {"IDEMPOTENCY_IN_FLIGHT"}, refused
    assert replicas.event("spread-keys")["confirmed"] == REPEATS
    assert len(replicas.registrations("spread-keys")) == REPEATS


def test_one_phone_through_both_gateways_is_one_registration(replicas: Stack) -> None:
    """Four requests at once with a key each: one is created, three are refused."""
    replicas.open_event("spread-phones")
    for number in range(REPEATS):
        answers = at_once([_claim(url, "spread-phones", number, {}) for url in replicas.urls * 2])
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"ALREADY_REGISTERED"}
    assert replicas.event("spread-phones")["confirmed"] == REPEATS
    assert len(replicas.registrations("spread-phones")) == REPEATS


def _claim(url: str, event: str, number: int, headers: dict[str, str]) -> Callable[[], httpx.Response]:
    body = {"name": "דנה כהן", "phone": f"053-{number + 2_000_000:07d}", "spots": 1}
    path = f"{url}{EVENTS}/{event}/registrations"
    return lambda: httpx.post(path, json=body, headers=headers, timeout=30, trust_env=False)


def test_a_cancellation_through_one_gateway_is_seen_through_the_other(
    replicas: Stack, report: Callable[[str, float], None]
) -> None:
    """The first of the waitlist is promoted in the same transaction, and the other gateway's stream tells it."""
    replicas.open_event("spread-promotion", capacity=1)
    first, second = (replicas.register("spread-promotion", number).json() for number in (2_000_001, 2_000_002))
    assert (first["status"], second["status"]) == ("CONFIRMED", "WAITLISTED")
    with watching(_through(replicas, replicas.urls[1]), "spread-promotion") as seen:
        began = time.monotonic()
        cancelled = httpx.post(
            f"{replicas.urls[0]}/api/v1/registrations/{first['id']}/cancel",
            headers={"X-Manage-Token": first["manage_token"]},
            trust_env=False,
        )
        assert cancelled.status_code == 200, cancelled.text
        # A lost announcement would be made good by a later read of the event, and must not fail the test.
        frame = seen.get(timeout=_REREAD_SECONDS + _BUSY_MACHINE_SECONDS)
        seconds = time.monotonic() - began
    assert (frame["confirmed"], frame["waitlisted"], frame["promoted"]) == (1, 0, 1)
    report("promotion seen after", seconds)
    statuses = {row["id"]: row["status"] for row in replicas.registrations("spread-promotion")}
    assert statuses == {first["id"]: "CANCELLED", second["id"]: "CONFIRMED"}


def test_payments_through_both_gateways_are_captured_once(replicas: Stack) -> None:
    """A page that one gateway opens returns through the other; the payment replicas' counters add up."""
    replicas.open_event("trip", price_agorot=4990)
    before = of_each(replicas, "payment", "payment_completed_total")
    gateways = [httpx.Client(base_url=url, timeout=30, trust_env=False) for url in replicas.urls]
    for number in range(4):
        opens, returns = gateways[number % 2], gateways[(number + 1) % 2]
        hold = held(replicas, "trip", number + 2_000_000)
        page = opened(replace(replicas, client=opens), hold).json()["redirect_url"]
        back = httpx.URL(paid_on_the_page(replicas, page))
        result = returns.get(back.raw_path.decode(), headers={"Accept": "application/json"}).json()
        assert (result["state"], result["seat"]) == ("CAPTURED", "CONFIRMED")
    for gateway in gateways:
        gateway.close()
    assert replicas.event("trip")["confirmed"] == 4
    assert soon(lambda: sum(of_each(replicas, "payment", "payment_completed_total")) - sum(before), 4) == 4


def test_the_replica_of_an_event_killed_in_its_rush(replicas: Stack, seed: int) -> None:
    """SIGKILL of the replica to which the gateways send the event: parents repeat with the same key.

    Another replica takes the event over, every answer is final, and the sums are right.
    """
    replicas.open_event("kill", capacity=CAPACITY)
    victim, first = _replica_of("kill", replicas)
    with rush(replicas.urls, "kill", 400, seed=seed) as outcome:
        wait_for(outcome, 100)
        victim.kill()
    try:
        assert len(outcome.answers) == outcome.parents, outcome.refusals
        assert_exact(replicas, "kill", [first, *outcome.answers.values()], capacity=CAPACITY)
    finally:
        victim.start()


def _replica_of(event: str, stack: Stack) -> tuple[ServiceProcess, dict[str, Any]]:
    """Register one parent; return the replica that created the registration, and the answer."""

    def created() -> list[float]:
        return of_each(stack, "registration", "registration_created_total")

    # The page still lacks the counts of the last half second.
    time.sleep(1)
    before = created()
    answer = stack.register(event, 2_500_000)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    assert soon(lambda: sum(_growth(before, created())), 1) == 1
    return stack.replicas["registration"][_growth(before, created()).index(1)], answer.json()


def test_without_the_lock_replicas_oversell(tmp_path: Path, seed: int) -> None:
    """The negative control: without the lock, the CHECK and the change log's keys the race is real.

    The comparison of the other tests notices it.
    """

    def started(module: str) -> list[str]:
        unlocked = [sys.executable, "-m", "tests.scale.without_lock"]
        return unlocked if module == "ticketcap_registration" else _started(module)

    counts = ReplicaCounts(registration=2)
    with run_stack(tmp_path, {"LANE_BATCH": "10"}, started=started, counts=counts) as stack:
        with psycopg.connect(stack.postgres.url("registration"), autocommit=True) as owner:
            owner.execute("ALTER TABLE events DROP CONSTRAINT events_never_oversold")
            # Two transactions with the same version of an event meet in these keys.
            owner.execute("ALTER TABLE registration_changes DROP CONSTRAINT registration_changes_pkey")
            owner.execute("ALTER TABLE unread_changes DROP CONSTRAINT unread_changes_pkey")
        # Many small batches fill the event, and any two that overlap in two replicas oversell it.
        stack.open_event("spread-race", capacity=150)
        with rush(stack.urls, "spread-race", 250, seed=seed, slots=60) as outcome:
            pass
        statuses = Counter(row["status"] for row in stack.registrations("spread-race"))
        assert statuses["CONFIRMED"] > 150
        with pytest.raises(AssertionError):
            assert_exact(stack, "spread-race", outcome.answers.values(), capacity=150)
