"""Call the registration service."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import grpc.aio
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import ServiceError, Unavailable
from ticketcap_chassis.identity.service_identity import ServiceIdentity
from ticketcap_chassis.identity.tokens import NO_KEYS
from ticketcap_chassis.rpc.channel import open_channel
from ticketcap_chassis.rpc.status import to_status
from ticketcap_observability import Telemetry

from ticketcap_gateway import telemetry
from ticketcap_gateway.services.affinity import event_key
from ticketcap_gateway.services.client import ServiceClient

SERVICE: Final = "ticketcap.registration.v1.RegistrationService"
# Without effect, or with an idempotency key in every message that the gateway sends.
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
    """Return the channel of a RegistrationClient; the caller closes it.

    An event's calls go to one replica, so that its claims share transactions instead of waiting for its row.
    """
    return open_channel(
        target, service=SERVICE, retried=RETRIED, telemetry=telemetry, identity=identity, affinity=event_key
    )


class RegistrationClient(ServiceClient):
    """Makes the calls of ``rpc``, the registration service's methods."""

    noun = "the registration service"

    def __init__(self, channel: grpc.aio.Channel, identity: ServiceIdentity) -> None:
        super().__init__(channel)
        self._identity = identity
        self.rpc = registration_pb2_grpc.RegistrationServiceStub(channel)

    def watch_event(self, request: pb.WatchEventRequest) -> AsyncGenerator[pb.WatchEventResponse, None]:
        """Yield an event's seats now, then each change."""
        return self.stream(self.rpc.WatchEvent, request)

    async def register_batch(self, request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        """Claim spots for many callers: one result per item, in their order.

        A batch belongs to many callers, so the gateway calls with its own identity.
        """
        try:
            return await self.call(self.rpc.RegisterBatch, request, metadata=self._identity.metadata())
        except Unavailable as error:
            if error.reason != NO_KEYS:
                raise
        # The service can't verify this gateway, since it started while the identity provider was down. A single
        # claim needs no token, so parents are still served, at the price of one call each.
        results = await asyncio.gather(*(self._register(item) for item in request.items))
        return pb.RegisterBatchResponse(results=results)

    async def _register(self, item: pb.RegisterBatchRequest.Item) -> pb.RegisterBatchResponse.Result:
        """Make one claim of a batch by a call with its own trace and deadline."""
        # gather() runs this as a task of its own, so trace and deadline touch no other claim.
        telemetry.continue_trace(item.traceparent)
        try:
            with deadlines.within(item.timeout_ms / 1000):
                response = await self.call(self.rpc.Register, item.request)
        except ServiceError as error:
            return pb.RegisterBatchResponse.Result(error=to_status(error))
        return pb.RegisterBatchResponse.Result(response=response)
