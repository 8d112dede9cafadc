"""Check that Sentry receives faults with their caller, and no refusals."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import jwt
import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc as pb_grpc
from ticketcap_chassis.errors import NotFound
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.lifecycle import every
from ticketcap_chassis.rpc.authentication import caller
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_observability import Telemetry, set_school
from ticketcap_observability.sentry import SentrySettings, options

SERVICE = "ticketcap.registration.v1.RegistrationService"
SECRET = "a secret of the tests, long enough for HS256"


class Captured(Transport):
    """Keeps events instead of sending them."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.events += [item.payload.json for item in envelope.items if item.type == "event"]


@pytest.fixture
def captured() -> Iterator[Captured]:
    """Yield what Sentry would be sent."""
    transport = Captured()
    settings = SentrySettings(dsn="http://k@127.0.0.1:9/1", environment="test", release="r", production=False)
    sentry_sdk.init(**options(settings), transport=transport)
    yield transport
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)


class Servicer(pb_grpc.RegistrationServiceServicer):
    """Fails in both ways, unary and streaming."""

    async def GetEvent(self, request: pb.GetEventRequest, context: Any) -> pb.GetEventResponse:  # noqa: N802
        await self._fail(request.event)
        raise AssertionError

    async def WatchEvent(self, request: Any, context: Any) -> AsyncIterator[pb.WatchEventResponse]:  # noqa: N802
        yield pb.WatchEventResponse(promoted=1)
        await self._fail(request.event)

    async def _fail(self, event: str) -> None:
        await caller(TokenVerifier(secret=SECRET))
        set_school("herzl")
        if event == "refused":
            raise NotFound("no such event")
        raise RuntimeError(event)


async def test_faults_of_calls_are_told_and_refusals_are_not(captured: Captured) -> None:
    """Once each, with operation, school, user and trace; the caller gets a fixed text."""
    telemetry = Telemetry.in_memory()
    server = GrpcServer(telemetry=telemetry)
    pb_grpc.add_RegistrationServiceServicer_to_server(Servicer(), server.server)  # type: ignore[abstract]  # only what the test calls
    port = await server.start("127.0.0.1:0", [SERVICE])
    claims = {"sub": "dana@school.co.il", "role": "OWNER", "school": "herzl", "iss": "ticketcap"}
    token = jwt.encode({**claims, "exp": time.time() + 60}, SECRET, algorithm="HS256")
    metadata = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = pb_grpc.RegistrationServiceStub(channel)
        for event in ("refused", "broken"):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.GetEvent(pb.GetEventRequest(school="herzl", event=event), metadata=metadata)
            watch = stub.WatchEvent(pb.WatchEventRequest(school="herzl", event=event), metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError):
                _ = [answer async for answer in watch]
    await server.drain(1)
    assert [event["transaction"] for event in captured.events] == [f"{SERVICE}/GetEvent", f"{SERVICE}/WatchEvent"]
    for event in captured.events:
        assert event["exception"]["values"][-1]["type"] == "RuntimeError"
        assert event["contexts"]["school"] == {"slug": "herzl"}
        assert event["user"] == {"id": "[redacted]", "role": "OWNER"}
        assert event["contexts"]["trace"]["trace_id"] in {f"{span.context.trace_id:032x}" for span in telemetry.spans}
    assert token not in json.dumps(captured.events)


async def test_a_job_that_fails_is_told_by_its_name(captured: Captured) -> None:
    """The job continues."""
    turns = 0

    async def work() -> None:
        nonlocal turns
        turns += 1
        raise LookupError

    running = asyncio.create_task(every(0.01, work, name="audit"))
    while turns < 3:
        await asyncio.sleep(0.01)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert {event["tags"]["operation"] for event in captured.events} == {"job audit"}
    assert len(captured.events) >= 2
