"""Limit set-up and clean-up of each test, apart from the test itself.

The ``timeout`` of pytest-timeout limits the test's own code. A fixture that starts a whole stack may take
longer on a busy machine, and its delay is no fault of the test that happens to come first.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SETUP_SECONDS = 300
TEARDOWN_SECONDS = 120


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Fail a test whose fixtures do not become ready in time."""
    with _limit(SETUP_SECONDS, "set-up"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fail a test whose fixtures do not end in time."""
    with _limit(TEARDOWN_SECONDS, "clean-up"):
        return (yield)


@contextmanager
def _limit(seconds: float, phase: str) -> Iterator[None]:
    """Raise pytest's failure in the main thread when the code inside takes too long."""

    def expire(*_: object) -> None:
        pytest.fail(f"{phase} took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
