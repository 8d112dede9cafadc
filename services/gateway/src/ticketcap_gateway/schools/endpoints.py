"""Calls about schools: opening one, and the figures of its dashboard."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import SUPER_ADMINS, VIEWERS

from ticketcap_gateway import schemas, translate
from ticketcap_gateway.access.callers import Access, idempotency_key, school_of
from ticketcap_gateway.edge.json_body import BodyReader
from ticketcap_gateway.edge.operation import Answer, Caller, Operation
from ticketcap_gateway.edge.responses import created, json
from ticketcap_gateway.services.registration import RegistrationClient

_TOPIC = "Schools"


class Schools:
    """Serves /schools and a school's stats."""

    def __init__(self, registration: RegistrationClient, access: Access, bodies: BodyReader) -> None:
        self._registration = registration
        self._access = access
        self._bodies = bodies

    def operations(self) -> Sequence[Operation]:
        """Return every call about schools."""
        return (
            Operation(
                method="POST",
                path="/api/v1/schools",
                name="createSchool",
                summary="Open a new tenant. SUPER_ADMIN.",
                topic=_TOPIC,
                handler=self.create,
                caller=Caller.ORGANISER,
                body=schemas.SchoolCreate,
                creates=True,
                answers=[Answer(status=201, description="The new school.", body=schemas.School)],
                problems=[409],
            ),
            Operation(
                method="GET",
                path="/api/v1/schools/{school}/stats",
                name="getSchoolStats",
                summary="What a school's dashboard shows. VIEWER and up.",
                topic=_TOPIC,
                handler=self.stats,
                caller=Caller.ORGANISER,
                answers=[Answer(status=200, description="The school's figures.", body=schemas.SchoolStats)],
            ),
        )

    async def create(self, request: Request) -> Response:
        """Open a tenant."""
        token = await self._access.organiser(request, SUPER_ADMINS)
        key = idempotency_key(request)
        body = await self._bodies.read(request, schemas.SchoolCreate)
        message = pb.CreateSchoolRequest(slug=body.slug, name=body.name, idempotency_key=key)
        answer = await self._registration.create_school(message, token)
        location = f"/api/v1/schools/{answer.school.slug}/events"
        return created(translate.school(answer.school), location=location, replayed=answer.replayed)

    async def stats(self, request: Request) -> Response:
        """Return a school's figures."""
        school = school_of(request)
        token = await self._access.organiser(request, VIEWERS, school)
        answer = await self._registration.get_school_stats(pb.GetSchoolStatsRequest(school=school), token)
        return json(translate.stats(answer))
