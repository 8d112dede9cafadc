"""Check reports to Sentry: content, redaction, no delay."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import grpc
import grpc.aio
import httpx
import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from ticketcap_observability import (
    HttpTelemetry,
    InMemoryTelemetry,
    Telemetry,
    configure_logging,
    get_logger,
    schema,
    sentry,
    set_school,
)
from ticketcap_observability.sentry import Sentry, SentrySettings, options
from ticketcap_testing.stack import free_port

DSN = "http://key@127.0.0.1:9/1"
EVENT_ID = "0192f3c4-1111-7abc-8def-0123456789ab"
SCHOOL_ID = "01a22832-7d6f-7589-843b-61c0ba14b9c8"


class Captured(Transport):
    """Keeps envelopes instead of sending them."""

    def __init__(self) -> None:
        super().__init__()
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    def items(self, kind: str) -> list[Any]:
        return [item.payload.json for each in self.envelopes for item in each.items if item.type == kind]

    @property
    def events(self) -> list[Any]:
        return self.items("event")

    @property
    def everything(self) -> str:
        bodies = [item.payload.json for each in self.envelopes for item in each.items]
        return json.dumps(bodies, ensure_ascii=False)


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    return Telemetry.in_memory()


@pytest.fixture
def captured(telemetry: InMemoryTelemetry) -> Iterator[Captured]:
    """Yield what Sentry would be sent; it is switched off again at the end."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    transport = Captured()
    configure_logging("shop", "1", "INFO")
    settings = SentrySettings.read({"SENTRY_DSN": DSN, "SENTRY_ENVIRONMENT": "staging"}, "ticketcap@1+abc")
    running = Sentry(settings, telemetry.counter(schema.DROPPED), transport)
    yield transport
    running.close()
    sentry_sdk.get_global_scope().set_client(None)
    sentry_sdk.get_isolation_scope().clear()
    root.handlers[:], root.level = before


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - it is what the test is about
        return caught


def test_an_event_says_where_what_and_in_which_trace(telemetry: InMemoryTelemetry, captured: Captured) -> None:
    """Environment, release, runtime, operation, event, school, user, breadcrumbs, and OpenTelemetry's trace."""
    with telemetry.tracer.start_as_current_span("work") as span, sentry.scope("registration.create"):
        set_school("herzl", SCHOOL_ID)
        sentry.set_event(EVENT_ID)
        sentry.set_user("u1", "OWNER")
        sentry.breadcrumb("registration", "capacity check", spots_requested=5)
        sentry.report(raised(RuntimeError("x")))
    [event] = captured.events
    assert (event["environment"], event["release"]) == ("staging", "ticketcap@1+abc")
    assert event["contexts"]["runtime"]["name"] == "python"
    assert event["contexts"]["trace"]["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert event["contexts"]["trace"]["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert event["contexts"]["school"] == {"slug": "herzl", "id": SCHOOL_ID}
    assert event["tags"] == {
        "operation": "registration.create",
        "event_id": EVENT_ID,
        "school_slug": "herzl",
        "school_id": SCHOOL_ID,
    }
    assert event["transaction"] == "registration.create"
    assert event["user"] == {"id": "u1", "role": "OWNER"}
    assert [crumb["data"] for crumb in event["breadcrumbs"]["values"]] == [{"spots_requested": 5}]
    [exception] = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("RuntimeError", "")
    assert exception["stacktrace"]["frames"][-1]["function"] == "raised"
    assert "vars" not in exception["stacktrace"]["frames"][-1]


BY_SHAPE = ["050-123-4567", "dana@school.co.il", "123456782", "4111 1111 1111 1111", "Bearer abcdefgh"]
BY_KEY = "דנה כהן"


def with_request(text: str) -> Callable[[Any, Any], Any]:
    """Return what puts a request into an event."""

    def add(event: Any, _hint: Any) -> Any:
        headers = {"Authorization": text, "COOKIE": text, "X-Manage-Token": text, "Accept": "text/html"}
        event["request"] = {"url": f"http://x/y?phone={text}", "headers": headers, "cookies": text, "data": text}
        return event

    return add


@pytest.mark.parametrize("text", [*BY_SHAPE, BY_KEY])
def test_nothing_personal_is_told(telemetry: InMemoryTelemetry, captured: Captured, text: str) -> None:
    """Messages, headers, cookies, breadcrumbs, contexts, extras, tags, users and log lines."""
    note = "a note" if text == BY_KEY else f"it was {text}"
    with telemetry.tracer.start_as_current_span("x"), sentry.scope(note):
        scope = sentry_sdk.get_isolation_scope()
        scope.set_user({"id": note, "email": text, "ip_address": "1.2.3.4", "role": "OWNER"})
        scope.set_context("order", {"password": text, "name": text, "note": note, "deep": [{"phone": text}]})
        scope.set_extra("phone", text)
        scope.set_extra("note", note)
        scope.set_tag("email", text)
        sentry_sdk.add_breadcrumb(category=note, message=note, data={"phone": text, "name": text, "note": note})
        scope.add_event_processor(with_request(text))
        sentry.report(raised(ValueError(text)))
        get_logger("x").error(note, name=text, exc_info=raised(ValueError(text)))
        logging.getLogger("lib").error("said %s", note)
    sentry_sdk.get_client().flush()
    assert len(captured.events) == 1
    assert captured.items("log")
    assert text not in captured.everything
    assert "ip_address" not in captured.everything


def test_headers_that_grant_something_are_left_out(captured: Captured) -> None:
    """In any spelling; harmless ones stay."""
    with sentry.scope("x"):
        sentry_sdk.get_isolation_scope().add_event_processor(with_request("secret"))
        sentry.report(raised(RuntimeError("x")))
    assert captured.events[0]["request"] == {"headers": {"Accept": "text/html"}, "url": "http://x/y"}


def test_warnings_and_errors_of_the_log_go_along(telemetry: InMemoryTelemetry, captured: Captured) -> None:
    """With their fields and their trace; what is less does not."""
    with telemetry.tracer.start_as_current_span("work") as span:
        get_logger("a").info("quiet")
        get_logger("a").warning("lane.retry", reason="CONTENDED", pause_seconds=0.1)
    sentry_sdk.get_client().flush()
    [lines] = captured.items("log")
    [line] = lines["items"]
    assert (line["body"], line["level"]) == ("lane.retry", "warn")
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert line["attributes"]["reason"]["value"] == "CONTENDED"


class Refused(Exception):
    """An error that a caller caused."""

    expected: ClassVar[bool] = True


@pytest.mark.parametrize("error", [Refused(), asyncio.CancelledError(), KeyboardInterrupt()])
def test_an_expected_error_is_not_reported(captured: Captured, error: BaseException) -> None:
    """A refusal, a caller that left; not even when code captures the error by hand."""
    sentry.report(error)
    sentry_sdk.capture_exception(error)
    assert captured.events == []


async def _echo(request: bytes, context: Any) -> bytes:
    if request == b"fail":
        set_school("herzl")
        raise RuntimeError(BY_SHAPE[0])
    if request == b"abort":
        await context.abort(grpc.StatusCode.NOT_FOUND, "no")
    return request


async def _stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield b"first"
    yield await _echo(request, context)


def _handlers() -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        "ticketcap.Shop",
        {
            "Buy": grpc.unary_unary_rpc_method_handler(_echo),
            "Watch": grpc.unary_stream_rpc_method_handler(_stream),
            "Sell": grpc.unary_unary_rpc_method_handler(_sell),
        },
    )


