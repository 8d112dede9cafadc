"""Check the gateway as a process: start, wrong settings, drain."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from ticketcap_testing.service_fakes import SECRET, FakeRegistration

CLAIM = {"name": "Noa Levi", "phone": "050-123-4567", "spots": 2}
REGISTRATIONS = "/api/v1/schools/herzl/events/football/registrations"
MAX_RSS_MB = 120


def _environment(registration: FakeRegistration, **settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return inherited | {
        "JWT_SECRET": SECRET,
        "REGISTRATION_TARGET": registration.target,
        "LISTEN_ADDRESS": "127.0.0.1:0",
        "METRICS_ADDRESS": "",
        **settings,
    }


async def _start(environment: dict[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ticketcap_gateway", env=environment, stdout=PIPE, stderr=PIPE
    )


@asynccontextmanager
async def _running(registration: FakeRegistration, **settings: str) -> AsyncIterator[tuple[Process, str]]:
    process = await _start(_environment(registration, **settings))
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = json.loads(await process.stdout.readline())
        assert line["event"] == "gateway.listening"
        yield process, f"http://{line['address']}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_drains_on_sigterm(registration: FakeRegistration) -> None:
    """In flight is finished, streams end, new connections are refused, the exit status is 0, nothing is on stderr."""
    async with (
        _running(registration, DRAIN_DELAY_SECONDS="0.5") as (process, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        assert (await client.get("/readyz")).status_code == 200
        async with client.stream("GET", "/api/v1/schools/herzl/events/football/stream") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            registration.gate = asyncio.Event()
            in_flight = asyncio.create_task(client.post(REGISTRATIONS, json=CLAIM))
            async with asyncio.timeout(5):
                while not registration.requests["RegisterBatch"]:
                    await asyncio.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                while (ready := await client.get("/readyz")).status_code == 200:
                    await asyncio.sleep(0.01)
                assert ready.json() == {"status": "draining"}
                assert [line async for line in lines][-1] == ""
        async with asyncio.timeout(5):
            while await _accepts(url):
                await asyncio.sleep(0.02)
        registration.gate.set()
        assert (await in_flight).status_code == 201
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def _accepts(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as stranger:
            await stranger.get(url + "/livez")
    except httpx.TransportError:
        return False
    return True


async def test_the_drain_is_bounded(registration: FakeRegistration) -> None:
    """A request that does not end gets a 503 after DRAIN_SECONDS, and the process exits with status 0."""
    async with _running(registration, DRAIN_SECONDS="1") as (process, url), httpx.AsyncClient(base_url=url) as client:
        registration.gate = asyncio.Event()
        in_flight = asyncio.create_task(client.post(REGISTRATIONS, json=CLAIM, timeout=60))
        async with asyncio.timeout(30):
            while not registration.requests["RegisterBatch"]:
                await asyncio.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        answer = await in_flight
        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
        async with asyncio.timeout(40):
            assert await process.wait() == 0
        # Without a bound the process waits for the gate; a busy machine needs longer than DRAIN_SECONDS.
        assert time.monotonic() - began < 40
        registration.gate.set()


async def test_a_taken_address_and_a_wrong_setting_stop_the_start(registration: FakeRegistration) -> None:
    """The exit status is not 0 and the output names the variable."""
    async with _running(registration) as (_, url):
        for settings in (
            {"LISTEN_ADDRESS": url.removeprefix("http://")},
            {"METRICS_ADDRESS": url.removeprefix("http://")},
            {"MAX_BODY_BYTES": "many"},
        ):
            process = await _start(_environment(registration, **settings))
            output, error = await process.communicate()
            assert process.returncode == 1
            assert next(iter(settings)).encode() in output + error
            assert b"Traceback" not in output + error


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
async def test_idle_memory_is_bounded(registration: FakeRegistration) -> None:
    """An idle gateway that has served a few requests stays under 120 MB."""
    async with _running(registration) as (process, url), httpx.AsyncClient(base_url=url) as client:
        for path in ("/docs", "/readyz", "/api/v1/schools/herzl/events"):
            await client.get(path)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")  # noqa: ASYNC240 - a pseudo file
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert kilobytes < MAX_RSS_MB * 1024
