"""For tests: a registration service in memory, and a gateway in front of it, both on real sockets."""
# ruff: noqa: N802, D102 - the methods are named and explained by the proto

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc.aio
import jwt
from pydantic import SecretStr
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc
from ticketcap_chassis.errors import ServiceError
from ticketcap_chassis.grpc_server import GrpcServer
from ticketcap_chassis.identity import ISSUER
from ticketcap_chassis.lifecycle import background
from ticketcap_chassis.status import to_status
from ticketcap_observability import Telemetry

from ticketcap_gateway.http.server import HttpServer, listen
from ticketcap_gateway.main import Gateway, connection_limits, wired
from ticketcap_gateway.registration_client import SERVICE
from ticketcap_gateway.settings import GatewaySettings

SECRET: Final = "a secret for tests only, never for anything else"  # noqa: S105 - it protects nothing
EVENT_ID: Final = "0199c1de-0000-7000-8000-000000000001"
REGISTRATION_ID: Final = "0199c1de-0000-7000-8000-000000000002"
MANAGE_TOKEN: Final = "manage-token-of-forty-three-characters-long"  # noqa: S105 - it opens nothing

Context = grpc.aio.ServicerContext[Any, Any]
_CREATED_AT: Final = 1_790_000_000


def token(role: str = "OWNER", school: str | None = "herzl", *, secret: str = SECRET, seconds: int = 600) -> str:
    """Return a JSON Web Token of ``role`` that holds for ``seconds``."""
    claims = {"sub": "tester", "role": role, "iss": ISSUER, "exp": int(time.time()) + seconds}
    return jwt.encode(claims if school is None else claims | {"school": school}, secret, algorithm="HS256")


def bearer(role: str = "OWNER", school: str | None = "herzl") -> dict[str, str]:
    """Return the header of an organiser."""
    return {"authorization": f"Bearer {token(role, school)}"}


def an_event(**changes: Any) -> pb.Event:
    """Return an event of 100 spots."""
    event = pb.Event(
        id=EVENT_ID,
        school="herzl",
        slug="football",
        title="כדורגל",
        status=pb.EVENT_STATUS_OPEN,
        capacity=100,
        confirmed=60,
        held=3,
        waitlisted=0,
        available=37,
        max_spots_per_registration=10,
        price_agorot=5000,
        currency="ILS",
        waitlist_enabled=True,
        waitlist_policy=pb.WAITLIST_POLICY_FIRST_FIT,
        hold_seconds=900,
        cancellation_deadline_hours=24,
        version=7,
    )
    for stamp in (event.starts_at, event.created_at, event.updated_at):
        stamp.FromSeconds(_CREATED_AT)
    event.MergeFrom(pb.Event(**changes))
    return event


def a_registration(**changes: Any) -> pb.Registration:
    """Return a confirmed registration of two spots."""
    registration = pb.Registration(
        id=REGISTRATION_ID,
        event_id=EVENT_ID,
        school="herzl",
        event="football",
        status=pb.REGISTRATION_STATUS_CONFIRMED,
        name="נועה ג'ונס-לוי",
        phone="+972501234567",
        spots=2,
        confirmation_code="K7M3QX",
    )
    registration.created_at.FromSeconds(_CREATED_AT)
    registration.MergeFrom(pb.Registration(**changes))
    return registration


