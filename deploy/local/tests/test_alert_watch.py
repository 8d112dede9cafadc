"""Check what `ticketcap drill --watch` says of its alert."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ticketcap_local.drills.alert_watch import AlertWatch
from ticketcap_local.drills.target import CannotDrill, Target
from ticketcap_local.settings import StackSettings
from ticketcap_local.state import PartStatus, StateFolder
from ticketcap_testing.http_server import HttpStandIn, StandInHandler


class Prometheus(HttpStandIn):
    """Answers the list of alerts that it is given."""

    def __init__(self) -> None:
        stand_in = self
        self.states: list[str] = []

        class Handler(StandInHandler):
            def serve(self) -> None:
                alerts = [{"labels": {"alertname": "TargetDown"}, "state": state} for state in stand_in.states]
                others = [{"labels": {"alertname": "Other"}, "state": "firing"}]
                body = json.dumps({"data": {"alerts": [*alerts, *others]}}).encode()
                self.answer(200, body, {"Content-Type": "application/json"})

        super().__init__(Handler)


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with Prometheus() as server:
        yield server


async def test_each_change_is_said_once(tmp_path: Path, prometheus: Prometheus) -> None:
    """Pending, firing though another instance is still pending, gone; other alerts are left out."""
    said: list[str] = []
    state = StateFolder(tmp_path)
    state.prepare()
    with state.locked():
        state.record([PartStatus("prometheus", "running", 1, f"http://{prometheus.address}/alerts", "")])
        watch = AlertWatch(Target(StackSettings(state_dir=tmp_path), {}), "TargetDown", said.append)
        async with watch.following(), asyncio.timeout(20):
            for states in (["pending"], ["pending", "firing"], []):
                before = len(said)
                prometheus.states = states
                while len(said) == before:
                    await asyncio.sleep(0.05)
        await watch.until_resolved()
    assert [line.split(" is ")[1] for line in said] == ["pending", "firing", "inactive"]


async def test_without_prometheus_it_says_how_to_start_it(tmp_path: Path) -> None:
    """Instead of waiting for an alert that nothing evaluates."""
    with pytest.raises(CannotDrill, match="ticketcap up --monitoring"):
        AlertWatch(Target(StackSettings(state_dir=tmp_path), {}), "TargetDown", print)
