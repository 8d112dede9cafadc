"""Provide fixtures to tests that cross services."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack_under_test import Stack
from tests.stack_under_test import stack as run_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One system for the tests of a module."""
    with run_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A system that the test may break."""
    with run_stack(tmp_path) as running:
        yield running
