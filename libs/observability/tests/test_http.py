"""Check HTTP telemetry: names, statuses, clients that meddle."""

import asyncio
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from ticketcap_observability import HttpTelemetry, InMemoryTelemetry, Telemetry, current_trace_id
from ticketcap_observability._http import ROUTE_KEY, App, Message, Receive, Scope, Send


async def ok(scope: Scope, _receive: Receive, send: Send) -> None:
    scope[ROUTE_KEY] = "/events/{event}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def request(
    app: App, telemetry: InMemoryTelemetry, *, edge: bool = True, method: str = "GET", **headers: str
) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": "/events/050-1234567",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await HttpTelemetry(app, telemetry, edge=edge)(scope, receive, send)
    return sent


def only(telemetry: InMemoryTelemetry) -> ReadableSpan:
    [span] = telemetry.spans
    return span


async def test_a_request_is_named_by_its_route() -> None:
    """Never by its path on the metric; the response tells the trace."""
    telemetry = Telemetry.in_memory()
    sent = await request(ok, telemetry)
    span = only(telemetry)
    assert span.name == "GET /events/{event}"
    [point] = telemetry.points("http.server.request.duration")
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/events/{event}",
        "http.response.status_code": 200,
    }
    header = dict(sent[0]["headers"])[b"traceresponse"].decode()
    assert header == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01" or header.endswith("-03")


async def test_an_unknown_method_is_other() -> None:
    """Labels stay bounded."""
    telemetry = Telemetry.in_memory()
    await request(ok, telemetry, method="BREW")
    assert only(telemetry).name.startswith("_OTHER ")


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"


@pytest.mark.parametrize(("ratio", "flag", "sampled"), [(0.0, "01", False), (1.0, "00", True)])
async def test_a_client_can_not_decide_sampling(ratio: float, flag: str, sampled: bool) -> None:
    """Neither on nor off; its trace id is continued."""
    telemetry = Telemetry.in_memory(sampling_ratio=ratio)
    sent = await request(ok, telemetry, traceparent=PARENT + flag)
    assert bool(telemetry.spans) is sampled
    assert b"0af7651916cd43dd8448eb211c80319c" in dict(sent[0]["headers"])[b"traceresponse"]


@pytest.mark.parametrize(("edge", "expected"), [(True, None), (False, "herzl")])
async def test_baggage_ends_at_the_edge(edge: bool, expected: str | None) -> None:
    """Inside it is carried on."""
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(baggage.get_baggage("school.slug"))
        await ok(scope, receive, send)

    await request(app, Telemetry.in_memory(), edge=edge, traceparent=PARENT + "01", baggage="school.slug=herzl")
    assert seen == [expected]


async def test_a_server_error_is_an_error_and_a_refusal_is_not() -> None:
    """By status."""
    for status, error in ((500, True), (422, False)):
        telemetry = Telemetry.in_memory()

        async def app(_scope: Scope, _receive: Receive, send: Send, status: int = status) -> None:
            await send({"type": "http.response.start", "status": status})

        await request(app, telemetry)
        assert (only(telemetry).status.status_code is StatusCode.ERROR) is error


async def test_an_exception_is_recorded_without_its_message() -> None:
    """The message may quote a person. The exception reaches the server, and the span and the point say 500."""
    telemetry = Telemetry.in_memory()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError("phone 050-1234567")

    with pytest.raises(ValueError, match="050"):
        await request(app, telemetry)
    span = only(telemetry)
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert "050-1234567" not in str([event.attributes for event in span.events])
    assert len(span.events) == 1
    [point] = telemetry.points("http.server.request.duration")
    assert point.attributes["http.response.status_code"] == span.attributes["http.response.status_code"] == 500


async def test_a_client_that_leaves_a_stream_is_no_error() -> None:
    """Cancelled after a 200."""
    telemetry = Telemetry.in_memory()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await ok(scope, receive, send)
        await asyncio.sleep(30)

    task = asyncio.create_task(request(app, telemetry))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only(telemetry).status.status_code is StatusCode.UNSET


