"""Run both services in memory, on real sockets."""
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
from ticketcap.payment.v1 import payment_pb2, payment_pb2_grpc
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc
from ticketcap_chassis.errors import NotFound, ServiceError
from ticketcap_chassis.identity.tokens import ISSUER, TokenVerifier
from ticketcap_chassis.rpc.connection_age import ConnectionAge
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_chassis.rpc.status import to_status
from ticketcap_gateway.services.payment import SERVICE as PAYMENT_SERVICE
from ticketcap_gateway.services.registration import SERVICE as REGISTRATION_SERVICE
from ticketcap_observability import Telemetry

SECRET: Final = "a secret for tests only, never for anything else"  # noqa: S105 - it protects nothing
EVENT_ID: Final = "0199c1de-0000-7000-8000-000000000001"
REGISTRATION_ID: Final = "0199c1de-0000-7000-8000-000000000002"
MANAGE_TOKEN: Final = "manage-token-of-forty-three-characters-long"  # noqa: S105 - it opens nothing
PAY_TOKEN: Final = "pay-token-of-forty-three-characters-as-well"  # noqa: S105 - it opens nothing
PAYMENT_ID: Final = "0199c1de-0000-7000-8000-000000000003"
REFUND_ID: Final = "0199c1de-0000-7000-8000-000000000004"
REDIRECT_URL: Final = "https://pay.example.org/p/?Amount=100&Info=%D7%A9%20x&action=pay&signature=0af7"

Context = grpc.aio.ServicerContext[Any, Any]
_CREATED_AT: Final = 1_790_000_000


def token(role: str = "OWNER", school: str | None = "herzl", *, secret: str = SECRET, seconds: int = 86_400) -> str:
    """Return a JSON Web Token of ``role`` that is valid for ``seconds``."""
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
        price_agorot=5000,
        currency="ILS",
    )
    registration.created_at.FromSeconds(_CREATED_AT)
    registration.MergeFrom(pb.Registration(**changes))
    return registration


def a_payment(**changes: Any) -> payment_pb2.Payment:
    """Return a payment of 100 shekels, captured."""
    payment = payment_pb2.Payment(
        id=PAYMENT_ID,
        registration_id=REGISTRATION_ID,
        event_id=EVENT_ID,
        school="herzl",
        state=payment_pb2.PAYMENT_STATE_CAPTURED,
        seat=payment_pb2.SEAT_STATE_CONFIRMED,
        amount_agorot=10_000,
        currency="ILS",
        order="TCABCDEFGH23456789JK",
        yaadpay_id="12788261",
        ccode=0,
    )
    payment.created_at.FromSeconds(_CREATED_AT)
    payment.captured_at.FromSeconds(_CREATED_AT + 60)
    payment.MergeFrom(payment_pb2.Payment(**changes))
    return payment


def a_refund(**changes: Any) -> payment_pb2.Refund:
    """Return a refund of 25 shekels that an organiser requested."""
    refund = payment_pb2.Refund(
        id=REFUND_ID,
        payment_id=PAYMENT_ID,
        state=payment_pb2.REFUND_STATE_REQUESTED,
        reason=payment_pb2.REFUND_REASON_ORGANISER,
        amount_agorot=2_500,
        currency="ILS",
    )
    refund.created_at.FromSeconds(_CREATED_AT + 120)
    refund.MergeFrom(payment_pb2.Refund(**changes))
    return refund


def a_result(**changes: Any) -> payment_pb2.GetPaymentResultResponse:
    """Return the result of that payment."""
    result = payment_pb2.GetPaymentResultResponse(
        id=PAYMENT_ID,
        state=payment_pb2.PAYMENT_STATE_CAPTURED,
        seat=payment_pb2.SEAT_STATE_CONFIRMED,
        amount_agorot=10_000,
        currency="ILS",
        language=payment_pb2.LANGUAGE_HEBREW,
    )
    result.MergeFrom(payment_pb2.GetPaymentResultResponse(**changes))
    return result


