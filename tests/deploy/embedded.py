"""The embedded stack as a developer has it: ``ticketcap up`` on ports and in a folder of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ticketcap_local.testing import free_port

_REPLACED: Final = ("DATABASE_URL", "PAYMENT_DATABASE_URL", "YAADPAY_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SERVICES: Final = ("GATEWAY", "REGISTRATION", "PAYMENT")
_READY: Final = "Ctrl-C stops everything"
_START_SECONDS: Final = 120
_STOP_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Embedded:
    """A stack that runs; ``environment`` is what any ``ticketcap`` command needs to find it."""

    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.environment['TICKETCAP_GATEWAY_PORT']}"

    @property
    def simulator(self) -> str:
        """The address of YaadPay's simulator."""
        return f"http://127.0.0.1:{self.environment['TICKETCAP_YAADPAY_PORT']}"

    @property
    def metrics_pages(self) -> dict[str, str]:
        """Job to host:port of the three services' metrics pages."""
        return {name.lower(): f"127.0.0.1:{self.environment[f'TICKETCAP_{name}_METRICS_PORT']}" for name in _SERVICES}

    def ticketcap(self, *arguments: str, seconds: float = 120) -> str:
        """Run ``ticketcap ...`` and return what it printed; raise AssertionError when it fails."""
        done = subprocess.run(
            _command(*arguments), env=self.environment, capture_output=True, text=True, check=False, timeout=seconds
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def embedded_stack(folder: Path) -> Iterator[Embedded]:
    """Run one in ``folder``; it is stopped as by Ctrl-C."""
    names = [*_SERVICES, *(f"{name}_METRICS" for name in _SERVICES), "YAADPAY", "POSTGRES", "OTLP_GRPC", "OTLP_HTTP"]
    inherited = {name: value for name, value in os.environ.items() if name not in _REPLACED}
    ports = {f"TICKETCAP_{name}_PORT": str(free_port()) for name in names}
    environment = {**inherited, **ports, "TICKETCAP_STATE_DIR": str(folder / "state"), "PYTHONUNBUFFERED": "1"}
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(_command("up"), env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_until_ready(process, folder / "up.log")
        yield Embedded(environment)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(_STOP_SECONDS)


def _command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("ticketcap")), *arguments]


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while _READY not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
