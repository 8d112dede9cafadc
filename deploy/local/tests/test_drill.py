"""Check that a drill undoes everything, without a stack."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from ticketcap_local.drills.drill import Drill
from ticketcap_local.drills.repeat import repeat
from ticketcap_local.drills.run import DrillFailed, run
from ticketcap_local.drills.target import CannotDrill, Target, UndoFailed, UnexpectedResponse
from ticketcap_local.drills.telemetry import with_receiver
from ticketcap_local.settings import StackSettings
from ticketcap_local.state import PartStatus, StateFolder

ALERTMANAGER = """route:
  receiver: ticket
  routes:
    # Pages the engineer on call.
    - matchers: [severity="critical"]
      receiver: page
receivers:
- name: page
- name: ticket
"""
Begin = Callable[[Target], Awaitable[None]]


def recorded(notes: list[str], *names: str, failing: str = "", stuck: str = "") -> Begin:
    """Return a drill that notes each fault and its undo step; ``failing`` can't begin, ``stuck`` can't be undone."""

    async def begin(target: Target) -> None:
        for name in names:

            async def undo(name: str = name) -> None:
                notes.append(f"{name} ends")
                if name == stuck:
                    raise OSError("no way back")

            target.undo(undo)
            notes.append(f"{name} begins")
            if name == failing:
                raise UnexpectedResponse("503")

    return begin


@pytest.fixture
async def target(tmp_path: Path) -> Target:
    return Target(StackSettings(state_dir=tmp_path), {})


async def play(target: Target, begin: Begin, *, seconds: float = 0.0) -> list[str]:
    said: list[str] = []
    state = StateFolder(target.settings.state_dir)
    state.prepare()
    with state.locked():
        state.record([PartStatus("gateway", "running", 1, "http://127.0.0.1:1", "")])
        await run(Drill("target-down", "Nothing.", begin), target, seconds=seconds, say=said.append)
    return said


async def test_faults_end_in_the_reverse_order(target: Target) -> None:
    """The announcement names the alert and the runbook."""
    notes: list[str] = []
    said = await play(target, recorded(notes, "first", "second"))
    assert notes == ["first begins", "second begins", "second ends", "first ends"]
    assert "TargetDown" in said[0]
    assert "docs/runbooks/target-down.md" in said[0]


async def test_a_drill_that_fails_to_begin_is_undone_so_far(target: Target) -> None:
    """The fault that failed is undone too: it may have happened halfway."""
    notes: list[str] = []
    with pytest.raises(DrillFailed, match="503"):
        await play(target, recorded(notes, "1", "2", "3", failing="2"))
    assert notes == ["1 begins", "2 begins", "2 ends", "1 ends"]


async def test_a_failed_undo_step_does_not_stop_the_others(target: Target) -> None:
    """The error says what to do."""
    notes: list[str] = []
    with pytest.raises(UndoFailed, match=r"no way back.*ticketcap status"):
        await play(target, recorded(notes, "1", "2", stuck="2"))
    assert notes[-1] == "1 ends"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_undoes_a_drill(target: Target, number: signal.Signals) -> None:
    """At once, without an error."""
    notes: list[str] = []
    asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), number)
    async with asyncio.timeout(10):
        await play(target, recorded(notes, "1"), seconds=3600)
    assert notes == ["1 begins", "1 ends"]


async def test_a_second_signal_does_not_interrupt_the_undo_steps(target: Target) -> None:
    """An impatient operator leaves no fault behind."""
    notes: list[str] = []

    async def begin(target: Target) -> None:
        async def undo() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.2)
            notes.append("undone")

        target.undo(undo)
        os.kill(os.getpid(), signal.SIGINT)

    async with asyncio.timeout(10):
        await play(target, begin, seconds=3600)
    assert notes == ["undone"]


async def test_a_drill_never_runs_in_production(target: Target) -> None:
    """Nothing begins."""
    notes: list[str] = []
    production = Target(target.settings, {"DEPLOYMENT_ENVIRONMENT": "Production"})
    with pytest.raises(CannotDrill, match="production"):
        await play(production, recorded(notes, "1"))
    assert notes == []


async def test_repeated_work_survives_expected_errors_only(target: Target) -> None:
    """A broken stack is the drill's purpose; a mistake of the drill's own is raised at its end."""
    turns: list[int] = []

    async def work() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise TimeoutError
        raise KeyError("a mistake")

    repeat(target, work, pause=0.0)
    await asyncio.sleep(0.4)
    with pytest.raises(UndoFailed, match="a mistake"):
        await target.undo_all()
    assert turns == [0, 1]


def test_alertmanager_gets_a_receiver_of_the_drill_beside_its_own() -> None:
    """Before the first item of both lists, at any indentation; a file without lists is refused."""
    changed = with_receiver(ALERTMANAGER, "http://127.0.0.1:1/").splitlines()
    assert changed[4].startswith('    - {"receiver": "drill"')
    assert changed[8].startswith('- {"name": "drill"')
    assert changed[5] == '    - matchers: [severity="critical"]'
    with pytest.raises(CannotDrill, match="routes"):
        with_receiver("route: {receiver: none}\n", "http://127.0.0.1:1/")
