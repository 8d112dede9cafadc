"""Check one trace and one baggage beside the contrib instrumentation."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry import baggage, context, propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from ticketcap_observability import Telemetry, schema

# The package's functions have no types.
contrib_client: Any = aio_client_interceptors
contrib_server: Any = aio_server_interceptor


@pytest.fixture
def contrib() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


async def served(interceptor: Any, kind: str, seen: list[object]) -> tuple[grpc.aio.Server, int]:
    """Serve an echo that notes which school the baggage names."""

    async def unary(request: bytes, _context: Any) -> bytes:
        seen.append(baggage.get_baggage(schema.SCHOOL_SLUG))
        return request

    async def stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
        seen.append(baggage.get_baggage(schema.SCHOOL_SLUG))
        yield request

    server = grpc.aio.server(interceptors=[interceptor], options=[("grpc.so_reuseport", 0)])
    handler: Any = getattr(grpc, f"{kind}_rpc_method_handler")(unary if kind == "unary_unary" else stream)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.v1.Shop", {"Do": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def called(port: int, interceptors: Any, kind: str) -> None:
    """Call it for a school."""
    token = context.attach(baggage.set_baggage(schema.SCHOOL_SLUG, "herzl"))
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=interceptors) as channel:
            call: Any = getattr(channel, kind)("/shop.v1.Shop/Do")(b"x")
            if kind == "unary_unary":
                assert await call == b"x"
            else:
                assert [message async for message in call] == [b"x"]
            await asyncio.sleep(0.05)
    finally:
        context.detach(token)


@pytest.fixture(autouse=True)
def propagators() -> Iterator[None]:
    """Let contrib carry what OpenTelemetry carries by itself: W3C trace context and baggage."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]))
    yield
    propagate.set_global_textmap(before)


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_contrib_client_and_our_server_share_a_trace(contrib: Any, kind: str) -> None:
    """Our server span is the child of contrib's client span, and reads its baggage."""
    provider, exporter = contrib
    ours, seen = Telemetry.in_memory(), list[object]()
    server, port = await served(ours.grpc_server_interceptor(), kind, seen)
    await called(port, contrib_client(tracer_provider=provider), kind)
    await server.stop(0)
    [theirs], [our] = exporter.get_finished_spans(), ours.spans
    assert_child(our, theirs)
    assert (our.kind, theirs.kind, seen) == (SpanKind.SERVER, SpanKind.CLIENT, ["herzl"])


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_our_client_and_a_contrib_server_share_a_trace(contrib: Any, kind: str) -> None:
    """Contrib's server span is the child of our client span, and reads our baggage."""
    provider, exporter = contrib
    ours, seen = Telemetry.in_memory(), list[object]()
    server, port = await served(contrib_server(tracer_provider=provider), kind, seen)
    await called(port, ours.grpc_client_interceptors(), kind)
    await server.stop(0)
    [theirs], [our] = exporter.get_finished_spans(), ours.spans
    assert_child(theirs, our)
    assert (our.kind, theirs.kind, seen) == (SpanKind.CLIENT, SpanKind.SERVER, ["herzl"])


def assert_child(child: ReadableSpan, parent: ReadableSpan) -> None:
    assert child.parent is not None
    assert child.context.trace_id == parent.context.trace_id
    assert child.parent.span_id == parent.context.span_id