async def test_an_exception_in_the_middle_of_a_stream_keeps_the_status_that_was_sent() -> None:
    """The client saw a 200; the point still names the error."""
    telemetry = Telemetry.in_memory()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await ok(scope, receive, send)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await request(app, telemetry)
    [point] = telemetry.points("http.server.request.duration")
    assert (point.attributes["http.response.status_code"], point.attributes["error.type"]) == (200, "ValueError")


async def test_a_stream_is_one_request_that_ends_with_its_last_event() -> None:
    """Its first event ends no span; the response headers carry the trace."""
    telemetry = Telemetry.in_memory()
    ended_early: list[bool] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope[ROUTE_KEY] = "/events/{event}/stream"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"data: %d" % number, "more_body": True})
            ended_early.append(bool(telemetry.spans))
        await send({"type": "http.response.body", "body": b""})

    sent = await request(app, telemetry)
    assert ended_early == [False, False, False]
    assert [message.get("body") for message in sent[1:]] == [b"data: 0", b"data: 1", b"data: 2", b""]
    assert [name for name, _ in sent[0]["headers"]] == [b"content-type", b"traceresponse"]
    assert only(telemetry).name == "GET /events/{event}/stream"


async def test_the_route_may_come_from_the_framework() -> None:
    """Routers leave the route in the scope; without one the span's name is the method alone."""

    class Route:
        path = "/things/{thing}"

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = Route()
        await send({"type": "http.response.start", "status": 200})

    async def unrouted(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404})

    for app, name in ((routed, "GET /things/{thing}"), (unrouted, "GET")):
        telemetry = Telemetry.in_memory()
        await request(app, telemetry)
        assert only(telemetry).name == name
        [point] = telemetry.points("http.server.request.duration")
        assert "050" not in str(point.attributes)


@pytest.mark.parametrize(
    ("segment", "path"),
    [
        ("spring-match", "/events/spring-match"),
        ("0192f3c4-1111-7abc-8def-0123456789ab", "/events/0192f3c4-1111-7abc-8def-0123456789ab"),
        ("דנה כהן", "/events/{event}"),
        ("050-1234567", "/events/{event}"),
        ("k3Yw_9fQ-token", "/events/{event}"),
    ],
)
async def test_a_span_holds_only_ids_and_slugs_of_a_path(segment: str, path: str) -> None:
    """A client may write personal data into a path; the span shows the route, or no path where none is served."""
    telemetry = Telemetry.in_memory()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path_params"] = {"event": segment}
        await ok(scope, receive, send)

    async def nothing(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})

    await request(app, telemetry)
    await request(nothing, telemetry)
    routed, unrouted = telemetry.spans
    assert (routed.attributes or {})["url.path"] == path
    assert "url.path" not in (unrouted.attributes or {})


async def test_a_broken_traceparent_begins_a_new_trace() -> None:
    """And harms nothing."""
    telemetry = Telemetry.in_memory()
    await request(ok, telemetry, traceparent="00-zz-1-1")
    assert only(telemetry).parent is None


async def test_at_the_edge_tracestate_is_dropped() -> None:
    """It is the client's, and as long as the client likes."""
    telemetry = Telemetry.in_memory()
    await request(ok, telemetry, traceparent=PARENT + "01", tracestate="vendor=x")
    assert not only(telemetry).context.trace_state


async def test_requests_at_once_do_not_mix() -> None:
    """Each works in its own trace, and leaves none behind."""
    telemetry = Telemetry.in_memory()
    seen: list[tuple[str | None, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        trace_id = current_trace_id()
        await ok(scope, receive, send)
        seen.append((trace_id, str(current_trace_id())))

    await asyncio.gather(*(request(app, telemetry) for _ in range(20)))
    assert len({first for first, _ in seen}) == 20
    assert all(first == second for first, second in seen)
    assert current_trace_id() is None


async def test_what_is_not_http_passes_through() -> None:
    """Lifespan messages are no request."""
    telemetry = Telemetry.in_memory()
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Any:
        raise AssertionError("never called")

    await HttpTelemetry(app, telemetry)({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]
    assert not telemetry.spans
