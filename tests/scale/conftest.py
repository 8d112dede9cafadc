"""Tell the seed and the measured times of tests with several replicas."""

import sys
from collections.abc import Callable

import pytest

from tests.scale.parents import seed_of_run


@pytest.fixture(autouse=True)
def seed() -> int:
    """The run's seed; pytest shows it with each failed test."""
    sys.stdout.write(f"SCALE_SEED={seed_of_run()}\n")
    return seed_of_run()


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Tell a measured time, in seconds, in pytest's report; no test fails on it alone."""

    def record(name: str, seconds: float) -> None:
        record_property(name, round(seconds, 3))
        sys.stdout.write(f"{name}: {seconds:.3f} s\n")

    return record
