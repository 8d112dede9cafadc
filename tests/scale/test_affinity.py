"""Test that an event's claims reach one replica of registration."""

from collections.abc import Iterator

import httpx
import pytest

from tests.scale.counters import of_each, soon
from tests.stack_under_test import EVENTS, ReplicaCounts, Stack
from tests.stack_under_test import stack as run_stack

CREATED = "registration_created_total"


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three registration and two gateway processes, as they are shipped."""
    counts = ReplicaCounts(registration=3, gateway=2)
    folder = tmp_path_factory.mktemp("affinity")
    with run_stack(folder, {"METRICS_ADDRESS": "127.0.0.1"}, counts=counts) as running:
        yield running


def test_an_events_claims_reach_one_replica(replicas: Stack) -> None:
    """Both gateways choose the same replica for an event, and other replicas for other events."""
    shares = [_shares(replicas, f"event-{number}") for number in range(12)]
    assert [len(share) for share in shares] == [1] * 12, shares
    assert len(set.union(*shares)) > 1


def _shares(stack: Stack, event: str) -> set[int]:
    """Return the replicas that got claims of an event: half of them through each gateway."""
    stack.open_event(event)
    before = of_each(stack, "registration", CREATED)
    for number in range(6):
        body = {"name": "דנה כהן", "phone": f"053-{number + 3_000_000:07d}", "spots": 1}
        url = f"{stack.urls[number % 2]}{EVENTS}/{event}/registrations"
        assert httpx.post(url, json=body, timeout=30, trust_env=False).status_code == 201
    total = sum(before) + 6
    assert soon(lambda: sum(of_each(stack, "registration", CREATED)), total) == total
    after = of_each(stack, "registration", CREATED)
    return {number for number, (old, new) in enumerate(zip(before, after, strict=True)) if new > old}
