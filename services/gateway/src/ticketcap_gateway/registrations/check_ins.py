"""Calls about check-ins: who arrived, once, and taking it back."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import MANAGERS

from ticketcap_gateway import schemas, translate
from ticketcap_gateway.access.callers import Access, event_of, registration_of
from ticketcap_gateway.edge.json_body import BodyReader
from ticketcap_gateway.edge.operation import Answer, Caller, Operation
from ticketcap_gateway.edge.responses import created, json
from ticketcap_gateway.registrations.links import Links
from ticketcap_gateway.services.registration import RegistrationClient

_TOPIC = "Check-in"
_CHECK_INS = "/api/v1/schools/{school}/events/{event}/check-ins"


class CheckIns:
    """Serves an event's check-ins. A check-in has the id of its registration."""

    def __init__(self, registration: RegistrationClient, access: Access, bodies: BodyReader, links: Links) -> None:
        self._registration = registration
        self._access = access
        self._bodies = bodies
        self._links = links

    def operations(self) -> Sequence[Operation]:
        """Return every call about check-ins."""
        return (
            Operation(
                method="POST",
                path=_CHECK_INS,
                name="checkIn",
                summary="Mark a confirmed registration as arrived, once. MANAGER and up.",
                topic=_TOPIC,
                handler=self.create,
                caller=Caller.ORGANISER,
                body=schemas.CheckInCreate,
                answers=[Answer(status=201, description="The registration.", body=schemas.Registration)],
                problems=[409],
            ),
            Operation(
                method="DELETE",
                path=_CHECK_INS + "/{id}",
                name="undoCheckIn",
                summary="Take a check-in back. MANAGER and up.",
                topic=_TOPIC,
                handler=self.undo,
                caller=Caller.ORGANISER,
                answers=[Answer(status=200, description="The registration.", body=schemas.Registration)],
                problems=[409],
            ),
        )

    async def create(self, request: Request) -> Response:
        """Mark a registration as arrived."""
        school, event = event_of(request)
        token = await self._access.organiser(request, MANAGERS, school)
        body = await self._bodies.read(request, schemas.CheckInCreate)
        message = pb.CheckInRequest(school=school, event=event, confirmation_code=body.confirmation_code)
        answer = await self._registration.check_in(message, token)
        location = f"/api/v1/schools/{school}/events/{event}/check-ins/{answer.registration.id}"
        return created(translate.registration(answer.registration, self._links), location=location, replayed=False)

    async def undo(self, request: Request) -> Response:
        """Take a check-in back."""
        school, event = event_of(request)
        token = await self._access.organiser(request, MANAGERS, school)
        message = pb.UndoCheckInRequest(school=school, event=event, id=registration_of(request))
        answer = await self._registration.undo_check_in(message, token)
        return json(translate.registration(answer.registration, self._links))
