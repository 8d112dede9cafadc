"""Check when the tool advises a higher coverage floor."""

import pytest
from coverage_floor import advice


@pytest.mark.parametrize(("measured", "says"), [(49.0, False), (51.9, False), (52.0, True), (60.0, True)])
def test_two_points_above_the_floor_are_worth_a_word(measured: float, says: bool) -> None:
    assert bool(advice(measured, 50)) is says
