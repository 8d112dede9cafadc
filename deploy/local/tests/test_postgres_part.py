"""PostgreSQL as a part of the stack."""

import asyncio
import time
from pathlib import Path

import pytest
from ticketcap_local.part import PartError
from ticketcap_local.postgres import EmbeddedPostgres, PostgresError
from ticketcap_local.postgres_part import PostgresPart
from ticketcap_testing.stack import free_port


class SlowServer(EmbeddedPostgres):
    """Takes its time to start, and then fails or not."""

    started = stopped = 0.0
    fails = False

    def start(self) -> None:
        time.sleep(0.3)
        self.started = time.monotonic()
        if self.fails:
            raise PostgresError("it can't")

    def stop(self) -> None:
        self.stopped = time.monotonic()


def part_of(folder: Path) -> tuple[PostgresPart, SlowServer]:
    server = SlowServer(folder / "data", free_port())
    return PostgresPart(server=server, databases=[]), server


@pytest.mark.parametrize("fails", [False, True])
async def test_a_start_that_is_cancelled_is_waited_for(tmp_path: Path, fails: bool) -> None:
    """However often it is cancelled: else the server would come up after the stop."""
    part, server = part_of(tmp_path)
    server.fails = fails
    starting = asyncio.create_task(part.start())
    for _ in range(3):
        await asyncio.sleep(0.05)
        starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await part.stop()
    assert 0 < server.started < server.stopped


async def test_a_server_that_can_not_start_is_a_part_that_can_not(tmp_path: Path) -> None:
    """With the server's own words."""
    part, server = part_of(tmp_path)
    server.fails = True
    with pytest.raises(PartError, match="it can't"):
        await part.start()
