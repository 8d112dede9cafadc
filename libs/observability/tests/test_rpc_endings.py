"""Check the span and the point of an RPC in every ending."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from google.rpc import code_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from opentelemetry import baggage, context
from peers import KINDS, SERVICE, Peers, peers, refused
from ticketcap_observability import Telemetry, schema
from ticketcap_observability._rpc.client import server_of
from ticketcap_observability._rpc.server import why_cancelled

Context = grpc.aio.ServicerContext[Any, Any]


@pytest.fixture(autouse=True)
def no_foreign_contexts(caplog: pytest.LogCaptureFixture) -> Any:
    """No ending may leave a context token behind for another one."""
    with caplog.at_level(logging.ERROR):
        yield
    assert "different Context" not in caplog.text


async def assert_ends(both: Peers, server: str, client: str | None = None, *, server_error: bool = False) -> None:
    served, called = await both.ends()
    assert (served.code, called.code) == (server, client or server)
    assert served.is_error is server_error
    assert called.is_error is (called.code != "OK")
    assert served.span.name == called.span.name == "shop.v1.Shop/Do"
    assert served.span.parent is not None
    assert served.span.parent.span_id == called.span.context.span_id


async def test_ok() -> None:
    """The plain case."""

    async def do(request: bytes, _: Context) -> bytes:
        return request

    async with peers("unary_unary", do) as both:
        assert await both.call("unary_unary")(b"x") == b"x"
        await assert_ends(both, "OK")


async def test_abort() -> None:
    """A refusal is not the server's fault."""

    async def do(_request: bytes, context: Context) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")

    async with peers("unary_unary", do) as both:
        assert await refused(both.call("unary_unary")(b"")) is grpc.StatusCode.NOT_FOUND
        await assert_ends(both, "NOT_FOUND")
        served, _ = await both.ends()
        assert served.exceptions == 0


async def test_rich_status() -> None:
    """abort_with_status is an abort."""

    async def do(_request: bytes, context: Context) -> None:
        status = status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message="full")
        await context.abort_with_status(rpc_status.to_status(status))

    async with peers("unary_unary", do) as both:
        await refused(both.call("unary_unary")(b""))
        await assert_ends(both, "FAILED_PRECONDITION")


async def test_code_set_by_hand() -> None:
    """set_code without an exception."""

    async def do(_request: bytes, context: Context) -> bytes:
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        return b""

    async with peers("unary_unary", do) as both:
        await refused(both.call("unary_unary")(b""))
        await assert_ends(both, "UNAVAILABLE", server_error=True)


async def test_exception() -> None:
    """UNKNOWN, recorded once, with its type and frames and without its message."""

    async def do(_request: bytes, _context: Context) -> None:
        raise ValueError("phone 050-1234567")

    async with peers("unary_unary", do) as both:
        assert await refused(both.call("unary_unary")(b"")) is grpc.StatusCode.UNKNOWN
        await assert_ends(both, "UNKNOWN", server_error=True)
        served, _ = await both.ends()
        [event] = served.span.events
        assert event.attributes is not None
        assert event.attributes["exception.type"] == "ValueError"
        assert " do" in str(event.attributes["exception.stacktrace"])
        assert "050" not in served.span.to_json()


async def test_deadline() -> None:
    """DEADLINE_EXCEEDED on both sides; the handler is cancelled."""
    cancelled = asyncio.Event()

    async def do(_request: bytes, _context: Context) -> bytes:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    async with peers("unary_unary", do) as both:
        assert await refused(both.call("unary_unary")(b"", timeout=0.1)) is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(cancelled.wait(), 5)
        await assert_ends(both, "DEADLINE_EXCEEDED", server_error=True)