@dataclass
class FakeRegistration(registration_pb2_grpc.RegistrationServiceServicer):
    """Answers every call at once, remembers what it was asked, and fails when told to.

    ``failures`` are by method ("ExportEnd" is the end of an export);
    ``rejected_names`` fail single claims of a batch.
    """

    failures: dict[str, ServiceError] = field(default_factory=dict)
    asked: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    metadata: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    remaining: dict[str, list[float | None]] = field(default_factory=lambda: defaultdict(list))
    delay: float = 0.0
    gate: asyncio.Event | None = None
    replayed: bool = False
    claim_status: pb.RegistrationStatus = pb.REGISTRATION_STATUS_CONFIRMED
    rejected_names: dict[str, ServiceError] = field(default_factory=dict)
    portions: list[pb.ExportRegistrationsResponse] = field(default_factory=list)
    changes: deque[pb.WatchEventResponse] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    watching: int = 0
    watches: int = 0
    watches_end: bool = False
    target: str = ""
    set_health: Callable[..., Awaitable[None]] | None = None

    async def _take(self, method: str, request: Any, context: Context) -> None:
        self.asked[method].append(request)
        self.metadata[method].append(dict(context.invocation_metadata() or ()))
        self.remaining[method].append(context.time_remaining())
        if self.gate is not None:
            await self.gate.wait()
        if self.delay:
            await asyncio.sleep(self.delay)
        if method in self.failures:
            raise self.failures[method]

    def publish(self, seats: pb.Seats, promoted: int = 0) -> None:
        """Tell every watcher."""
        self.changes.append(pb.WatchEventResponse(seats=seats, promoted=promoted))
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def end_watches(self) -> None:
        """End every watcher's stream, as a service that drains does."""
        self.watches_end = True
        self.changed.set()

    async def CreateSchool(self, request: pb.CreateSchoolRequest, context: Context) -> pb.CreateSchoolResponse:
        await self._take("CreateSchool", request, context)
        school = pb.School(id=EVENT_ID, slug=request.slug, name=request.name)
        return pb.CreateSchoolResponse(school=school, replayed=self.replayed)

    async def CreateEvent(self, request: pb.CreateEventRequest, context: Context) -> pb.CreateEventResponse:
        await self._take("CreateEvent", request, context)
        return pb.CreateEventResponse(event=an_event(title=request.fields.title), replayed=self.replayed)

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        await self._take("GetEvent", request, context)
        return pb.GetEventResponse(event=an_event())

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        await self._take("ListEvents", request, context)
        return pb.ListEventsResponse(events=[an_event(), an_event(slug="lecture")], next_cursor="next")

    async def UpdateEvent(self, request: pb.UpdateEventRequest, context: Context) -> pb.UpdateEventResponse:
        await self._take("UpdateEvent", request, context)
        return pb.UpdateEventResponse(event=an_event())

    async def DeleteEvent(self, request: pb.DeleteEventRequest, context: Context) -> pb.DeleteEventResponse:
        await self._take("DeleteEvent", request, context)
        return pb.DeleteEventResponse()

    async def RegisterBatch(self, request: pb.RegisterBatchRequest, context: Context) -> pb.RegisterBatchResponse:
        await self._take("RegisterBatch", request, context)
        return pb.RegisterBatchResponse(results=[self._claim(item.request) for item in request.items])

    def _claim(self, request: pb.RegisterRequest) -> pb.RegisterBatchResponse.Result:
        if request.name in self.rejected_names:
            return pb.RegisterBatchResponse.Result(error=to_status(self.rejected_names[request.name]))
        response = pb.RegisterResponse(
            id=REGISTRATION_ID,
            status=self.claim_status,
            confirmation_code="K7M3QX",
            spots=request.spots,
            manage_token=MANAGE_TOKEN,
            replayed=self.replayed,
        )
        if self.claim_status == pb.REGISTRATION_STATUS_WAITLISTED:
            response.waitlist_position = 3
        if self.claim_status == pb.REGISTRATION_STATUS_PENDING_PAYMENT:
            response.hold_expires_at.FromSeconds(_CREATED_AT)
        return pb.RegisterBatchResponse.Result(response=response)

    async def GetRegistration(self, request: pb.GetRegistrationRequest, context: Context) -> pb.GetRegistrationResponse:
        await self._take("GetRegistration", request, context)
        return pb.GetRegistrationResponse(registration=a_registration())

    async def ListRegistrations(
        self, request: pb.ListRegistrationsRequest, context: Context
    ) -> pb.ListRegistrationsResponse:
        await self._take("ListRegistrations", request, context)
        return pb.ListRegistrationsResponse(items=[a_registration()])

    async def ExportRegistrations(
        self, request: pb.ExportRegistrationsRequest, context: Context
    ) -> AsyncGenerator[pb.ExportRegistrationsResponse, None]:
        await self._take("ExportRegistrations", request, context)
        for portion in self.portions:
            yield portion
        if "ExportEnd" in self.failures:
            raise self.failures["ExportEnd"]

    async def CancelRegistration(
        self, request: pb.CancelRegistrationRequest, context: Context
    ) -> pb.CancelRegistrationResponse:
        await self._take("CancelRegistration", request, context)
        return pb.CancelRegistrationResponse(registration=a_registration(status=pb.REGISTRATION_STATUS_CANCELLED))

    async def CheckIn(self, request: pb.CheckInRequest, context: Context) -> pb.CheckInResponse:
        await self._take("CheckIn", request, context)
        registration = a_registration()
        registration.checked_in_at.FromSeconds(_CREATED_AT)
        return pb.CheckInResponse(registration=registration)

    async def UndoCheckIn(self, request: pb.UndoCheckInRequest, context: Context) -> pb.UndoCheckInResponse:
        await self._take("UndoCheckIn", request, context)
        return pb.UndoCheckInResponse(registration=a_registration())

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        raise NotImplementedError("the gateway never calls this")

    async def ConfirmHold(self, request: pb.ConfirmHoldRequest, context: Context) -> pb.ConfirmHoldResponse:
        raise NotImplementedError("the gateway never calls this")

    async def ReleaseHold(self, request: pb.ReleaseHoldRequest, context: Context) -> pb.ReleaseHoldResponse:
        raise NotImplementedError("the gateway never calls this")

    async def ExtendHold(self, request: pb.ExtendHoldRequest, context: Context) -> pb.ExtendHoldResponse:
        raise NotImplementedError("the gateway never calls this")

    async def ReclaimHold(self, request: pb.ReclaimHoldRequest, context: Context) -> pb.ReclaimHoldResponse:
        raise NotImplementedError("the gateway never calls this")

    async def GetHold(self, request: pb.GetHoldRequest, context: Context) -> pb.GetHoldResponse:
        raise NotImplementedError("the gateway never calls this")

    async def ListChanges(self, request: pb.ListChangesRequest, context: Context) -> pb.ListChangesResponse:
        raise NotImplementedError("the gateway never calls this")

    async def GetSchoolStats(self, request: pb.GetSchoolStatsRequest, context: Context) -> pb.GetSchoolStatsResponse:
        await self._take("GetSchoolStats", request, context)
        return pb.GetSchoolStatsResponse(events=3, active_events=2, capacity_utilization=0.63)

    async def WatchEvent(
        self, request: pb.WatchEventRequest, context: Context
    ) -> AsyncGenerator[pb.WatchEventResponse, None]:
        await self._take("WatchEvent", request, context)
        self.watching += 1
        self.watches += 1
        try:
            newest = self.changes[-1] if self.changes else pb.WatchEventResponse(seats=seats(version=1))
            yield pb.WatchEventResponse(seats=newest.seats)
            told = len(self.changes)
            while not self.watches_end:
                changed = self.changed
                for change in list(self.changes)[told:]:
                    yield change
                told = len(self.changes)
                await changed.wait()
        finally:
            self.watching -= 1


