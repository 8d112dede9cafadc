"""What the gateway asks the registration service: one typed method per call, ServiceErrors instead of statuses."""

from collections.abc import AsyncGenerator, Awaitable
from typing import Final, TypeVar

import grpc.aio
from grpc_health.v1 import health_pb2
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc
from ticketcap_chassis.errors import DeadlineExceeded, InternalError, ServiceError, Unavailable
from ticketcap_chassis.grpc_channel import open_channel
from ticketcap_chassis.status import from_rpc_error
from ticketcap_observability import Telemetry

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
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_Answer = TypeVar("_Answer")


def open_registration_channel(target: str, telemetry: Telemetry) -> grpc.aio.Channel:
    """Return the channel that a RegistrationClient speaks through; the caller closes it."""
    return open_channel(target, service=SERVICE, retried=RETRIED, telemetry=telemetry)


class RegistrationClient:
    """Calls of the registration service. Each raises the ServiceError that the status stands for.

    ``token`` is the organiser's JSON Web Token, passed on as it came.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registration_pb2_grpc.RegistrationServiceStub(channel)
        self._check_health: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def create_school(self, request: pb.CreateSchoolRequest, token: str) -> pb.CreateSchoolResponse:
        """Open a tenant."""
        return await _answer(self._stub.CreateSchool(request, metadata=_bearer(token)))

    async def create_event(self, request: pb.CreateEventRequest, token: str) -> pb.CreateEventResponse:
        """Open an event."""
        return await _answer(self._stub.CreateEvent(request, metadata=_bearer(token)))

    async def get_event(self, request: pb.GetEventRequest) -> pb.GetEventResponse:
        """Return one event with its seats."""
        return await _answer(self._stub.GetEvent(request))

    async def list_events(self, request: pb.ListEventsRequest) -> pb.ListEventsResponse:
        """Return a page of a school's open events."""
        return await _answer(self._stub.ListEvents(request))

    async def update_event(self, request: pb.UpdateEventRequest, token: str) -> pb.UpdateEventResponse:
        """Change the named fields of an event."""
        return await _answer(self._stub.UpdateEvent(request, metadata=_bearer(token)))

    async def delete_event(self, request: pb.DeleteEventRequest, token: str) -> None:
        """Remove an event that nobody registered for."""
        await _answer(self._stub.DeleteEvent(request, metadata=_bearer(token)))

    async def register_batch(self, request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        """Claim spots for many callers, each with an answer of its own."""
        return await _answer(self._stub.RegisterBatch(request))

    async def get_registration(self, request: pb.GetRegistrationRequest, token: str) -> pb.GetRegistrationResponse:
        """Return one registration; ``token`` is "" for the holder of its manage token."""
        return await _answer(self._stub.GetRegistration(request, metadata=_bearer(token)))

    async def list_registrations(
        self, request: pb.ListRegistrationsRequest, token: str
    ) -> pb.ListRegistrationsResponse:
        """Return a page of an event's registrations."""
        return await _answer(self._stub.ListRegistrations(request, metadata=_bearer(token)))

    async def cancel_registration(
        self, request: pb.CancelRegistrationRequest, token: str
    ) -> pb.CancelRegistrationResponse:
        """Give spots back; ``token`` is "" for the holder of the manage token."""
        return await _answer(self._stub.CancelRegistration(request, metadata=_bearer(token)))

    async def check_in(self, request: pb.CheckInRequest, token: str) -> pb.CheckInResponse:
        """Mark a registration as arrived."""
        return await _answer(self._stub.CheckIn(request, metadata=_bearer(token)))

    async def undo_check_in(self, request: pb.UndoCheckInRequest, token: str) -> pb.UndoCheckInResponse:
        """Take a check-in back."""
        return await _answer(self._stub.UndoCheckIn(request, metadata=_bearer(token)))

    async def get_school_stats(self, request: pb.GetSchoolStatsRequest, token: str) -> pb.GetSchoolStatsResponse:
        """Return what a school's dashboard shows."""
        return await _answer(self._stub.GetSchoolStats(request, metadata=_bearer(token)))

    async def export_registrations(
        self, request: pb.ExportRegistrationsRequest, token: str
    ) -> AsyncGenerator[pb.ExportRegistrationsResponse, None]:
        """Yield every registration of an event, in portions."""
        call = self._stub.ExportRegistrations(request, metadata=_bearer(token))
        try:
            async for portion in call:
                yield portion
        except grpc.aio.AioRpcError as failure:
            raise service_error(failure) from None
        finally:
            call.cancel()

    async def watch_event(self, request: pb.WatchEventRequest) -> AsyncGenerator[pb.WatchEventResponse, None]:
        """Yield an event's seats now, then each change."""
        call = self._stub.WatchEvent(request)
        try:
            async for change in call:
                yield change
        except grpc.aio.AioRpcError as failure:
            raise service_error(failure) from None
        finally:
            call.cancel()

    async def is_serving(self, service: str, *, within: float) -> bool:
        """Say whether ``service`` ("" is the whole process) does its work, in less than ``within`` seconds."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await _answer(self._check_health(request, timeout=within))
        return answer.status == health_pb2.HealthCheckResponse.SERVING


def _bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


async def _answer(call: Awaitable[_Answer]) -> _Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        raise service_error(failure) from None


def service_error(failure: grpc.aio.AioRpcError) -> ServiceError:
    """Return the error that a failed call stands for.

    A status without details was not written by a service of ours: its text,
    which may name addresses, is replaced.
    """
    error = from_rpc_error(failure)
    if any(key == _STATUS_DETAILS for key, _ in failure.trailing_metadata() or ()):
        return error
    if isinstance(error, Unavailable):
        return Unavailable("the registration service can't be reached; try again")
    if isinstance(error, DeadlineExceeded):
        return DeadlineExceeded("the registration service did not answer in time")
    if isinstance(error, InternalError):
        return InternalError("the registration service failed; the log has it under this trace id")
    return type(error)("the registration service refused the call", retry_after=error.retry_after)
