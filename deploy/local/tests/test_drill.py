"""Drills without a stack: what was begun is undone, whatever happens in between."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from ticketcap_local.drills.drill import Drill, NotUndone
from ticketcap_local.drills.ground import CannotDrill, Ground, Refused
from ticketcap_local.drills.repeated import Repeated
from ticketcap_local.drills.run import DrillFailed, run
from ticketcap_local.drills.telemetry import with_receiver
from ticketcap_local.settings import StackSettings
from ticketcap_local.state import Running, StateFolder

ALERTMANAGER = """route:
  receiver: ticket
  routes:
    # Wakes somebody.
    - matchers: [severity="critical"]
      receiver: page
receivers:
- name: page
- name: ticket
"""


class Recorded:
    """A fault that only notes what is done with it."""

    def __init__(self, notes: list[str], name: str, *, fails: Exception | None = None, stays: bool = False) -> None:
        self._notes, self._name, self._fails, self._stays = notes, name, fails, stays

    async def begin(self, _ground: Ground) -> None:
        self._notes.append(f"{self._name} begins")
        if self._fails:
            raise self._fails

    async def end(self, _ground: Ground) -> None:
        self._notes.append(f"{self._name} ends")
        if self._stays:
            raise OSError("no way back")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(StackSettings(state_dir=tmp_path), {})


async def play(ground: Ground, *faults: Recorded, seconds: float = 0.0) -> list[str]:
    said: list[str] = []
    state = StateFolder(ground.settings.state_dir)
    state.prepare()
    with state.owned():
        state.note([Running("gateway", "running", 1, "http://127.0.0.1:1", "")])
        await run(Drill("target-down", "Nothing.", faults), ground, seconds=seconds, say=said.append)
    return said


async def test_faults_end_in_the_reverse_order(ground: Ground) -> None:
    """And it is said what to expect and where to read on."""
    notes: list[str] = []
    said = await play(ground, Recorded(notes, "first"), Recorded(notes, "second"))
    assert notes == ["first begins", "second begins", "second ends", "first ends"]
    assert "TargetDown" in said[0]
    assert "docs/runbooks/target-down.md" in said[0]


async def test_what_does_not_begin_is_undone_as_far_as_it_came(ground: Ground) -> None:
    """The third is never begun."""
    notes: list[str] = []
    with pytest.raises(DrillFailed, match="no such luck"):
        await play(
            ground, Recorded(notes, "1"), Recorded(notes, "2", fails=Refused("no such luck")), Recorded(notes, "3")
        )
    assert notes == ["1 begins", "2 begins", "2 ends", "1 ends"]


async def test_what_can_not_be_undone_keeps_nothing_else_broken(ground: Ground) -> None:
    """It is told, with what to do."""
    notes: list[str] = []
    with pytest.raises(NotUndone, match=r"no way back.*ticketcap status"):
        await play(ground, Recorded(notes, "1"), Recorded(notes, "2", stays=True))
    assert notes[-1] == "1 ends"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_undoes_it(ground: Ground, number: signal.Signals) -> None:
    """At once, without an error."""
    notes: list[str] = []
    asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), number)
    async with asyncio.timeout(10):
        await play(ground, Recorded(notes, "1"), seconds=3600)
    assert notes == ["1 begins", "1 ends"]


async def test_production_is_never_broken(ground: Ground) -> None:
    """Nothing is begun."""
    notes: list[str] = []
    with pytest.raises(CannotDrill, match="production"):
        await play(Ground(ground.settings, {"DEPLOYMENT_ENVIRONMENT": "Production"}), Recorded(notes, "1"))
    assert notes == []


async def test_what_callers_meet_ends_nothing_and_a_mistake_is_told(ground: Ground) -> None:
    """A broken stack is what they are there for; a fault of the drill's own is not."""
    met: list[int] = []

    async def work(_ground: Ground) -> None:
        met.append(len(met))
        if len(met) == 1:
            raise TimeoutError
        raise KeyError("a mistake")

    calls = Repeated(work, pause=0.0)
    await calls.begin(ground)
    await asyncio.sleep(0.4)
    with pytest.raises(KeyError):
        await calls.end(ground)
    assert met == [0, 1]


def test_alertmanager_gets_a_receiver_of_the_drill_and_keeps_its_own() -> None:
    """Before the others, wherever its list stands; a file without lists is refused."""
    changed = with_receiver(ALERTMANAGER, "http://127.0.0.1:1/").splitlines()
    assert changed[4].startswith('    - {"receiver": "drill"')
    assert changed[8].startswith('- {"name": "drill"')
    assert changed[5] == '    - matchers: [severity="critical"]'
    with pytest.raises(CannotDrill, match="routes"):
        with_receiver("route: {receiver: nobody}\n", "http://127.0.0.1:1/")
