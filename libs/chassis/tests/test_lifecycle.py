"""What runs by itself outlives each of its turns."""

import asyncio

import pytest
from ticketcap_chassis.lifecycle import every


async def test_a_hung_turn_is_ended_and_the_next_one_comes() -> None:
    """A turn that waits for something that never comes does not end the job."""
    turns = 0
    went_on = asyncio.Event()

    async def work() -> None:
        nonlocal turns
        turns += 1
        if turns > 1:
            went_on.set()
        await asyncio.Event().wait()

    job = asyncio.create_task(every(0.01, work, name="audit", limit=0.1))
    await asyncio.wait_for(went_on.wait(), 20)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
