"""Check that failed jobs continue and ended tasks stop their service."""

import asyncio
import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ticketcap_chassis.lifecycle import BackgroundTaskEnded, background, every

SERVICE = """
import asyncio
from ticketcap_chassis.lifecycle import background, run_service, stop_requested
from ticketcap_chassis.settings import ServedSettings

async def dies():
    await asyncio.sleep(0.1)
    raise LookupError("no such row")

async def serve(settings, telemetry):
    stop = stop_requested()
    async with background(dies(), stop.set, name="audit"):
        await stop.wait()
        print("drained", flush=True)

run_service("registration", ServedSettings, serve)
"""


async def fail() -> None:
    raise LookupError("no such row")


async def end() -> None:
    pass


async def cancel_itself() -> None:
    raise asyncio.CancelledError


async def test_a_hung_turn_is_ended_and_the_next_one_comes() -> None:
    """A turn that waits for something that never comes does not end the job."""
    turns = 0
    went_on = asyncio.Event()

    async def work() -> None:
        nonlocal turns
        turns += 1
        if turns > 1:
            went_on.set()
        await asyncio.Event().wait()

    job = asyncio.create_task(every(0.01, work, name="audit", limit=0.1))
    await asyncio.wait_for(went_on.wait(), 20)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


@pytest.mark.parametrize("work", [fail, end, cancel_itself])
async def test_a_task_that_ends_stops_its_service(work: Any) -> None:
    """By an exception, a return or a cancellation from inside; the code inside still drains."""
    stop, drained = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with background(work(), stop.set, name="audit"):
            async with asyncio.timeout(20):
                await stop.wait()
            drained.set()

    with pytest.raises(BackgroundTaskEnded, match="'audit' ended before its service"):
        await serve()
    assert drained.is_set()


async def test_a_task_that_ends_just_before_its_service_still_counts() -> None:
    """The code inside ends in the same step of the loop as the task."""
    stop = asyncio.Event()

    async def serve() -> None:
        async with background(fail(), stop.set, name="audit") as task:
            await asyncio.sleep(0)
            assert task.done()
            assert not stop.is_set(), "the end is not noted yet"

    with pytest.raises(BackgroundTaskEnded) as caught:
        await serve()
    assert isinstance(caught.value.__cause__, LookupError)
    assert stop.is_set()


@pytest.mark.parametrize("work", [end(), asyncio.sleep(600)])
async def test_a_task_that_may_return_and_one_that_runs_stop_nothing(work: Coroutine[Any, Any, None]) -> None:
    """Neither a permitted return nor the cancellation at the end is an early end."""
    stop = asyncio.Event()
    async with background(work, stop.set, name="drain", endless=False):
        await asyncio.sleep(0.01)
    assert not stop.is_set()


async def test_a_failed_clean_up_is_raised() -> None:
    """An exception of a task that is cancelled at the end does not disappear."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await fail()

    with pytest.raises(LookupError):
        async with background(work(), None, name="audit"):
            await asyncio.sleep(0)


@pytest.fixture
def reports() -> Iterator[tuple[str, list[bytes]]]:
    """Yield the DSN of a receiver of Sentry's envelopes, and the envelopes."""
    envelopes: list[bytes] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            envelopes.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://key@127.0.0.1:{server.server_address[1]}/1", envelopes
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_process_whose_background_task_dies_drains_and_exits_with_1(reports: tuple[str, list[bytes]]) -> None:
    """A log line names the task and the error, and Sentry receives it."""
    dsn, envelopes = reports
    process = subprocess.run(
        [sys.executable, "-c", SERVICE],
        env={"SENTRY_DSN": dsn, "OTEL_SDK_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1, process.stderr
    assert "drained" in process.stdout
    (line,) = [line for line in (process.stdout + process.stderr).splitlines() if "background.ended" in line]
    fields = json.loads(line)
    assert (fields["task"], fields["error_type"], fields["level"]) == ("audit", "LookupError", "error")
    assert b"LookupError" in b"".join(envelopes)