@dataclass
class _Fake:
    """Records its requests by method, and raises the method's entry of ``failures``, if there is one.

    ``holder_tokens`` are the tokens that open a registration; empty: every token does.
    """

    holder_tokens: frozenset[str] = frozenset()
    failures: dict[str, ServiceError] = field(default_factory=dict)
    requests: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    metadata: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    connections: set[str] = field(default_factory=set)
    remaining: dict[str, list[float | None]] = field(default_factory=lambda: defaultdict(list))
    delay: float = 0.0
    gate: asyncio.Event | None = None
    replayed: bool = False
    target: str = ""
    set_health: Callable[..., Awaitable[None]] | None = None

    async def _take(self, method: str, request: Any, context: Context) -> None:
        self.requests[method].append(request)
        self.metadata[method].append(dict(context.invocation_metadata() or ()))
        self.remaining[method].append(context.time_remaining())
        self.connections.add(context.peer())
        if self.gate is not None:
            await self.gate.wait()
        if self.delay:
            await asyncio.sleep(self.delay)
        if method in self.failures:
            raise self.failures[method]
        secret = getattr(request, "manage_token", "") or getattr(request, "pay_token", "")
        if secret and self.holder_tokens and secret not in self.holder_tokens:
            raise NotFound("no such registration", reason="REGISTRATION_NOT_FOUND")


@dataclass
class FakeRegistration(_Fake, registration_pb2_grpc.RegistrationServiceServicer):
    """Answers every call at once.

    The failure "ExportEnd" is the end of an export; ``rejected_names`` fail
    single claims of a batch.
    """

    stored: pb.Registration = field(default_factory=a_registration)
    claim_status: pb.RegistrationStatus = pb.REGISTRATION_STATUS_CONFIRMED
    rejected_names: dict[str, ServiceError] = field(default_factory=dict)
    batches: list[pb.ExportRegistrationsResponse] = field(default_factory=list)
    changes: deque[pb.WatchEventResponse] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    watching: int = 0
    watches: int = 0
    watches_end: bool = False

    def publish(self, seats: pb.Seats, promoted: int = 0) -> None:
        """Send a change to every watcher."""
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
            response.pay_token = PAY_TOKEN
        return pb.RegisterBatchResponse.Result(response=response)

    async def GetRegistration(self, request: pb.GetRegistrationRequest, context: Context) -> pb.GetRegistrationResponse:
        await self._take("GetRegistration", request, context)
        return pb.GetRegistrationResponse(registration=self.stored)

    async def ListRegistrations(
        self, request: pb.ListRegistrationsRequest, context: Context
    ) -> pb.ListRegistrationsResponse:
        await self._take("ListRegistrations", request, context)
        return pb.ListRegistrationsResponse(items=[self.stored])

    async def ExportRegistrations(
        self, request: pb.ExportRegistrationsRequest, context: Context
    ) -> AsyncGenerator[pb.ExportRegistrationsResponse, None]:
        await self._take("ExportRegistrations", request, context)
        for batch in self.batches:
            yield batch
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

    async def AcknowledgeChanges(
        self, request: pb.AcknowledgeChangesRequest, context: Context
    ) -> pb.AcknowledgeChangesResponse:
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
            # Before the yield: a change that is published before this resumes is still to be sent.
            sent = len(self.changes)
            yield pb.WatchEventResponse(seats=newest.seats)
            while not self.watches_end:
                changed = self.changed
                for change in list(self.changes)[sent:]:
                    sent += 1
                    yield change
                await changed.wait()
        finally:
            self.watching -= 1


