"""Play fault schedules from a seed and lose no seat or agora."""

import os
import secrets
import time
from pathlib import Path

import pytest

from tests.money.rounds import Round
from tests.money.schedule import GOOD, Parent, Schedule, schedule
from tests.money.world import money_world

SECONDS = float(os.environ.get("MONEY_SECONDS", "75"))
"""How long new rounds are begun."""


@pytest.mark.timeout(SECONDS * 2 + 240)
async def test_no_seat_and_no_agora_goes_astray(tmp_path: Path) -> None:
    """Play rounds with seeds of the day. MONEY_SEED replays one, MONEY_SECONDS sets how long rounds start."""
    chosen = os.environ.get("MONEY_SEED")
    seed = int(chosen) if chosen else secrets.randbelow(10**6) * 1000
    played, ends_at = 0, time.monotonic() + SECONDS
    async with money_world(tmp_path) as world:
        while time.monotonic() < ends_at and not (chosen and played):
            round_of_seed = schedule(seed + played)
            try:
                await Round(world, round_of_seed).play()
            except BaseException:
                print(f"\nMONEY_SEED={round_of_seed.seed} plays it again:\n{round_of_seed}")
                raise
            played += 1
    print(f"\n{played} rounds from seed {seed}")
    assert played


async def test_a_careless_program_would_be_noticed(tmp_path: Path) -> None:
    """The negative control: one that sends a refund again when its answer was lost fails the same checks."""
    parent = Parent(
        number=1,
        spots=1,
        begins_after=0,
        cards=[GOOD],
        redirect="delivered",
        cancels_after=None,
        refunds=[500],
    )
    faults = [{"action": "zikoyAPI", "kind": "empty_after", "times": 1}]
    careless = Schedule(seed=0, capacity=1, hold_seconds=30, parents=[parent], faults=faults, kills=[])
    async with money_world(tmp_path, "blind-refunds") as world:
        with pytest.raises(AssertionError):
            await Round(world, careless).play()
