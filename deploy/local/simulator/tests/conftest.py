from collections.abc import Iterator

import pytest
from ticketcap_testing.yaadpay import Gateway, running


@pytest.fixture(scope="module")
def _simulator() -> Iterator[Gateway]:
    with running() as gateway:
        yield gateway


@pytest.fixture
def gateway(_simulator: Gateway) -> Gateway:
    """A simulator that remembers nothing of earlier tests."""
    _simulator.forget()
    return _simulator
