"""Serve the calls of check-ins: check in, and undo."""

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import MANAGERS

from ticketcap_gateway.access.callers import ORGANISER, Access
from ticketcap_gateway.access.paths import event_of, id_of
from ticketcap_gateway.edge.bodies import BodyReader
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.responses import created, json
from ticketcap_gateway.registrations import schemas, translation
from ticketcap_gateway.registrations.translation import PayLinks
from ticketcap_gateway.services.registration import RegistrationClient

_CHECK_INS = "/api/v1/schools/{school}/events/{event}/check-ins"


class CheckIns:
    """Serves an event's check-ins. A check-in has the id of its registration."""

    topic = "Check-in"

    def __init__(self, registration: RegistrationClient, access: Access, bodies: BodyReader, links: PayLinks) -> None:
        self._call, self._rpc = registration.call, registration.rpc
        self._access = access
        self._bodies = bodies
        self._links = links

    @call(
        "POST",
        _CHECK_INS,
        name="checkIn",
        summary="Mark a confirmed registration as arrived, once. MANAGER and up.",
        caller=ORGANISER,
        body=schemas.CheckInCreate,
        responses=[ResponseSpec(201, "The registration.", schemas.Registration)],
        problems=[409],
    )
    async def create(self, request: Request) -> Response:
        """Mark a registration as arrived."""
        school, event = event_of(request)
        token = await self._access.organiser(request, MANAGERS, school)
        body = await self._bodies.read(request, schemas.CheckInCreate)
        message = pb.CheckInRequest(school=school, event=event, confirmation_code=body.confirmation_code)
        answer = await self._call(self._rpc.CheckIn, message, token)
        location = f"/api/v1/schools/{school}/events/{event}/check-ins/{answer.registration.id}"
        return created(translation.registration(answer.registration, self._links), location=location, replayed=False)

    @call(
        "DELETE",
        _CHECK_INS + "/{id}",
        name="undoCheckIn",
        summary="Undo a check-in. MANAGER and up.",
        caller=ORGANISER,
        responses=[ResponseSpec(200, "The registration.", schemas.Registration)],
        problems=[409],
    )
    async def undo(self, request: Request) -> Response:
        """Undo a check-in."""
        school, event = event_of(request)
        token = await self._access.organiser(request, MANAGERS, school)
        message = pb.UndoCheckInRequest(school=school, event=event, id=id_of(request, "registration"))
        answer = await self._call(self._rpc.UndoCheckIn, message, token)
        return json(translation.registration(answer.registration, self._links))