def seats(*, version: int, confirmed: int = 60) -> pb.Seats:
    """Return the seats of an event of 100 spots."""
    return pb.Seats(
        event_id=EVENT_ID,
        status=pb.EVENT_STATUS_OPEN,
        capacity=100,
        confirmed=confirmed,
        available=100 - confirmed,
        version=version,
    )


@asynccontextmanager
async def running_registration(
    fake: FakeRegistration | None = None, *, address: str = "127.0.0.1:0", telemetry: Telemetry | None = None
) -> AsyncIterator[FakeRegistration]:
    """Run a fake registration service that is healthy; stopping it cuts every call off."""
    fake = fake or FakeRegistration()
    server = GrpcServer(telemetry=telemetry or Telemetry.in_memory())
    registration_pb2_grpc.add_RegistrationServiceServicer_to_server(fake, server.server)
    port = await server.start(address, [SERVICE])
    for service in ("", "database"):
        await server.set_health(service, serving=True)
    try:
        fake.target = f"127.0.0.1:{port}"
        fake.set_health = server.set_health
        yield fake
    finally:
        await server.server.stop(0)


@dataclass
class RunningGateway:
    """A gateway that listens. ``address`` is host and port."""

    parts: Gateway
    server: HttpServer
    address: tuple[str, int]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.address[0]}:{self.address[1]}"


@asynccontextmanager
async def running_gateway(
    target: str,
    *,
    telemetry: Telemetry | None = None,
    **settings: Any,
) -> AsyncIterator[RunningGateway]:
    """Run a gateway in front of ``target`` on any free port."""
    configured = GatewaySettings(jwt_secret=SecretStr(SECRET), registration_target=target, drain_seconds=1, **settings)
    async with wired(configured, telemetry or Telemetry.in_memory()) as parts:
        with listen("127.0.0.1:0") as listener:
            server = HttpServer(
                parts.app,
                limits=connection_limits(configured),
                keep_alive_seconds=configured.keep_alive_seconds,
                drain_seconds=configured.drain_seconds,
            )
            async with background(server.serve(listener)) as serving:
                yield RunningGateway(parts, server, listener.getsockname()[:2])
                await parts.hub.close()
                server.stop()
                await serving
