"""Check the output, the restarts and the end of a stack."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).parent / "fake_stack.py"
Check = Callable[[Mapping[str, int]], None]


@pytest.fixture
def start_fake(start_stack: Any) -> Callable[..., Any]:
    return lambda **more: start_stack(sys.executable, FAKE, **more)


def test_parts_come_up_after_what_they_need_and_stop_on_ctrl_c(start_fake: Any, nothing_runs: Check) -> None:
    """Each step is reported; one Ctrl-C stops all with exit code 0 and leaves no process and no run file."""
    stack = start_fake()
    stack.wait_for("ready in")
    steps = [line.split()[1] for line in stack.said.splitlines() if "✓" in line]
    assert steps == ["back", "work", "front", "demo"]
    parts = stack.parts()
    assert {name: part.state for name, part in parts.items()} == {"back": "running", "front": "running"}
    pids = stack.pids()
    assert all(os.getsid(pid) == pid for pid in pids.values()), "a terminal's Ctrl-C would reach them"
    stack.interrupt()
    assert stack.process.wait(60) == 0
    assert stack.said.rstrip().splitlines()[-1].startswith("stopped in")
    nothing_runs(pids)
    assert stack.state.parts() == []


def test_a_part_that_dies_is_started_again(start_fake: Any, nothing_runs: Check) -> None:
    """Told with how it ended; the others are left alone; again and again."""
    stack = start_fake()
    stack.wait_for("ready in")
    before = stack.pids()
    for times in (1, 2):
        os.kill(stack.pids()["back"], signal.SIGKILL)
        stack.wait_for("back is ready again", times=times)
    assert "back ended (signal SIGKILL); restart in 0.2 s" in stack.said
    after = stack.pids()
    assert after["front"] == before["front"]
    assert after["back"] != before["back"]
    stack.interrupt()
    assert stack.process.wait(60) == 0
    nothing_runs({**after, "former": before["back"]})


def test_a_second_ctrl_c_forces(start_fake: Any, nothing_runs: Check) -> None:
    """A part that ignores SIGTERM does not keep anybody waiting."""
    stack = start_fake(FAKE_FAULT="stubborn")
    stack.wait_for("ready in")
    pids = stack.pids()
    stack.interrupt()
    stack.wait_for("stopping")
    stack.interrupt()
    assert stack.process.wait(14) == 0  # it would have 15 s to stop by itself
    nothing_runs(pids)


def test_nothing_outlives_a_killed_stack(start_fake: Any, nothing_runs: Check) -> None:
    """SIGKILL of the command ends its parts, and the next one can start at once."""
    stack = start_fake()
    stack.wait_for("ready in")
    pids = stack.pids()
    stack.kill()
    nothing_runs(pids)
    assert stack.state.parts() == []
    start_fake().wait_for("ready in")


def test_ctrl_c_while_starting_stops_what_was_started(start_fake: Any, nothing_runs: Check) -> None:
    """Also before anything is ready."""
    stack = start_fake()
    stack.wait_for("✓ back")
    pids = stack.pids()
    assert "back" in pids
    stack.interrupt()
    assert stack.process.wait(60) == 0
    nothing_runs(pids)


def test_a_part_that_can_not_start_is_told_with_its_last_words(start_fake: Any, nothing_runs: Check) -> None:
    """The others are stopped, and the exit code is 1."""
    stack = start_fake(FAKE_FAULT="dies")
    stack.process.wait(60)
    assert stack.process.returncode == 1
    assert "front ended (exit code 1) before it was ready" in stack.said
    assert "no luck today" in stack.said
    assert "front.log" in stack.said
    assert stack.state.parts() == []


def test_one_folder_has_one_stack(start_fake: Any) -> None:
    """The second one exits with an error; the first one keeps running."""
    first = start_fake()
    first.wait_for("ready in")
    second = start_fake()
    assert second.process.wait(60) == 1
    assert "TICKETCAP_STATE_DIR" in second.said
    assert first.parts()["front"].state == "running"


def test_a_taken_port_is_told_before_anything_starts(start_fake: Any, environment: dict[str, str]) -> None:
    """With the port and the variable that moves it."""
    port = environment["TICKETCAP_OTLP_HTTP_PORT"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(port)))
        taken.listen()
        stack = start_fake()
        assert stack.process.wait(60) == 1
    assert (
        f"port {port} (otlp http) is taken: stop the program that uses it, or set TICKETCAP_OTLP_HTTP_PORT"
        in stack.said
    )
    assert "✓" not in stack.said
