"""Check that undecodable bytes are refused without an ERROR line."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc as pb_grpc
from ticketcap_chassis.errors import InvalidInput
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_chassis.rpc.status import from_rpc_error
from ticketcap_observability import InMemoryTelemetry, Telemetry

SERVICE = "/ticketcap.registration.v1.RegistrationService"
# A field of type text whose length runs past the end; text that is not UTF-8; a group that never ends.
UNDECODABLE = [b"\x0a\x7f\x01", b"\x0a\x02\xff\xfe", b"\x0b", b"\xff" * 12]


class Servicer(pb_grpc.RegistrationServiceServicer):
    """Answers what it is asked."""

    async def GetEvent(self, request: pb.GetEventRequest, context: Any) -> pb.GetEventResponse:  # noqa: N802
        return pb.GetEventResponse()

    async def WatchEvent(self, request: Any, context: Any) -> AsyncIterator[pb.WatchEventResponse]:  # noqa: N802
        yield pb.WatchEventResponse()


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    return Telemetry.in_memory()


@pytest.fixture
async def channel(telemetry: InMemoryTelemetry) -> AsyncIterator[grpc.aio.Channel]:
    server = GrpcServer(telemetry=telemetry)
    pb_grpc.add_RegistrationServiceServicer_to_server(Servicer(), server.server)  # type: ignore[abstract]
    port = await server.start("127.0.0.1:0", [SERVICE])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.drain(0)


async def send(channel: Any, method: str, data: bytes) -> None:
    """Send ``data`` as it is and read every answer."""
    if method.endswith("ServerReflectionInfo"):
        call: Any = channel.stream_stream(method)(iter([data]))
    elif "Watch" in method:
        call = channel.unary_stream(method)(data)
    else:
        await channel.unary_unary(method)(data)
        return
    async for _ in call:
        pass


@pytest.mark.parametrize("data", UNDECODABLE)
@pytest.mark.parametrize(
    "method",
    [
        f"{SERVICE}/GetEvent",
        f"{SERVICE}/WatchEvent",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_undecodable_bytes_are_invalid_and_write_no_error_line(
    channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture, method: str, data: bytes
) -> None:
    """INVALID_ARGUMENT with a reason for every method; the log stays empty."""
    with caplog.at_level(logging.WARNING), pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(channel, method, data)
    error = from_rpc_error(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, caught.value
    assert isinstance(error, InvalidInput)
    assert error.reason == "UNDECODABLE_REQUEST"
    assert "Error" not in error.message
    assert not caplog.records


async def test_undecodable_bytes_are_counted(channel: grpc.aio.Channel, telemetry: InMemoryTelemetry) -> None:
    """The span and the histogram of the RPC see them as they see every refusal."""
    with pytest.raises(grpc.aio.AioRpcError):
        await send(channel, f"{SERVICE}/GetEvent", UNDECODABLE[0])
    # The client may have its status before the server ends the span.
    async with asyncio.timeout(10):
        while not (spans := [span for span in telemetry.spans if span.name == f"{SERVICE[1:]}/GetEvent"]):
            await asyncio.sleep(0.01)
    (span,) = spans
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