@pytest.mark.parametrize("how", ["task", "call"])
async def test_client_cancel(how: str) -> None:
    """Whether its task or the call itself is cancelled, the server's handler is cancelled too."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def do(_request: bytes, _context: Context) -> bytes:
        started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    async with peers("unary_unary", do) as both:
        call = both.call("unary_unary")(b"")
        task = asyncio.ensure_future(_result(call))
        await asyncio.wait_for(started.wait(), 5)
        (task if how == "task" else call).cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(cancelled.wait(), 5)
        await assert_ends(both, "CANCELLED")


async def _result(call: Any) -> Any:
    return await call


async def test_server_cancel() -> None:
    """The server stops without grace: its side records CANCELLED, the client an error."""
    started = asyncio.Event()

    async def do(_request: bytes, _context: Context) -> bytes:
        started.set()
        await asyncio.sleep(30)
        return b""

    async with peers("unary_unary", do) as both:
        call = asyncio.ensure_future(_result(both.call("unary_unary")(b"")))
        await asyncio.wait_for(started.wait(), 5)
        await both.server.stop(0)
        assert await refused(call) in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        served, called = await both.ends()
        assert served.code == "CANCELLED"
        assert called.is_error


async def test_server_stream() -> None:
    """All of a stream is one RPC."""

    async def do(_request: bytes, _context: Context) -> AsyncIterator[bytes]:
        for part in (b"a", b"b"):
            yield part

    async with peers("unary_stream", do) as both:
        assert [part async for part in both.call("unary_stream")(b"")] == [b"a", b"b"]
        await assert_ends(both, "OK")


async def test_server_stream_that_raises() -> None:
    """After some messages."""

    async def do(_request: bytes, _context: Context) -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("x")

    async with peers("unary_stream", do) as both:
        stream = both.call("unary_stream")(b"")
        assert await stream.read() == b"a"
        await refused(stream.read())
        await assert_ends(both, "UNKNOWN", server_error=True)


async def test_server_stream_cancelled_under_flow_control() -> None:
    """The client leaves while the server is stuck in a write; the generator is closed at once, in its own task."""
    closed = asyncio.Event()

    async def do(_request: bytes, _context: Context) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    async with peers("unary_stream", do) as both:
        stream = both.call("unary_stream")(b"")
        await stream.read()
        await asyncio.sleep(0.1)
        stream.cancel()
        await asyncio.wait_for(closed.wait(), 5)
        await assert_ends(both, "CANCELLED")


async def test_server_stream_by_a_writing_handler() -> None:
    """A coroutine that writes, as the health service's Watch is."""

    async def do(_request: bytes, context: Context) -> None:
        await context.write(b"a")
        await context.write(b"b")

    async with peers("unary_stream", do) as both:
        assert [part async for part in both.call("unary_stream")(b"")] == [b"a", b"b"]
        await assert_ends(both, "OK")


async def test_client_stream() -> None:
    """By iterator and by write."""

    async def do(requests: AsyncIterator[bytes], _context: Context) -> bytes:
        return b"".join([part async for part in requests])

    async with peers("stream_unary", do) as both:
        call = both.call("stream_unary")()
        await asyncio.wait_for(call.write(b"a"), 5)
        await call.write(b"b")
        await call.done_writing()
        assert await call == b"ab"
        await assert_ends(both, "OK")


