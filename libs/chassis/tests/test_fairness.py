"""Check fair semaphores and slices of the event loop."""

import asyncio
from contextlib import suppress

import pytest
from ticketcap_chassis.concurrency.fair_semaphore import FairSemaphore
from ticketcap_chassis.concurrency.slices import SLICE, in_slices


async def test_a_key_whose_users_hang_takes_its_share_and_nothing_more() -> None:
    """Others come and go meanwhile; the key's further users wait in the order of their arrival."""
    slots, released, order = FairSemaphore(4, per_key=2), asyncio.Event(), list[int]()

    async def hang(number: int) -> None:
        async with slots.slot("stuck"):
            order.append(number)
            await released.wait()

    hung = [asyncio.create_task(hang(number)) for number in range(6)]
    await asyncio.sleep(0.01)
    assert order == [0, 1]
    async with asyncio.timeout(5), slots.slot("one"), slots.slot("two"):
        assert order == [0, 1]
    released.set()
    await asyncio.gather(*hung)
    assert order == list(range(6))
    assert not slots._shares, "a key without users is forgotten"


async def test_all_keys_together_have_a_bound() -> None:
    """However many keys there are."""
    slots, inside, most = FairSemaphore(3, per_key=2), 0, 0

    async def use(key: int) -> None:
        nonlocal inside, most
        async with slots.slot(key):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(use(number) for number in range(20)))
    assert most == 3


@pytest.mark.parametrize("fails", [True, False])
async def test_a_user_that_leaves_gives_its_place_back(fails: bool) -> None:
    """Cancelled in the queue or inside, or failed: the next one has the place."""
    slots, inside = FairSemaphore(1, per_key=1), asyncio.Event()

    async def use() -> None:
        async with slots.slot("key"):
            inside.set()
            if fails:
                raise LookupError
            await asyncio.sleep(60)

    first, second = asyncio.create_task(use()), asyncio.create_task(use())
    await inside.wait()
    second.cancel()
    if not fails:
        first.cancel()
    for task in (first, second):
        with suppress(asyncio.CancelledError, LookupError):
            await task
    async with asyncio.timeout(5), slots.slot("key"):
        assert len(slots._shares) == 1
    assert not slots._shares


async def test_other_work_runs_between_the_slices() -> None:
    """A thousand things in one go would let nothing else run; in order, and all of them."""
    turns, done, ended = 0, list[int](), False

    async def others() -> None:
        nonlocal turns
        while not ended:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    async for number in in_slices(range(1000)):
        done.append(number)
    ended = True
    await other
    assert done == list(range(1000))
    assert turns >= 1000 // SLICE - 1
