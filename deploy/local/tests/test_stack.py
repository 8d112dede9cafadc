"""Run the real stack as `ticketcap up` does."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

TICKETCAP = Path(sys.executable).parent / "ticketcap"


def run(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [TICKETCAP, *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def wait_until_ready(environment: Mapping[str, str]) -> None:
    """The gateway takes up to a second to find a service that came back."""
    url = f"http://127.0.0.1:{environment['TICKETCAP_GATEWAY_PORT']}/readyz"
    for _ in range(600):
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.HTTPError as error:
            error.close()
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{url} does not say 200")


def event_of(environment: Mapping[str, str]) -> dict[str, Any]:
    port = environment["TICKETCAP_GATEWAY_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/schools/herzl/events/spring-match") as answer:
        event: dict[str, Any] = json.load(answer)
    return event


def test_the_stack_comes_up_mends_itself_and_keeps_its_state(
    start_stack: Any, environment: dict[str, str], nothing_runs: Callable[[Mapping[str, int]], None]
) -> None:
    """Killed parts restart, a rush reserves every spot once, and the registrations are there in the next run."""
    first = start_stack(TICKETCAP, "up")
    first.wait_for("ready in")
    before = first.pids()
    assert set(before) == {"postgres", "traces", "yaadpay", "registration", "payment", "gateway"}
    for name in ("registration", "payment", "postgres"):
        os.kill(before[name], signal.SIGKILL)
    first.wait_for("registration is ready again")
    first.wait_for("payment is ready again")
    first.wait_for("postgres is ready again")
    wait_until_ready(environment)
    rush = run(environment, "traffic", "--parents", "150", "--concurrency", "16")
    assert "nothing oversold" in rush.stdout, rush.stdout + rush.stderr
    assert event_of(environment)["confirmed"] == 100
    last = {**{f"former {name}": pid for name, pid in before.items()}, **first.pids()}
    first.interrupt()
    assert first.process.wait(40) == 0
    nothing_runs(last)

    second = start_stack(TICKETCAP, "up")
    second.wait_for("ready in")
    assert event_of(environment)["confirmed"] == 100
    second.interrupt()
    assert second.process.wait(40) == 0
