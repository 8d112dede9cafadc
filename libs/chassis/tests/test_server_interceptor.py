"""Check the limits, deadlines, tokens, validation and errors around RPCs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc as pb_grpc
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import Busy, InternalError, InvalidInput, NotFound, ServiceError, Unauthenticated
from ticketcap_chassis.identity.service_identity import ServiceIdentity
from ticketcap_chassis.identity.tokens import ISSUER, TokenVerifier
from ticketcap_chassis.rpc.authentication import caller, caller_or_none
from ticketcap_chassis.rpc.call_limits import CallLimits
from ticketcap_chassis.rpc.channel import open_channel
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_chassis.rpc.status import from_rpc_error
from ticketcap_observability import Telemetry

SERVICE = "ticketcap.registration.v1.RegistrationService"
SECRET = "a secret for tests only, never for anything else"
WATCH = pb.WatchEventRequest(school="herzl", event="match")
GET = pb.GetEventRequest(school="herzl", event="match")


class Servicer(pb_grpc.RegistrationServiceServicer):
    """Does what the test says."""

    def __init__(self) -> None:
        self.calls = 0
        self.left: float | None = None
        self.raised: Exception | None = None
        self.wait = asyncio.Event()
        self.wait.set()

    async def GetEvent(self, request: pb.GetEventRequest, context: Any) -> pb.GetEventResponse:  # noqa: N802
        self.calls += 1
        self.left = deadlines.remaining()
        await self.wait.wait()
        if self.raised:
            raise self.raised
        return pb.GetEventResponse()

    async def CreateSchool(self, request: pb.CreateSchoolRequest, context: Any) -> pb.CreateSchoolResponse:  # noqa: N802
        principal = await caller(TokenVerifier(secret="x" * 40))
        return pb.CreateSchoolResponse(school=pb.School(name=principal.subject))

    async def WatchEvent(self, request: Any, context: Any) -> AsyncIterator[pb.WatchEventResponse]:  # noqa: N802
        yield pb.WatchEventResponse(promoted=1)
        await self.wait.wait()
        if self.raised:
            raise self.raised


@asynccontextmanager
async def serving(servicer: Servicer, limits: CallLimits | None = None) -> AsyncIterator[Any]:
    telemetry = Telemetry.in_memory()
    server = GrpcServer(telemetry=telemetry, limits=limits)
    pb_grpc.add_RegistrationServiceServicer_to_server(servicer, server.server)
    port = await server.start("127.0.0.1:0", [SERVICE])
    async with open_channel(f"127.0.0.1:{port}", service=SERVICE, retried=["GetEvent"], telemetry=telemetry) as channel:
        yield pb_grpc.RegistrationServiceStub(channel), server
    await server.drain(1)


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()  # type: ignore[abstract]  # only what the tests call


@pytest.fixture
async def stub(servicer: Servicer) -> AsyncIterator[Any]:
    async with serving(servicer) as (channel, _):
        yield channel


async def refused(call: Any) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_a_wrong_field_never_reaches_the_handler(stub: Any, servicer: Servicer) -> None:
    """The proto's rules are held first."""
    error = await refused(stub.GetEvent(pb.GetEventRequest(school="herzl")))
    assert isinstance(error, InvalidInput)
    assert [field.field for field in error.fields] == ["event"]
    assert servicer.calls == 0


async def test_an_error_of_ours_is_a_rich_status(stub: Any, servicer: Servicer) -> None:
    """Kind, reason and ids arrive."""
    servicer.raised = NotFound("no event 'match'", reason="EVENT_NOT_FOUND", metadata={"event": "match"})
    error = await refused(stub.GetEvent(GET))
    assert isinstance(error, NotFound)
    assert (error.reason, error.metadata) == ("EVENT_NOT_FOUND", {"event": "match"})


async def test_an_unexpected_exception_tells_nothing(stub: Any, servicer: Servicer) -> None:
    """INTERNAL, without the exception's text, which may quote a person."""
    servicer.raised = ValueError("phone 050-1234567")
    error = await refused(stub.GetEvent(GET))
    assert isinstance(error, InternalError)
    assert "050" not in error.message