async def test_both_streams() -> None:
    """Question and answer by turns."""

    async def do(requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
        async for part in requests:
            yield part.upper()

    async with peers("stream_stream", do) as both:
        call = both.call("stream_stream")()
        await call.write(b"a")
        assert await asyncio.wait_for(call.read(), 5) == b"A"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        await assert_ends(both, "OK")


class Handler:
    """A handler of any kind that reads all, answers once, and then ends as ``ending`` says."""

    def __init__(self, kind: str, ending: str) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._ending = ending
        self._reads = kind.startswith("stream") and ending in {"ok", "abort", "raise"}
        self.behaviour = self._stream() if kind.endswith("stream") else self._once()

    def _once(self) -> Any:
        async def do(request: Any, context: Context) -> bytes:
            await self._end(request, context)
            return b"1"

        return do

    def _stream(self) -> Any:
        async def do(request: Any, context: Context) -> AsyncIterator[bytes]:
            yield b"1"
            await self._end(request, context)

        return do

    async def _end(self, request: Any, context: Context) -> None:
        if self._reads:
            async for _ in request:
                pass
        self.started.set()
        if self._ending == "abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        if self._ending == "raise":
            raise ValueError("phone 050-1234567")
        if self._ending != "ok":
            await self._wait()

    async def _wait(self) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def consume(call: Any, kind: str) -> None:
    """Take all answers. A stream that is given up is cancelled by hand: before the first metadata grpc does not."""
    if not kind.endswith("stream"):
        await call
        return
    try:
        async for _ in call:
            pass
    finally:
        call.cancel()


async def requests(endless: bool) -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"
    if endless:
        await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("ending", "code", "server_error"),
    [
        ("ok", "OK", False),
        ("abort", "NOT_FOUND", False),
        ("raise", "UNKNOWN", True),
        ("deadline", "DEADLINE_EXCEEDED", True),
        ("cancel", "CANCELLED", False),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_call_ends_alike(kind: str, ending: str, code: str, server_error: bool) -> None:
    """Both sides agree, an exception is recorded once, and who waits no longer stops the handler."""
    handler = Handler(kind, ending)
    gives_up = ending in {"deadline", "cancel"}
    async with peers(kind, handler.behaviour) as both:
        request = requests(gives_up) if kind.startswith("stream") else b""
        call = both.call(kind)(request, timeout=0.3 if ending == "deadline" else None)
        task = asyncio.ensure_future(consume(call, kind))
        if ending == "cancel":
            await asyncio.wait_for(handler.started.wait(), 5)
            task.cancel()
        [result] = await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 10)
        assert isinstance(result, BaseException) is (ending != "ok")
        if gives_up:
            await asyncio.wait_for(handler.cancelled.wait(), 5)
        await assert_ends(both, code, server_error=server_error)
        served, called = await both.ends()
        assert (served.exceptions, called.exceptions) == (int(ending == "raise"), 0)


async def test_shed() -> None:
    """A refusal by an inner interceptor is recorded like any answer."""

    class Shed(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            async def refuse(_request: bytes, context: Context) -> None:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")

            return grpc.unary_unary_rpc_method_handler(refuse)

    async def do(_request: bytes, _context: Context) -> bytes:
        raise AssertionError("never reached")

    async with peers("unary_unary", do, inner=Shed()) as both:
        await refused(both.call("unary_unary")(b""))
        await assert_ends(both, "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_unimplemented(kind: str) -> None:
    """An unknown method is seen under one name, however callers call it."""
    async with peers() as both:
        call = both.call(kind, "Nothing")(b"")
        code = await refused(call if kind == "unary_unary" else call.read())
        assert code is grpc.StatusCode.UNIMPLEMENTED
        served, called = await both.ends()
        assert (served.code, served.span.name) == ("UNIMPLEMENTED", "_OTHER")
        assert called.code == "UNIMPLEMENTED"


async def test_health_watch_is_measured_without_a_span() -> None:
    """An endless stream of the platform's fills no trace store."""
    async with peers() as both:
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, both.server)
        stub: Any = health_pb2_grpc.HealthStub(both.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        for _ in range(200):
            if both.served.points("rpc.server.call.duration"):
                break
            await asyncio.sleep(0.01)
        [point] = both.served.points("rpc.server.call.duration")
        assert point.attributes["rpc.method"] == "grpc.health.v1.Health/Watch"
        assert not both.served.spans
        assert not both.called.spans


async def test_baggage_and_trace_cross_the_wire() -> None:
    """The handler works in the caller's trace, with its baggage."""
    seen: list[object] = []

    async def do(_request: bytes, _context: Context) -> bytes:
        seen.append(baggage.get_baggage("school.slug"))
        return b""

    async with peers("unary_unary", do) as both:
        token = context.attach(baggage.set_baggage("school.slug", "herzl"))
        await both.call("unary_unary")(b"")
        context.detach(token)
    assert seen == ["herzl"]


async def test_a_caller_that_is_not_sampled_records_nothing_anywhere() -> None:
    """The decision travels with the call; metric points are still recorded."""

    async def do(_request: bytes, _context: Context) -> bytes:
        return b""

    async with peers("unary_unary", do, sampling_ratio=0.0) as both:
        await both.call("unary_unary")(b"")
        await asyncio.sleep(0.05)
        assert not both.served.spans
        assert not both.called.spans
        assert both.served.points("rpc.server.call.duration")[0].count == 1


async def test_a_call_that_never_leaves_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    """A request that can't be encoded ends the client's span at once."""

    def broken(_request: object) -> bytes:
        raise ValueError("can't encode")

    async with peers() as both:
        call: Any = both.channel.unary_unary("/shop.v1.Shop/Do", request_serializer=broken)
        with pytest.raises((grpc.aio.AioRpcError, ValueError)):
            await asyncio.wait_for(call(object()), 5)
        assert [span.name for span in both.called.spans] == ["shop.v1.Shop/Do"]


async def test_reflection_is_measured_without_a_span() -> None:
    """As health is."""
    async with peers() as both:
        reflection.enable_server_reflection([SERVICE], both.server)
        channel: Any = both.channel  # the stub's types know the blocking channel only
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        assert (await call.read()).list_services_response.service[0].name == SERVICE
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        for telemetry, side in ((both.served, "server"), (both.called, "client")):
            [point] = await points(telemetry, f"rpc.{side}.call.duration")
            assert point.attributes["rpc.method"] == "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
            assert not telemetry.spans


async def points(telemetry: Any, name: str) -> list[Any]:
    """Wait for the points of a metric."""
    for _ in range(200):
        if found := telemetry.points(name):
            return list(found)
        await asyncio.sleep(0.01)
    raise AssertionError(f"no point of {name}")


async def test_handlers_are_wrapped_once_per_method() -> None:
    """The same handler comes back wrapped in the same wrapper, and another one in its own."""

    async def do(_request: bytes, _context: Context) -> bytes:
        return b""

    class Details:
        method = "/shop.v1.Shop/Do"

    interceptor: Any = Telemetry.in_memory().grpc_server_interceptor()
    handlers: list[Any] = [grpc.unary_unary_rpc_method_handler(do) for _ in range(2)]

    async def wrapped(handler: Any) -> Any:
        async def continuation(_: object) -> Any:
            return handler

        return await interceptor.intercept_service(continuation, Details)

    first = await wrapped(handlers[0])
    assert first is not handlers[0]
    assert await wrapped(handlers[0]) is first
    assert await wrapped(handlers[1]) is not first


async def test_points_are_in_seconds_and_lead_to_their_trace() -> None:
    """Buckets as the conventions advise, and an exemplar with the span's ids on either side."""

    async def do(_request: bytes, _context: Context) -> bytes:
        return b""

    async with peers("unary_unary", do) as both:
        await both.call("unary_unary")(b"")
        # Each collection takes the exemplars with it: look only once.
        for telemetry, side in ((both.served, "server"), (both.called, "client")):
            [point] = await points(telemetry, f"rpc.{side}.call.duration")
            [span] = telemetry.spans
            assert point.explicit_bounds == schema.DURATION_BUCKETS
            assert 0 < point.sum < 5
            [exemplar] = point.exemplars
            assert (exemplar.trace_id, exemplar.span_id) == (span.context.trace_id, span.context.span_id)


async def test_the_client_names_its_server() -> None:
    """On span and point, from the channel's target."""

    async def do(_request: bytes, _context: Context) -> bytes:
        return b""

    async with peers("unary_unary", do) as both:
        await both.call("unary_unary")(b"")
        _, called = await both.ends()
        [point] = both.called.points("rpc.client.call.duration")
        for attributes in (called.span.attributes, point.attributes):
            assert attributes is not None
            assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", both.port)


@pytest.mark.parametrize(
    ("target", "address", "port"),
    [
        ("localhost:50051", "localhost", 50051),
        ("dns:///registration:50051", "registration", 50051),
        ("dns://8.8.8.8/registration:50051", "registration", 50051),
        ("dns:registration:50051", "registration", 50051),
        ("ipv4:10.0.0.1:50051", "10.0.0.1", 50051),
        ("[::1]:50051", "::1", 50051),
        ("ipv6:[::1]:50051", "::1", 50051),
        ("[::1]", "::1", None),
        ("registration", "registration", None),
        ("unix:/run/shop.sock", "/run/shop.sock", None),
    ],
)
def test_a_target_says_where_the_server_is(target: str, address: str, port: int | None) -> None:
    """In every spelling that grpc knows."""
    found = server_of(target)
    assert (found["server.address"], found.get("server.port")) == (address, port)


@pytest.mark.parametrize(
    ("left", "code"),
    [(-0.1, "DEADLINE_EXCEEDED"), (0.02, "DEADLINE_EXCEEDED"), (0.5, "CANCELLED"), (None, "CANCELLED")],
)
async def test_a_caller_that_gives_up_at_its_deadline_ran_out_of_time(left: float | None, code: str) -> None:
    """The caller's clock may be a little ahead of the server's: its cancel then arrives before the deadline."""

    class Cancelled:
        def time_remaining(self) -> float | None:
            return left

    assert why_cancelled(cast("Context", Cancelled())).name == code