@dataclass
class FakePayment(_Fake, payment_pb2_grpc.PaymentServiceServicer):
    """Answers every call at once. The failure "ExportEnd" is the end of an export."""

    result: payment_pb2.GetPaymentResultResponse = field(default_factory=a_result)
    redirect_url: str = REDIRECT_URL
    batches: list[payment_pb2.ExportPaymentsResponse] = field(default_factory=list)
    escalations: list[payment_pb2.Escalation] = field(default_factory=list)

    async def CreatePayment(
        self, request: payment_pb2.CreatePaymentRequest, context: Context
    ) -> payment_pb2.CreatePaymentResponse:
        await self._take("CreatePayment", request, context)
        return payment_pb2.CreatePaymentResponse(
            payment_id=PAYMENT_ID,
            redirect_url=self.redirect_url,
            amount_agorot=10_000,
            currency="ILS",
            replayed=self.replayed,
        )

    async def GetPayment(
        self, request: payment_pb2.GetPaymentRequest, context: Context
    ) -> payment_pb2.GetPaymentResponse:
        await self._take("GetPayment", request, context)
        return payment_pb2.GetPaymentResponse(payment=a_payment(refunds=[a_refund()]))

    async def GetPaymentResult(
        self, request: payment_pb2.GetPaymentResultRequest, context: Context
    ) -> payment_pb2.GetPaymentResultResponse:
        await self._take("GetPaymentResult", request, context)
        return self.result

    async def SettleReturn(
        self, request: payment_pb2.SettleReturnRequest, context: Context
    ) -> payment_pb2.SettleReturnResponse:
        await self._take("SettleReturn", request, context)
        return payment_pb2.SettleReturnResponse(result=self.result, replayed=self.replayed)

    async def RefundPayment(
        self, request: payment_pb2.RefundPaymentRequest, context: Context
    ) -> payment_pb2.RefundPaymentResponse:
        await self._take("RefundPayment", request, context)
        refund = a_refund(amount_agorot=request.amount_agorot or 10_000)
        return payment_pb2.RefundPaymentResponse(
            refund=refund, payment=a_payment(refunds=[refund]), replayed=self.replayed
        )

    async def ExportPayments(
        self, request: payment_pb2.ExportPaymentsRequest, context: Context
    ) -> AsyncGenerator[payment_pb2.ExportPaymentsResponse, None]:
        await self._take("ExportPayments", request, context)
        for batch in self.batches:
            yield batch
        if "ExportEnd" in self.failures:
            raise self.failures["ExportEnd"]

    async def ListEscalations(
        self, request: payment_pb2.ListEscalationsRequest, context: Context
    ) -> payment_pb2.ListEscalationsResponse:
        await self._take("ListEscalations", request, context)
        return payment_pb2.ListEscalationsResponse(escalations=self.escalations)

    async def ResolveEscalation(
        self, request: payment_pb2.ResolveEscalationRequest, context: Context
    ) -> payment_pb2.ResolveEscalationResponse:
        await self._take("ResolveEscalation", request, context)
        if request.kind == "seat":
            return payment_pb2.ResolveEscalationResponse()
        return payment_pb2.ResolveEscalationResponse(payment=a_payment())


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
    fake: FakeRegistration | None = None,
    *,
    address: str = "127.0.0.1:0",
    telemetry: Telemetry | None = None,
    age: ConnectionAge | None = None,
) -> AsyncIterator[FakeRegistration]:
    """Run a fake registration service that is healthy; stopping it cuts every call off."""
    fake = fake or FakeRegistration()
    server = GrpcServer(telemetry=telemetry or Telemetry.in_memory(), verifier=TokenVerifier(secret=SECRET), age=age)
    registration_pb2_grpc.add_RegistrationServiceServicer_to_server(fake, server.server)
    port = await server.start(address, [REGISTRATION_SERVICE])
    async with _serving(fake, server, port):
        yield fake


@asynccontextmanager
async def running_payment(
    fake: FakePayment | None = None, *, address: str = "127.0.0.1:0", telemetry: Telemetry | None = None
) -> AsyncIterator[FakePayment]:
    """Run a fake payment service that is healthy; stopping it cuts every call off."""
    fake = fake or FakePayment()
    server = GrpcServer(telemetry=telemetry or Telemetry.in_memory(), verifier=TokenVerifier(secret=SECRET))
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(fake, server.server)
    port = await server.start(address, [PAYMENT_SERVICE])
    async with _serving(fake, server, port):
        yield fake


@asynccontextmanager
async def _serving(fake: _Fake, server: GrpcServer, port: int) -> AsyncIterator[None]:
    for service in ("", "database", "seat_announcements", "identity"):
        await server.set_health(service, serving=True)
    try:
        fake.target = f"127.0.0.1:{port}"
        fake.set_health = server.set_health
        yield
    finally:
        await server.server.stop(0)
