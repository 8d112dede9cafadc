"""Add up the counters of all replicas of a service."""

import time
from collections.abc import Callable
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.stack_under_test import Stack

_SOON_SECONDS: Final = 15.0
"""Longest wait for a metrics page, which is computed twice a second."""


def of_each(stack: Stack, service: str, counter: str, **labels: str) -> list[float]:
    """Return the value of a counter in each replica of a service: the sum of its samples with ``labels``."""
    return [_of_page(stack.metrics[replica.name], counter, labels) for replica in stack.replicas[service]]


def _of_page(url: str, counter: str, labels: dict[str, str]) -> float:
    samples = (
        sample
        for family in parse(httpx.get(url, timeout=10, trust_env=False).text)
        for sample in family.samples
        if sample.name == counter
    )
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def soon(read: Callable[[], object], expected: object) -> object:
    """Read until the value is the expected one, or the wait is over; return the last value."""
    deadline = time.monotonic() + _SOON_SECONDS
    while (found := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
