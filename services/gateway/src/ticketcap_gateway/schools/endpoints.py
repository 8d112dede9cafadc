"""Serve the calls of schools: create, and the figures of a dashboard."""

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import SUPER_ADMINS, VIEWERS

from ticketcap_gateway.access.callers import ORGANISER, Access, idempotency_key
from ticketcap_gateway.access.paths import school_of
from ticketcap_gateway.edge.bodies import BodyReader
from ticketcap_gateway.edge.messages import to_model
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.responses import created, json
from ticketcap_gateway.schools import schemas
from ticketcap_gateway.services.registration import RegistrationClient


class Schools:
    """Serves /schools and a school's stats."""

    topic = "Schools"

    def __init__(self, registration: RegistrationClient, access: Access, bodies: BodyReader) -> None:
        self._call, self._rpc = registration.call, registration.rpc
        self._access = access
        self._bodies = bodies

    @call(
        "POST",
        "/api/v1/schools",
        name="createSchool",
        summary="Create a school. SUPER_ADMIN.",
        caller=ORGANISER,
        body=schemas.SchoolCreate,
        creates=True,
        responses=[ResponseSpec(201, "The new school.", schemas.School)],
        problems=[409],
    )
    async def create(self, request: Request) -> Response:
        """Create a school."""
        token = await self._access.organiser(request, SUPER_ADMINS)
        key = idempotency_key(request)
        body = await self._bodies.read(request, schemas.SchoolCreate)
        message = pb.CreateSchoolRequest(slug=body.slug, name=body.name, idempotency_key=key, synthetic=body.synthetic)
        answer = await self._call(self._rpc.CreateSchool, message, token)
        location = f"/api/v1/schools/{answer.school.slug}/events"
        return created(to_model(schemas.School, answer.school), location=location, replayed=answer.replayed)

    @call(
        "GET",
        "/api/v1/schools/{school}/stats",
        name="getSchoolStats",
        summary="The figures of a school's dashboard. VIEWER and up.",
        caller=ORGANISER,
        responses=[ResponseSpec(200, "The school's figures.", schemas.SchoolStats)],
    )
    async def stats(self, request: Request) -> Response:
        """Return a school's figures."""
        school = school_of(request)
        token = await self._access.organiser(request, VIEWERS, school)
        answer = await self._call(self._rpc.GetSchoolStats, pb.GetSchoolStatsRequest(school=school), token)
        return json(to_model(schemas.SchoolStats, answer))
