"""What the gateway asks the registration service: one typed method per call, ServiceErrors instead of statuses."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import grpc.aio
from opentelemetry.context import attach
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import ServiceError, Unavailable
from ticketcap_chassis.identity.service_identity import ServiceIdentity
from ticketcap_chassis.identity.tokens import NO_KEYS
from ticketcap_chassis.rpc.channel import open_channel
from ticketcap_chassis.rpc.status import to_status
from ticketcap_observability import Telemetry, context_from_traceparent

from ticketcap_gateway.services.client import ServiceClient, bearer

SERVICE: Final = "ticketcap.registration.v1.RegistrationService"
# Without effect, or carrying an idempotency key in every message that the gateway sends.
RETRIED: Final = (
    "CreateSchool",
    "CreateEvent",
    "GetEvent",
    "ListEvents",
    "RegisterBatch",
    "GetRegistration",
    "ListRegistrations",
    "GetSchoolStats",
)


def open_registration_channel(target: str, identity: ServiceIdentity, telemetry: Telemetry) -> grpc.aio.Channel:
    """Return the channel that a RegistrationClient speaks through; the caller closes it."""
    return open_channel(target, service=SERVICE, retried=RETRIED, telemetry=telemetry, identity=identity)


class RegistrationClient(ServiceClient):
    """Calls of the registration service. ``token`` is the organiser's JSON Web Token, passed on as it came.

    A batch belongs to many callers: the gateway makes that call as itself.
    """

    spoken_of = "the registration service"

    def __init__(self, channel: grpc.aio.Channel, identity: ServiceIdentity) -> None:
        super().__init__(channel)
        self._identity = identity
        self._stub = registration_pb2_grpc.RegistrationServiceStub(channel)

    async def create_school(self, request: pb.CreateSchoolRequest, token: str) -> pb.CreateSchoolResponse:
        """Open a tenant."""
        return await self._answer(self._stub.CreateSchool(request, metadata=bearer(token)))

    async def create_event(self, request: pb.CreateEventRequest, token: str) -> pb.CreateEventResponse:
        """Open an event."""
        return await self._answer(self._stub.CreateEvent(request, metadata=bearer(token)))

    async def get_event(self, request: pb.GetEventRequest) -> pb.GetEventResponse:
        """Return one event with its seats."""
        return await self._answer(self._stub.GetEvent(request))

    async def list_events(self, request: pb.ListEventsRequest) -> pb.ListEventsResponse:
        """Return a page of a school's open events."""
        return await self._answer(self._stub.ListEvents(request))

    async def update_event(self, request: pb.UpdateEventRequest, token: str) -> pb.UpdateEventResponse:
        """Change the named fields of an event."""
        return await self._answer(self._stub.UpdateEvent(request, metadata=bearer(token)))

    async def delete_event(self, request: pb.DeleteEventRequest, token: str) -> None:
        """Remove an event that nobody registered for."""
        await self._answer(self._stub.DeleteEvent(request, metadata=bearer(token)))

    async def register_batch(self, request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        """Claim spots for many callers, each with an answer of its own."""
        try:
            return await self._answer(self._stub.RegisterBatch(request, metadata=self._identity.metadata()))
        except Unavailable as error:
            if error.reason != NO_KEYS:
                raise
        # The service can't verify this gateway, since it started while the identity provider was down. A single
        # claim needs no token, so parents are served all the same, at the price of one call each.
        results = await asyncio.gather(*(self._register(item) for item in request.items))
        return pb.RegisterBatchResponse(results=results)

    async def _register(self, item: pb.RegisterBatchRequest.Item) -> pb.RegisterBatchResponse.Result:
        """Make one claim of a batch by a call of its own, in its own trace and time."""
        if (context := context_from_traceparent(item.traceparent)) is not None:
            attach(context)  # of the task that this claim has; it ends with it
        try:
            with deadlines.within(item.timeout_ms / 1000):
                response = await self._answer(self._stub.Register(item.request))
        except ServiceError as error:
            return pb.RegisterBatchResponse.Result(error=to_status(error))
        return pb.RegisterBatchResponse.Result(response=response)

    async def get_registration(self, request: pb.GetRegistrationRequest, token: str) -> pb.GetRegistrationResponse:
        """Return one registration; ``token`` is "" for the holder of its manage token."""
        return await self._answer(self._stub.GetRegistration(request, metadata=bearer(token)))

    async def list_registrations(
        self, request: pb.ListRegistrationsRequest, token: str
    ) -> pb.ListRegistrationsResponse:
        """Return a page of an event's registrations."""
        return await self._answer(self._stub.ListRegistrations(request, metadata=bearer(token)))

    async def cancel_registration(
        self, request: pb.CancelRegistrationRequest, token: str
    ) -> pb.CancelRegistrationResponse:
        """Give spots back; ``token`` is "" for the holder of the manage token."""
        return await self._answer(self._stub.CancelRegistration(request, metadata=bearer(token)))

    async def check_in(self, request: pb.CheckInRequest, token: str) -> pb.CheckInResponse:
        """Mark a registration as arrived."""
        return await self._answer(self._stub.CheckIn(request, metadata=bearer(token)))

    async def undo_check_in(self, request: pb.UndoCheckInRequest, token: str) -> pb.UndoCheckInResponse:
        """Take a check-in back."""
        return await self._answer(self._stub.UndoCheckIn(request, metadata=bearer(token)))

    async def get_school_stats(self, request: pb.GetSchoolStatsRequest, token: str) -> pb.GetSchoolStatsResponse:
        """Return what a school's dashboard shows."""
        return await self._answer(self._stub.GetSchoolStats(request, metadata=bearer(token)))

    def export_registrations(
        self, request: pb.ExportRegistrationsRequest, token: str
    ) -> AsyncGenerator[pb.ExportRegistrationsResponse, None]:
        """Yield every registration of an event, in portions."""
        return self._portions(lambda: self._stub.ExportRegistrations(request, metadata=bearer(token)))

    def watch_event(self, request: pb.WatchEventRequest) -> AsyncGenerator[pb.WatchEventResponse, None]:
        """Yield an event's seats now, then each change."""
        return self._portions(lambda: self._stub.WatchEvent(request))
