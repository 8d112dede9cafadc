"""Run an embedded stack for a benchmark and open events on it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import httpx
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_local.traffic import Rush
from ticketcap_testing.stack import ServiceProcess, free_port

SCHOOL = "herzl"
EVENTS = f"/api/v1/schools/{SCHOOL}/events"

_TICKETCAP = str(Path(sys.executable).parent / "ticketcap")
_SERVICES = ("GATEWAY", "REGISTRATION", "PAYMENT")
_PARTS = (*_SERVICES, *(f"{name}_METRICS" for name in _SERVICES), "YAADPAY", "POSTGRES", "OTLP_GRPC", "OTLP_HTTP")
_START_SECONDS = 90
_STOP_SECONDS = 60


class Stack:
    """An embedded stack with free ports and a temporary state folder; other settings come from the environment."""

    def __init__(self, folder: Path) -> None:
        ports = {name: free_port() for name in _PARTS}
        self.url = f"http://127.0.0.1:{ports['GATEWAY']}"
        self.simulator_url = f"http://127.0.0.1:{ports['YAADPAY']}"
        self.postgres = EmbeddedPostgres(folder / "postgres" / "data", ports["POSTGRES"])
        variables = {f"TICKETCAP_{name}_PORT": str(port) for name, port in ports.items()}
        self._environment = {**os.environ, **variables, "TICKETCAP_STATE_DIR": str(folder)}
        self._folder = folder

    @contextmanager
    def running(self) -> Iterator[float]:
        """Run `ticketcap up`; yield the seconds that it needed to get ready, from its own log."""
        up = ServiceProcess(
            "up",
            [_TICKETCAP, "up"],
            self._environment,
            ready=lambda: "ready in" in up.output(),
            folder=self._folder,
            start_seconds=_START_SECONDS,
        )
        with up:
            try:
                yield float(up.output().rpartition("ready in ")[2].split()[0])
            finally:
                up.terminate(_STOP_SECONDS)

    def ticketcap(self, *arguments: str) -> str:
        """Return the output of a `ticketcap` command."""
        command = [_TICKETCAP, *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    def open_event(self, slug: str, capacity: int, price_agorot: int = 0) -> str:
        """Open an event and return its slug; raise HTTPStatusError for a refusal."""
        body = {"slug": slug, "title": slug, "starts_at": "2035-01-01T10:00:00Z", "capacity": capacity}
        body["price_agorot"] = price_agorot
        headers = {"Authorization": f"Bearer {self._owner_token}"}
        httpx.post(self.url + EVENTS, json=body, headers=headers, trust_env=False).raise_for_status()
        return slug

    @cached_property
    def _owner_token(self) -> str:
        return self.ticketcap("token", "--school", SCHOOL, "--role", "OWNER").strip()


@contextmanager
def temporary_stack() -> Iterator[Stack]:
    """Yield a stack that does not run yet; delete its folder at the end."""
    with tempfile.TemporaryDirectory(prefix="ticketcap-bench-") as folder:
        yield Stack(Path(folder))


def latency_text(result: Rush, shares: Sequence[float] = (0.5, 0.95, 0.99)) -> str:
    """Return percentiles of a rush in milliseconds."""
    return "  ".join(f"p{share * 100:g} {result.percentile(share) * 1000:6.1f} ms" for share in shares)
