"""Start a stack of the test's own on free ports."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from ticketcap_local.state import PartStatus, StateFolder
from ticketcap_testing.stack import free_port

_REPLACED = ("DATABASE_URL", "PAYMENT_DATABASE_URL", "YAADPAY_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT")


class RunningStack:
    """A command that runs a stack, and its output."""

    def __init__(self, argv: Sequence[str | Path], environment: Mapping[str, str], log_file: Path) -> None:
        self.state = StateFolder(Path(environment["TICKETCAP_STATE_DIR"]))
        self._log_file = log_file
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, start_new_session=True)

    @property
    def said(self) -> str:
        return self._log_file.read_text()

    def wait_for(self, text: str, *, times: int = 1, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.said.count(text) < times:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.said}"
            time.sleep(0.02)

    def parts(self) -> dict[str, PartStatus]:
        return {part.name: part for part in self.state.parts()}

    def pids(self) -> dict[str, int]:
        return {name: part.pid for name, part in self.parts().items() if part.pid is not None}

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    services = ("GATEWAY", "REGISTRATION", "PAYMENT")
    names = [*services, *(f"{name}_METRICS" for name in services), "YAADPAY", "POSTGRES", "OTLP_GRPC", "OTLP_HTTP"]
    ports = {f"TICKETCAP_{name}_PORT": str(free_port()) for name in names}
    inherited = {name: value for name, value in os.environ.items() if name not in _REPLACED}
    return {**inherited, **ports, "TICKETCAP_STATE_DIR": str(tmp_path / "state"), "PYTHONUNBUFFERED": "1"}


StartStack = Callable[..., RunningStack]


@pytest.fixture
def start_stack(environment: dict[str, str], tmp_path: Path) -> Iterator[StartStack]:
    """Start a stack's command; it ends with the test."""
    started: list[RunningStack] = []

    def start(*argv: str | Path, **more: str) -> RunningStack:
        stack = RunningStack(argv, {**environment, **more}, tmp_path / f"up-{len(started)}.log")
        started.append(stack)
        return stack

    yield start
    for stack in started:
        stack.kill()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def nothing_runs() -> Callable[[Mapping[str, int]], None]:
    """Assert that every process is gone within a few seconds."""

    def check(pids: Mapping[str, int]) -> None:
        for _ in range(250):
            if not any(map(is_running, pids.values())):
                return
            time.sleep(0.02)
        pytest.fail(f"still running: {[name for name, pid in pids.items() if is_running(pid)]}")

    return check