async def test_calls_above_the_limit_are_told_to_come_back(servicer: Servicer) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo; the place is free again afterwards."""
    async with serving(servicer, CallLimits(unary=1, streams=1)) as (stub, _):
        servicer.wait.clear()
        first = asyncio.ensure_future(stub.GetEvent(GET))
        while not servicer.calls:
            await asyncio.sleep(0.01)
        error = await refused(stub.GetEvent(GET))
        assert isinstance(error, Busy)
        assert error.retry_after is not None
        servicer.wait.set()
        await first
        await stub.GetEvent(GET)


async def test_a_cancelled_call_gives_its_place_back(servicer: Servicer) -> None:
    """A caller that has left occupies no slot."""
    async with serving(servicer, CallLimits(unary=1, streams=1)) as (stub, _):
        servicer.wait.clear()
        first = asyncio.ensure_future(stub.GetEvent(GET))
        while not servicer.calls:
            await asyncio.sleep(0.01)
        first.cancel()
        servicer.wait.set()
        for _ in range(100):
            try:
                await stub.GetEvent(GET)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)
            else:
                return
        pytest.fail("the place was not given back")


async def test_the_deadline_travels(stub: Any, servicer: Servicer) -> None:
    """The callee knows what is left of it, and a call made while serving has at most that."""
    await stub.GetEvent(GET, timeout=5)
    assert servicer.left is not None
    assert 0 < servicer.left < 6
    with deadlines.within(2):
        await stub.GetEvent(GET, timeout=60)
    assert servicer.left is not None
    assert servicer.left < 3


async def test_a_token_is_known_to_the_call(stub: Any) -> None:
    """Without one the call is refused."""
    assert isinstance(await refused(stub.CreateSchool(pb.CreateSchoolRequest(slug="ab", name="ab"))), Unauthenticated)
    assert await caller_or_none(TokenVerifier(secret="x" * 40)) is None


async def test_streams_are_refused_richly_too(stub: Any, servicer: Servicer) -> None:
    """The messages sent before the error arrive, then the error."""
    servicer.raised = NotFound("gone")
    stream = stub.WatchEvent(pb.WatchEventRequest(school="herzl", event="match"))
    assert (await stream.read()).promoted == 1
    assert isinstance(await refused(stream.read()), NotFound)


async def test_a_taken_port_is_told(servicer: Servicer) -> None:
    """With the setting to change."""
    async with serving(servicer):
        first = GrpcServer(telemetry=Telemetry.in_memory())
        port = await first.start("127.0.0.1:0", [])
        second = GrpcServer(telemetry=Telemetry.in_memory())
        with pytest.raises(OSError, match="LISTEN_ADDRESS"):
            await second.start(f"127.0.0.1:{port}", [])
        await first.drain(0)
        await second.drain(0)


async def test_draining_lets_calls_finish(servicer: Servicer) -> None:
    """Calls in flight are answered, new calls are refused."""
    async with serving(servicer) as (stub, server):
        servicer.wait.clear()
        call = asyncio.ensure_future(stub.GetEvent(GET))
        while not servicer.calls:
            await asyncio.sleep(0.01)
        draining = asyncio.create_task(server.drain(5))
        await asyncio.sleep(0.05)
        servicer.wait.set()
        await call
        await draining


@asynccontextmanager
async def sharing(servicer: Servicer) -> AsyncIterator[str]:
    """Serve with sixteen slots of a kind, shared among callers."""
    limits, verifier = CallLimits(unary=16, streams=16), TokenVerifier(secret=SECRET)
    server = GrpcServer(telemetry=Telemetry.in_memory(), limits=limits, verifier=verifier)
    pb_grpc.add_RegistrationServiceServicer_to_server(servicer, server.server)
    port = await server.start("127.0.0.1:0", [SERVICE])
    yield f"127.0.0.1:{port}"
    servicer.wait.set()
    await server.drain(1)


async def test_one_caller_without_a_token_does_not_take_every_stream(servicer: Servicer) -> None:
    """It gets its share with any number of invented tokens, and a service still gets its streams and calls."""
    servicer.wait.clear()
    identity = ServiceIdentity("gateway", secret=SECRET, issuer=ISSUER)
    async with sharing(servicer) as target:

        def stub(name: ServiceIdentity | None) -> Any:
            channel = open_channel(target, service=SERVICE, retried=[], telemetry=Telemetry.in_memory(), identity=name)
            return pb_grpc.RegistrationServiceStub(channel)

        attackers = [stub(None) for _ in range(3)]
        opened = []
        for number in range(12):
            invented = (("authorization", f"Bearer invented-{number}"),) if number % 2 else ()
            opened.append(attackers[number % 3].WatchEvent(WATCH, metadata=invented))
        first = await asyncio.gather(*(stream.read() for stream in opened), return_exceptions=True)
        assert [isinstance(each, pb.WatchEventResponse) for each in first].count(True) == 2
        error = await refused(attackers[0].WatchEvent(WATCH).read())
        assert (type(error), error.reason, error.retry_after) == (Busy, "TOO_MANY_CALLS", 1.0)
        gateway = stub(identity)
        for _ in range(8):
            stream = gateway.WatchEvent(WATCH)
            assert (await stream.read()).promoted == 1
            opened.append(stream)
        calls = [asyncio.ensure_future(attackers[0].GetEvent(GET, timeout=20)) for _ in range(2)]
        while servicer.calls < 2:
            await asyncio.sleep(0.01)
        assert isinstance(await refused(attackers[1].GetEvent(GET)), Busy)
        servicer.wait.set()
        await gateway.GetEvent(GET)
        await asyncio.gather(*calls)
        for stream in opened:
            stream.cancel()
