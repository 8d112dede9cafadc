"""Run drills on the embedded stack as an operator does."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ticketcap_testing.stack import ServiceProcess, free_port

TICKETCAP: Final = Path(sys.executable).parent / "ticketcap"
_PARTS: Final = ("GATEWAY", "REGISTRATION", "PAYMENT")
_PORTS: Final = (*_PARTS, *(f"{name}_METRICS" for name in _PARTS), "YAADPAY", "POSTGRES", "OTLP_GRPC", "OTLP_HTTP")
_QUICK: Final = {"AUDIT_SECONDS": "0.5", "GAUGES_SECONDS": "0.5", "REQUEST_SECONDS": "4"}
"""Settings of the services, from the environment of the command."""
_BYTECODE: Final = Path(__file__).resolve().parents[2] / ".build/bytecode"
_START_SECONDS: Final = 90.0
_BEGIN_SECONDS: Final = 90.0
_LASTS_SECONDS: Final = 600
_END_SECONDS: Final = 120.0


@dataclass(frozen=True)
class DrilledStack:
    """A stack that runs; ``environment`` is what a ``ticketcap`` command needs to find it."""

    environment: Mapping[str, str]

    @property
    def targets(self) -> dict[str, str]:
        """Where each job of Prometheus finds its page; the sink is this stack's collector."""
        ports = {name.lower(): self.environment[f"TICKETCAP_{name}_METRICS_PORT"] for name in _PARTS}
        ports["otel-collector"] = self.environment["TICKETCAP_OTLP_HTTP_PORT"]
        return {job: f"127.0.0.1:{port}" for job, port in ports.items()}

    def address(self, part: str) -> str:
        """Return the URL of a part; ``part`` is as in TICKETCAP_..._PORT."""
        return f"http://127.0.0.1:{self.environment[f'TICKETCAP_{part}_PORT']}"

    def ticketcap(self, *arguments: str) -> str:
        """Run a command to its end and return what it printed; raise AssertionError when it fails."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            [TICKETCAP, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def drill(self, name: str, folder: Path, **more: str) -> Iterator[None]:
        """Run a drill, from its being under way to the Ctrl-C that ends it."""
        log_file = folder / f"{name}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [TICKETCAP, "drill", name, "--seconds", str(_LASTS_SECONDS)],
                env={**os.environ, **self.environment, **more},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait_until_under_way(process, log_file)
            yield
            process.send_signal(2)
            assert process.wait(_END_SECONDS) == 0, log_file.read_text()
            assert "undone" in log_file.read_text()
        finally:
            if process.poll() is None:
                process.send_signal(2)
                try:
                    process.wait(_END_SECONDS)
                finally:
                    process.kill()
                    process.wait()


def _wait_until_under_way(process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    deadline = time.monotonic() + _BEGIN_SECONDS
    while "under way" not in log_file.read_text():
        assert process.poll() is None, log_file.read_text()
        assert time.monotonic() < deadline, log_file.read_text()
        time.sleep(0.05)


@contextmanager
def drilled_stack(folder: Path) -> Iterator[DrilledStack]:
    """Run a stack on free ports."""
    ports = {f"TICKETCAP_{name}_PORT": str(free_port()) for name in _PORTS}
    environment = {**ports, **_QUICK, "TICKETCAP_STATE_DIR": str(folder / "state")}
    # Compiled once for all runs: that is half of a start.
    environment["PYTHONPYCACHEPREFIX"] = str(_BYTECODE)
    up = ServiceProcess(
        "up",
        [str(TICKETCAP), "up"],
        environment,
        ready=lambda: "ready in" in up.output(),
        folder=folder,
        start_seconds=_START_SECONDS,
    )
    with up:
        yield DrilledStack(environment)
        up.terminate(_END_SECONDS)
