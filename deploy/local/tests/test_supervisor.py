"""Check the supervisor over parts that are no processes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ticketcap_local import supervisor
from ticketcap_local.part import PartError
from ticketcap_local.supervisor import Supervisor


@dataclass
class FakePart:
    """Writes what happens to it into ``journal``; ``lives`` says how long each start lives, in seconds."""

    name: str
    journal: list[str]
    needs: Sequence[str] = ()
    starts_in: float = 0.0
    fails: bool = False
    lives: list[float] = field(default_factory=list)
    address: str = "here"
    log_file: Path = Path("x.log")
    pid: int | None = None

    async def start(self) -> None:
        self.journal.append(f"{self.name} starts")
        await asyncio.sleep(self.starts_in)
        if self.fails:
            raise PartError(f"{self.name} can't")
        self.pid = 1
        self.journal.append(f"{self.name} is ready")

    async def ended(self) -> str:
        await asyncio.sleep(self.lives.pop(0) if self.lives else 3600)
        self.pid = None
        return "gone"

    async def stop(self) -> None:
        self.journal.append(f"{self.name} stops")

    def kill(self) -> None:
        self.journal.append(f"{self.name} is killed")


def supervised(*parts: FakePart, said: list[str] | None = None) -> Supervisor:
    return Supervisor(parts, say=(said if said is not None else []).append, changed=lambda: None)


async def test_parts_start_when_what_they_need_is_ready_and_stop_in_reverse() -> None:
    """Parts without needs start at once, in any order."""
    journal: list[str] = []
    run = supervised(
        FakePart("base", journal, starts_in=0.02),
        FakePart("aside", journal),
        FakePart("top", journal, needs=["base"]),
    )
    await run.bring_up()
    assert journal == ["base starts", "aside starts", "aside is ready", "base is ready", "top starts", "top is ready"]
    journal.clear()
    await run.bring_down()
    assert journal == ["top stops", "aside stops", "base stops"]


async def test_a_part_that_can_not_start_ends_the_start_of_all() -> None:
    """Its error is raised, and no other part waits for it."""
    journal: list[str] = []
    run = supervised(
        FakePart("base", journal, fails=True),
        FakePart("slow", journal, starts_in=3600),
        FakePart("top", journal, needs=["base"]),
    )
    with pytest.raises(PartError, match="base can't"):
        await asyncio.wait_for(run.bring_up(), 5)
    assert journal == ["base starts", "slow starts"]


async def test_a_part_that_keeps_dying_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the last pause; one that lived steadily begins at the first again."""
    monkeypatch.setattr(supervisor, "_PAUSES", (0.001, 0.002, 0.003))
    monkeypatch.setattr(supervisor, "_STEADY_SECONDS", 0.05)
    said: list[str] = []
    run = supervised(FakePart("weak", [], lives=[0, 0, 0, 0, 0.1, 0]), said=said)
    await run.bring_up()
    keeping = asyncio.create_task(run.keep_alive())
    while len(said) < 13:
        await asyncio.sleep(0.005)
    keeping.cancel()
    pauses = [line.split()[-2] for line in said if "restart in" in line]
    assert pauses == ["0.001", "0.002", "0.003", "0.003", "0.001", "0.002"]


async def test_a_part_that_does_not_come_back_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each restart is reported; the supervisor watches the other parts meanwhile."""
    monkeypatch.setattr(supervisor, "_PAUSES", (0.001,))
    said: list[str] = []
    weak = FakePart("weak", [], lives=[0, 0, 0])
    run = supervised(weak, FakePart("other", [], lives=[0.01]), said=said)
    await run.bring_up()
    weak.fails = True
    keeping = asyncio.create_task(run.keep_alive())
    while not any("other is ready again" in line for line in said) or sum("weak can't" in line for line in said) < 3:
        await asyncio.sleep(0.005)
    assert sum("weak can't" in line for line in said) == 3
    keeping.cancel()