async def _sell(request: bytes, context: Any) -> bytes:
    raise LookupError


async def test_a_servers_faults_are_told_once_and_kept_apart(telemetry: InMemoryTelemetry, captured: Captured) -> None:
    """Unary and streaming alike; refusals are not; nothing of one call shows in the next."""
    server = grpc.aio.server(interceptors=[telemetry.grpc_server_interceptor()])
    server.add_generic_rpc_handlers([_handlers()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        buy: Any = channel.unary_unary("/ticketcap.Shop/Buy")
        sell: Any = channel.unary_unary("/ticketcap.Shop/Sell")
        watch: Any = channel.unary_stream("/ticketcap.Shop/Watch")
        assert await buy(b"ok") == b"ok"
        for refused in (buy(b"abort"), buy(b"fail"), sell(b"")):
            with pytest.raises(grpc.aio.AioRpcError):
                await refused
        with pytest.raises(grpc.aio.AioRpcError):
            _ = [answer async for answer in watch(b"fail")]
    await server.stop(0)
    operations = [(event["tags"]["operation"], event["tags"].get("school_slug")) for event in captured.events]
    assert operations == [
        ("ticketcap.Shop/Buy", "herzl"),
        ("ticketcap.Shop/Sell", None),
        ("ticketcap.Shop/Watch", "herzl"),
    ]
    spans = {f"{span.context.trace_id:032x}" for span in telemetry.spans if span.context}
    assert {event["contexts"]["trace"]["trace_id"] for event in captured.events} <= spans
    assert BY_SHAPE[0] not in captured.everything


async def test_an_http_servers_faults_are_reported_by_route(telemetry: InMemoryTelemetry, captured: Captured) -> None:
    """The route is known only after the request failed."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        scope["ticketcap.route"] = "/events/{event}"
        if scope["path"] == "/events/bad":
            raise RuntimeError("x")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    served: Any = HttpTelemetry(app, telemetry)
    transport = httpx.ASGITransport(served, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.get("/events/good")
        await client.get("/events/bad")
    [event] = captured.events
    assert event["transaction"] == event["tags"]["operation"] == "GET /events/{event}"


@pytest.mark.parametrize(("production", "profiles"), [(True, 0.1), (False, 0.0)])
def test_the_rates_are_the_operators(*, production: bool, profiles: float) -> None:
    """All errors; no traces of Sentry's own; profiles of a tenth of the processes, in production only."""
    chosen = options(SentrySettings(dsn=DSN, environment="x", release="r", production=production))
    assert (chosen["sample_rate"], chosen["traces_sample_rate"]) == (1.0, None)
    assert chosen["profile_session_sample_rate"] == profiles


def test_settings_follow_the_deployment() -> None:
    """SENTRY_ENVIRONMENT goes before DEPLOYMENT_ENVIRONMENT."""
    read = SentrySettings.read({"DEPLOYMENT_ENVIRONMENT": "production"}, "r")
    assert (read.dsn, read.environment, read.release, read.production) == ("", "production", "r", True)


@pytest.mark.parametrize(
    "dsn", ["nonsense", "https://hunter2@host", "https://hunter2@host:99999/1", "https://key@host:hunter2/1"]
)
def test_a_wrong_dsn_is_warned_of_by_name(dsn: str) -> None:
    """Once, without its value, which holds a key; the service continues without Sentry."""
    done = run(
        """
from ticketcap_observability import Telemetry, configure_logging, sentry
configure_logging("shop", "1")
Telemetry.start("shop", "1")
sentry.report(ValueError())
print("goes on")
""",
        SENTRY_DSN=dsn,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SENTRY_DSN") == 1
    assert "must be an address like https://key@host/project" in done.stdout
    assert "goes on" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_dsn_nothing_is_even_imported() -> None:
    """It would take 8 MB."""
    done = run("""
import sys
from ticketcap_observability import Telemetry, sentry, set_school
Telemetry.start("shop", "1")
with sentry.scope("x"):
    set_school("herzl")
    sentry.set_user("u", "OWNER")
    sentry.breadcrumb("a", "b")
    sentry.report(ValueError())
print([name for name in sys.modules if name.startswith(("sentry_sdk", "urllib3", "prometheus_client"))])
""")
    assert (done.stdout, done.stderr) == ("[]\n", "")


SERVICE = """
import asyncio, time
from ticketcap_observability import Telemetry, configure_logging, get_logger, schema, sentry
async def main():
    configure_logging("shop", "1", "ERROR")
    telemetry = Telemetry.start("shop", "ticketcap@1+abc")
    longest = 0
    for number in range(300):
        with sentry.scope("work"), telemetry.tracer.start_as_current_span("x"):
            began = time.perf_counter()
            try:
                raise RuntimeError("-".join(("050", "123", "4567")))
            except RuntimeError as error:
                sentry.report(error)
            longest = max(longest, time.perf_counter() - began)
            if not number % 50:
                get_logger("shop").error("failed", number=number)
        await asyncio.sleep(0)
    began = time.monotonic()
    await telemetry.shutdown(timeout=2)
    print("longest", longest, "shutdown", time.monotonic() - began, time.monotonic(), flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["refusing", "silent"])
def test_a_useless_sentry_costs_nobody_anything(kind: str) -> None:
    """No report waits for it, and the process ends within its bound."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        if kind == "silent":
            bound.listen(50)  # connections are taken, and never answered
        done = run(SERVICE, SENTRY_DSN=f"http://key@127.0.0.1:{bound.getsockname()[1]}/1")
        ended = time.monotonic()
    assert done.returncode == 0, done.stderr
    words = next(line for line in done.stdout.splitlines() if line.startswith("longest")).split()
    assert float(words[1]) < 1
    assert float(words[3]) < 2 + 1
    assert ended - float(words[4]) < 3


@pytest.fixture
def kent() -> Iterator[str]:
    """Yield the address of a receiver that speaks Sentry's protocol."""
    port = free_port()
    argv = [str(Path(sys.executable).with_name("kent-server")), "run", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{address}/api/eventlist/", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def test_a_real_receiver_understands_it(kent: str) -> None:
    """Events arrive over the wire, whole and without what they must not have."""
    done = run(SERVICE, SENTRY_DSN=kent.replace("http://", "http://key@") + "/1", SENTRY_ENVIRONMENT="drill")
    assert done.returncode == 0, done.stderr
    events = httpx.get(f"{kent}/api/eventlist/", trust_env=False).json()["events"]
    got = [httpx.get(f"{kent}/api/event/{event['event_id']}", trust_env=False).json() for event in events[:20]]
    bodies = [each["payload"]["body"] for each in got]
    errors = [body for body in bodies if isinstance(body, dict) and body.get("exception")]
    assert errors
    assert all(body["release"] == "ticketcap@1+abc" and body["environment"] == "drill" for body in errors)
    assert "050-123-4567" not in json.dumps(got)
